//! What an epoch costs: replay of an archived epoch beside bare verification of every signature in it, and
//! the work of one member per device, from 1,000 devices to 100,000 (a stream holds at most 16,384 leases, so seven
//! streams). One thread. Run it by `make bench`. Leaves out: disks and networks (`oracle-node/benches/ingest.rs`).

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bench reads the clock")]

#[allow(dead_code, reason = "the bench needs a part of the tests' world")]
#[path = "../tests/epoch/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aggregator::{GroupKey, Signature};
use attest::{BatchVerifier, Body as Said, Class, Reading, SoftEd25519};
use oracle_core::archive::{Bundle, replay};
use oracle_core::collect;
use oracle_core::observation::Body;
use oracle_core::report::{self, Outcome};
use world::{Device, Key, N, POLICY, World};

/// Highest allowed replay ÷ bare verification.
const REPLAY_BAR: f64 = 1.25;
/// Highest allowed cost per device at 100,000 ÷ at 1,000.
const FLAT_BAR: f64 = 1.15;
/// Most resident memory with 100,000 devices, MiB.
const MEMORY_BAR: f64 = 512.0;
/// Devices of one stream at most.
const STREAM: u64 = 16_384;
const EPOCH: u64 = 0;

fn main() {
    let flat = per_device(1_000);
    println!("  1,000 devices: {:.1} µs a device", flat.each_us);
    let full = per_device(STREAM);
    println!("  {STREAM} devices, one stream: {:.1} µs a device", full.each_us);
    let most = per_device(100_000);
    println!("  100,000 devices, seven streams: {:.1} µs a device", most.each_us);
    row("observation and F per device, 100,000 ÷ 1,000 devices", most.each_us / flat.each_us, FLAT_BAR);
    row("resident memory with 100,000 devices, MiB", most.resident_mib, MEMORY_BAR);
    replayed(1_000);
}

fn row(what: &str, measured: f64, bar: f64) {
    println!("{what} | {measured:.2} | bar {bar} | {}", if measured <= bar { "ok" } else { "missed" });
}

/// The policy of a crowd: about twelve challenges in an epoch of fifteen slots, as many as the production defaults give.
fn policy() -> String {
    let policy = POLICY.replace("16602069666338596454", &(u64::MAX / 15 * 12).to_string());
    assert_ne!(policy, POLICY);
    policy
}

/// A crowd: uptime devices with Ed25519 keys.
fn crowd(count: u64) -> World {
    let devices = (1..=count).map(|token| {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&token.to_be_bytes());
        let key = Key::Ed(SoftEd25519::from_seed(seed));
        Device { token, lease: 100 + token, class: 1, key, seq: 0, secret: [0; 32], place: None }
    });
    World::built(devices.collect(), &policy())
}

/// One epoch of the crowd: every challenge answered, and one telemetry message of each device; heard by these members.
fn live(world: &mut World, hearers: [bool; N]) {
    let readings = [Reading { channel: 1, exponent: -1, mantissa: 215 }];
    for slot in world.slots(EPOCH) {
        let (after, at) = (hearers.map(|one| one.then_some(300)), world.start(slot) + 300);
        for index in 0..world.devices.len() {
            world.answer(index, slot, after);
            if slot == 7 {
                let body = Said::Telemetry((&readings[..]).into());
                world.say(index, None, &body, hearers.map(|one| one.then_some(at)));
            }
        }
    }
}

/// What an epoch of a crowd costs one member.
struct Cost {
    each_us: f64,
    resident_mib: f64,
}

fn per_device(count: u64) -> Cost {
    let streams = count.div_ceil(STREAM);
    // Nothing is kept but what a member holds: its registry, what it heard, and the devices' keys to speak with.
    let mut worlds: Vec<World> = (0..streams)
        .map(|_| {
            let mut world = crowd(count / streams);
            world.chain = Vec::new();
            live(&mut world, [true, false, false, false]);
            world.snapshot(EPOCH);
            world
        })
        .collect();
    let took: Duration = worlds.iter_mut().map(member_work).sum();
    let devices: usize = worlds.iter().map(|world| world.devices.len()).sum();
    Cost { each_us: took.as_secs_f64() * 1e6 / devices as f64, resident_mib: resident_mib() }
}

