//! Diaries of two hotspots and a GPU, written by hand.

use super::*;
use crate::fleet::Plan;

const CLOCK: Rules = Rules {
    genesis_ms: 1_000_000,
    slot_ms: 1_000,
    epoch_ms: 15_000,
    challenge_p: u64::MAX,
    z_squared_millionths: 2_706_025,
    credit_bp: 5_000,
};

fn unit(token: u64, alg: u8, class: u8, offset: Option<(f64, f64)>, fault: Fault) -> Unit {
    let kind = if class == 2 { "hotspot" } else { "gpu" };
    let mut unit = Unit::new(Plan { name: "one", kind, alg, class, offset, fault });
    (unit.token, unit.lease) = (token, token + 10);
    unit
}

fn lease(unit: &Unit) -> Lease {
    let lag_ms = rules::lag_ms(unit.plan.class);
    Lease { lease: unit.lease, device: unit.token, start: 1_000, end: 1_060, lag_ms }
}

fn slots(count: u64) -> Slots {
    let each = (0..count).flat_map(|slot| [(due_in(&CLOCK, 3_000, slot), slot), (due_in(&CLOCK, 5_000, slot), slot)]);
    each.map(|key| (key, Slot { seed: Some([key.1 as u8; 32]), void: false })).collect()
}

fn sent(slot: u64, after: u64, class: &str, seq: u64, lease: Option<u64>, fork: bool) -> Entry {
    let at_ms = CLOCK.genesis_ms + slot * 1_000 + after;
    Entry::Sent {
        at_ms,
        class: class.into(),
        id: format!("{class}{slot}{seq}{fork}"),
        boot: 1,
        seq,
        slot: Some(slot),
        lease,
        fork,
    }
}

#[test]
fn answers_count_once_in_time_and_unforked() {
    let gpu = unit(1, 1, 1, None, Fault::Fork(4));
    let entries = vec![
        sent(0, 100, "answer", 1, Some(11), false),
        sent(0, 900, "answer", 1, Some(99), false),
        sent(1, 100, "answer", 2, Some(11), false),
        sent(1, 120, "answer", 2, Some(11), true),
        sent(2, 2_500, "answer", 3, Some(11), false),
    ];
    let books = [Book { unit: &gpu, entries }];
    let accounts = accounts(&books, &[lease(&gpu)], &CLOCK, &slots(4));
    let account = accounts.first().unwrap();
    assert_eq!(account.deeds.met.iter().copied().collect::<Vec<_>>(), [0, 2]);
    // The fork was planned; the delay in slot 2 and the silence in slot 3 were not.
    assert_eq!(account.unexplained.len(), 2, "{:?}", account.unexplained);
}

#[test]
fn silence_explains_what_comes_after_it() {
    let gpu = unit(1, 2, 1, None, Fault::Silent(2_000));
    let books = [Book { unit: &gpu, entries: vec![sent(0, 100, "answer", 1, Some(11), false)] }];
    let accounts = accounts(&books, &[lease(&gpu)], &CLOCK, &slots(4));
    let account = accounts.first().unwrap();
    assert_eq!((account.deeds.met.len(), account.unexplained.len()), (1, 0), "{:?}", account.unexplained);
}

fn on_air(units: [&Unit; 2], rssi: i32, lie: bool) -> Vec<Account> {
    let [a, b] = units;
    let heard = Entry::Heard { at_ms: 0, slot: 0, lease: a.lease, payload: "aa".into(), rssi, snr: 500 };
    let payload = if lie { "bb" } else { "aa" };
    let revealed = Entry::Revealed { at_ms: 0, slot: 0, lease: a.lease, payload: payload.into(), lie };
    let shout = |unit: &Unit, payload: &str| Entry::Transmitted {
        at_ms: 0,
        slot: 0,
        lease: unit.lease,
        payload: payload.into(),
        attenuation_db: 0,
    };
    let reveal = || sent(0, 2_100, "reveal", 2, None, false);
    let books = [
        Book { unit: a, entries: vec![shout(a, "aa"), reveal()] },
        Book {
            unit: b,
            entries: vec![shout(b, "cc"), heard, sent(0, 600, "witness", 1, None, false), revealed, reveal()],
        },
    ];
    accounts(&books, &[lease(a), lease(b)], &CLOCK, &slots(1))
}

#[test]
fn a_transmission_counts_when_another_heard_it_plausibly() {
    let a = unit(1, 1, 2, Some((0.0, 0.0)), Fault::None);
    let b = unit(2, 2, 2, Some((1_000.0, 0.0)), Fault::None);
    let met = |accounts: &[Account]| accounts.iter().map(|account| account.deeds.met.len()).collect::<Vec<_>>();
    assert_eq!(met(&on_air([&a, &b], -9_000, false)), [1, 0]);
    // Stronger than free space allows at a kilometre: 16 + 6 − 91.2 + 6 = −63.2 dBm.
    assert_eq!(met(&on_air([&a, &b], -6_300, false)), [0, 0]);
    assert_eq!(met(&on_air([&a, &b], -6_340, false)), [1, 0]);
    // Nobody heard the second: bad luck, not a fault to report.
    assert!(on_air([&a, &b], -9_000, false).iter().all(|account| account.unexplained.is_empty()));
}

#[test]
fn a_lie_that_the_transmitter_disproves_is_counted() {
    let a = unit(1, 1, 2, Some((0.0, 0.0)), Fault::None);
    let b = unit(2, 2, 2, Some((1_000.0, 0.0)), Fault::FalseWitness);
    let accounts = on_air([&a, &b], -9_000, true);
    let lies: Vec<u64> = accounts.iter().map(|account| account.deeds.lies.values().sum()).collect();
    assert_eq!(lies, [0, 1]);
    assert!(accounts.iter().all(|account| account.deeds.met.is_empty()));
}
