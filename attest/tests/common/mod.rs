//! Fixed keys, a fixed network and one example of every class, shared by the tests.
#![allow(dead_code, reason = "every test file uses a part of it")]

use attest::{
    AnswerBody, BandwidthBody, Body, BootBody, ChannelName, ChannelNames, Claims, Class, CommitmentBody, Endorsement,
    EndorsementBody, FixBody, HelloBody, Location, MAX_ENDORSEMENT, MeterBody, MeterCurve, MeterWindow, MeteredBody,
    Name, Network, OpeningBody, PossessionBody, Reading, Readings, Reception, Record, RecordFormat, RevealBody, Sample,
    Satellite, Signer, SoftEd25519, SoftP256, Tallies, Tally, Tier, Unit, WitnessBody, WorkBody, challenge,
    losses_digest, meter_key_thumbprint, network_id, tags_digest,
};

/// The registry of the examples.
pub(crate) const REGISTRY: [u8; 20] = [0x11; 20];
/// The seed of both example keys.
pub(crate) const SEED: [u8; 32] = [0x42; 32];
/// 14 November 2023, as in the research sizes.
pub(crate) const IAT: u64 = 1_700_000_000;

/// Eight plausible readings: temperature, humidity and the ends of the ranges.
pub(crate) const READINGS: [Reading; 8] = [
    Reading { channel: 0, exponent: -25, mantissa: 0 },
    Reading { channel: 1, exponent: -2, mantissa: 2153 },
    Reading { channel: 2, exponent: -1, mantissa: 455 },
    Reading { channel: 3, exponent: 0, mantissa: -7 },
    Reading { channel: 24, exponent: -24, mantissa: 24 },
    Reading { channel: 256, exponent: -128, mantissa: -25 },
    Reading { channel: 65_536, exponent: 127, mantissa: i64::MIN },
    Reading { channel: u64::MAX, exponent: 23, mantissa: i64::MAX },
];

/// The longest readings there are, as many as a message holds.
pub(crate) fn widest_readings() -> [Reading; 32] {
    std::array::from_fn(|at| Reading { channel: u64::MAX - 31 + at as u64, exponent: i8::MIN, mantissa: i64::MIN })
}

/// Three instants: the oldest age there is, one of the same channels, and now.
pub(crate) const SAMPLES: [Sample<'static>; 3] = [
    Sample { age_ms: u32::MAX, readings: Readings::from_slice(READINGS.first_chunk::<2>().unwrap()) },
    Sample { age_ms: 1_500, readings: Readings::from_slice(READINGS.first_chunk::<1>().unwrap()) },
    Sample { age_ms: 0, readings: Readings::from_slice(&READINGS) },
];

/// Two receptions.
pub(crate) const RECEPTIONS: [Reception; 2] = [
    Reception { lease: 7, payload: [0xa1; 16], rssi: -11_250, snr: -725 },
    Reception { lease: 300, payload: [0xa2; 16], rssi: i32::MIN, snr: i32::MAX },
];

/// Two windows of a meter, one of them fed back.
pub(crate) const WINDOWS: [MeterWindow; 2] = [
    MeterWindow { start: IAT - 1800, end: IAT - 900, first: 1_000, last: 1_250, sampled: 249, peak: 1_100 },
    MeterWindow { start: IAT - 900, end: IAT, first: u64::MAX, last: 3, sampled: -7, peak: -20 },
];

/// A GPS and a Galileo satellite.
pub(crate) const SATELLITES: [Satellite; 2] = [
    Satellite { id: 7, elevation: -90, azimuth: 0, cn0: 312 },
    Satellite { id: 2_011, elevation: 90, azimuth: 359, cn0: 455 },
];

/// The packets 1, 8 and 9 of twelve, lost on the way from the first challenger.
pub(crate) const LOSSES: [u8; 2] = [0b10, 0b11];

