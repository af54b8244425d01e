//! Uptime leases over whole epochs: honest, silent, late, forked, wrong; and what liars among the members can do.

use std::collections::BTreeSet;

use attest::{AnswerBody, Body as Said};
use oracle_core::effect::Bodies;
use oracle_core::observation::{BY_ALWAYS, BY_NEVER, Fork, Mark};
use oracle_core::reason::Reason;
use oracle_core::report::{self, Outcome, ReportError, Verdict};
use oracle_core::state::LeaseState;
use proptest::prelude::*;

use crate::world::{N, Observed, World};

/// The verdicts of one lease.
fn of(outcome: &Outcome, lease: u64) -> Vec<&Verdict> {
    outcome.verdicts.iter().filter(|verdict| verdict.lease == lease).collect()
}

/// The reasons of one lease's failed challenges.
fn reasons(outcome: &Outcome, lease: u64) -> BTreeSet<u16> {
    of(outcome, lease).iter().filter(|verdict| verdict.outcome == 2).map(|verdict| verdict.reason).collect()
}

fn run(world: &mut World, epoch: u64) -> Outcome {
    let observed = world.observe(epoch);
    world.compute(epoch, &observed).unwrap()
}

#[test]
fn honest_devices_pass_and_a_silent_one_does_not() {
    let mut world = World::new();
    world.all_answer(0, &[1].into());
    let outcome = run(&mut world, 0);
    // Slots 0 to 12 are due: their answers are awaited for three seconds.
    let drawn = (0..13).filter(|slot| world.drawn(0, *slot).is_some()).count();
    assert_eq!(of(&outcome, 101).len(), drawn);
    assert!(of(&outcome, 101).iter().all(|verdict| verdict.outcome == 1));
    assert_eq!(reasons(&outcome, 102), [Reason::NO_ANSWER.code()].into());
    let [good, silent] = [0, 1].map(|i| &outcome.leaves[i]);
    assert_eq!((good.lease, silent.lease), (101, 102));
    assert!(good.units > 0 && good.badSeconds == 0 && silent.units == 0 && silent.badSeconds > 0);
    assert_eq!(silent.creditSeconds, silent.badSeconds / 2);
    assert!(good.goodSeconds <= 13 && good.through == crate::world::GENESIS + 13);
    assert!(!good.evidenceRoot.is_zero() && silent.evidenceRoot.is_zero());
    assert_eq!(outcome.header.leafCount, 6);
    assert_eq!(outcome.header.participation, alloy_primitives::U256::from(15));
}

#[test]
fn late_wrong_and_forked_answers_fail_with_their_reason() {
    let mut world = World::new();
    let slot = (0..13).find(|slot| (0..3).all(|index| world.drawn(index, *slot).is_some())).unwrap();
    // Device 1: in time at one member only (f = 1), late at the others.
    world.answer(0, slot, [Some(3_000), Some(3_001), Some(3_500), None]);
    let (lease, start) = (world.devices[1].lease, world.start(slot));
    world.say(1, Some([7; 32]), &Said::Answer(AnswerBody { lease, slot }), [Some(start + 1); N]);
    // Device 3 signs two answers with one number; one member alone holds both.
    world.answer(2, slot, [Some(100); N]);
    let (seq, draw, lease) = (world.devices[2].seq - 1, world.drawn(2, slot), world.devices[2].lease);
    let twin = Said::Answer(AnswerBody { lease, slot: slot + 500 });
    world.say_as(2, seq, draw, &twin, [None, None, None, Some(start + 200)]);
    let outcome = run(&mut world, 0);
    let verdict = |lease| *of(&outcome, lease).iter().find(|verdict| verdict.at == slot).unwrap();
    assert_eq!((verdict(101).reason, verdict(101).measured, verdict(101).limit), (Reason::LATE.code(), 1, 2));
    assert_eq!(verdict(102).reason, Reason::WRONG_NONCE.code());
    assert_eq!(verdict(103).reason, Reason::FORK.code());
}

#[test]
fn the_deadline_is_inclusive_and_two_members_suffice() {
    let mut world = World::new();
    let slot = (0..13).find(|slot| world.drawn(0, *slot).is_some()).unwrap();
    world.answer(0, slot, [Some(3_000), Some(3_000), None, None]);
    let outcome = run(&mut world, 0);
    assert!(of(&outcome, 101).iter().any(|verdict| verdict.at == slot && verdict.outcome == 1));
}

