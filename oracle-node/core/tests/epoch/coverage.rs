//! Coverage leases: an honest round, and one test per way to fail or to cheat.

use attest::{Body as Said, Reception, RevealBody, WitnessBody, challenge};
use oracle_core::reason::Reason;
use oracle_core::report::{Outcome, Verdict};

use crate::world::{N, POLICY, World};

const SALT: [u8; 16] = [3; 16];
/// Index of the transmitter and of its two hearers among the world's devices.
const SENDER: usize = 3;
const HEARERS: [usize; 2] = [4, 5];

/// A coverage slot that is due in epoch 0 and challenges the sender alone, so that verdicts stand apart.
fn slot(world: &mut World) -> u64 {
    (0..11).find(|slot| world.drawn(SENDER, *slot).is_some()).unwrap()
}

/// What the sender truly sends in a slot.
fn transmission(world: &mut World, slot: u64) -> ([u8; 32], challenge::Transmission) {
    let draw = world.drawn(SENDER, slot).unwrap();
    let secret = challenge::chain_secret(&world.devices[SENDER].secret, 0, 1_000, slot).unwrap();
    (secret, challenge::transmission(&secret, &draw))
}

/// How a round deviates from the honest one.
#[derive(Clone, Copy, Default)]
struct Round {
    no_reveal: bool,
    bad_secret: bool,
    payload: Option<[u8; 16]>,
    rssi: Option<i32>,
    snr: Option<i32>,
    other_salt: bool,
    late_witness: bool,
    two_witnesses: bool,
}

/// Plays a slot: hearers commit one second in, everyone reveals after the witnesses' deadline.
fn play(world: &mut World, slot: u64, round: Round) {
    let start = world.start(slot);
    let (secret, sent) = transmission(world, slot);
    let secret = if round.bad_secret { [1; 32] } else { secret };
    if !round.no_reveal {
        let body =
            RevealBody { slot, secret: Some(secret), salt: SALT, receptions: attest::Receptions::from_slice(&[]) };
        world.say(SENDER, None, &Said::Reveal(body), [Some(start + 4_900); N]);
    }
    for hearer in HEARERS {
        let lease = world.devices[SENDER].lease;
        let payload = round.payload.unwrap_or(sent.payload);
        let heard = [Reception { lease, payload, rssi: round.rssi.unwrap_or(-11_000), snr: round.snr.unwrap_or(500) }];
        let receptions = attest::Receptions::from_slice(&heard);
        let at = if round.late_witness { 3_001 } else { 1_000 };
        if round.two_witnesses {
            let guess = Said::Witness(WitnessBody { slot, commitment: [8; 32] });
            world.say(hearer, None, &guess, [Some(start + 900); N]);
        }
        let commitment = challenge::witness_commitment(receptions.iter(), &SALT);
        world.say(hearer, None, &Said::Witness(WitnessBody { slot, commitment }), [Some(start + at); N]);
        let salt = if round.other_salt { [4; 16] } else { SALT };
        let body = RevealBody { slot, secret: None, salt, receptions };
        world.say(hearer, None, &Said::Reveal(body), [Some(start + 2_500); N]);
    }
}

fn run(world: &mut World) -> Outcome {
    let observed = world.observe(0);
    world.compute(0, &observed).unwrap()
}

fn sender_verdict(outcome: &Outcome, slot: u64) -> Verdict {
    outcome.verdicts.iter().find(|v| v.lease == 104 && v.at == slot).unwrap().clone()
}

/// The sender's verdict when one slot is played this way.
fn verdict(round: Round) -> (Verdict, Outcome) {
    let mut world = World::new();
    let slot = slot(&mut world);
    play(&mut world, slot, round);
    let outcome = run(&mut world);
    (sender_verdict(&outcome, slot), outcome)
}

