//! Fixed keys, a fixed network and one example of every class, shared by the tests.
#![allow(dead_code, reason = "every test file uses a part of it")]

use attest::{
    Body, BootBody, Claims, Location, Network, Reading, Reception, RevealBody, Signer, SoftEd25519, SoftP256,
    challenge, network_id,
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

/// The network of the examples.
pub(crate) fn network() -> Network {
    network_id(31_337, &REGISTRY)
}

/// Both software signers over one seed.
pub(crate) fn signers() -> [(&'static str, Box<dyn Signer>); 2] {
    [("ed25519", Box::new(SoftEd25519::from_seed(SEED))), ("p256", Box::new(SoftP256::from_seed(SEED)))]
}

/// One body of every class, in the order of the classes.
pub(crate) fn bodies() -> [Body<'static>; 7] {
    [
        Body::Telemetry((&READINGS).into()),
        Body::Heartbeat,
        Body::Boot(BootBody {
            seed: [0xb0; 16],
            firmware: [0xf1; 32],
            location: Some(Location { lat: 525_200_066, lon: -1_134_049_540, salt: [0x5a; 16] }),
        }),
        Body::Answer { lease: 7, slot: 123_456 },
        Body::Commitment { lease: 7, first_slot: 100, length: 4096, anchor: [0xac; 32] },
        Body::Witness { slot: 101, commitment: challenge::witness_commitment(RECEPTIONS, &[0x5b; 16]) },
        Body::Reveal(RevealBody {
            slot: 101,
            secret: Some([0x5e; 32]),
            salt: [0x5b; 16],
            receptions: (&RECEPTIONS).into(),
        }),
    ]
}

/// Claims around a body, a nonce where the class needs one.
pub(crate) fn claims(body: Body<'_>) -> Claims<'_> {
    let nonce = matches!(body, Body::Answer { .. }).then_some([0xd7; 32]);
    Claims { iat: Some(IAT), nonce, boot: 3, seq: 41, prev: [0x9e; 16], body }
}

/// The payload of claims.
pub(crate) fn payload(claims: &Claims<'_>) -> Vec<u8> {
    let mut out = [0; attest::MAX_MESSAGE];
    let len = claims.encode(&mut out).expect("encodes");
    out[..len].to_vec()
}
