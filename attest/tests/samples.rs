//! What a device collects for one message, and what a bandwidth tally holds: both recomputed here by other means.

mod common;

use std::collections::BTreeSet;

use attest::{
    Answers, BandwidthBody, Body, Challenge, Claims, Device, EncodeError, MAX_MESSAGE, MAX_SAMPLES, Reading, Readings,
    Recorder, Sample, SealError, SoftEd25519, TimedReading, VolatileBoot, arrived, decode, losses_digest, seal,
};
use common::{LOSSES, SEED, bodies, network, tag, tallies};
use proptest::{collection::vec, prelude::*};

fn device() -> Device<SoftEd25519> {
    Device::boot(SoftEd25519::from_seed(SEED), &mut VolatileBoot::default(), network()).expect("boots")
}

fn reading(channel: u64, mantissa: i64) -> Reading {
    Reading { channel, exponent: -2, mantissa }
}

#[test]
fn a_recorder_says_when_each_reading_was_taken() {
    let mut memory = [TimedReading::NONE; 8];
    let mut recorder = Recorder::new(&mut memory);
    assert!(recorder.is_empty());
    // The count of milliseconds wraps in between.
    let start = u32::MAX - 500;
    recorder.take(start, &[reading(1, 10), reading(2, 20)]).expect("taken");
    recorder.take(start.wrapping_add(1_000), &[reading(1, 11)]).expect("taken");
    assert_eq!(recorder.take(start.wrapping_add(1_000), &[reading(1, 12)]), Err(EncodeError::Order), "the same time");
    assert_eq!(recorder.take(start, &[reading(1, 12)]), Err(EncodeError::Order), "an earlier time");
    assert_eq!(recorder.take(start.wrapping_add(2_000), &[reading(2, 1), reading(1, 1)]), Err(EncodeError::Order));
    assert_eq!(recorder.take(start.wrapping_add(2_000), &[]), Err(EncodeError::Bounds));
    let mut buf = [0; MAX_MESSAGE];
    let now = start.wrapping_add(1_500);
    let signed = device().message(Some(common::IAT), None, &recorder.taken(now), &mut buf).expect("fits");
    let env = decode(signed.bytes).expect("decodes");
    let claims = Claims::decode(signed.class, env.payload).expect("claims");
    let Body::Telemetry(samples) = claims.body else { panic!("{claims:?}") };
    let found: Vec<_> =
        samples.iter().map(|sample| (sample.age_ms, sample.readings.iter().collect::<Vec<_>>())).collect();
    assert_eq!(found, [(1_500, vec![reading(1, 10), reading(2, 20)]), (500, vec![reading(1, 11)])]);
    recorder.clear();
    assert!(recorder.is_empty());
    // The readings of one instant say the same bytes alone and as samples.
    let rows = [reading(1, 10), reading(2, 20)];
    let alone = device().message(None, None, &Readings::from_slice(&rows), &mut buf).expect("fits").bytes.to_vec();
    let samples = Body::Telemetry((&rows).into());
    assert_eq!(device().message(None, None, &samples, &mut buf).expect("fits").bytes, alone);
    let none = device().message(None, None, &Readings::default(), &mut buf);
    assert_eq!(none.map(|_| ()), Err(SealError::from(EncodeError::Bounds)));
    let nothing = device().message(None, None, &recorder.taken(0), &mut buf);
    assert_eq!(nothing.map(|_| ()), Err(SealError::from(EncodeError::Bounds)));
}

#[test]
fn a_recorder_is_full_at_32_samples_and_in_its_memory() {
    let mut memory = [TimedReading::NONE; 64];
    let mut recorder = Recorder::new(&mut memory);
    for at in 0..MAX_SAMPLES as u32 {
        recorder.take(at, &[reading(1, 0)]).expect("room");
    }
    assert_eq!(recorder.take(99, &[reading(1, 0)]), Err(EncodeError::Buffer));
    let mut memory = [TimedReading::NONE; 1];
    let mut recorder = Recorder::new(&mut memory);
    assert_eq!(recorder.take(0, &[reading(1, 0), reading(2, 0)]), Err(EncodeError::Buffer));
    recorder.take(0, &[reading(1, 0)]).expect("one row");
    assert_eq!(recorder.take(1, &[reading(1, 0)]), Err(EncodeError::Buffer));
}