/// The tag of a packet of the examples.
pub(crate) fn tag(number: u32) -> [u8; 16] {
    [u8::try_from(number).expect("a small example"); 16]
}

/// What arrived from two challengers: nine packets of twelve, and the ends of the ranges.
pub(crate) fn tallies() -> [Tally; 2] {
    let tags = tags_digest([0, 2, 3, 4, 5, 6, 7, 10, 11].map(tag));
    [
        Tally { member: 0, bytes: 10_800, packets: 9, tags, losses: losses_digest(&LOSSES) },
        Tally { member: u32::MAX, bytes: u64::MAX, packets: u32::MAX, tags: [0x7b; 16], losses: losses_digest(&[]) },
    ]
}

/// A meter key of every curve, x then y: the public key whose secret is the number of the example seed.
pub(crate) const METER_POINTS: [(MeterCurve, &str); 5] = [
    (
        MeterCurve::P256,
        concat!(
            "3ad3861a95621392516bb593ef05583ed2e5866f5cb6260a3017237fd89b90af",
            "d0961c7e37075a6791a39c61f56295b02b6d26567b615e60aa41ee1c8e83388d",
        ),
    ),
    (
        MeterCurve::P384,
        concat!(
            "5ffefdb6674f31d55be96af5759934d6ad52086df72561bd6859d35856ef6b0bf9f17d3aec58578b7872898a807236ff",
            "578622c6226f7a543838519bc7339de8d86b161f419d8c2da9df68ce9b28e2800e77ed07a46d34bd43d00c339667f18a",
        ),
    ),
    (
        MeterCurve::Secp256k1,
        concat!(
            "24653eac434488002cc06bbfb7f10fe18991e35f9fe4302dbea6d2353dc0ab1c",
            "119fc5009a032aa9fe47f5e149bb8442f71f884ccb516590686d8ff6ab91c613",
        ),
    ),
    (
        MeterCurve::BrainpoolP256r1,
        concat!(
            "5aba724b7356495f81643ab75c104509d2011f8bd83f1acb458c1b0c39dfd15d",
            "720de5e8254b18089dec14e7763a5881ffb19aa6fad703b25508abf91c4a655c",
        ),
    ),
    (
        MeterCurve::BrainpoolP384r1,
        concat!(
            "6a267c50bccc9af425170cd64e2d06f22edf4530fb763070314aeda98c2f4644b9c879a06ba4c629e80264d42421e529",
            "66bacb2aed3ae434102a67ce9e977dbd40860d3cb2b84ee56ec28bbc5542d8e04c7ef338fe5f6cf62cdab33872fa28c0",
        ),
    ),
];

/// The thumbprint of the second of them.
pub(crate) fn meter_key() -> [u8; 32] {
    let (curve, point) = METER_POINTS[1];
    meter_key_thumbprint(curve, &hex::decode(point).expect("hex")).expect("two coordinates")
}

/// A record as a charging station gives it, its signature cut short.
pub(crate) const RECORD: &[u8] = br#"OCMF|{"FV":"1.0","MS":"7","PG":"T1","RD":[]}|{"SD":"3006"}"#;

/// Three channels: a registered unit, a unit of a later version, none.
pub(crate) fn channels() -> [ChannelName; 3] {
    let name = |name| Name::new(name).expect("a SenML name");
    [
        ChannelName { channel: 1, unit: Unit::of("Cel").expect("registered"), name: name("indoor.temperature") },
        ChannelName { channel: 2, unit: Unit(65_535), name: name("9") },
        ChannelName { channel: 256, unit: Unit(0), name: name("a-b:c.d/e_f-24bytes.long") },
    ]
}

