//! A policy that asks for a secure element: who is paid, who is told why not, and that an auditor comes to the same.

use attest::{
    Body as Said, Endorsement, EndorsementBody, MAX_ENDORSEMENT, PublicKey, Signer, SoftEd25519, SoftP256, Tier,
};
use oracle_core::endorse::MakerKey;
use oracle_core::reason::Reason;
use oracle_core::report::Outcome;

use crate::world::{GENESIS, N, POLICY, World};

/// The world's policy, asking uptime devices for a secure element endorsed by `maker`.
fn asking(maker: &dyn Signer) -> String {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    let maker = serde_json::to_value(MakerKey(maker.public_key())).unwrap();
    policy["endorsements"] = serde_json::json!({"makers": [maker], "min_tiers": {"1": 2}});
    policy.to_string()
}

fn certificate(maker: &dyn Signer, device: &PublicKey, tier: Tier) -> Vec<u8> {
    let made = Endorsement::issue(&maker, device, tier, [3; 32], "Model 3", GENESIS).unwrap();
    let mut room = [0; MAX_ENDORSEMENT];
    let len = made.encode(&mut room).unwrap();
    room[..len].to_vec()
}

fn brings(world: &mut World, index: usize, certificate: &[u8], at: [Option<u64>; N]) -> [u8; 32] {
    let body = Said::Endorsement(EndorsementBody::new(certificate).unwrap());
    world.say(index, None, &body, at)
}

/// Outcomes and reasons of one lease's challenges.
fn verdicts(outcome: &Outcome, lease: u64) -> Vec<(u8, u16, i64, i64)> {
    let of = outcome.verdicts.iter().filter(|verdict| verdict.lease == lease);
    let mut found: Vec<_> = of.map(|v| (v.outcome, v.reason, v.measured, v.limit)).collect();
    found.dedup();
    found
}

fn run(world: &mut World, epoch: u64) -> Outcome {
    world.all_answer(epoch, &[].into());
    let observed = world.observe(epoch);
    world.compute(epoch, &observed).unwrap()
}

#[test]
fn a_device_below_the_tier_is_not_paid_and_told_so() {
    let maker = SoftP256::from_seed([0x4d; 32]);
    let mut world = World::built(World::new().devices, &asking(&maker));
    let early = [Some(GENESIS * 1_000 - 4_000); N];
    // Device 1 has a secure element, device 2 only says so by software, device 3 says nothing.
    let keys: Vec<PublicKey> = world.devices.iter().map(|device| device.key.public_key()).collect();
    let shown = brings(&mut world, 0, &certificate(&maker, &keys[0], Tier::SecureElement), early);
    brings(&mut world, 1, &certificate(&maker, &keys[1], Tier::Software), early);
    let outcome = run(&mut world, 0);
    let low = Reason::TIER_TOO_LOW.code();
    assert_eq!(verdicts(&outcome, 101), [(1, 0, 0, 0)]);
    assert_eq!(verdicts(&outcome, 102), [(2, low, 1, 2)]);
    assert_eq!(verdicts(&outcome, 103), [(2, low, 0, 2)]);
    assert!(outcome.content.contains(&shown), "the archive keeps what an auditor needs");
    assert!(outcome.leaves[0].units > 0 && outcome.leaves[1].units == 0);
    // What was proven is carried on: the next epoch needs no new certificate.
    world.state = outcome.state;
    let next = run(&mut world, 1);
    assert_eq!(verdicts(&next, 101), [(1, 0, 0, 0)]);
    assert_eq!(verdicts(&next, 103), [(2, low, 0, 2)]);
}

#[test]
fn only_a_trusted_makers_word_about_this_very_key_counts() {
    let (maker, stranger) = (SoftP256::from_seed([0x4d; 32]), SoftEd25519::from_seed([9; 32]));
    let mut world = World::built(World::new().devices, &asking(&maker));
    let early = [Some(GENESIS * 1_000 - 4_000); N];
    let keys: Vec<PublicKey> = world.devices.iter().map(|device| device.key.public_key()).collect();
    // Another maker's word; the certificate of device 1 in the mouth of device 2; one that a single member holds.
    brings(&mut world, 0, &certificate(&stranger, &keys[0], Tier::MeasuredBoot), early);
    brings(&mut world, 1, &certificate(&maker, &keys[0], Tier::SecureElement), early);
    let alone = [early[0], None, None, None];
    brings(&mut world, 2, &certificate(&maker, &keys[2], Tier::SecureElement), alone);
    let outcome = run(&mut world, 0);
    for lease in [101, 102, 103] {
        assert_eq!(verdicts(&outcome, lease), [(2, Reason::TIER_TOO_LOW.code(), 0, 2)], "{lease}");
    }
}

#[test]
fn a_policy_that_asks_for_nothing_lists_no_endorsements() {
    let maker = SoftP256::from_seed([0x4d; 32]);
    let mut world = World::new();
    let (key, early) = (world.devices[0].key.public_key(), [Some(GENESIS * 1_000 - 4_000); N]);
    let shown = brings(&mut world, 0, &certificate(&maker, &key, Tier::SecureElement), early);
    let outcome = run(&mut world, 0);
    assert!(!outcome.content.contains(&shown));
    assert!(outcome.state.devices.iter().all(|device| device.endorsed.is_empty()));
    assert_eq!(verdicts(&outcome, 103), [(1, 0, 0, 0)]);
}
