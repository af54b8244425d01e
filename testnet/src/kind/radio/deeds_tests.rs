//! Diaries of hotspots, written by hand.

use super::*;
use crate::deeds::tests::{facts, lease, sent, unit};
use crate::fleet::Unit;
use crate::kind::radio::Radio;

fn hotspot(token: u64, alg: u8, east: f64) -> Unit {
    unit(&Radio, token, alg, Some((east, 0.0)), None)
}

fn read(books: &[Book<'_>]) -> Vec<Account> {
    accounts(&books.iter().collect::<Vec<_>>(), &facts(1))
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
        Book { unit: a, lease: lease(a), entries: vec![shout(a, "aa"), reveal()] },
        Book {
            unit: b,
            lease: lease(b),
            entries: vec![shout(b, "cc"), heard, sent(0, 600, "witness", 1, None, false), revealed, reveal()],
        },
    ];
    read(&books)
}

#[test]
fn a_transmission_counts_when_another_heard_it_plausibly() {
    let a = hotspot(1, 1, 0.0);
    let b = hotspot(2, 2, 1_000.0);
    let met = |accounts: &[Account]| accounts.iter().map(|account| account.deeds.met.len()).collect::<Vec<_>>();
    assert_eq!(met(&on_air([&a, &b], -9_000, false)), [1, 0]);
    // Stronger than free space allows at a kilometre: 16 + 3 − 91.2 = −72.2 dBm, which reads as −71.0 at 5 dB above the noise.
    assert_eq!(met(&on_air([&a, &b], -7_090, false)), [0, 0]);
    assert_eq!(met(&on_air([&a, &b], -7_120, false)), [1, 0]);
    // Weaker than noise and its own ratio allow: −123.0 + 5 − 5 dBm.
    assert_eq!(met(&on_air([&a, &b], -12_310, false)), [0, 0]);
    assert_eq!(met(&on_air([&a, &b], -12_290, false)), [1, 0]);
    // Nobody heard the second: bad luck, not a fault to report.
    assert!(on_air([&a, &b], -9_000, false).iter().all(|account| account.unexplained.is_empty()));
}

/// Three hotspots a kilometre apart and one slot; `a` sends "aa". Lies of each, given what `b` and `c` list of it.
fn lies_about_a(b_lists: &str, c_lists: &str, c_in_time: bool) -> Vec<usize> {
    let place = |token, east| hotspot(token, 1, east);
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
    let books: Vec<Book<'_>> =
        units.iter().zip(diaries).map(|(unit, entries)| Book { unit, lease: lease(unit), entries }).collect();
    read(&books).iter().map(|account| account.deeds.lies.len()).collect()
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
    let place = |token, east| hotspot(token, 1, east);
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
        let books =
            units.iter().zip(diaries).map(|(unit, entries)| Book { unit, lease: lease(unit), entries: speak(entries) });
        let books: Vec<Book<'_>> = books.collect();
        read(&books).iter().map(|account| account.deeds.lies.len()).collect()
    };
    assert_eq!(lies(vec![lists(of_a, "xx")], vec![lists(of_a, "xx")]), [0, 0, 0, 0, 0]);
    assert_eq!(lies(vec![lists(of_a, "xx")], vec![lists(of_a, "yy")]), [0, 1, 1, 0, 0]);
    assert_eq!(lies(vec![lists(of_a, "xx"), lists(of_d, "zz")], vec![]), [0, 1, 0, 0, 0]);
}