#[test]
fn an_honest_round_passes_and_its_evidence_is_chained() {
    let (verdict, outcome) = verdict(Round::default());
    assert_eq!((verdict.outcome, verdict.reason), (1, 0));
    let lease = outcome.leaves.iter().find(|leaf| leaf.lease == 104).unwrap();
    assert!(!lease.evidenceRoot.is_zero());
    assert!(outcome.verdicts.iter().all(|v| v.reason != Reason::FALSE_WITNESS.code()));
    let places = outcome.state.devices.iter().filter(|device| device.place.is_some()).count();
    assert_eq!((places, outcome.state.devices[0].folds.len()), (3, 1));
}

#[test]
fn each_way_to_fail_has_its_reason() {
    let cases = [
        (Round { no_reveal: true, ..Round::default() }, Reason::NO_REVEAL),
        (Round { bad_secret: true, ..Round::default() }, Reason::BAD_SECRET),
        (Round { other_salt: true, ..Round::default() }, Reason::NOT_WITNESSED),
        (Round { rssi: Some(-12_302), ..Round::default() }, Reason::RSSI_BELOW_FLOOR),
        (Round { snr: Some(-2_501), ..Round::default() }, Reason::SNR_TOO_LOW),
        (Round { rssi: Some(-5_000), ..Round::default() }, Reason::RSSI_ABOVE_FREE_SPACE),
        (Round { late_witness: true, ..Round::default() }, Reason::TOO_FEW_WITNESSES),
        (Round { payload: Some([0; 16]), ..Round::default() }, Reason::TOO_FEW_WITNESSES),
    ];
    for (round, reason) in cases {
        let (verdict, _) = verdict(round);
        assert_eq!((verdict.outcome, verdict.reason), (2, reason.code()), "{reason}: {verdict:?}");
    }
}

#[test]
fn a_second_witness_commitment_does_not_help() {
    // The first one was a guess; the second, true one may not take its place.
    let (verdict, _) = verdict(Round { two_witnesses: true, ..Round::default() });
    assert_eq!(verdict.reason, Reason::NOT_WITNESSED.code());
}

#[test]
fn the_free_space_bound_is_exact_to_a_hundredth() {
    let mut world = World::new();
    let slot = slot(&mut world);
    let (_, sent) = transmission(&mut world, slot);
    let place = |world: &World, index: usize| world.devices[index].place.map(|p| (p.lat, p.lon)).unwrap();
    // The nearer hearer decides: both report the same, and it may hear the most. At 30 dB above the noise the reading is
    // the signal.
    let metres = oracle_core::fixed::distance_m(place(&world, SENDER), place(&world, HEARERS[0]));
    let loss = oracle_core::fixed::free_space_loss_cdb(metres, 868_100);
    let limit = 1_600 - i64::from(sent.attenuation_db) * 100 + 300 - loss;
    for (rssi, outcome) in [(limit, 1), (limit + 1, 2)] {
        let round = Round { rssi: Some(i32::try_from(rssi).unwrap()), snr: Some(3_000), ..Round::default() };
        assert_eq!(verdict(round).0.outcome, outcome, "{rssi} against {limit}");
    }
}

/// A device witnesses and reveals in a slot, in time: its own secret if it transmits, and what it says it heard.
fn witness(world: &mut World, index: usize, slot: u64, secret: Option<[u8; 32]>, heard: &[(u64, [u8; 16])]) {
    let start = world.start(slot);
    let heard =
        heard.iter().map(|(lease, payload)| Reception { lease: *lease, payload: *payload, rssi: -11_000, snr: 500 });
    let heard: Vec<Reception> = heard.collect();
    let receptions = attest::Receptions::from_slice(&heard);
    let commitment = challenge::witness_commitment(receptions.iter(), &SALT);
    world.say(index, None, &Said::Witness(WitnessBody { slot, commitment }), [Some(start + 1_000); N]);
    world.say(
        index,
        None,
        &Said::Reveal(RevealBody { slot, secret, salt: SALT, receptions }),
        [Some(start + 2_500); N],
    );
}

/// The world's policy with these limits of distance, m.
fn within(near: u32, far: u32) -> String {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    let radio = &mut policy["classes"]["coverage"]["radio"];
    (radio["min_distance_m"], radio["max_distance_m"]) = (near.into(), far.into());
    policy.to_string()
}

