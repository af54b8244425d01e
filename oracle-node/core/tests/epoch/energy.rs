//! Energy leases over whole epochs: a device's own windows and a meter's signed records are paid once, to the unit, and a
//! record that is not the registered meter's is paid nothing.

use attest::{
    Body as Said, MeterBody, MeterCurve, MeterWindow, MeteredBody, Record, RecordFormat, Signer, SoftEd25519,
    meter_key_thumbprint,
};
use oracle_core::endorse::MakerKey;
use oracle_core::reason::Reason;
use oracle_core::registry::events::MeterKeySet;
use oracle_core::report::Outcome;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

use crate::world::{self, Device, GENESIS, N, World};

const METER: u8 = 7;

/// A policy that pays by `sessions` or `windows`, in units of 10^resolution Wh.
fn policy(pays: &str, resolution: i32) -> String {
    format!(
        r#"{{"version":2,"document":"policy","classes":{{"energy":{{"pays":"{pays}","resolution_exponent":{resolution},"rated_w":22000,"rated_margin_bp":10500,"longest_s":604800,"balance_bp":100,"balance_units":2,"fresh_ms":60000,"late_ms":600000,"curves":["secp256r1","secp384r1"],"clocks":{{"informative_ms":600000,"relative":true}}}}}}}}"#
    )
}

/// Two energy devices; the meter is registered for the first.
fn world(policy: &str) -> World {
    let devices: Vec<Device> = World::of(2).devices.into_iter().map(|device| Device { class: 8, ..device }).collect();
    let mut world = World::built(devices, policy);
    let set = MeterKeySet { tokenId: alloy_primitives::U256::from(1u64), thumbprint: thumbprint().into() };
    let block = world::block(3, -15);
    let logs = vec![world::log(world::contracts().devices, &set)];
    world.history.apply(block, &logs);
    world.chain.push((block, logs));
    world
}

fn signer(byte: u8) -> SigningKey {
    SigningKey::from_slice(&[byte; 32]).unwrap()
}

/// Thumbprint of the meter's key.
fn thumbprint() -> [u8; 32] {
    let point = signer(METER).verifying_key().to_sec1_point(false);
    meter_key_thumbprint(MeterCurve::P256, &point.as_bytes()[1..]).unwrap()
}

/// A record of ten seconds from genesis (2023-11-14T22:13:20Z) and so many watt hours, signed by a meter.
fn record(page: u64, energy: u64, by: u8) -> Vec<u8> {
    record_by('S', page, energy, by)
}

