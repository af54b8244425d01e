//! Books and folds: bounded, order-blind, read back to the byte.

use super::*;
use proptest::prelude::*;

const A: [u8; 32] = [1; 32];
const B: [u8; 32] = [2; 32];

#[test]
fn folds_fit() {
    let mut book = PageBook::default();
    book.take((1..1_000).map(|page| (page, A, 1)));
    assert_eq!(book.to_bytes().len(), PageBook::BYTES_MAX);
    let mut fold = LeaseFold::default();
    (1..1_000).for_each(|page| fold.sessions.remember(page));
    assert_eq!(fold.to_bytes().len(), LeaseFold::BYTES_MAX);
    println!("book {} bytes, lease fold {} bytes at most", PageBook::BYTES_MAX, LeaseFold::BYTES_MAX);
}

#[test]
fn a_record_is_bound_to_the_lease_that_showed_it_first() {
    let mut book = PageBook::default();
    book.take([(5, A, 7)]);
    book.take([(5, A, 3), (6, A, 9), (6, A, 8)]);
    assert_eq!(book.bound(5, &A, 7), Ok(()));
    assert_eq!(book.bound(5, &A, 3).unwrap_err().reason, Reason::RECORD_REPLAYED);
    assert_eq!(book.bound(6, &A, 8), Ok(()));
    assert_eq!(book.bound(7, &A, 7).unwrap_err().reason, Reason::PAGE_SEEN);
}

#[test]
fn a_second_record_of_a_page_is_a_fork_and_a_gap_is_seen() {
    let mut book = PageBook::default();
    book.take([(5, A, 7), (9, A, 7)]);
    assert_eq!((book.missing_before(5), book.missing_before(9)), (None, Some(6)));
    book.take([(9, B, 7)]);
    for digest in [A, B] {
        assert_eq!(book.bound(9, &digest, 7).unwrap_err().reason, Reason::PAGE_FORK);
    }
    // What fell out of the book is too old, not unknown.
    book.take((100..200).map(|page| (page, A, 7)));
    assert_eq!(book.bound(5, &A, 7).unwrap_err(), Fault { reason: Reason::PAGE_SEEN, measured: 5, limit: 144 });
    book.take([(5, B, 7)]);
    assert_eq!(PageBook::from_bytes(&book.to_bytes()), Some(book));
}

proptest! {
    #[test]
    fn the_order_within_an_epoch_does_not_matter(mut shown in prop::collection::vec((1u64..90, 0u8..3, 0u64..3), 0..120)) {
        let taken = |shown: &[(u64, u8, u64)]| {
            let mut book = PageBook::default();
            book.take(shown.iter().map(|(page, digest, lease)| (*page, [*digest; 32], *lease)));
            book
        };
        let forward = taken(&shown);
        shown.reverse();
        prop_assert_eq!(&forward, &taken(&shown));
        shown.sort_unstable_by_key(|(page, digest, lease)| (*digest, *lease, *page));
        prop_assert_eq!(&forward, &taken(&shown));
        prop_assert_eq!(PageBook::from_bytes(&forward.to_bytes()), Some(forward));
    }

    #[test]
    fn any_bytes_are_read_back_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), known: bool) {
        let bytes = if known { [vec![VERSION], bytes].concat() } else { bytes };
        if let Some(book) = PageBook::from_bytes(&bytes).filter(|_| !bytes.is_empty()) {
            prop_assert_eq!(book.to_bytes(), bytes.clone());
        }
        if let Some(fold) = LeaseFold::from_bytes(&bytes).filter(|_| !bytes.is_empty()) {
            prop_assert_eq!(fold.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_fold_is_read_back(end_ms: u64, value: Option<(i128, i32)>, register: [u8; 8], windows: Option<(u64, u64, u64, i8)>, counted: BTreeSet<u64>) {
        let value = value.map(|(mantissa, exponent)| Decimal::new(mantissa, exponent));
        let windows = windows.map(|(end, last, register, exponent)| WindowsAt { end, last, register, exponent });
        let counted = counted.into_iter().take(COUNTED_MAX).collect();
        let fold = LeaseFold { sessions: SessionsAt { end_ms, value, register, counted }, windows };
        prop_assert_eq!(LeaseFold::from_bytes(&fold.to_bytes()), Some(fold));
    }
}