/// What each device says it heard of the sender, by index: `None` is what the sender truly sent.
fn false_witnesses(says: &[(usize, Option<[u8; 16]>)]) -> Vec<(u64, u8, i64)> {
    // So that nothing but the rule itself keeps a transmitter from being its own witness.
    let mut world = World::built(World::of(8).devices, &within(0, 100_000));
    let slot = slot(&mut world);
    let (secret, sent) = transmission(&mut world, slot);
    for (index, payload) in says {
        let own = (*index == SENDER).then_some(secret);
        witness(&mut world, *index, slot, own, &[(104, payload.unwrap_or(sent.payload))]);
    }
    if says.iter().all(|(index, _)| *index != SENDER) {
        witness(&mut world, SENDER, slot, Some(secret), &[]);
    }
    penalties(&run(&mut world))
}

/// (lease, outcome, measured) of every booked false witness.
fn penalties(outcome: &Outcome) -> Vec<(u64, u8, i64)> {
    let booked = outcome.verdicts.iter().filter(|v| v.reason == Reason::FALSE_WITNESS.code());
    booked.map(|v| (v.lease, v.outcome, v.measured)).collect()
}

const WRONG: Option<[u8; 16]> = Some([0; 16]);
const OTHER: Option<[u8; 16]> = Some([1; 16]);

#[test]
fn a_false_witness_pays_with_its_own_lease() {
    assert_eq!(false_witnesses(&[(4, None), (5, WRONG)]), [(106, 2, 104)]);
    // Two lies that differ are two liars.
    assert_eq!(false_witnesses(&[(4, None), (5, WRONG), (6, OTHER)]), [(106, 2, 104), (107, 2, 104)]);
    // Nothing is held against a hearer when the sender never proves what it sent.
    let (_, outcome) = verdict(Round { payload: WRONG, no_reveal: true, ..Round::default() });
    assert_eq!(penalties(&outcome), []);
}

#[test]
fn nobody_is_a_false_witness_unless_another_heard_the_truth() {
    assert_eq!(false_witnesses(&[(5, WRONG)]), []);
    // The sender's own word is no other witness, nor is one whom physics refutes (it stands nowhere known).
    assert_eq!(false_witnesses(&[(SENDER, None), (5, WRONG)]), []);
    for placed in [true, false] {
        let mut world = World::of(8);
        let slot = slot(&mut world);
        let (secret, sent) = transmission(&mut world, slot);
        witness(&mut world, SENDER, slot, Some(secret), &[]);
        witness(&mut world, 4, slot, None, &[(104, sent.payload)]);
        witness(&mut world, 5, slot, None, &[(104, [0; 16])]);
        for held in &mut world.held {
            held.retain(|held| placed || held.device != 5 || held.class != attest::Class::Boot);
        }
        assert_eq!(penalties(&run(&mut world)).len(), usize::from(placed));
    }
}

#[test]
fn what_two_devices_heard_was_played_to_them() {
    // A second radio of the sender plays something else to two honest hearers.
    assert_eq!(false_witnesses(&[(4, None), (5, WRONG), (6, WRONG)]), []);
    assert_eq!(false_witnesses(&[(4, None), (5, WRONG), (6, WRONG), (7, OTHER)]), [(108, 2, 104)]);
    // The sender itself lists it: a confession.
    assert_eq!(false_witnesses(&[(SENDER, WRONG), (4, None), (5, WRONG)]), []);
    // What it says of its own lease bears on nothing.
    assert_eq!(false_witnesses(&[(SENDER, WRONG), (4, None)]), []);
}