/// The same by a clock of this state.
fn record_by(clock: char, page: u64, energy: u64, by: u8) -> Vec<u8> {
    let reading = |kind: char, second: u64, value: u64| {
        format!(
            r#"{{"TM":"2023-11-14T22:13:{second},000+0000 {clock}","TX":"{kind}","RV":{value}.0,"RI":"1-0:1.8.0","RU":"Wh","EF":"","ST":"G"}}"#
        )
    };
    let readings = [reading('B', 20, 1_000), reading('E', 30, 1_000 + energy)].join(",");
    let payload = format!(r#"{{"FV":"1.0","GS":"G","MS":"M","PG":"T{page}","RD":[{readings}]}}"#);
    let signature: Signature = signer(by).sign_prehash(&Sha256::digest(payload.as_bytes())).unwrap();
    format!(r#"OCMF|{payload}|{{"SD":"{}"}}"#, hex::encode(signature.to_bytes())).into_bytes()
}

/// A device passes a record on, so many ms from genesis, and names the meter.
fn pass_on(world: &mut World, index: usize, bytes: &[u8], at_ms: u64) {
    let meter = thumbprint();
    let lease = world.devices[index].lease;
    let body = MeteredBody { lease, format: RecordFormat::OCMF, meter, record: Record::of(bytes) };
    world.say(index, None, &Said::Metered(body), [Some(GENESIS * 1_000 + at_ms); N]);
}

/// A device says a window of its own: ten seconds from genesis, so many mWh.
fn say_window(world: &mut World, index: usize, energy: u64) {
    let (start, end, first, sampled) = (GENESIS, GENESIS + 10, 5_000, i64::try_from(energy).unwrap());
    let windows = [MeterWindow { start, end, first, last: first + energy, sampled, peak: 14_400_000 }];
    let body = MeterBody { register: 1, exponent: -3, windows: windows.as_slice().into() };
    world.say(index, None, &Said::Meter(body), [Some(GENESIS * 1_000 + 11_000); N]);
}

fn run(world: &mut World, epoch: u64) -> Outcome {
    let observed = world.observe(epoch);
    let outcome = world.compute(epoch, &observed).unwrap();
    world.state = outcome.state.clone();
    outcome
}

fn reasons(outcome: &Outcome, lease: u64) -> Vec<u16> {
    let failed = outcome.verdicts.iter().filter(|verdict| verdict.lease == lease && verdict.outcome == 2);
    failed.map(|verdict| verdict.reason).collect()
}

fn units(outcome: &Outcome) -> Vec<u128> {
    outcome.leaves.iter().map(|leaf| leaf.units).collect()
}

#[test]
fn own_windows_are_paid_to_the_unit_and_once() {
    let mut world = world(&policy("windows", -3));
    // 40 Wh in ten seconds; the other device claims 100 Wh, which 22 kW cannot give.
    say_window(&mut world, 0, 40_000);
    say_window(&mut world, 1, 100_000);
    let first = run(&mut world, 0);
    assert_eq!(units(&first), [40_000, 0]);
    assert_eq!(reasons(&first, 102), [Reason::ABOVE_RATED.code()]);
    assert!(!first.leaves[0].evidenceRoot.is_zero());
    assert_eq!(
        (first.leaves[0].goodSeconds, first.leaves[0].badSeconds, first.leaves[0].through),
        (0, 0, GENESIS + 15)
    );
    // The message is listed in the epoch after its arrival, too.
    assert_eq!(units(&run(&mut world, 1)), [40_000, 0]);
}

#[test]
fn a_meters_records_are_paid_to_the_unit_and_once() {
    let mut world = world(&policy("sessions", -1));
    let bytes = record(5, 50, METER);
    pass_on(&mut world, 0, &bytes, 11_000);
    // Another device shows the same record for its own lease.
    pass_on(&mut world, 1, &bytes, 11_000);
    let first = run(&mut world, 0);
    assert_eq!(units(&first), [500, 0]);
    assert_eq!((reasons(&first, 101), reasons(&first, 102)), (vec![], vec![Reason::WRONG_METER.code()]));
    let again = run(&mut world, 1);
    assert_eq!((units(&again), reasons(&again, 101)), (vec![500, 0], vec![]));
}

#[test]
fn a_record_that_another_key_signed_is_paid_nothing() {
    let mut world = world(&policy("sessions", -1));
    pass_on(&mut world, 0, &record(5, 50, METER + 1), 11_000);
    let outcome = run(&mut world, 0);
    assert_eq!((units(&outcome)[0], reasons(&outcome, 101)), (0, vec![Reason::METER_SIGNATURE.code()]));
}

#[test]
fn a_record_that_cannot_be_read_says_why() {
    let mut world = world(&policy("sessions", -1));
    let long = [record(5, 50, METER), vec![b' '; 800]].concat();
    pass_on(&mut world, 0, &long, 11_000);
    let (lease, bytes) = (world.devices[0].lease, record(6, 50, METER));
    let body = MeteredBody { lease, format: RecordFormat::OCPP, meter: thumbprint(), record: Record::of(&bytes) };
    world.say(0, None, &Said::Metered(body), [Some(GENESIS * 1_000 + 11_000); N]);
    let outcome = run(&mut world, 0);
    let (absent, unknown) = (Reason::RECORD_ABSENT.code(), Reason::FORMAT_UNKNOWN.code());
    assert_eq!((units(&outcome)[0], reasons(&outcome, 101)), (0, vec![absent, unknown]));
}

#[test]
fn an_informative_clock_counts_while_its_record_is_known_to_be_fresh() {
    // Held within fresh_ms (60 s) of genesis, and the allowance of a second: known 51 s after the session's end.
    for (informative_ms, paid, why) in [(51_000, 500, vec![]), (50_999, 0, vec![Reason::CLOCK_INFORMATIVE.code()])] {
        let informative = format!("\"informative_ms\":{informative_ms}");
        let mut world = world(&policy("sessions", -1).replace("\"informative_ms\":600000", &informative));
        pass_on(&mut world, 0, &record_by('I', 5, 50, METER), 11_000);
        let outcome = run(&mut world, 0);
        assert_eq!((units(&outcome)[0], reasons(&outcome, 101)), (paid, why));
    }
}

#[test]
fn a_panel_is_held_against_the_sun_over_its_proven_place() {
    let mut panels: serde_json::Value = serde_json::from_str(&policy("windows", -3)).unwrap();
    panels["classes"]["energy"]["sky"] =
        serde_json::json!({"panel": "tilted", "long_bp": 11_000, "short_bp": 15_000, "dawn_bp": 200});
    // Genesis is afternoon in Colorado and night in Kazakhstan; the third tells nobody where it is.
    let at = |lon| Some(attest::Location { lat: 397_420_000, lon, salt: [9; 16] });
    let places = [at(-1_051_727_000), at(748_273_000), None];
    let devices = World::of(3).devices.into_iter().zip(places).map(|(one, place)| Device { class: 8, place, ..one });
    let mut world = World::built(devices.collect(), &panels.to_string());
    (0..3).for_each(|index| say_window(&mut world, index, 40_000));
    let outcome = run(&mut world, 0);
    assert_eq!(units(&outcome), [40_000, 0, 0]);
    assert_eq!(reasons(&outcome, 102), [Reason::ENERGY_AT_NIGHT.code()]);
    assert_eq!(reasons(&outcome, 103), [Reason::NO_LOCATION.code()]);
}

#[test]
fn a_device_below_the_tier_is_paid_nothing_and_told_so() {
    let mut asking: serde_json::Value = serde_json::from_str(&policy("sessions", -1)).unwrap();
    let maker = serde_json::to_value(MakerKey(SoftEd25519::from_seed([5; 32]).public_key())).unwrap();
    asking["endorsements"] = serde_json::json!({"makers": [maker], "min_tiers": {"8": 2}});
    let mut world = world(&asking.to_string());
    pass_on(&mut world, 0, &record(5, 50, METER), 11_000);
    let outcome = run(&mut world, 0);
    assert_eq!((units(&outcome), reasons(&outcome, 101)), (vec![0, 0], vec![Reason::TIER_TOO_LOW.code()]));
    // Who showed nothing is told nothing.
    assert!(reasons(&outcome, 102).is_empty());
}

#[test]
fn a_record_counts_until_the_policys_deadline() {
    let strict = policy("sessions", -1).replace("\"late_ms\":600000", "\"late_ms\":60000");
    // The deadline, and the allowance for gossip.
    for (at_ms, paid) in [(61_000, 500), (61_001, 0)] {
        let mut world = world(&strict);
        pass_on(&mut world, 0, &record(5, 50, METER), at_ms);
        (0..4).for_each(|epoch| drop(run(&mut world, epoch)));
        assert_eq!(units(&run(&mut world, 4))[0], paid, "{at_ms}");
    }
}
