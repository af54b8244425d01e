//! Verified once, stored once, receipted once; a flood of one device does not touch another.

use super::*;
use crate::keys::Secret;
use crate::testing::{Dir, store as open};
use attest::{Body, Claims, Signer as _, SoftEd25519};

const NETWORK: Network = [1; 8];

fn message(signer: &SoftEd25519, seq: u64) -> Raw {
    let claims = Claims { iat: None, nonce: None, boot: 1, seq, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(signer, &NETWORK, &claims, &mut buffer).expect("sealed");
    Raw { class: signed.class, kid: signer.public_key().kid(), bytes: signed.bytes.to_vec(), arrival_ms: 7 }
}

fn intake(dir: &Dir, signer: &SoftEd25519) -> Intake {
    let store = Arc::new(open(dir));
    let log = ReceiptLog::new(&Secret::new([2; 32]), store.receipt_head().expect("head"));
    let intake = Intake::new(store, Metrics::new().expect("metrics"), NETWORK, log);
    intake.set_keys(Keys::from([(signer.public_key().kid(), (5, signer.public_key()))]));
    intake
}

#[test]
fn a_batch_is_stored_once_and_duplicates_are_still_fine() {
    let (dir, signer) = (Dir::new("intake"), SoftEd25519::from_seed([9; 32]));
    let mut broken = message(&signer, 3);
    if let Some(last) = broken.bytes.last_mut() {
        *last ^= 1;
    }
    let batch = [message(&signer, 0), message(&signer, 1), message(&signer, 0), broken];
    let root = {
        let intake = intake(&dir, &signer);
        let taken = intake.take(&batch).expect("disk");
        assert_eq!(taken.new.len(), 2);
        assert_eq!(taken.verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 3);
        assert_eq!(taken.verdicts[3], Err(Reason::BAD_SIGNATURE));
        assert_eq!(taken.receipts.map(|receipts| receipts.leaves.len()), Some(2));
        intake.receipts_root()
    };
    // After a restart the same messages are known and the receipt log continues.
    let intake = intake(&dir, &signer);
    assert_eq!(intake.receipts_root(), root);
    assert!(intake.take(&batch).expect("disk").new.is_empty());
    assert_eq!(intake.take(&[message(&signer, 2)]).expect("disk").receipts.map(|receipts| receipts.batch), Some(1));
}

#[test]
fn a_message_sent_again_much_later_gets_its_old_receipt_again() {
    let (dir, signer) = (Dir::new("again"), SoftEd25519::from_seed([9; 32]));
    let intake = intake(&dir, &signer);
    let at = |seq, arrival_ms| Raw { arrival_ms, ..message(&signer, seq) };
    let first = intake.take(&[at(0, 100), at(1, 100), at(2, 101)]).expect("disk").receipts.expect("new");
    // The same message by another broker, a moment later; and twice in one batch.
    assert!(intake.take(&[at(1, 100 + RECEIPT_AGAIN_MS - 1)]).expect("disk").again.is_empty());
    let taken = intake.take(&[at(1, 100 + RECEIPT_AGAIN_MS), at(1, 100 + RECEIPT_AGAIN_MS)]).expect("disk");
    let [again] = taken.again.as_slice() else { panic!("{} receipts", taken.again.len()) };
    assert!(taken.new.is_empty() && taken.receipts.is_none());
    assert_eq!((again.kid, &again.batch, again.place), (signer.public_key().kid(), &first, 1));
    // What goes down verifies by itself.
    let told = crate::downlink::receipt_again(3, &again.batch, again.place).expect("a receipt");
    assert_eq!((told.member, told.count, told.items.len()), (3, 3, 1));
    let leaf = first.leaves[1].clone();
    assert_eq!(told.items[0].0, leaf.id);
    let data = [leaf.id.as_slice(), &leaf.arrival_ms.to_be_bytes(), &[leaf.verdict]].concat();
    let path: Vec<_> = told.items[0]
        .3
        .iter()
        .map(|(sibling, left)| oracle_core::merkle::ShaStep { sibling: **sibling, left: *left })
        .collect();
    let leaves: Vec<[u8; 32]> = first
        .leaves
        .iter()
        .map(|leaf| [leaf.id.as_slice(), &leaf.arrival_ms.to_be_bytes(), &[leaf.verdict]].concat())
        .map(|data| oracle_core::merkle::sha_leaf(&data))
        .collect();
    let root = oracle_core::merkle::sha_root(&leaves);
    assert!(oracle_core::merkle::sha_verify(&root, &oracle_core::merkle::sha_leaf(&data), &path));
}

#[test]
fn the_bucket_of_one_device_is_its_own() {
    let mut rates = Rates::new(10, 20);
    let (noisy, quiet) = ([1u8; 8], [2u8; 8]);
    let passed = (0..100).filter(|_| rates.admit(noisy, 1_000)).count();
    assert_eq!(passed, 20, "the burst");
    assert!(rates.admit(quiet, 1_000));
    assert!(!rates.admit(noisy, 1_050) && rates.admit(noisy, 1_150));
}

#[test]
fn a_backlog_of_every_epoch_that_counts_passes_and_the_rate_holds_after_it() {
    // As after an outage: everything at one instant, from a device that was never heard here.
    let (rate, kept, late) = (5, 1_024, 2);
    let burst = crate::mqtt::burst_of(rate, kept, late);
    let mut rates = Rates::new(rate, burst);
    assert_eq!((0..3 * kept).filter(|_| rates.admit(1u8, 1_000)).count(), 3 * 1_024);
    assert!(!rates.admit(1, 1_000), "empty");
    let refilled = (0..100).filter(|_| rates.admit(1, 3_000)).count();
    assert_eq!(refilled, 10, "the sustained rate over two seconds");
    assert_eq!(crate::mqtt::burst_of(1_000, 10, 1), 2_000, "never below twice the rate");
    assert_eq!(crate::mqtt::burst_of(u32::MAX, u32::MAX, u64::MAX), u32::MAX);
}