/// Observes an epoch and computes F, with evidence that ingest has verified before.
fn member_work(world: &mut World) -> Duration {
    let classes = world.devices.iter().map(|device| (device.token, device.class)).collect();
    let verified: BTreeSet<[u8; 32]> = world.blobs.keys().copied().collect();
    let from = Instant::now();
    let buckets = collect::buckets(
        &world.term,
        &world.book,
        &classes,
        oracle_core::limits::AUTHOR_BYTES_MAX,
        EPOCH,
        &world.held[0],
    );
    let body: Body = world.body(EPOCH, &buckets);
    let observing = from.elapsed();
    let observed = world.sign(EPOCH, (0..3).map(|member| (member, body.clone())).collect());
    let set = world.proposal(EPOCH, &observed);
    let (took, outcome) = world.with_input(EPOCH, &observed, &set, |input| {
        let from = Instant::now();
        let outcome = report::compute_trusting(input, &verified).unwrap();
        (from.elapsed(), outcome)
    });
    assert_eq!(outcome.leaves.len(), world.devices.len(), "a leaf for every lease");
    assert!(outcome.verdicts.iter().all(|verdict| verdict.outcome == 1), "all answered in time");
    observing + took
}

/// Replays an archived epoch and verifies the same signatures with nothing around them.
fn replayed(count: u64) {
    let mut world = crowd(count);
    live(&mut world, [true; N]);
    let observed = world.observe(EPOCH);
    let set = world.proposal(EPOCH, &observed);
    let outcome: Outcome = world.with_input(EPOCH, &observed, &set, report::compute).unwrap();
    let digest = report::header_digest(&world.term, &outcome.header);
    let certificate = world.certify(&digest);
    let bytes = world
        .with_input(EPOCH, &observed, &set, |input| Bundle::of(input, &outcome, &certificate, Vec::new()).encode());
    let from = Instant::now();
    let replayed = replay(&bytes, &world.history, &world.book, None).unwrap();
    let whole = from.elapsed();
    assert_eq!(replayed.digest, digest);

    let bundle = Bundle::decode(&bytes).unwrap();
    let from = Instant::now();
    let checked = verify_evidence(&world, &bundle);
    verify_certificates(&world.sharing.group, &world, &bundle, &digest.0, &certificate);
    let addresses = world.term.addresses();
    assert!(bundle.observations.iter().all(|one| one.is_authentic(&world.term.scope, &addresses)));
    let bare = from.elapsed();
    assert_eq!(checked, replayed.evidence, "the same signatures");
    println!(
        "  {checked} pieces of evidence, {} beacons: replay {:.0} ms, bare verification {:.0} ms",
        bundle.beacons.len(),
        whole.as_secs_f64() * 1e3,
        bare.as_secs_f64() * 1e3
    );
    row(
        "replay of an archived epoch ÷ bare verification of its signatures",
        whole.as_secs_f64() / bare.as_secs_f64(),
        REPLAY_BAR,
    );
}

fn verify_evidence(world: &World, bundle: &Bundle) -> usize {
    let keys: std::collections::BTreeMap<[u8; 8], attest::PublicKey> = world
        .devices
        .iter()
        .map(|device| attest::Signer::public_key(&device.key))
        .map(|key| (key.kid(), key))
        .collect();
    let evidence: Vec<_> = bundle.content.iter().filter(|one| one.class != 0).collect();
    for part in evidence.chunks(256) {
        let mut batch = BatchVerifier::new(world.term.scope.network());
        for one in part {
            let envelope = attest::decode(&one.bytes).unwrap();
            batch.push(Class::from_u8(one.class).unwrap(), &envelope, &keys[&envelope.kid]);
        }
        assert!(batch.finish().iter().all(Result::is_ok));
    }
    evidence.len()
}

fn verify_certificates(group: &GroupKey, world: &World, bundle: &Bundle, digest: &[u8; 32], certificate: &[u8; 48]) {
    group.verify(digest, &Signature::from_bytes(certificate).unwrap()).unwrap();
    for (slot, beacon) in &bundle.beacons {
        let message = report::beacon_message(&world.term.scope, *slot);
        group.verify(&message, &Signature::from_bytes(beacon).unwrap()).unwrap();
    }
}

/// Most memory this process ever had resident, MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
}
