//! Signed sessions of a meter with a key of the test's own: honest ones count to the unit, each cheat has its reason.

use crate::class::Fault;
use crate::class::energy::fold::{LeaseFold, PageBook};
use crate::class::energy::judge::{Presented, Rules, Said, Verdict, judge, pages, units};
use crate::class::energy::ocmf::key::Curve;
use crate::class::energy::policy::Section;
use crate::class::energy::windows::Window;
use crate::reason::Reason;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const NOON: u64 = 1_700_049_600;

fn signer(byte: u8) -> SigningKey {
    SigningKey::from_slice(&[byte; 32]).unwrap()
}

/// Thumbprint of the meter's key.
fn meter() -> [u8; 32] {
    let point = signer(7).verifying_key().to_sec1_point(false);
    attest::meter_key_thumbprint(attest::MeterCurve::P256, &point.as_bytes()[1..]).unwrap()
}

/// Begin, end (minutes of the day from noon), register from and to (Wh).
#[derive(Clone, Copy, Debug)]
struct Session(u64, u64, u64, u64);

fn record(page: u64, session: Session, clock: char, by: u8) -> Vec<u8> {
    let Session(begin, end, from, to) = session;
    let time = |minute: u64| format!("2023-11-15T{:02}:{:02}:00,000+0000 {clock}", 12 + minute / 60, minute % 60);
    let reading = |kind: char, minute, value| {
        format!(
            r#"{{"TM":"{}","TX":"{kind}","RV":{value}.0,"RI":"1-0:1.8.0","RU":"Wh","EF":"","ST":"G"}}"#,
            time(minute)
        )
    };
    let readings = [reading('B', begin, from), reading('E', end, to)].join(",");
    let payload = format!(r#"{{"FV":"1.0","GS":"G","MS":"M","PG":"T{page}","RD":[{readings}]}}"#);
    let signature: Signature = signer(by).sign_prehash(&Sha256::digest(payload.as_bytes())).unwrap();
    format!(r#"OCMF|{payload}|{{"SD":"{}"}}"#, hex::encode(signature.to_bytes())).into_bytes()
}

fn epoch(book: &mut PageBook, fold: &LeaseFold, lease: u64, shown: &[(u64, Vec<u8>)], said: &[Said]) -> Verdict {
    epoch_of(book, fold, (lease, (NOON, NOON + 86_400)), shown, said)
}

fn epoch_of(
    book: &mut PageBook,
    fold: &LeaseFold,
    (lease, lease_s): (u64, (u64, u64)),
    shown: &[(u64, Vec<u8>)],
    said: &[Said],
) -> Verdict {
    let (meter, section) = (meter(), Section::sessions());
    let curves = [Curve::Secp256r1];
    let presented: Vec<Presented<'_>> = shown
        .iter()
        .enumerate()
        .map(|(evidence, (lease, bytes))| {
            let arrival_ms = (NOON + 10) * 1_000;
            Presented { bytes: Ok(bytes.as_slice()), meter, lease: *lease, arrival_ms, evidence }
        })
        .collect();
    book.take(pages(&presented, &meter, &curves));
    let rules = Rules {
        section: &section,
        curves: &curves,
        meter,
        rated_w: 11_000,
        place: Err(Fault::plain(Reason::NO_LOCATION)),
        lease,
        lease_s,
        latest_s: NOON + 43_200,
    };
    judge(&rules, book, fold, &presented, said)
}

fn once(shown: &[(u64, Vec<u8>)]) -> Verdict {
    epoch(&mut PageBook::default(), &LeaseFold::default(), 1, shown, &[])
}

fn has(verdict: &Verdict, reason: Reason) -> bool {
    verdict.findings.iter().any(|finding| finding.result.is_err_and(|fault| fault.reason == reason))
}

const A: Session = Session(0, 30, 1_000, 4_000);
const B: Session = Session(40, 60, 4_000, 6_000);

#[test]
fn honest_sessions_count_to_the_unit_and_once() {
    let shown = [(1, record(5, A, 'S', 7)), (1, record(6, B, 'S', 7))];
    let mut book = PageBook::default();
    let first = epoch(&mut book, &LeaseFold::default(), 1, &shown, &[]);
    // Tenths of a watt hour.
    assert_eq!((units(&first.findings), first.findings.len()), (50_000, 2), "{:?}", first.findings);
    let again = epoch(&mut book, &first.fold, 1, &shown, &[]);
    assert_eq!((again.findings.len(), &again.fold), (0, &first.fold));
}

#[test]
fn each_cheat_has_its_reason_and_no_pay() {
    let paid = |verdict: &Verdict| units(&verdict.findings);
    let resigned = once(&[(1, record(5, A, 'S', 8))]);
    assert!(has(&resigned, Reason::METER_SIGNATURE) && paid(&resigned) == 0);
    let unknown = once(&[(1, record(5, A, 'U', 7))]);
    assert!(has(&unknown, Reason::CLOCK_UNKNOWN) && paid(&unknown) == 0);
    let left_out = once(&[(1, record(5, A, 'S', 7)), (1, record(8, B, 'S', 7))]);
    assert!(has(&left_out, Reason::PAGE_MISSING));
    let fork = once(&[(1, record(5, A, 'S', 7)), (1, record(5, B, 'S', 7))]);
    assert!(has(&fork, Reason::PAGE_FORK) && paid(&fork) == 0);
    let overlapping = once(&[(1, record(5, A, 'S', 7)), (1, record(6, Session(20, 60, 4_000, 6_000), 'S', 7))]);
    assert!(has(&overlapping, Reason::ENERGY_OVERLAP) && paid(&overlapping) == 30_000);
    let spliced = once(&[(1, record(5, A, 'S', 7)), (1, record(6, Session(40, 60, 2_000, 4_000), 'S', 7))]);
    assert!(has(&spliced, Reason::REGISTER_FELL) && paid(&spliced) == 30_000);
    let rated = once(&[(1, record(5, Session(0, 30, 1_000, 6_900), 'S', 7))]);
    assert!(has(&rated, Reason::ABOVE_RATED) && paid(&rated) == 0);
    // The same bytes under another lease, in the same epoch and in a later one.
    let mut book = PageBook::default();
    let shown = [(1, record(5, A, 'S', 7)), (2, record(5, A, 'S', 7))];
    let (one, two) = (
        epoch(&mut book, &LeaseFold::default(), 1, &shown, &[]),
        epoch(&mut book, &LeaseFold::default(), 2, &shown, &[]),
    );
    assert!(paid(&one) == 30_000 && paid(&two) == 0 && has(&two, Reason::RECORD_REPLAYED));
    let later = epoch(&mut book, &LeaseFold::default(), 3, &[(3, record(5, A, 'S', 7))], &[]);
    assert!(paid(&later) == 0 && has(&later, Reason::RECORD_REPLAYED));
}

#[test]
fn what_lies_outside_of_the_lease_is_not_its_own() {
    let shown = [(1, record(5, A, 'S', 7))];
    let paid = |from: u64, until: u64| {
        let (mut book, lease) = (PageBook::default(), (1, (NOON + from, NOON + until)));
        let verdict = epoch_of(&mut book, &LeaseFold::default(), lease, &shown, &[]);
        (units(&verdict.findings), has(&verdict, Reason::OUT_OF_LEASE))
    };
    assert_eq!(paid(0, 1_800), (30_000, false));
    assert_eq!(paid(1, 1_800), (0, true));
    assert_eq!(paid(0, 1_799), (0, true));
}

#[test]
fn a_device_without_this_meter_is_paid_nothing() {
    let bytes = record(5, A, 'S', 7);
    for registered in [[0; 32], [1; 32]] {
        let one = Presented { bytes: Ok(&bytes), meter: meter(), lease: 1, arrival_ms: 0, evidence: 0 };
        let fault = crate::class::energy::judge::read(&one, &registered, &Curve::VERIFIABLE).unwrap_err();
        assert_eq!(fault.reason, Reason::WRONG_METER);
        // It names the registered key, and another signed.
        let lying = Presented { meter: [1; 32], ..one };
        let fault = crate::class::energy::judge::read(&lying, &[1; 32], &Curve::VERIFIABLE).unwrap_err();
        assert_eq!(fault.reason, Reason::METER_SIGNATURE);
    }
}

#[test]
fn a_window_that_disagrees_with_the_meter_is_disputed() {
    let said = |energy: u64| {
        let sampled = i64::try_from(energy).unwrap();
        let window = Window {
            start: NOON,
            end: NOON + 1_800,
            first: 0,
            last: energy,
            sampled,
            peak: 0,
            register: 1,
            exponent: 0,
        };
        [Said { window, evidence: 9 }]
    };
    for (energy, disputed) in [(3_000, false), (3_002, false), (2_998, false), (3_003, true), (2_997, true)] {
        let verdict =
            epoch(&mut PageBook::default(), &LeaseFold::default(), 1, &[(1, record(5, A, 'S', 7))], &said(energy));
        assert_eq!((has(&verdict, Reason::METER_DISAGREES), units(&verdict.findings)), (disputed, 30_000), "{energy}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn order_does_not_matter_and_less_never_pays_more(steps in prop::collection::vec((0u64..9, 1u64..20, 0u64..3_000, 0u64..100), 1..7), drop in 0usize..7) {
        let (mut at, mut register) = (0, 0);
        let mut shown: Vec<(u64, Vec<u8>)> = vec![];
        for (page, (wait, length, energy, unseen)) in (5..).zip(steps) {
            let (begin, from) = (at + wait, register + unseen);
            (at, register) = (begin + length, from + energy);
            shown.push((1, record(page, Session(begin, at, from, register), 'S', 7)));
        }
        let all = once(&shown);
        shown.reverse();
        let backward = once(&shown);
        prop_assert_eq!(units(&all.findings), units(&backward.findings));
        prop_assert_eq!(&all.fold, &backward.fold);
        shown.remove(drop % shown.len());
        prop_assert!(units(&once(&shown).findings) <= units(&all.findings));
    }

    #[test]
    fn any_windows_in_any_order_and_less_never_pays_more(steps in prop::collection::vec((0u64..5_000, 60u64..2_000, 0u64..5_000, 0u64..3_000), 1..12), drop in 0usize..12) {
        let section = Section::panels();
        let section = Section { sky: None, ..section };
        let rules = Rules { section: &section, curves: &[], meter: [0; 32], rated_w: 11_000, place: Err(Fault::plain(Reason::NO_LOCATION)), lease: 1, lease_s: (0, u64::MAX), latest_s: NOON + 43_200 };
        let run = |said: &[Said]| judge(&rules, &PageBook::default(), &LeaseFold::default(), &[], said);
        let mut said: Vec<Said> = vec![];
        for (evidence, (start, length, first, energy)) in steps.into_iter().enumerate() {
            let (start, sampled) = (NOON + start, i64::try_from(energy).unwrap());
            let window = Window { start, end: start + length, first, last: first + energy, sampled, peak: 0, register: 1, exponent: 0 };
            said.push(Said { window, evidence });
        }
        let all = run(&said);
        prop_assert_eq!(all.findings.len(), said.len());
        said.reverse();
        prop_assert_eq!(&run(&said), &all);
        said.remove(drop % said.len());
        prop_assert!(units(&run(&said).findings) <= units(&all.findings));
    }
}
