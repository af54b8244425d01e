//! Tests of `duty`: what is said for a beacon, a late hint, a planned fault.

use super::*;

const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
const LEASE: Lease = Lease { token: 4, lease: 9, class: 1, start: 1_000, end: 1_060, challenge_p: u64::MAX };
const D: u64 = 2_000;

fn device(kind: Kind, misbehaviour: Misbehaviour) -> Duty {
    let role = Role { token: 4, kind, clock: CLOCK, deadline: D, misbehaviour, place: None };
    Duty::new(role, [7; 32], Vec::new())
}

fn leased(kind: Kind, misbehaviour: Misbehaviour) -> Duty {
    let mut duty = device(kind, misbehaviour);
    duty.hint(986_000, Lease { class: kind.class(), ..LEASE });
    duty
}

fn certificate(slot: u64) -> [u8; 48] {
    [slot as u8; 48]
}

fn said(acts: &[Act]) -> Vec<&Speech> {
    acts.iter().filter_map(|act| if let Act::Say(speech) = act { Some(speech) } else { None }).collect()
}

#[test]
fn a_beacon_is_answered_at_once_and_once() {
    let mut duty = leased(Kind::Gpu, Misbehaviour::None);
    let acts = duty.beacon(CLOCK.start(3) + 200, 3, &certificate(3));
    let draw = challenge::draw(&challenge::seed(&certificate(3)), 4, 9);
    assert_eq!(said(&acts), [&Speech::Answer { lease: 9, slot: 3, draw, fork: false }]);
    assert!(matches!(
        &acts[..2],
        [Act::Note(Entry::Beacon { slot: 3, .. }), Act::Note(Entry::Drawn { slot: 3, lease: 9, .. })]
    ));
    assert!(duty.knows(3));
    assert!(duty.beacon(CLOCK.start(3) + 250, 3, &certificate(3)).is_empty());
}

#[test]
fn a_late_beacon_is_answered_before_the_deadline_and_not_after() {
    let mut duty = leased(Kind::Gpu, Misbehaviour::None);
    assert_eq!(said(&duty.beacon(CLOCK.start(3) + D - 1, 3, &certificate(3))).len(), 1);
    let acts = duty.beacon(CLOCK.start(4) + D, 4, &certificate(4));
    assert!(said(&acts).is_empty());
    assert!(matches!(acts.last(), Some(Act::Note(Entry::Missed { slot: 4, .. }))));
}

#[test]
fn slots_outside_the_lease_and_slots_not_drawn_need_no_answer() {
    let mut duty = leased(Kind::Gpu, Misbehaviour::None);
    assert!(said(&duty.beacon(CLOCK.start(60), 60, &certificate(60))).is_empty());
    let mut spared = device(Kind::Gpu, Misbehaviour::None);
    spared.hint(986_000, Lease { challenge_p: 0, ..LEASE });
    assert_eq!(spared.beacon(CLOCK.start(3), 3, &certificate(3)).len(), 1, "the beacon is noted, nothing is drawn");
}

#[test]
fn a_hint_that_comes_after_the_beacon_still_answers_in_time() {
    let mut duty = device(Kind::Sensor, Misbehaviour::None);
    assert!(said(&duty.beacon(CLOCK.start(3) + 100, 3, &certificate(3))).is_empty());
    assert!(duty.hint(CLOCK.start(3) + 150, Lease { token: 5, ..LEASE }).is_empty(), "another device's");
    let acts = duty.hint(CLOCK.start(3) + 200, LEASE);
    assert!(matches!(said(&acts)[..], [Speech::Answer { slot: 3, .. }]));
    let wider = duty.hint(CLOCK.start(3) + 300, Lease { end: 1_090, ..LEASE });
    assert!(said(&wider).is_empty(), "answered already");
}

