//! Streams: a weather station is paid by the reading, epoch after epoch, one with a sensor that says a constant is not, and each
//! is told why.

use alloy_primitives::U256;
use attest::{Claims, Location, Reading, Sample, Samples, SoftEd25519};
use oracle_core::collect::Held;
use oracle_core::effect::Content;
use oracle_core::ingest;
use oracle_core::policy::Policy;
use oracle_core::reason::Reason;
use oracle_core::registry::RawLog;
use oracle_core::registry::events::DeviceKeyRevoked;
use oracle_core::report::Outcome;
use oracle_core::typed::Leaf;

use crate::world::{Device, GENESIS, Key, N, World, block, contracts, log, opened};

/// A reading a second of two channels, temperature and humidity in 0.01 °C and %; a value that stays for longer than a minute is
/// refused, and a window needs both. A message is fresh for
/// 1 s, comes in for 2 s and holds readings of up to 2 s, which with 1 s for gossip is 5 s that judging lies behind.
const POLICY: &str = r#"{"version":2,"document":"policy","classes":{"stream":{"window_ms":1000,"fresh_ms":1000,"late_ms":2000,"age_max_ms":2000,"complete_min_bp":8000,"quality_min_bp":10000,"credit_bp":5000,"channels":[{"channel":1,"exponent":-2,"min":-4000,"max":6000,"resolution":1,"readings_min":1,"readings_max":1,"weight":1,"jump_max":500,"constant":{"window_min":1,"band":0},"line":{"interior_min":4,"rise_min":6}},{"channel":2,"exponent":-2,"min":0,"max":10000,"resolution":1,"readings_min":1,"readings_max":1,"weight":1,"jump_max":500,"constant":{"window_min":1,"band":0},"line":{"interior_min":4,"rise_min":6}}]}}}"#;
const EPOCH_S: u64 = 15;
const BEHIND_S: u64 = 5;
/// When all members hold what is sent, ms after the second that it claims.
const AT_ONCE: [Option<i64>; N] = [Some(200), Some(250), Some(300), Some(900)];

fn world(policy: &str) -> World {
    let device = |token: u64| Device {
        token,
        lease: 100 + token,
        class: 7,
        key: Key::Ed(SoftEd25519::from_seed([u8::try_from(token).unwrap(); 32])),
        seq: 0,
        secret: [0; 32],
        place: Some(Location { lat: 397_407_000, lon: -1_051_688_000, salt: [9; 16] }),
    };
    World::built(vec![device(1), device(2)], policy)
}

