//! Golden epochs: six leases of two classes over six epochs in bad weather, every verdict and every second of pay written
//! down before the classes were given their own folders. What is judged, and what it pays, may only change where a change
//! says so. Roots and digests are beside it: those change once with a version, and with nothing else.

use std::fmt::Write as _;

use attest::{AnswerBody, Body as Said, Reception, RevealBody, WitnessBody, challenge};
use oracle_core::effect::Bodies;
use oracle_core::report::{self, Outcome};

use crate::world::{N, World};

const EPOCHS: u64 = 6;
const SALT: [u8; 16] = [3; 16];
const UPTIME: std::ops::Range<usize> = 0..3;
const COVERAGE: std::ops::Range<usize> = 3..6;

/// The weather: a splitmix64 stream, so that a line of the file depends on nothing but this file.
struct Weather(u64);

impl Weather {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// One slot of an uptime device: mostly honest, else silent, late, wrong or forked.
fn uptime(world: &mut World, weather: &mut Weather, index: usize, slot: u64) {
    let (lease, start) = (world.devices[index].lease, world.start(slot));
    match weather.next(10) {
        0 => {}
        1 => _ = world.answer(index, slot, [Some(2_900), Some(3_000), Some(3_001), None]),
        2 => _ = world.answer(index, slot, [Some(2_999), Some(3_001), Some(3_500), None]),
        3 => _ = world.say(index, Some([7; 32]), &Said::Answer(AnswerBody { lease, slot }), [Some(start + 9); N]),
        4 => {
            let Some(draw) = world.answer(index, slot, [Some(100); N]).and_then(|_| world.drawn(index, slot)) else {
                return;
            };
            let (seq, twin) = (world.devices[index].seq - 1, Said::Answer(AnswerBody { lease, slot: slot + 500 }));
            world.say_as(index, seq, Some(draw), &twin, [None, Some(start + 200), None, None]);
        }
        _ => _ = world.answer(index, slot, [Some(300), Some(350), Some(400), Some(900)]),
    }
}

/// One slot of the coverage devices: each challenged one transmits, each hears the others, most of them truly.
fn coverage(world: &mut World, weather: &mut Weather, slot: u64) {
    let start = world.start(slot);
    let sent = COVERAGE.map(|index| {
        let draw = world.drawn(index, slot)?;
        let secret = challenge::chain_secret(&world.devices[index].secret, 0, 1_000, slot)?;
        Some((world.devices[index].lease, secret, challenge::transmission(&secret, &draw).payload))
    });
    let sent: Vec<_> = sent.collect();
    for index in COVERAGE {
        let mut heard = Vec::new();
        for (lease, _, payload) in sent.iter().enumerate().filter(|(i, _)| i + 3 != index).filter_map(|(_, s)| *s) {
            let (payload, rssi, snr) = match weather.next(12) {
                0 => continue,
                1 => ([8; 16], -11_000, 500),
                2 => (payload, -5_000, 500),
                3 => (payload, -14_500, 500),
                4 => (payload, -11_000, -2_600),
                _ => (payload, -11_000, 500),
            };
            heard.push(Reception { lease, payload, rssi, snr });
        }
        let receptions = attest::Receptions::from_slice(&heard);
        let commitment = challenge::witness_commitment(receptions.iter(), &SALT);
        let at = if weather.next(8) == 0 { 3_001 } else { 1_000 };
        world.say(index, None, &Said::Witness(WitnessBody { slot, commitment }), [Some(start + at); N]);
        let salt = if weather.next(10) == 0 { [4; 16] } else { SALT };
        let own = sent[index - 3].map(|(_, secret, _)| if weather.next(10) == 0 { [1; 32] } else { secret });
        if weather.next(10) != 0 {
            let reveal = Said::Reveal(RevealBody { slot, secret: own, salt, receptions });
            world.say(index, None, &reveal, [Some(start + 4_500); N]);
        }
    }
}

/// All members observe, some of them late for the beacons of some slots.
fn observe(world: &mut World, weather: &mut Weather, epoch: u64) -> Outcome {
    let mut bodies = Bodies::new();
    for member in 0..N {
        let buckets = world.buckets(epoch, member);
        let mut body = world.body(epoch, &buckets);
        body.lateness.iter_mut().filter(|_| weather.next(4) == 0).for_each(|late| *late = 900);
        bodies.insert(u32::try_from(member).unwrap(), body);
    }
    let observed = world.sign(epoch, bodies);
    world.compute(epoch, &observed).unwrap()
}

fn told(text: &mut String, epoch: u64, outcome: &Outcome) {
    writeln!(text, "epoch {epoch} void {:?}", outcome.void_slots).unwrap();
    for v in &outcome.verdicts {
        let (lease, slot, ended, reason) = (v.lease, v.at, v.outcome, v.reason);
        writeln!(text, "verdict {lease} {slot} {ended} {reason} {} {}", v.measured, v.limit).unwrap();
    }
    for leaf in &outcome.leaves {
        let (lease, units, good, bad) = (leaf.lease, leaf.units, leaf.goodSeconds, leaf.badSeconds);
        let (credit, through) = (leaf.creditSeconds, leaf.through - crate::world::GENESIS);
        writeln!(text, "leaf {lease} {units} {good} {bad} {credit} {through} {}", leaf.evidenceRoot).unwrap();
    }
}

/// Holds a text against the file of a name, line by line.
fn compare(name: &str, text: &str) {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PLUMBLINE_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, (now, then)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(now, then, "line {} of {path}", line + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count(), "{path}");
}

/// Verdicts and pay are those from before the classes had folders. The digests are of version 2: a class more in the binary
/// changes none of them, since no policy of this world names it.
#[test]
fn verdicts_pay_and_digests_are_those_written_down() {
    let (mut world, mut weather, mut text, mut digests) = (World::new(), Weather(1), String::new(), String::new());
    for epoch in 0..EPOCHS {
        for slot in world.slots(epoch) {
            UPTIME.for_each(|index| uptime(&mut world, &mut weather, index, slot));
            coverage(&mut world, &mut weather, slot);
        }
        let outcome = observe(&mut world, &mut weather, epoch);
        told(&mut text, epoch, &outcome);
        let digest = report::header_digest(&world.term, &outcome.header);
        writeln!(digests, "{epoch} header {digest} state {}", outcome.header.stateRoot).unwrap();
        world.state = outcome.state;
    }
    compare("golden-epochs.txt", &text);
    compare("golden-digests.txt", &digests);
}
