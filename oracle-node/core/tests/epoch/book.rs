//! A book of several policies: each lease is judged by its own for life, shadows judge beside it and pay nothing, and what
//! the chain says of a device's key is a reason to fail, not to be passed over.

use alloy_primitives::{B256, U256};
use attest::{AnswerBody, Body as Said};
use oracle_core::policy::Policy;
use oracle_core::reason::Reason;
use oracle_core::registry::events::{DeviceKeyRevoked, LeaseOpened};
use oracle_core::report::Outcome;

use crate::world::{N, POLICY, World, block, book, contracts, log, opened};

/// The world's policy with another deadline for answers.
fn quick(deadline_ms: u64) -> String {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    policy["classes"]["uptime"]["service"]["deadline_ms"] = deadline_ms.into();
    policy.to_string()
}

fn hash(policy: &str) -> B256 {
    Policy::hash(policy.as_bytes())
}

/// One more block of the chain, before the first epoch's snapshot.
fn mine(world: &mut World, logs: Vec<oracle_core::registry::RawLog>) {
    let number = world.chain.len() as u64 + 1;
    let at = block(number, i64::try_from(number).unwrap() - 9);
    world.history.apply(at, &logs);
    world.chain.push((at, logs));
}

fn run(world: &mut World, epoch: u64) -> Outcome {
    let observed = world.observe(epoch);
    let outcome = world.compute(epoch, &observed).unwrap();
    world.state = outcome.state.clone();
    outcome
}

/// Outcomes and reasons of a lease's challenges, each once.
fn verdicts(outcome: &Outcome, lease: u64) -> Vec<(u8, u16)> {
    let mut found: Vec<(u8, u16)> =
        outcome.verdicts.iter().filter(|one| one.lease == lease).map(|one| (one.outcome, one.reason)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn each_lease_keeps_its_own_deadline() {
    let strict = quick(1_000);
    let mut world = World::under(World::new().devices, POLICY, std::slice::from_ref(&strict));
    // Device 1 has a second lease, under the stricter policy.
    let second = LeaseOpened { lease: 201, ..opened(&world.devices[0], hash(&strict)) };
    mine(&mut world, vec![second.log(contracts().escrow)]);
    for slot in 0..15 {
        let at = [Some(world.start(slot) + 2_500); N];
        for lease in [101, 201] {
            world.devices[0].lease = lease;
            if let Some(draw) = world.drawn(0, slot) {
                world.say(0, Some(draw), &Said::Answer(AnswerBody { lease, slot }), at);
            }
        }
    }
    let outcome = run(&mut world, 0);
    assert_eq!(verdicts(&outcome, 101), [(1, 0)], "2.5 s are within 2 s and the allowance of 1 s");
    assert_eq!(verdicts(&outcome, 201), [(2, Reason::LATE.code())], "and not within 1 s and the allowance");
    let leaf = |lease| outcome.leaves.iter().find(|leaf| leaf.lease == lease).unwrap();
    assert_eq!((leaf(101).policyHash, leaf(201).policyHash), (hash(POLICY), hash(&strict)));
    assert_eq!((leaf(101).escrow, outcome.header.policyHash), (contracts().escrow, world.book.root()));
    assert!(leaf(101).units > 0 && leaf(201).units == 0);
}

#[test]
fn a_lease_whose_policy_left_the_book_keeps_its_leaf_and_says_why() {
    let mut world = World::new();
    world.all_answer(0, &[].into());
    let before = run(&mut world, 0);
    // A later term's book without it.
    world.book = book(&quick(1_000), &[]);
    world.all_answer(1, &[].into());
    let after = run(&mut world, 1);
    assert_eq!(verdicts(&after, 101), [(0, Reason::POLICY_NOT_IN_BOOK.code())]);
    assert_eq!(after.leaves, before.leaves, "nothing is paid and nothing is lost");
}

#[test]
fn a_shadow_judges_beside_and_pays_nothing() {
    let mut shadow: serde_json::Value = serde_json::from_str(&quick(100)).unwrap();
    shadow["shadow_of"] = hash(POLICY).to_string().into();
    let shadow = shadow.to_string();
    let (mut plain, mut shadowed) = (
        World::built(World::new().devices, POLICY),
        World::under(World::new().devices, POLICY, std::slice::from_ref(&shadow)),
    );
    for world in [&mut plain, &mut shadowed] {
        for slot in world.slots(0) {
            for index in 0..3 {
                world.answer(index, slot, [Some(1_500); N]);
            }
        }
    }
    let (one, other) = (run(&mut plain, 0), run(&mut shadowed, 0));
    assert_eq!(other.leaves, one.leaves, "pay is the same with and without it");
    assert_eq!(other.verdicts, one.verdicts);
    assert_eq!((one.state.shadows.len(), other.state.shadows.len()), (0, 6));
    let beside = &other.state.shadows[0];
    assert_eq!((beside.lease, beside.good, &*beside.policy_hash), (101, 0, &hash(&shadow).0));
    assert!(beside.bad > 0 && beside.reasons == [(Reason::LATE.code(), beside.reasons[0].1)]);
    // It is carried on.
    shadowed.all_answer(1, &[].into());
    assert!(run(&mut shadowed, 1).state.shadows[0].bad >= beside.bad);
}

#[test]
fn what_a_revoked_device_is_asked_fails() {
    let mut world = World::new();
    let thumbprint = attest::Signer::public_key(&world.devices[0].key).thumbprint().into();
    mine(&mut world, vec![log(contracts().devices, &DeviceKeyRevoked { tokenId: U256::from(1), thumbprint })]);
    world.all_answer(0, &[].into());
    let outcome = run(&mut world, 0);
    assert_eq!(verdicts(&outcome, 101), [(2, Reason::DEVICE_REVOKED.code())], "its answers count for nothing");
    assert_eq!(verdicts(&outcome, 102), [(1, 0)]);
    let leaf = outcome.leaves.iter().find(|leaf| leaf.lease == 101).unwrap();
    assert!(leaf.badSeconds > 0 && leaf.creditSeconds > 0 && leaf.units == 0);
}