/// What a station measures in a second, 0.01 °C and %: it wanders, by a hash of the second.
fn weather(second: u64) -> [i64; 2] {
    let wander = |scale: u64, by: u64| {
        let at = (second / scale).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        i64::try_from((at ^ (at >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33).unwrap() % i64::try_from(by).unwrap()
    };
    [2_000 + wander(20, 60) + wander(1, 20), 5_000 + wander(30, 80) - wander(2, 17)]
}

/// Signs telemetry that claims a second after genesis, held by the members so many ms after it; samples are (age in ms, values).
fn send(world: &mut World, index: usize, second: u64, samples: &[(u32, [i64; 2])], after_ms: [Option<i64>; N]) {
    let reading = |(channel, mantissa): (u64, &i64)| Reading { channel, mantissa: *mantissa, exponent: -2 };
    let readings: Vec<Vec<Reading>> =
        samples.iter().map(|(_, values)| (1..).zip(values).map(reading).collect()).collect();
    let samples: Vec<Sample<'_>> = samples
        .iter()
        .zip(&readings)
        .map(|((age_ms, _), readings)| Sample { age_ms: *age_ms, readings: attest::Readings::from_slice(readings) })
        .collect();
    sign(world, index, second, &attest::Body::Telemetry(Samples::from(&samples[..])), after_ms);
}

fn sign(world: &mut World, index: usize, second: u64, body: &attest::Body<'_>, after_ms: [Option<i64>; N]) {
    let network = world.term.scope.network();
    let device = &mut world.devices[index];
    let iat = GENESIS + second;
    let claims = Claims { iat: Some(iat), nonce: None, boot: 1, seq: device.seq, prev: [0; 16], body: *body };
    device.seq += 1;
    let mut space = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(&device.key, &network, &claims, &mut space).unwrap();
    let content = Content { id: signed.id, class: signed.class as u8, bytes: signed.bytes.to_vec() };
    let (class, id, slot, seq, device) = (signed.class, signed.id, ingest::slot_of(&claims), claims.seq, device.token);
    for (member, after) in after_ms.iter().enumerate() {
        let Some(after) = after else { continue };
        let arrival_ms = (iat * 1_000).checked_add_signed(*after).unwrap();
        world.held[member].push(Held { device, class, boot: 1, seq, id, slot, arrival_ms });
    }
    world.blobs.insert(id, content);
}

fn run(world: &mut World, epoch: u64) -> Outcome {
    let observed = world.observe(epoch);
    let outcome = world.compute(epoch, &observed).unwrap();
    world.state = outcome.state.clone();
    outcome
}

fn leaf(outcome: &Outcome, lease: u64) -> &Leaf {
    outcome.leaves.iter().find(|leaf| leaf.lease == lease).unwrap()
}

/// Seconds after genesis and reasons of a lease's windows that were not paid.
fn unpaid(outcome: &Outcome, lease: u64) -> Vec<(u64, u16)> {
    let unpaid = outcome.verdicts.iter().filter(|one| one.lease == lease && one.outcome != 1);
    unpaid.map(|one| (one.at - GENESIS, one.reason)).collect()
}

#[test]
fn a_station_is_paid_by_the_reading_and_one_with_a_constant_sensor_is_not() {
    let mut world = world(POLICY);
    let (mut before, mut last) = (None, None);
    for epoch in 0..8 {
        for second in epoch * EPOCH_S..(epoch + 1) * EPOCH_S {
            send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
            let [_, damp] = weather(second);
            send(&mut world, 1, second, &[(0, [2_000, damp])], AT_ONCE);
        }
        let outcome = run(&mut world, epoch);
        let judged = (epoch + 1) * EPOCH_S - BEHIND_S;
        let honest = leaf(&outcome, 101);
        assert_eq!((honest.units, honest.goodSeconds, honest.badSeconds), (2 * u128::from(judged), judged, 0));
        assert_eq!(honest.through, GENESIS + judged, "a lease is through only as far as its readings have come");
        assert!(unpaid(&outcome, 101).is_empty());
        if judged > 61 {
            let constant = unpaid(&outcome, 102);
            assert!(constant.iter().all(|(_, reason)| *reason == Reason::STREAM_CONSTANT.code()), "{constant:?}");
        }
        before = last.replace(outcome);
    }
    let (before, last) = (before.unwrap(), last.unwrap());
    let (one, other) = (leaf(&before, 102), leaf(&last, 102));
    assert_eq!(other.units, 2 * 61, "the first minute, in which nobody can tell");
    assert_eq!(other.units, one.units, "and nothing after it");
    assert_eq!(other.badSeconds, 8 * EPOCH_S - BEHIND_S - 61);
    assert_eq!(other.creditSeconds, other.badSeconds / 2);
    assert_ne!(leaf(&last, 101).evidenceRoot, leaf(&before, 101).evidenceRoot);
}

#[test]
fn what_comes_late_early_or_not_at_all_is_not_paid_and_says_why() {
    let mut world = world(POLICY);
    // Fresh until 1 s and the allowance of 1 s; two of four must have held it by then.
    let late = [Some(1_999), Some(2_001), Some(2_500), None];
    let just = [Some(1_999), Some(2_000), Some(2_500), None];
    // By the clocks of two members the second that it claims is more than 2 s ahead.
    let early = [Some(-2_001), Some(-3_000), Some(100), None];
    for second in 0..10 {
        let after = match second {
            3 => late,
            4 => just,
            5 => early,
            _ => AT_ONCE,
        };
        // The message of second 6 is never sent; that of 8 brings the reading of 7 along, which has none of its own.
        match second {
            6 | 7 => {}
            8 => send(&mut world, 0, 8, &[(1_000, weather(7)), (0, weather(8))], after),
            _ => send(&mut world, 0, second, &[(0, weather(second))], after),
        }
    }
    let outcome = run(&mut world, 0);
    let [late, early, missing] =
        [Reason::STREAM_LATE, Reason::STREAM_FROM_FUTURE, Reason::STREAM_MISSING].map(Reason::code);
    assert_eq!(unpaid(&outcome, 101), [(3, late), (5, early), (6, missing)]);
    assert_eq!(leaf(&outcome, 101).units, 2 * 7);
    let silent = unpaid(&outcome, 102);
    assert!(silent.len() == 10 && silent.iter().all(|(_, reason)| *reason == missing), "{silent:?}");
}

#[test]
fn messages_of_other_kinds_are_no_gaps_and_withheld_ones_are() {
    let units = |withheld: bool| {
        let mut world = world(POLICY);
        for second in 0..15 {
            for _ in 0..2 {
                // A sign of life takes the device's next number; one that a single member claims to hold was never sent.
                let at = if withheld { [Some(200), None, None, None] } else { AT_ONCE };
                sign(&mut world, 0, second, &attest::Body::Heartbeat, at);
            }
            send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
        }
        let outcome = run(&mut world, 0);
        let reasons: Vec<u16> = unpaid(&outcome, 101).into_iter().map(|(_, reason)| reason).collect();
        (leaf(&outcome, 101).units, reasons)
    };
    assert_eq!(units(false), (2 * 10, vec![]));
    assert_eq!(units(true), (0, vec![Reason::STREAM_INCOMPLETE.code(); 10]));
}

#[test]
fn two_messages_of_one_number_say_nothing() {
    let mut world = world(POLICY);
    for second in 0..15 {
        send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
        if second == 7 {
            world.devices[0].seq -= 1;
            send(&mut world, 0, second, &[(0, weather(second + 1))], [None, Some(300), None, None]);
        }
    }
    assert_eq!(unpaid(&run(&mut world, 0), 101), [(7, Reason::STREAM_MISSING.code())]);
}

#[test]
fn two_stations_with_one_sensor_are_paid_until_it_shows() {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    policy["classes"]["stream"]["copy"] = serde_json::json!({ "channels": [[1, 1], [2, 1]], "span": 1, "lag_max": 4, "matches_min": 30, "margin_ms": 1_000 });
    let units = |shared: bool| {
        let mut world = world(&policy.to_string());
        let mut last = None;
        for epoch in 0..5 {
            for second in epoch * EPOCH_S..(epoch + 1) * EPOCH_S {
                send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
                let other = if shared { weather(second) } else { weather(second + 100_000) };
                send(&mut world, 1, second, &[(0, other)], AT_ONCE);
            }
            last = Some(run(&mut world, epoch));
        }
        let last = last.unwrap();
        let copied = unpaid(&last, 101).iter().filter(|one| one.1 == Reason::STREAM_COPIED.code()).count();
        (leaf(&last, 101).units, leaf(&last, 102).units, copied)
    };
    assert_eq!(units(false), (2 * 70, 2 * 70, 0));
    // Seconds 25 to 39 are judged in the third epoch, in which the matches pass 30: they and all after them are refused, but for
    // those that say what the second before them said, which any two stations do by chance.
    let still = |seconds: std::ops::Range<u64>| seconds.filter(|at| weather(*at) == weather(at - 1)).count();
    let paid = 2 * (25 + still(25..70) as u128);
    assert_eq!(units(true), (paid, paid, 15 - still(55..70)));
    assert!(still(25..70) < 3);
}

#[test]
fn a_channel_that_needs_the_sun_needs_a_place() {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    // Genesis is an afternoon in Colorado: by day the sun has nothing against any value.
    policy["classes"]["stream"]["channels"][0]["sun"] =
        serde_json::json!({ "night_max": 0, "down_cdeg": -600, "centre_max_s": 7_200 });
    let judged = |known: bool| {
        let mut world = world(&policy.to_string());
        if !known {
            // Nobody holds the boot message, which is the device's first.
            world.held.iter_mut().for_each(|held| held.retain(|one| one.device != 1));
        }
        for second in 0..15 {
            send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
        }
        let outcome = run(&mut world, 0);
        (leaf(&outcome, 101).units, unpaid(&outcome, 101).first().map(|(_, reason)| *reason))
    };
    assert_eq!(judged(true), (2 * 10, None));
    assert_eq!(judged(false), (0, Some(Reason::NO_LOCATION.code())));
}

/// One more block of the chain, before the first epoch's snapshot.
fn mine(world: &mut World, log: RawLog) {
    let number = world.chain.len() as u64 + 1;
    let at = block(number, i64::try_from(number).unwrap() - 9);
    world.history.apply(at, std::slice::from_ref(&log));
    world.chain.push((at, vec![log]));
}

#[test]
fn a_lease_is_judged_to_its_end_and_no_further() {
    let mut world = world(POLICY);
    let mut short = opened(&world.devices[0], Policy::hash(POLICY.as_bytes()));
    (short.lease, short.data.start, short.data.end) = (201, GENESIS + 3, GENESIS + 20);
    mine(&mut world, short.log(contracts().escrow));
    let through: Vec<(u64, u128)> = (0..3)
        .map(|epoch| {
            for second in epoch * EPOCH_S..(epoch + 1) * EPOCH_S {
                send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
            }
            let outcome = run(&mut world, epoch);
            (leaf(&outcome, 201).through - GENESIS, leaf(&outcome, 201).units)
        })
        .collect();
    assert_eq!(through, [(10, 2 * 7), (20, 2 * 17), (20, 2 * 17)]);
}

#[test]
fn what_a_revoked_station_says_counts_for_nothing() {
    let mut world = world(POLICY);
    let thumbprint = attest::Signer::public_key(&world.devices[0].key).thumbprint().into();
    mine(&mut world, log(contracts().devices, &DeviceKeyRevoked { tokenId: U256::from(1), thumbprint }));
    for second in 0..15 {
        (0..2).for_each(|index| send(&mut world, index, second, &[(0, weather(second + index as u64))], AT_ONCE));
    }
    let outcome = run(&mut world, 0);
    let windows: Vec<(u64, u16)> = (0..10).map(|second| (second, Reason::DEVICE_REVOKED.code())).collect();
    assert_eq!(unpaid(&outcome, 101), windows);
    assert_eq!((leaf(&outcome, 101).units, leaf(&outcome, 102).units), (0, 2 * 10));
}

#[test]
fn a_policy_that_waits_longer_than_an_epoch_judges_nothing_for_or_against() {
    let units = |age_max_ms: u64| {
        let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
        policy["classes"]["stream"]["age_max_ms"] = age_max_ms.into();
        let mut world = world(&policy.to_string());
        for second in 0..15 {
            send(&mut world, 0, second, &[(0, weather(second))], AT_ONCE);
        }
        let _ = run(&mut world, 0);
        let outcome = run(&mut world, 1);
        (outcome.verdicts.is_empty(), leaf(&outcome, 101).units, leaf(&outcome, 102).badSeconds)
    };
    // 2 s to come in, 9 s of age, 1 s for gossip, 1 s of a window and 2 s between clocks are an epoch.
    assert_eq!(units(9_000), (false, 2 * 15, 18));
    assert_eq!(units(9_001), (true, 0, 0));
}

#[test]
fn a_policy_that_could_judge_nothing_is_refused_by_name() {
    let refused = |field: &str, value: u64| {
        let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
        policy["classes"]["stream"][field] = value.into();
        Policy::parse(policy.to_string().as_bytes()).expect_err("refused").to_string()
    };
    assert!(refused("window_ms", 1_500).contains("classes.stream: stream.window_ms"));
    assert!(refused("quality_min_bp", 0).contains("quality_min_bp"));
    assert!(refused("seconds", 1).contains("unknown field"));
}