proptest! {
    /// Whatever a recorder took fits into a message, beside the widest other claims.
    #[test]
    fn what_was_taken_fits(rows in vec((1u32..0x7fff_ffff, vec((any::<u64>(), any::<i8>(), any::<i64>(), 0u32..64), 1..4)), 1..40)) {
        let mut memory = [TimedReading::NONE; 64];
        let mut recorder = Recorder::new(&mut memory);
        let (mut at, mut taken) = (0u32, Vec::new());
        for (later, rows) in rows {
            let channels: BTreeSet<_> = rows.iter().map(|row| row.0 >> row.3).collect();
            let rows: Vec<_> = channels.into_iter().zip(rows)
                .map(|(channel, (_, exponent, mantissa, shift))| Reading { channel, exponent, mantissa: mantissa >> shift })
                .collect();
            at = at.wrapping_add(later >> 9);
            match recorder.take(at, &rows) {
                Ok(()) => taken.extend(rows),
                Err(EncodeError::Order) => {} // no time has passed
                Err(error) => {
                    prop_assert_eq!(error, EncodeError::Buffer);
                    break;
                }
            }
        }
        prop_assume!(!taken.is_empty());
        // The oldest sample as old as can be said.
        let now = recorder.taken(0).readings[0].at_ms.wrapping_sub(1);
        let mut buf = [0; MAX_MESSAGE];
        let signed = device().message(None, None, &recorder.taken(now), &mut buf).expect("fits");
        let env = decode(signed.bytes).expect("decodes");
        let claims = Claims::decode(signed.class, env.payload).expect("claims");
        let Body::Telemetry(samples) = claims.body else { panic!("{claims:?}") };
        let said: Vec<_> = samples.iter().flat_map(|sample| sample.readings).collect();
        prop_assert_eq!(said, taken);
        let widest = Claims { iat: Some(u64::MAX), boot: u32::MAX, seq: u64::MAX, ..claims };
        let mut room = [0; MAX_MESSAGE];
        prop_assert!(seal(&SoftEd25519::from_seed(SEED), &network(), &widest, &mut room).is_ok());
    }

    /// A loss bitmap and its packets are each other's image.
    #[test]
    fn a_bitmap_names_what_arrived(numbers in proptest::collection::btree_set(0u32..200, 0..60)) {
        let losses = bitmap(&numbers);
        let packets = u32::try_from(numbers.len()).expect("few");
        let found: BTreeSet<_> = arrived(&losses, packets).expect("their own bitmap").collect();
        prop_assert_eq!(&found, &numbers);
        // One set of packets has one bitmap.
        let mut longer = losses.clone();
        longer.push(0);
        prop_assert!(arrived(&longer, packets).is_none());
        if !losses.is_empty() {
            prop_assert!(arrived(&losses, 0).is_none());
        }
    }

    /// No bytes make it panic, and what it accepts comes back.
    #[test]
    fn any_bitmap_is_read(losses in vec(any::<u8>(), 0..40), packets in any::<u8>()) {
        if let Some(numbers) = arrived(&losses, packets.into()) {
            let numbers: BTreeSet<_> = numbers.collect();
            prop_assert_eq!(numbers.len(), usize::from(packets));
            prop_assert_eq!(bitmap(&numbers), losses);
        }
    }
}

/// The bitmap of the packets below the highest of these that are not among them.
fn bitmap(numbers: &BTreeSet<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    for missing in (0..numbers.last().copied().unwrap_or(0)).filter(|n| !numbers.contains(n)) {
        let at = missing as usize / 8;
        out.resize(out.len().max(at + 1), 0u8);
        out[at] |= 1 << (missing % 8);
    }
    out
}

#[test]
fn a_tally_holds_for_its_own_packets_only() {
    let [tally, _] = tallies();
    assert!(tally.holds(&LOSSES, tag));
    assert!(!tally.holds(&[0b10, 0b01], tag), "another bitmap");
    assert!(!tally.holds(&LOSSES, |number| tag(number + 1)), "other tags");
    assert!(!attest::Tally { packets: 10, ..tally }.holds(&LOSSES, tag), "one packet more");
    assert!(!attest::Tally { losses: losses_digest(&[]), ..tally }.holds(&[], tag));
    assert!(arrived(&[0xff; 8], u32::MAX).is_none(), "more numbers than there are");
}

