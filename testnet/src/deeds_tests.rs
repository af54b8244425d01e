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

/// Three hotspots a kilometre apart and one slot; `a` sends "aa". Lies of each, given what `b` and `c` list of it.
fn lies_about_a(b_lists: &str, c_lists: &str, c_in_time: bool) -> Vec<usize> {
    let place = |token, east| unit(token, 1, 2, Some((east, 0.0)), Fault::None);
    let units = [place(1, 0.0), place(2, 1_000.0), place(3, -1_000.0)];
    let [a, ..] = &units;
    let (about, rssi, reveal) = (a.lease, -9_000, || sent(0, 2_100, "reveal", 2, None, false));
    let transmitted = Entry::Transmitted { at_ms: 0, slot: 0, lease: about, payload: "aa".into(), attenuation_db: 0 };
    let lists = |payload: &str, in_time: bool| {
        let heard = Entry::Heard { at_ms: 0, slot: 0, lease: about, payload: "aa".into(), rssi, snr: 500 };
        let (payload, lie) = (payload.to_owned(), payload != "aa");
        let after = if in_time { 600 } else { 2_600 };
        let witness = sent(0, after, "witness", 1, None, false);
        vec![heard, witness, Entry::Revealed { at_ms: 0, slot: 0, lease: about, payload, lie }, reveal()]
    };
    let diaries = [vec![transmitted, reveal()], lists(b_lists, true), lists(c_lists, c_in_time)];
    let books: Vec<Book<'_>> = units.iter().zip(diaries).map(|(unit, entries)| Book { unit, entries }).collect();
    let leases: Vec<Lease> = units.iter().map(lease).collect();
    accounts(&books, &leases, &CLOCK, &slots(1)).iter().map(|account| account.deeds.lies.len()).collect()
}

#[test]
fn a_lie_counts_when_another_heard_the_truth_and_nobody_shares_the_lie() {
    assert_eq!(lies_about_a("bb", "aa", true), [0, 1, 0]);
    assert_eq!(lies_about_a("aa", "cc", true), [0, 0, 1]);
    // Nobody heard the truth in time: it may have been the transmitter's second radio.
    assert_eq!(lies_about_a("bb", "cc", true), [0, 0, 0]);
    assert_eq!(lies_about_a("bb", "aa", false), [0, 0, 0]);
    // Both heard the same other thing.
    assert_eq!(lies_about_a("bb", "bb", true), [0, 0, 0]);
    // A late witness is no witness, and no liar either.
    assert_eq!(lies_about_a("aa", "cc", false), [0, 0, 0]);
    assert_eq!(lies_about_a("aa", "aa", true), [0, 0, 0]);
}

#[test]
fn two_who_share_a_lie_are_spared_even_where_the_truth_is_known_and_lies_count_once_a_slot() {
    // A fourth hotspot knows the truth about `a` and `d`; `b` and `c` agree on a lie about `a`, and `b` lies about `d` alone.
    let place = |token, east| unit(token, 1, 2, Some((east, 0.0)), Fault::None);
    let units = [place(1, 0.0), place(2, 1_000.0), place(3, -1_000.0), place(4, 2_000.0), place(5, -2_000.0)];
    let [a, _, _, d, _] = &units;
    let (of_a, of_d) = (a.lease, d.lease);
    let shout = |lease, payload: &str| Entry::Transmitted {
        at_ms: 0,
        slot: 0,
        lease,
        payload: payload.into(),
        attenuation_db: 0,
    };
    let heard = |lease, payload: &str| Entry::Heard {
        at_ms: 0,
        slot: 0,
        lease,
        payload: payload.into(),
        rssi: -9_500,
        snr: 500,
    };
    let lists = |lease, payload: &str| Entry::Revealed { at_ms: 0, slot: 0, lease, payload: payload.into(), lie: true };
    let speak = |mut entries: Vec<Entry>| {
        entries.insert(0, sent(0, 600, "witness", 1, None, false));
        entries.push(sent(0, 2_100, "reveal", 2, None, false));
        entries
    };
    let lies = |b: Vec<Entry>, c: Vec<Entry>| -> Vec<usize> {
        let truth = vec![heard(of_a, "aa"), heard(of_d, "dd"), lists(of_a, "aa"), lists(of_d, "dd")];
        let diaries = [vec![shout(of_a, "aa")], b, c, vec![shout(of_d, "dd")], truth];
        let books = units.iter().zip(diaries).map(|(unit, entries)| Book { unit, entries: speak(entries) });
        let (books, leases): (Vec<Book<'_>>, Vec<Lease>) = (books.collect(), units.iter().map(lease).collect());
        accounts(&books, &leases, &CLOCK, &slots(1)).iter().map(|account| account.deeds.lies.len()).collect()
    };
    assert_eq!(lies(vec![lists(of_a, "xx")], vec![lists(of_a, "xx")]), [0, 0, 0, 0, 0]);
    assert_eq!(lies(vec![lists(of_a, "xx")], vec![lists(of_a, "yy")]), [0, 1, 1, 0, 0]);
    assert_eq!(lies(vec![lists(of_a, "xx"), lists(of_d, "zz")], vec![]), [0, 1, 0, 0, 0]);
}
