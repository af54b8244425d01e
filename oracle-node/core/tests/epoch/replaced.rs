//! A broken device replaced under its running lease: a new key on the same token. The lease goes on, the new key's answers
//! count, and the old key's do not. How the owner does it: attest/README.md.

use alloy_primitives::U256;
use attest::{DEVICE_KEY_STATEMENT_MAX, Signer as _, SoftP256, ToBeSigned, device_key_statement};
use oracle_core::ingest::{self, Incoming};
use oracle_core::reason::Reason;
use oracle_core::registry::events::DeviceKeyRotated;
use oracle_core::report::Outcome;

use crate::world::{Key, N, World, block, contracts, log};

const BROKEN: usize = 1;
const LEASE: u64 = 102;

/// The owner sends `rotateKey` for the broken device; it is in the next block.
fn rotate(world: &mut World, new: &SoftP256) {
    let (token, owner) = (world.devices[BROKEN].token, alloy_primitives::Address::repeat_byte(0xa1));
    let mut room = [0; DEVICE_KEY_STATEMENT_MAX];
    let registry = contracts().devices.into_array();
    let statement = device_key_statement(31_337, &registry, &owner.into_array(), &new.public_key(), &mut room);
    let proof = new.sign(ToBeSigned::new(statement)).unwrap();
    let event = DeviceKeyRotated {
        tokenId: U256::from(token),
        owner,
        alg: 2,
        publicKey: new.public_key().bytes().to_vec().into(),
        proof: proof.to_vec().into(),
    };
    let number = world.chain.len() as u64 + 1;
    let (block, logs) = (block(number, i64::try_from(number).unwrap() - 9), vec![log(contracts().devices, &event)]);
    world.history.apply(block, &logs);
    world.chain.push((block, logs));
}

/// Epoch 0 with the broken device silent; then its key is replaced, and the new device is the one that speaks.
fn replaced(next_seq: u64) -> (World, Outcome) {
    let mut world = World::new();
    world.all_answer(0, &[BROKEN].into());
    let observed = world.observe(0);
    let outcome = world.compute(0, &observed).unwrap();
    world.state = outcome.state.clone();
    let new = SoftP256::from_seed([0x77; 32]);
    rotate(&mut world, &new);
    world.devices[BROKEN].key = Key::P(new);
    world.devices[BROKEN].seq = next_seq;
    (world, outcome)
}

fn leaf(outcome: &Outcome) -> (u64, u64) {
    let leaf = outcome.leaves.iter().find(|leaf| leaf.lease == LEASE).unwrap();
    (leaf.goodSeconds, leaf.badSeconds)
}

#[test]
fn the_new_keys_answers_count_for_the_old_lease() {
    let (mut world, before) = replaced(0);
    let (good, bad) = leaf(&before);
    assert!(good == 0 && bad > 0, "the broken device earned nothing: {good} good, {bad} bad");
    world.all_answer(1, &[].into());
    let observed = world.observe(1);
    let outcome = world.compute(1, &observed).unwrap();
    // Slots 13 and 14 of epoch 0 are judged in epoch 1: the old device was silent in them.
    let judged: Vec<_> = outcome.verdicts.iter().filter(|verdict| verdict.lease == LEASE && verdict.at >= 15).collect();
    assert!(judged.len() > 5 && judged.iter().all(|verdict| verdict.outcome == 1), "{judged:?}");
    assert_eq!(
        world.snapshot(1).devices.get(&2).map(|device| device.key),
        Some(world.devices[BROKEN].key.public_key())
    );
}

#[test]
fn what_the_old_key_signs_afterwards_is_refused_at_the_door() {
    let (mut world, _) = replaced(0);
    let old = SoftP256::from_seed([2; 32]);
    let claims =
        attest::Claims { iat: None, nonce: None, boot: 9, seq: 0, prev: [0; 16], body: attest::Body::Heartbeat };
    let mut room = [0; attest::MAX_MESSAGE];
    let network = world.term.scope.network();
    let keys =
        world.snapshot(1).devices.iter().map(|(token, device)| (device.key.kid(), (*token, device.key))).collect();
    let mut judge = |signer: &SoftP256| {
        let signed = attest::seal(signer, &network, &claims, &mut room).unwrap();
        let incoming = Incoming { class: signed.class, kid: signer.public_key().kid(), bytes: signed.bytes };
        ingest::judge(&[incoming], &keys, &network)[0].map(|accepted| accepted.device)
    };
    assert_eq!(judge(&old), Err(Reason::UNKNOWN_DEVICE));
    assert_eq!(judge(&SoftP256::from_seed([0x77; 32])), Ok(2));
}

#[test]
fn a_new_device_that_repeats_the_old_ones_counts_forks_until_those_have_left_the_window() {
    let (mut world, _) = replaced(0);
    // The old device's last word of epoch 0 and the new one's first of epoch 1: same token, same boot, same number.
    let new = std::mem::replace(&mut world.devices[BROKEN].key, Key::P(SoftP256::from_seed([2; 32])));
    let (start, next) = (world.start(5), world.start(16));
    world.say_as(BROKEN, 50, None, &attest::Body::Heartbeat, [Some(start); N]);
    world.devices[BROKEN].key = new;
    world.say_as(BROKEN, 50, None, &attest::Body::Heartbeat, [Some(next); N]);
    let buckets = world.buckets(1, 0);
    assert_eq!(buckets.get(&2).unwrap().forks.len(), 1, "a fork by counting alone");
}
