//! Properties of the encoding: claims come back, and what is accepted is exactly what we would have written.

mod common;

use attest::{
    AnswerBody, BandwidthBody, Beacon, Body, BootBody, ChannelName, Claims, Class, CommitmentBody, Endorsement,
    EndorsementBody, FixBody, HelloBody, List, Location, MAX_CHAIN, MAX_ENDORSEMENT, MAX_MESSAGE, MAX_RECORD,
    MeterBody, MeterWindow, MeteredBody, Name, OpeningBody, PossessionBody, Reading, Reception, Record, RecordFormat,
    RevealBody, Sample, Satellite, SoftEd25519, Tally, Tier, Unit, WitnessBody, WorkBody, decode, seal,
};
use common::{network, payload};
use proptest::{collection::vec, option, prelude::*};

/// Samples that fit into a message: ages descending, channels ascending.
fn samples() -> impl Strategy<Value = Vec<(u32, Vec<Reading>)>> {
    vec(((any::<u32>(), 0u32..32), readings()), 1..=8).prop_map(|rows| {
        let mut rows: Vec<_> = rows.into_iter().map(|((age, shift), readings)| (age >> shift, readings)).collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
        rows.dedup_by_key(|row| row.0);
        rows
    })
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    vec((bits(), any::<i8>(), any::<i64>(), 0u32..64), 1..=4).prop_map(|mut rows| {
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        rows.into_iter()
            .map(|(channel, exponent, mantissa, shift)| Reading { channel, exponent, mantissa: mantissa >> shift })
            .collect()
    })
}

/// Integers of every length, not only the long ones.
fn bits() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
}

fn receptions() -> impl Strategy<Value = Vec<Reception>> {
    vec((bits(), any::<[u8; 16]>(), any::<i32>(), -3000..3000i32), 0..=16).prop_map(|mut rows| {
        rows.sort();
        rows.dedup_by_key(|row| row.0);
        rows.into_iter().map(|(lease, payload, rssi, snr)| Reception { lease, payload, rssi, snr }).collect()
    })
}

fn windows() -> impl Strategy<Value = Vec<MeterWindow>> {
    vec((0..1_000_000u64, 1..100_000u64, bits(), bits(), any::<i64>(), any::<i64>()), 0..=16).prop_map(|rows| {
        let mut now = 0;
        let place = |(gap, long, first, last, sampled, peak)| {
            let start = now + gap;
            now = start + long;
            MeterWindow { start, end: now, first, last, sampled, peak }
        };
        rows.into_iter().map(place).collect()
    })
}

fn satellites() -> impl Strategy<Value = Vec<Satellite>> {
    vec((any::<u32>(), -90..=90i8, 0..360u16, any::<u16>()), 0..=32).prop_map(|mut rows| {
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        rows.into_iter().map(|(id, elevation, azimuth, cn0)| Satellite { id, elevation, azimuth, cn0 }).collect()
    })
}

fn tallies() -> impl Strategy<Value = Vec<Tally>> {
    vec((any::<u8>(), bits(), any::<u32>(), any::<([u8; 16], [u8; 16])>()), 0..=16).prop_map(|mut rows| {
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        let row =
            |(member, bytes, packets, (tags, losses))| Tally { member: u8::into(member), bytes, packets, tags, losses };
        rows.into_iter().map(row).collect()
    })
}

fn channels() -> impl Strategy<Value = Vec<ChannelName>> {
    vec((bits(), any::<u16>(), "[A-Za-z0-9][-A-Za-z0-9:./_]{0,23}"), 0..=20).prop_map(|mut rows| {
        rows.sort();
        rows.dedup_by_key(|row| row.0);
        let row = |(channel, unit, name): (u64, u16, String)| ChannelName {
            channel,
            unit: Unit(unit),
            name: Name::new(&name).expect("of the allowed characters"),
        };
        rows.into_iter().map(row).collect()
    })
}

/// Every list that a body may borrow.
#[derive(Clone, Debug)]
struct Lists {
    samples: Vec<Sample<'static>>,
    receptions: Vec<Reception>,
    windows: Vec<MeterWindow>,
    satellites: Vec<Satellite>,
    tallies: Vec<Tally>,
    channels: Vec<ChannelName>,
    leaf: Vec<u8>,
    path: Vec<u8>,
    certificate: Vec<u8>,
    record: Vec<u8>,
}

/// Owned claims of any class; the lists are borrowed when the claims are made.
#[derive(Clone, Debug)]
struct Owned {
    class: Class,
    numbers: (Option<u64>, u32, u64, u64, u64, u32),
    small: (i8, u16, u32, i32),
    hashes: ([u8; 32], [u8; 16], [u8; 16]),
    place: Option<(i32, i32)>,
    secret: Option<[u8; 32]>,
    lists: Lists,
}