/// What the class keeps of a lease: challenged, passed, elapsed.
fn kept(lease: &LeaseState) -> (u64, u64, u64) {
    let (_, challenged, passed, elapsed): (u64, u64, u64, u64) = minicbor::decode(&lease.fold).unwrap();
    (challenged, passed, elapsed)
}

#[test]
fn counters_are_monotone_and_link_over_epochs() {
    let mut world = World::new();
    for epoch in 0..6 {
        // Device 2 fails from epoch 2 on, device 3 comes back in epoch 3.
        let silent: BTreeSet<usize> = [(epoch >= 2, 1), (epoch < 3, 2)].iter().filter(|s| s.0).map(|s| s.1).collect();
        world.all_answer(epoch, &silent);
        let outcome = run(&mut world, epoch);
        for (old, new) in world.state.leases.iter().zip(&outcome.state.leases) {
            assert_eq!(old.lease, new.lease);
            assert!(new.good >= old.good && new.bad >= old.bad && new.through >= old.through);
            let (challenged, passed, elapsed) = kept(new);
            assert!(new.good + new.bad <= elapsed && challenged >= passed);
        }
        assert_eq!(outcome.header.previousHeader.0, *world.state.previous_header);
        assert_eq!(*outcome.state.previous_header, report::header_digest(&world.term, &outcome.header).0);
        world.state = outcome.state;
    }
    let bad: Vec<u64> = world.state.leases.iter().take(3).map(|lease| lease.bad).collect();
    assert!(bad[0] == 0 && bad[1] > 0 && bad[2] > 0, "{bad:?}");
}

#[test]
fn a_late_beacon_voids_its_slot_and_must_not_be_proposed() {
    let mut world = World::new();
    world.all_answer(0, &BTreeSet::new());
    let mut observed = world.observe(0);
    // Upper median of four: two late members are enough, one is not.
    for (late, expect) in [(1, vec![]), (2, vec![4])] {
        let mut bodies = observed.bodies.clone();
        for body in bodies.values_mut().take(late) {
            body.lateness[4] = 701;
        }
        observed = world.sign(0, bodies);
        let outcome = world.compute(0, &observed).unwrap();
        assert_eq!(outcome.void_slots, expect);
    }
    let outcome = world.compute(0, &observed).unwrap();
    let void: Vec<_> = outcome.verdicts.iter().filter(|verdict| verdict.outcome == 0).collect();
    assert!(void.len() == 6 && void.iter().all(|v| v.at == 4 && v.measured == 701 && v.limit == 700));
    assert_eq!(kept(&outcome.state.leases[0]).2, 12);
    let mut set = world.proposal(0, &observed);
    set.beacons.insert(4, (4, world.certificate(4).into()));
    let refused = world.with_input(0, &observed, &set, report::compute);
    assert!(matches!(refused, Err(ReportError::Invalid(_))));
    set.beacons.remove(4);
    set.beacons.remove(4);
    assert!(matches!(world.with_input(0, &observed, &set, report::compute), Err(ReportError::Invalid(_))));
}

#[test]
fn missing_content_is_named_at_once_and_spoiled_signatures_count_as_missing() {
    let mut world = World::new();
    world.all_answer(0, &BTreeSet::new());
    let observed = world.observe(0);
    let full = world.compute(0, &observed).unwrap();
    let all = world.blobs.clone();
    let (buckets, evidence): (Vec<_>, Vec<_>) = full.content.iter().partition(|id| all[*id].class == 0);
    world.blobs.retain(|id, _| !full.content.contains(id));
    let sorted = |mut ids: Vec<[u8; 32]>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(world.compute(0, &observed), Err(ReportError::Missing(sorted(buckets.clone()))));
    world.blobs.extend(buckets.iter().map(|id| (*id, all[id].clone())));
    assert_eq!(world.compute(0, &observed), Err(ReportError::Missing(sorted(evidence.clone()))));
    world.blobs = all.clone();
    let victim = evidence[0];
    *world.blobs.get_mut(&victim).unwrap().bytes.last_mut().unwrap() ^= 1;
    assert_eq!(world.compute(0, &observed), Err(ReportError::Missing(vec![victim])));
    // Whoever verified the id before need not look at the signature again.
    let set = world.proposal(0, &observed);
    let trusting = world.with_input(0, &observed, &set, |input| report::compute_trusting(input, &[victim].into()));
    assert_eq!(trusting.unwrap(), full);
}