#[test]
fn a_device_is_a_false_witness_once_in_a_slot() {
    let mut world = World::of(8);
    let senders = [SENDER, 6];
    let slot = (0..11).find(|slot| senders.iter().all(|index| world.drawn(*index, *slot).is_some())).unwrap();
    let mut truth = Vec::new();
    for index in senders {
        let draw = world.drawn(index, slot).unwrap();
        let secret = challenge::chain_secret(&world.devices[index].secret, 0, 1_000, slot).unwrap();
        witness(&mut world, index, slot, Some(secret), &[]);
        truth.push((world.devices[index].lease, challenge::transmission(&secret, &draw).payload));
    }
    witness(&mut world, 4, slot, None, &truth);
    let lies: Vec<_> = truth.iter().map(|(lease, _)| (*lease, [0; 16])).collect();
    witness(&mut world, 5, slot, None, &lies);
    assert_eq!(penalties(&run(&mut world)), [(106, 2, 104)]);
}

#[test]
fn only_a_few_secrets_are_tried() {
    // Each may cost thousands of hashes on every member: a device that reveals five gets none of them considered but four.
    for (wrong, passes) in [(3, true), (4, false)] {
        let mut world = World::new();
        let slot = slot(&mut world);
        let (secret, sent) = transmission(&mut world, slot);
        let start = world.start(slot);
        for secret in (0..wrong).map(|n| [n; 32]).chain([secret]) {
            let receptions = attest::Receptions::from_slice(&[]);
            let body = RevealBody { slot, secret: Some(secret), salt: SALT, receptions };
            world.say(SENDER, None, &Said::Reveal(body), [Some(start + 2_500); N]);
        }
        witness(&mut world, 4, slot, None, &[(104, sent.payload)]);
        let verdict = sender_verdict(&run(&mut world), slot);
        assert_eq!((verdict.outcome, verdict.reason), if passes { (1, 0) } else { (2, Reason::BAD_SECRET.code()) });
    }
}

#[test]
fn without_commitment_or_place_nothing_is_proven() {
    for (kind, reason) in [(5, Reason::NOT_COMMITTED), (3, Reason::NO_LOCATION)] {
        let mut world = World::new();
        let slot = slot(&mut world);
        play(&mut world, slot, Round::default());
        for held in &mut world.held {
            held.retain(|held| !(held.device == 4 && held.class as u8 == kind));
        }
        let outcome = run(&mut world);
        assert_eq!(sender_verdict(&outcome, slot).reason, reason.code());
    }
}

#[test]
fn a_commitment_that_comes_after_its_first_slot_began_does_not_count() {
    let mut world = World::new();
    let slot = slot(&mut world);
    play(&mut world, slot, Round::default());
    let began = world.start(0);
    for held in world.held.iter_mut().flatten().filter(|held| held.class == attest::Class::Commitment) {
        held.arrival_ms = began;
    }
    assert_eq!(sender_verdict(&run(&mut world), slot).reason, Reason::NOT_COMMITTED.code());
}

#[test]
fn a_wrong_place_is_told_apart_from_none() {
    let mut world = World::new();
    let slot = slot(&mut world);
    play(&mut world, slot, Round::default());
    for held in &mut world.held {
        held.retain(|held| !(held.device == 4 && held.class == attest::Class::Boot));
    }
    let location = Some(attest::Location { lat: 1, lon: 1, salt: [9; 16] });
    let body = Said::Boot(attest::BootBody { seed: [1; 16], firmware: [2; 32], location });
    let at = world.start(0) - 100;
    world.say(SENDER, None, &body, [Some(at); N]);
    assert_eq!(sender_verdict(&run(&mut world), slot).reason, Reason::WRONG_LOCATION.code());
}

#[test]
fn distance_limits_hold() {
    for (near, far, reason) in [(5_000, 100_000, Reason::TOO_NEAR), (300, 1_000, Reason::TOO_FAR)] {
        let mut world = World::built(World::new().devices, &within(near, far));
        let slot = slot(&mut world);
        play(&mut world, slot, Round::default());
        let verdict = sender_verdict(&run(&mut world), slot);
        assert_eq!(verdict.reason, reason.code());
        // The nearest hearer is 1,112 m away.
        assert_eq!(verdict.measured, 1_112);
    }
}