impl Owned {
    fn claims(&self) -> Claims<'_> {
        let (iat, boot, seq, ..) = self.numbers;
        let (hash, prev, _) = self.hashes;
        let nonce = self.class.answers().then_some(hash);
        Claims { iat, nonce, boot, seq, prev, body: self.body() }
    }

    fn body(&self) -> Body<'_> {
        let ((.., lease, slot, length), (hash, _, salt)) = (self.numbers, self.hashes);
        let (secret, receptions) = (self.secret, self.lists.receptions.as_slice().into());
        match self.class {
            Class::Telemetry => Body::Telemetry(self.lists.samples.as_slice().into()),
            Class::Heartbeat => Body::Heartbeat,
            Class::Boot => {
                let location = self.place.map(|(lat, lon)| Location { lat, lon, salt });
                Body::Boot(BootBody { seed: salt, firmware: hash, location })
            }
            Class::Answer => Body::Answer(AnswerBody { lease, slot }),
            Class::Commitment => Body::Commitment(CommitmentBody { lease, first_slot: slot, length, anchor: hash }),
            Class::Witness => Body::Witness(WitnessBody { slot, commitment: hash }),
            Class::Reveal => Body::Reveal(RevealBody { slot, secret, salt, receptions }),
            _ => self.later_body(),
        }
    }

    fn later_body(&self) -> Body<'_> {
        let ((.., lease, slot, length), (hash, _, salt), lists) = (self.numbers, self.hashes, &self.lists);
        let (exponent, hdop, count, height_cm) = self.small;
        match self.class {
            Class::Channels => Body::Channels(lists.channels.as_slice().into()),
            Class::Meter => {
                Body::Meter(MeterBody { register: lease, exponent, windows: lists.windows.as_slice().into() })
            }
            Class::Fix => {
                let ((lat, lon), satellites) = (self.place.unwrap_or_default(), lists.satellites.as_slice().into());
                Body::Fix(FixBody { at_ms: slot, lat, lon, height_cm, hdop, satellites })
            }
            Class::Possession => {
                let (leaf, path) = (lists.leaf.as_slice(), lists.path.as_slice());
                Body::Possession(PossessionBody { lease, slot, sample: count, index: lease, leaf, path })
            }
            Class::Work => Body::Work(WorkBody { lease, slot, size: length + 1, rounds: count | 1, root: hash }),
            Class::Opening => {
                Body::Opening(OpeningBody { lease, slot, rows: count | 1, content: hash, length: slot | 1 })
            }
            Class::Bandwidth => {
                let tallies = lists.tallies.as_slice().into();
                Body::Bandwidth(BandwidthBody { lease, slot, span_us: slot | 1, tallies })
            }
            Class::Metered => {
                let record = Record::of(&lists.record);
                Body::Metered(MeteredBody { lease, format: RecordFormat(hash[0] | 1), meter: hash, record })
            }
            Class::Hello => Body::Hello(HelloBody { lease, slot, member: count, token: salt }),
            Class::Endorsement => Body::Endorsement(EndorsementBody::new(&lists.certificate).expect("well-formed")),
            earlier => panic!("{earlier} has its own arm"),
        }
    }
}

fn lists() -> impl Strategy<Value = Lists> {
    let path = (0..=20usize, any::<u8>()).prop_map(|(steps, byte)| vec![byte; 32 * steps]);
    let certificate = endorsement().prop_map(|made| {
        let mut room = [0; MAX_ENDORSEMENT];
        let len = made.as_ref().encode(&mut room).expect("fits");
        room[..len].to_vec()
    });
    let rows = (samples(), receptions(), windows(), satellites(), tallies(), channels());
    let record = (1..=2 * MAX_RECORD, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    (rows, vec(any::<u8>(), 1..=128), path, certificate, record).prop_map(|(rows, leaf, path, certificate, record)| {
        let (samples, receptions, windows, satellites, tallies, channels) = rows;
        let leak = |(age_ms, readings)| Sample { age_ms, readings: List::from_slice(Vec::leak(readings)) };
        let samples = samples.into_iter().map(leak).collect();
        Lists { samples, receptions, windows, satellites, tallies, channels, leaf, path, certificate, record }
    })
}

/// An endorsement with its model's name beside it.
#[derive(Clone, Debug)]
struct Made {
    model: String,
    hashes: ([u8; 32], [u8; 32], [u8; 32]),
    tier: Tier,
    issued: u64,
    signature: [u8; 64],
}

impl Made {
    fn as_ref(&self) -> Endorsement<'_> {
        let (device, firmware, maker) = self.hashes;
        let (tier, issued, signature) = (self.tier, self.issued, self.signature);
        Endorsement { device, tier, firmware, model: &self.model, issued, maker, signature }
    }
}

