//! Fixed keys, a fixed network and one example of every class, shared by the tests.
#![allow(dead_code, reason = "every test file uses a part of it")]

use attest::{
    AnswerBody, BandwidthBody, Body, BootBody, ChannelName, ChannelNames, Claims, Class, CommitmentBody, Endorsement,
    EndorsementBody, FixBody, Location, MAX_ENDORSEMENT, MeterBody, MeterWindow, Name, Network, OpeningBody,
    PossessionBody, Reading, Reception, RevealBody, Satellite, Signer, SoftEd25519, SoftP256, Tally, Tier, Unit,
    WitnessBody, WorkBody, challenge, network_id,
};

/// The registry of the examples.
pub(crate) const REGISTRY: [u8; 20] = [0x11; 20];
/// The seed of both example keys.
pub(crate) const SEED: [u8; 32] = [0x42; 32];
/// 14 November 2023, as in the research sizes.
pub(crate) const IAT: u64 = 1_700_000_000;

/// Eight plausible readings: temperature, humidity and the ends of the ranges.
pub(crate) const READINGS: [Reading; 8] = [
    Reading { channel: 1, exponent: -2, mantissa: 2153 },
    Reading { channel: 2, exponent: -1, mantissa: 455 },
    Reading { channel: 3, exponent: 0, mantissa: -7 },
    Reading { channel: 24, exponent: -24, mantissa: 24 },
    Reading { channel: 256, exponent: -128, mantissa: -25 },
    Reading { channel: 65_536, exponent: 127, mantissa: i64::MIN },
    Reading { channel: u64::MAX, exponent: 23, mantissa: i64::MAX },
    Reading { channel: 0, exponent: -25, mantissa: 0 },
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

/// What arrived from two challengers.
pub(crate) const TALLIES: [Tally; 2] = [
    Tally { member: 0, bytes: 125_000_000, packets: 90_000, tags: [0x7a; 16] },
    Tally { member: u32::MAX, bytes: u64::MAX, packets: 0, tags: [0x7b; 16] },
];

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
        Body::Telemetry((&READINGS).into()),
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
        Body::Bandwidth(BandwidthBody { lease: 7, slot: 123_456, span_us: 1_000_000, tallies: (&TALLIES).into() }),
        Body::Endorsement(EndorsementBody::new(Vec::leak(certificate())).expect("an endorsement")),
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