#[test]
fn foreign_or_too_few_observations_are_refused() {
    let mut world = World::new();
    let observed = world.observe(0);
    let refuse = |world: &mut World, observed: &Observed| {
        let set = world.proposal(0, observed);
        matches!(world.with_input(0, observed, &set, report::compute), Err(ReportError::Invalid(_)))
    };
    let mut few = world.sign(0, observed.bodies.clone());
    few.statements.truncate(2);
    assert!(refuse(&mut world, &few));
    let mut forged = world.sign(0, observed.bodies.clone());
    forged.statements[1].signature.0[5] ^= 1;
    assert!(refuse(&mut world, &forged));
    let other_epoch = world.sign(1, observed.bodies.clone());
    assert!(refuse(&mut world, &other_epoch));
    let mut swapped = world.sign(0, observed.bodies);
    swapped.bodies.get_mut(&0).unwrap().receipts_root = [1; 32].into();
    assert!(refuse(&mut world, &swapped));
}

/// One way in which a member lies about a device.
#[derive(Clone, Debug)]
enum Lie {
    Drop(prop::sample::Index),
    Late(prop::sample::Index),
    Invent(u64, [u8; 32]),
    Fork(prop::sample::Index, [u8; 32]),
    Lateness(usize, u32),
    Hide,
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Lie::Drop),
        any::<prop::sample::Index>().prop_map(Lie::Late),
        (0u64..20, any::<[u8; 32]>()).prop_map(|(slot, id)| Lie::Invent(slot, id)),
        (any::<prop::sample::Index>(), any::<[u8; 32]>()).prop_map(|(at, id)| Lie::Fork(at, id)),
        (0usize..13, any::<u32>()).prop_map(|(at, ms)| Lie::Lateness(at, ms)),
        Just(Lie::Hide),
    ]
}

fn tell(world: &mut World, bodies: &mut Bodies, member: u32, lies: &[Lie]) {
    let mut buckets = world.buckets(0, usize::try_from(member).unwrap());
    let mut lateness = bodies[&member].lateness.clone();
    for lie in lies {
        let bucket = buckets.entry(1).or_default();
        bucket.device = 1;
        match lie {
            Lie::Drop(at) if !bucket.marks.is_empty() => drop(bucket.marks.remove(at.index(bucket.marks.len()))),
            Lie::Late(at) if !bucket.marks.is_empty() => {
                let at = at.index(bucket.marks.len());
                bucket.marks[at].by = BY_NEVER;
            }
            Lie::Invent(slot, id) => {
                bucket.marks.push(Mark { class: 4, slot: *slot, boot: 1, seq: 9, id: (*id).into(), by: BY_ALWAYS });
                bucket.marks.sort_unstable();
            }
            Lie::Fork(at, id) if !bucket.marks.is_empty() => {
                let mark = bucket.marks[at.index(bucket.marks.len())].clone();
                let (first, second) = if *id < *mark.id { ((*id).into(), mark.id) } else { (mark.id, (*id).into()) };
                bucket.forks = vec![Fork { boot: 1, seq: mark.seq, first: (4, first), second: (4, second) }];
            }
            Lie::Lateness(at, ms) => lateness[*at] = *ms,
            Lie::Hide => bucket.marks.clear(),
            _ => {}
        }
    }
    let mut body = world.body(0, &buckets);
    body.lateness = lateness;
    bodies.insert(member, body);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f_liars_cannot_change_the_leaves(member in 0u32..4, lies in prop::collection::vec(lie(), 1..12)) {
        let mut world = World::new();
        world.all_answer(0, &[2].into());
        let honest = run(&mut world, 0);
        let mut bodies = world.observe(0).bodies;
        tell(&mut world, &mut bodies, member, &lies);
        let mut observed = world.sign(0, bodies);
        let outcome = match world.compute(0, &observed) {
            Err(ReportError::Missing(ids)) => {
                // A fork that nobody can show: the leader leaves its only lister out.
                let listers = report::listers(&observed.bodies, &world.blobs, &ids.into_iter().collect());
                prop_assert_eq!(&listers, &[member].into());
                observed.statements.retain(|statement| statement.member != member);
                observed.bodies.remove(&member);
                world.compute(0, &observed).unwrap()
            }
            other => other.unwrap(),
        };
        prop_assert_eq!(&outcome.leaves, &honest.leaves);
    }

    #[test]
    fn the_order_of_arrivals_in_the_store_does_not_matter(seed in any::<u64>()) {
        let mut world = World::new();
        world.all_answer(0, &BTreeSet::new());
        let before = world.buckets(0, 0);
        world.held[0].sort_by_key(|held| seed.wrapping_mul(u64::from(held.id[0]) << 8 | u64::from(held.id[9]) | 1));
        prop_assert_eq!(world.buckets(0, 0), before);
    }
}