#[test]
fn every_class_that_answers_is_answered_by_one_call() {
    let mut buf = [0; MAX_MESSAGE];
    let mut device = device();
    let found = Challenge { lease: 7, slot: 123_456, draw: [0xd7; 32] };
    let mut said = Vec::new();
    for body in bodies() {
        let signed = match &body {
            Body::Answer(b) => reply(&mut device, &found, b, &mut buf),
            Body::Possession(b) => reply(&mut device, &found, b, &mut buf),
            Body::Work(b) => reply(&mut device, &found, b, &mut buf),
            Body::Bandwidth(b) => reply(&mut device, &found, b, &mut buf),
            Body::Hello(b) => reply(&mut device, &found, b, &mut buf),
            _ => continue,
        };
        assert_eq!(signed, Ok(()), "{}", body.class());
        said.push(body.class());
    }
    assert_eq!(said, attest::Class::ALL.into_iter().filter(|class| class.answers()).collect::<Vec<_>>());
    // An answer to another challenge uses no sequence number.
    for other in [Challenge { lease: 8, ..found }, Challenge { slot: 1, ..found }] {
        let body = BandwidthBody { lease: 7, slot: 123_456, span_us: 1, tallies: Default::default() };
        assert_eq!(device.answer(None, &other, &body, &mut buf).map(|_| ()), Err(EncodeError::Class.into()));
    }
    let signed = device.message(None, None, &Body::Heartbeat, &mut buf).expect("speaks");
    assert_eq!(signed.seq, said.len() as u64);
}

fn reply<A: Answers>(
    device: &mut Device<SoftEd25519>,
    found: &Challenge,
    body: &A,
    buf: &mut [u8],
) -> Result<(), SealError> {
    let signed = device.answer(None, found, body, buf)?;
    let env = decode(signed.bytes).expect("decodes");
    let claims = Claims::decode(signed.class, env.payload).expect("claims");
    assert_eq!((claims.nonce, claims.body.slot()), (Some(found.draw), Some(found.slot)));
    Ok(())
}

#[test]
fn a_body_names_its_slot_or_none() {
    for body in bodies() {
        let by_hand = match &body {
            Body::Answer(b) => Some(b.slot),
            Body::Commitment(b) => Some(b.first_slot),
            Body::Witness(b) => Some(b.slot),
            Body::Reveal(b) => Some(b.slot),
            Body::Possession(b) => Some(b.slot),
            Body::Work(b) => Some(b.slot),
            Body::Opening(b) => Some(b.slot),
            Body::Bandwidth(b) => Some(b.slot),
            Body::Hello(b) => Some(b.slot),
            _ => None,
        };
        assert_eq!(body.slot(), by_hand, "{}", body.class());
    }
}

#[test]
fn the_attester_writes_no_samples_that_the_gate_refuses() {
    let encode = |samples: &[Sample<'_>]| {
        common::claims(Body::Telemetry(samples.into())).encode(&mut [0; MAX_MESSAGE]).map(|_| ())
    };
    let rows: [Reading; 65] = std::array::from_fn(|at| Reading { channel: at as u64, exponent: 0, mantissa: 0 });
    let sample = |age_ms, readings: &'static [Reading]| Sample { age_ms, readings: readings.into() };
    let rows: &'static [Reading] = Vec::leak(rows.to_vec());
    assert_eq!(encode(&[sample(0, &rows[..64])]), Ok(()));
    assert_eq!(encode(&[sample(0, rows)]), Err(EncodeError::Bounds));
    assert_eq!(encode(&[sample(1, &rows[..63]), sample(0, &rows[..1])]), Ok(()));
    assert_eq!(encode(&[sample(1, &rows[..63]), sample(0, &rows[..2])]), Err(EncodeError::Bounds));
    assert_eq!(encode(&[sample(1, &rows[..1]), sample(1, &rows[..1])]), Err(EncodeError::Order));
    assert_eq!(encode(&[sample(0, &rows[..1]), sample(1, &rows[..1])]), Err(EncodeError::Order));
    assert_eq!(encode(&[sample(0, &[])]), Err(EncodeError::Bounds));
    assert_eq!(encode(&[]), Err(EncodeError::Bounds));
    let many: Vec<_> = (0..33).rev().map(|age_ms| sample(age_ms, &rows[..1])).collect();
    assert_eq!(encode(&many[1..]), Ok(()));
    assert_eq!(encode(&many), Err(EncodeError::Bounds));
    let twice: &'static [Reading] = Vec::leak(vec![rows[0]; 2]);
    assert_eq!(encode(&[sample(0, twice)]), Err(EncodeError::Order));
}
