//! Tests of `slots`: two hotspots in one slot, a late frame, a late process, a false witness.

use super::*;

const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
const LEASE: Lease = Lease { token: 6, lease: 1, class: 2, start: 1_000, end: 1_060, challenge_p: u64::MAX };
const D: u64 = 2_000;

fn hotspot(seed: u8, lease: u64) -> (Coverage, Chain, [u8; 32]) {
    let mut coverage = Coverage::new(CLOCK, D, [seed; 32], Vec::new(), None);
    let (chain, anchor) = coverage.commit(&Lease { lease, ..LEASE }, 990_000).unwrap();
    (coverage, chain, anchor)
}

fn reception(shout: Shout) -> Reception {
    Reception { lease: shout.lease, payload: shout.payload, rssi: -11_000, snr: 300 }
}

#[test]
fn a_drawn_hotspot_is_heard_witnessed_and_revealed_and_the_openings_check() {
    let (mut sender, chain, anchor) = hotspot(1, 1);
    let (mut witness, ..) = hotspot(2, 2);
    let draw = [9; 32];
    let (slot, start) = (5, CLOCK.start(5));
    let shout = sender.drawn(1, slot, &draw).unwrap();
    assert!(sender.drawn(1, slot, &draw).is_none(), "once per slot");
    assert!(witness.heard(start + 300, slot, reception(shout)));
    assert_eq!(witness.next_due(), Some(start + 900));
    assert!(witness.wake(start + 899).is_empty());
    let due = witness.wake(start + 900);
    let [Due::Witness { commitment, slot: 5 }] = due[..] else { panic!("{due:?}") };
    assert!(!witness.heard(start + 950, slot, reception(shout)), "closed");
    assert_eq!(witness.next_due(), Some(start + D + REVEAL_AFTER));
    let due = witness.wake(start + D + REVEAL_AFTER);
    let [Due::Reveal { secret: None, salt, receptions, lie: false, .. }] = &due[..] else { panic!("{due:?}") };
    assert_eq!(challenge::witness_commitment(receptions.iter().copied(), salt), commitment);
    let due = sender.wake(start + D + REVEAL_AFTER);
    let [Due::Reveal { secret: Some(secret), receptions, .. }] = &due[..] else { panic!("{due:?}") };
    assert!(receptions.is_empty());
    assert!(challenge::secret_opens(&anchor, chain.first_slot, chain.length, slot, secret));
    assert_eq!(challenge::transmission(secret, &draw).payload, shout.payload);
    assert_eq!((sender.next_due(), sender.wake(start + 9_000).len()), (None, 0), "nothing is left of the slot");
}

#[test]
fn a_late_beacon_still_leaves_time_for_the_witness() {
    let (mut sender, ..) = hotspot(1, 1);
    let (mut witness, ..) = hotspot(2, 2);
    let shout = sender.drawn(1, 3, &[9; 32]).unwrap();
    let start = CLOCK.start(3);
    assert!(witness.heard(start + 1_400, 3, reception(shout)));
    assert_eq!(witness.next_due(), Some(start + D - WITNESS_SPARE));
    assert!(!witness.heard(start + D, 3, reception(shout)), "after the deadline");
    assert!(!witness.heard(start - 1_001, 3, reception(shout)), "before its slot");
}

#[test]
fn a_process_that_slept_says_that_it_missed() {
    let (mut witness, ..) = hotspot(2, 2);
    let frame = Reception { lease: 1, payload: [1; 16], rssi: -11_000, snr: 0 };
    assert!(witness.heard(CLOCK.start(3) + 300, 3, frame));
    let due = witness.wake(CLOCK.start(3) + D);
    assert_eq!(due, [Due::Missed { slot: 3, what: "witness: its time was over" }]);
    assert!(witness.wake(CLOCK.start(3) + 2 * D).is_empty(), "nothing to open");
    assert!(witness.drawn(2, 4, &[9; 32]).is_some());
    let due = witness.wake(CLOCK.start(4) + 2 * D);
    assert_eq!(due, [Due::Missed { slot: 4, what: "reveal: its time was over" }]);
}

#[test]
fn the_strongest_of_two_copies_counts_and_leases_ascend() {
    let (mut witness, ..) = hotspot(2, 2);
    let now = CLOCK.start(3) + 100;
    let frame = |lease, rssi| Reception { lease, payload: [1; 16], rssi, snr: 0 };
    for (lease, rssi) in [(9, -12_000), (4, -12_000), (9, -11_000), (9, -13_000)] {
        assert!(witness.heard(now, 3, frame(lease, rssi)));
    }
    witness.wake(CLOCK.start(3) + 1_000);
    let due = witness.wake(CLOCK.start(3) + D + REVEAL_AFTER);
    let [Due::Reveal { receptions, .. }] = &due[..] else { panic!("{due:?}") };
    assert_eq!(receptions[..], [frame(4, -12_000), frame(9, -11_000)]);
}

#[test]
fn a_false_witness_reports_what_nobody_sent() {
    let (mut sender, ..) = hotspot(1, 1);
    let shout = sender.drawn(1, 3, &[9; 32]).unwrap();
    let mut liar = Coverage::new(CLOCK, D, [3; 32], Vec::new(), Some([7].into()));
    liar.began(3);
    assert!(liar.heard(CLOCK.start(3) + 200, 3, reception(shout)));
    assert!(matches!(liar.wake(CLOCK.start(3) + 800)[..], [Due::Witness { .. }]));
    let due = liar.wake(CLOCK.start(3) + D + REVEAL_AFTER);
    let [Due::Reveal { receptions, lie: true, .. }] = &due[..] else { panic!("{due:?}") };
    assert_eq!(receptions.iter().map(|r| r.lease).collect::<Vec<_>>(), [1, 7]);
    assert!(receptions.iter().all(|r| r.payload != shout.payload));
}

#[test]
fn chains_survive_a_restart_and_a_slot_without_a_chain_has_no_secret() {
    let (mut before, chain, _) = hotspot(1, 1);
    let mut after = Coverage::new(CLOCK, D, [1; 32], before.chains().to_vec(), None);
    assert_eq!(before.drawn(1, 30, &[4; 32]), after.drawn(1, 30, &[4; 32]));
    assert!(after.drawn(1, chain.end(), &[4; 32]).is_none());
    assert!(after.drawn(2, 30, &[4; 32]).is_none());
}