#[test]
fn boot_comes_first_and_no_earlier_than_an_observation_would_see_it() {
    let mut duty = leased(Kind::Hotspot, Misbehaviour::None);
    assert!(duty.wake(CLOCK.first_word() - 1).is_empty());
    assert!(!duty.pulse(CLOCK.first_word() - 1));
    let acts = duty.wake(CLOCK.first_word());
    let [Speech::Boot(None), Speech::Commitment { chain, .. }] = said(&acts)[..] else { panic!("{acts:?}") };
    assert_eq!((chain.lease, chain.first_slot, chain.length), (9, 0, 60));
    let keep = acts.iter().position(|act| matches!(act, Act::Keep(_))).unwrap();
    assert!(matches!(acts.get(keep + 1), Some(Act::Say(Speech::Commitment { .. }))), "kept before it is said");
    assert!(duty.wake(CLOCK.first_word() + 10).is_empty());
    assert!(duty.pulse(CLOCK.first_word() + 10));
    assert!(!duty.pulse(CLOCK.first_word() + 900) && duty.pulse(CLOCK.first_word() + 1_000));
}

#[test]
fn a_drawn_hotspot_transmits_and_later_reveals() {
    let mut duty = leased(Kind::Hotspot, Misbehaviour::None);
    duty.wake(CLOCK.first_word());
    let acts = duty.beacon(CLOCK.start(3) + 200, 3, &certificate(3));
    assert!(matches!(acts.last(), Some(Act::Transmit(Shout { lease: 9, slot: 3, .. }))), "{acts:?}");
    let due = CLOCK.start(3) + D + 100;
    assert!(duty.pulse(due - 500));
    assert_eq!(duty.next_wakeup(due - 500), due);
    let acts = duty.wake(due);
    assert!(matches!(said(&acts)[..], [Speech::Reveal { slot: 3, secret: Some(_), .. }]), "{acts:?}");
}

#[test]
fn a_silent_device_keeps_its_diary_and_says_nothing() {
    let mut duty = leased(Kind::Gpu, Misbehaviour::Silent { from_ms_after_genesis: 30_000 });
    duty.wake(CLOCK.first_word());
    assert_eq!(said(&duty.beacon(CLOCK.start(29), 29, &certificate(29))).len(), 1);
    let acts = duty.beacon(CLOCK.start(30) + 5, 30, &certificate(30));
    assert!(matches!(
        &acts[..],
        [Act::Note(Entry::Silent { .. }), Act::Note(Entry::Beacon { .. }), Act::Note(Entry::Drawn { .. })]
    ));
    assert!(!duty.pulse(CLOCK.start(31)));
    assert!(duty.wake(CLOCK.start(31)).is_empty());
}

#[test]
fn every_nth_challenge_is_forked_and_each_answer_brings_a_replay() {
    let mut duty = leased(Kind::Sensor, Misbehaviour::Fork { every_n: 4 });
    let forked: Vec<u64> = (0..12)
        .filter(|slot| {
            let acts = duty.beacon(CLOCK.start(*slot), *slot, &certificate(*slot));
            matches!(said(&acts)[..], [Speech::Answer { fork: true, .. }])
        })
        .collect();
    assert_eq!(forked, [3, 7, 11]);
    let mut duty = leased(Kind::Sensor, Misbehaviour::Replay);
    assert_eq!(duty.beacon(CLOCK.start(1), 1, &certificate(1)).last(), Some(&Act::Replay));
}

#[test]
fn a_false_witness_notes_each_lie() {
    let mut duty = leased(Kind::Hotspot, Misbehaviour::FalseWitness { leases: vec![6, 7] });
    duty.wake(CLOCK.first_word());
    duty.beacon(CLOCK.start(3) + 200, 3, &certificate(3));
    let witness = duty.wake(CLOCK.start(3) + 600);
    assert!(matches!(said(&witness)[..], [Speech::Witness { slot: 3, .. }]), "{witness:?}");
    let acts = duty.wake(CLOCK.start(3) + D + 100);
    let lies = acts.iter().filter(|act| matches!(act, Act::Note(Entry::Revealed { lie: true, .. }))).count();
    assert_eq!(lies, 2);
}