fn endorsement() -> impl Strategy<Value = Made> {
    let tier = prop_oneof![Just(Tier::Software), Just(Tier::SecureElement), Just(Tier::MeasuredBoot)];
    ("[ -~]{1,32}", any::<([u8; 32], [u8; 32], [u8; 32])>(), tier, bits(), vec(any::<u8>(), 64..=64)).prop_map(
        |(model, hashes, tier, issued, signature)| {
            let signature = signature.try_into().expect("64 bytes");
            Made { model, hashes, tier, issued, signature }
        },
    )
}

fn owned() -> impl Strategy<Value = Owned> {
    let place = (-900_000_000..=900_000_000i32, -1_800_000_000..=1_800_000_000i32);
    (
        0..Class::ALL.len(),
        (option::of(bits()), any::<u32>(), bits(), bits(), bits(), 0..=MAX_CHAIN),
        any::<(i8, u16, u32, i32)>(),
        any::<([u8; 32], [u8; 16], [u8; 16])>(),
        option::of(place),
        option::of(any::<[u8; 32]>()),
        lists(),
    )
        .prop_map(|(class, numbers, small, hashes, place, secret, lists)| Owned {
            class: Class::ALL[class],
            numbers,
            small,
            hashes,
            place,
            secret,
            lists,
        })
}

/// Bytes changed in one place: flipped, removed, added, or a head written longer than it need be.
fn mutate(bytes: &[u8], at: usize, how: u8, with: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = at % out.len();
    match how % 5 {
        0 => out[at] ^= with | 1,
        1 => drop(out.remove(at)),
        2 => out.insert(at, with),
        3 => {
            // A one-byte head as two bytes.
            let head = out[at];
            out.splice(at..=at, [(head & 0xe0) | 0x18, head & 0x1f]);
        }
        _ => {
            // A two-byte head as three bytes.
            let head = out[at];
            out.splice(at..=at, [(head & 0xe0) | 0x19, 0]);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_come_back(owned in owned()) {
        let claims = owned.claims();
        let bytes = payload(&claims);
        prop_assert_eq!(Claims::decode(claims.class(), &bytes), Ok(claims));
        for other in Class::ALL.into_iter().filter(|other| *other != claims.class()) {
            // A body that also reads as another class must still be that class's own encoding.
            if let Ok(read) = Claims::decode(other, &bytes) {
                prop_assert_eq!(payload(&read), bytes.clone());
            }
        }
    }

    #[test]
    fn no_other_bytes_give_the_same_claims(owned in owned(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let claims = owned.claims();
        let bytes = payload(&claims);
        let changed = mutate(&bytes, at, how, with);
        if let Ok(read) = Claims::decode(claims.class(), &changed) {
            prop_assert_eq!(payload(&read), changed.clone());
            if changed != bytes {
                prop_assert_ne!(read, claims);
            }
        }
    }

    #[test]
    fn no_other_bytes_give_the_same_envelope(owned in owned(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let mut buf = [0; MAX_MESSAGE];
        let signer = SoftEd25519::from_seed([9; 32]);
        let signed = seal(&signer, &network(), &owned.claims(), &mut buf).expect("every valid claim fits");
        let original = decode(signed.bytes).expect("decodes");
        let changed = mutate(signed.bytes, at, how, with);
        if let Ok(read) = decode(&changed) {
            prop_assert!(changed == signed.bytes || read != original);
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in vec(any::<u8>(), 0..1200)) {
        let _ = decode(&bytes);
        for class in Class::ALL {
            if let Ok(claims) = Claims::decode(class, &bytes) {
                prop_assert_eq!(payload(&claims), bytes.clone());
            }
        }
    }

    #[test]
    fn endorsements_come_back_and_have_no_other_bytes(made in endorsement(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let mut room = [0; MAX_ENDORSEMENT];
        let len = made.as_ref().encode(&mut room).expect("fits");
        let bytes = &room[..len];
        prop_assert_eq!(Endorsement::decode(bytes), Ok(made.as_ref()));
        let changed = mutate(bytes, at, how, with);
        if let Ok(read) = Endorsement::decode(&changed) {
            let mut again = [0; MAX_ENDORSEMENT];
            let len = read.encode(&mut again).expect("what was read can be written");
            prop_assert_eq!(&again[..len], &changed[..]);
            prop_assert!(changed == bytes || read != made.as_ref());
        }
    }

    #[test]
    fn beacons_come_back_and_have_no_other_bytes(slot in any::<u64>(), half in any::<([u8; 32], [u8; 16])>(), at in any::<usize>(), how in any::<u8>(), with in any::<u8>()) {
        let bytes = [&slot.to_be_bytes()[..], &half.0, &half.1].concat();
        let read = Beacon::parse(&bytes).expect("56 bytes");
        prop_assert_eq!((read.slot, &read.certificate[..]), (slot, &bytes[8..]));
        let changed = mutate(&bytes, at, how, with);
        prop_assert!(changed == bytes || Beacon::parse(&changed) != Some(read));
    }
}