/// The endorsement of the Ed25519 example key by a maker.
pub(crate) fn certificate() -> Vec<u8> {
    let (maker, device) = (SoftP256::from_seed([0x4d; 32]), SoftEd25519::from_seed(SEED));
    let made = Endorsement::issue(&maker, &device.public_key(), Tier::SecureElement, [0xf1; 32], "Model 3", IAT);
    let mut room = [0; MAX_ENDORSEMENT];
    let len = made.expect("issues").encode(&mut room).expect("fits");
    room[..len].to_vec()
}

/// The network of the examples.
pub(crate) fn network() -> Network {
    network_id(31_337, &REGISTRY)
}

/// Both software signers over one seed.
pub(crate) fn signers() -> [(&'static str, Box<dyn Signer>); 2] {
    [("ed25519", Box::new(SoftEd25519::from_seed(SEED))), ("p256", Box::new(SoftP256::from_seed(SEED)))]
}

/// One body of every class, in the order of the classes.
pub(crate) fn bodies() -> [Body<'static>; Class::ALL.len()] {
    [
        Body::Telemetry((&SAMPLES).into()),
        Body::Heartbeat,
        Body::Boot(BootBody {
            seed: [0xb0; 16],
            firmware: [0xf1; 32],
            location: Some(Location { lat: 525_200_066, lon: -1_134_049_540, salt: [0x5a; 16] }),
        }),
        Body::Answer(AnswerBody { lease: 7, slot: 123_456 }),
        Body::Commitment(CommitmentBody { lease: 7, first_slot: 100, length: 4096, anchor: [0xac; 32] }),
        Body::Witness(WitnessBody { slot: 101, commitment: challenge::witness_commitment(RECEPTIONS, &[0x5b; 16]) }),
        Body::Reveal(RevealBody {
            slot: 101,
            secret: Some([0x5e; 32]),
            salt: [0x5b; 16],
            receptions: (&RECEPTIONS).into(),
        }),
        Body::Channels(ChannelNames::from_slice(Vec::leak(channels().to_vec()))),
        Body::Meter(MeterBody { register: 1, exponent: -3, windows: (&WINDOWS).into() }),
        Body::Fix(FixBody {
            at_ms: IAT * 1000 + 250,
            lat: 525_200_066,
            lon: -1_800_000_000,
            height_cm: -430,
            hdop: 95,
            satellites: (&SATELLITES).into(),
        }),
        Body::Possession(PossessionBody {
            lease: 7,
            slot: 123_456,
            sample: 2,
            index: 1 << 33,
            leaf: &[0x1e; 100],
            path: &[0x9a; 64],
        }),
        Body::Work(WorkBody { lease: 7, slot: 123_456, size: 4096, rounds: 3, root: [0xc0; 32] }),
        Body::Opening(OpeningBody { lease: 7, slot: 123_456, rows: 90, content: [0xc1; 32], length: 1_474_560 }),
        Body::Bandwidth(BandwidthBody {
            lease: 7,
            slot: 123_456,
            span_us: 1_000_000,
            tallies: Tallies::from_slice(Vec::leak(tallies().to_vec())),
        }),
        Body::Endorsement(EndorsementBody::new(Vec::leak(certificate())).expect("an endorsement")),
        Body::Metered(MeteredBody {
            lease: 7,
            format: RecordFormat::OCMF,
            meter: meter_key(),
            record: Record::Whole(RECORD),
        }),
        Body::Hello(HelloBody { lease: 7, slot: 123_456, member: 3, token: [0x70; 16] }),
    ]
}

/// Claims around a body, a nonce where the class needs one.
pub(crate) fn claims(body: Body<'_>) -> Claims<'_> {
    let nonce = body.class().answers().then_some([0xd7; 32]);
    Claims { iat: Some(IAT), nonce, boot: 3, seq: 41, prev: [0x9e; 16], body }
}

/// The payload of claims.
pub(crate) fn payload(claims: &Claims<'_>) -> Vec<u8> {
    let mut out = [0; attest::MAX_MESSAGE];
    let len = claims.encode(&mut out).expect("encodes");
    out[..len].to_vec()
}
