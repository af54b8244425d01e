//! Tests of `watch`, with a rig's duty: what is said for a beacon, a late hint, a planned fault.

use super::*;
use crate::device::Told;
use crate::kind::duty::bare;
use crate::kind::{Role, named};

const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
const LEASE: Lease = Lease { token: 4, lease: 9, class: 1, start: 1_000, end: 1_060, challenge_p: u64::MAX };
const D: u64 = 2_000;

fn device(adversary: Option<Told>) -> Watch {
    let role = Role { adversary, ..bare(CLOCK, "model = \"gpu\"") };
    let post = Post { token: 4, class: 1, clock: CLOCK, deadline: D };
    Watch::new(post, named("rig").unwrap().duty(&role).unwrap())
}

fn leased(adversary: Option<Told>) -> Watch {
    let mut watch = device(adversary);
    watch.hint(986_000, LEASE);
    watch
}

fn certificate(slot: u64) -> [u8; 48] {
    [slot as u8; 48]
}

fn said(acts: &[Act]) -> Vec<&Speech> {
    acts.iter().filter_map(|act| if let Act::Say(speech) = act { Some(speech) } else { None }).collect()
}

#[test]
fn a_beacon_is_answered_at_once_and_once() {
    let mut watch = leased(None);
    let acts = watch.beacon(CLOCK.start(3) + 200, 3, &certificate(3));
    let draw = challenge::draw(&challenge::seed(&certificate(3)), 4, 9);
    assert_eq!(said(&acts), [&Speech::answer(9, 3, draw)]);
    assert!(matches!(
        &acts[..2],
        [Act::Note(Entry::Beacon { slot: 3, .. }), Act::Note(Entry::Drawn { slot: 3, lease: 9, .. })]
    ));
    assert!(watch.knows(3));
    assert!(watch.beacon(CLOCK.start(3) + 250, 3, &certificate(3)).is_empty());
}

#[test]
fn a_late_beacon_is_answered_before_the_deadline_and_not_after() {
    let mut watch = leased(None);
    assert_eq!(said(&watch.beacon(CLOCK.start(3) + D - 1, 3, &certificate(3))).len(), 1);
    let acts = watch.beacon(CLOCK.start(4) + D, 4, &certificate(4));
    assert!(said(&acts).is_empty());
    assert!(matches!(acts.last(), Some(Act::Note(Entry::Missed { slot: 4, .. }))));
}

#[test]
fn slots_outside_the_lease_and_slots_not_drawn_need_no_answer() {
    let mut watch = leased(None);
    assert!(said(&watch.beacon(CLOCK.start(60), 60, &certificate(60))).is_empty());
    let mut spared = device(None);
    spared.hint(986_000, Lease { challenge_p: 0, ..LEASE });
    assert_eq!(spared.beacon(CLOCK.start(3), 3, &certificate(3)).len(), 1, "the beacon is noted, nothing is drawn");
}

#[test]
fn a_hint_that_comes_after_the_beacon_still_answers_in_time() {
    let mut watch = device(None);
    assert!(said(&watch.beacon(CLOCK.start(3) + 100, 3, &certificate(3))).is_empty());
    assert!(watch.hint(CLOCK.start(3) + 150, Lease { token: 5, ..LEASE }).is_empty(), "another device's");
    let acts = watch.hint(CLOCK.start(3) + 200, LEASE);
    assert_eq!(said(&acts).first().and_then(|speech| speech.slot), Some(3));
    let wider = watch.hint(CLOCK.start(3) + 300, Lease { end: 1_090, ..LEASE });
    assert!(said(&wider).is_empty(), "answered already");
}

#[test]
fn boot_comes_first_and_no_earlier_than_an_observation_would_see_it() {
    let mut watch = leased(None);
    assert!(watch.wake(CLOCK.first_word() - 1).is_empty());
    assert!(watch.pulse(CLOCK.first_word() - 1).is_none());
    let acts = watch.wake(CLOCK.first_word());
    assert_eq!(acts, [Act::Boot]);
    assert!(watch.wake(CLOCK.first_word() + 10).is_empty());
    assert!(watch.pulse(CLOCK.first_word() + 10).is_some());
    assert!(watch.pulse(CLOCK.first_word() + 900).is_none() && watch.pulse(CLOCK.first_word() + 1_000).is_some());
}

#[test]
fn a_silent_device_keeps_its_diary_and_says_nothing() {
    let mut watch = leased(Some(Told { name: "falls silent".into(), number: 30_000 }));
    watch.wake(CLOCK.first_word());
    assert_eq!(said(&watch.beacon(CLOCK.start(29), 29, &certificate(29))).len(), 1);
    let acts = watch.beacon(CLOCK.start(30) + 5, 30, &certificate(30));
    assert!(matches!(
        &acts[..],
        [Act::Note(Entry::Silent { .. }), Act::Note(Entry::Beacon { .. }), Act::Note(Entry::Drawn { .. })]
    ));
    assert!(watch.pulse(CLOCK.start(31)).is_none());
    assert!(watch.wake(CLOCK.start(31)).is_empty());
}
