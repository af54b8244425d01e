//! A device's message through `serde_cbor`: the same bytes back, and hostile claim maps with what each side says.

use std::collections::BTreeMap;

use attest::{Body, Claims, Class, Reading, SoftEd25519, decode, network_id, seal};
use serde_cbor::Value;

fn claims(readings: &[Reading]) -> Claims<'_> {
    Claims {
        iat: Some(1_700_000_000),
        nonce: None,
        boot: 3,
        seq: 70_000,
        prev: [0xee; 16],
        body: Body::Telemetry(readings.into()),
    }
}

const READINGS: [Reading; 3] = [
    Reading { channel: 1, exponent: -2, mantissa: 2_153 },
    Reading { channel: 300, exponent: 0, mantissa: i64::MIN },
    Reading { channel: u64::MAX, exponent: -128, mantissa: -25 },
];

#[test]
fn an_envelope_and_its_claims_are_rewritten_to_the_same_bytes() {
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signer = SoftEd25519::from_seed([7; 32]);
    let network = network_id(31_337, &[0x11; 20]);
    let signed = seal(&signer, &network, &claims(&READINGS), &mut buffer).expect("seals");
    let value: Value = serde_cbor::from_slice(signed.bytes).expect("any CBOR reader reads it");
    assert!(matches!(&value, Value::Tag(18, inner) if matches!(&**inner, Value::Array(parts) if parts.len() == 4)));
    assert_eq!(serde_cbor::to_vec(&value).expect("writes"), signed.bytes);

    let payload = decode(signed.bytes).expect("decodes").payload;
    let map: BTreeMap<i64, Value> = serde_cbor::from_slice(payload).expect("a map with integer keys");
    assert_eq!(map.keys().copied().collect::<Vec<_>>(), [-70_001, 6, 267]);
    assert_eq!(map[&267], Value::Integer(3));
    // Written from a generic map: serde_cbor's order of keys is ours.
    let value: Value = serde_cbor::from_slice(payload).expect("reads");
    assert_eq!(serde_cbor::to_vec(&value).expect("writes"), payload);
}

/// `{6: 1, 267: 2, -70001: [0, h'00…', []]}`, cut so that the pieces can be put together in other ways.
const IAT: [u8; 2] = [0x06, 0x01];
const BOOT: [u8; 4] = [0x19, 0x01, 0x0b, 0x02];

fn chain() -> Vec<u8> {
    [&[0x3a, 0x00, 0x01, 0x11, 0x70, 0x83, 0x00, 0x50][..], &[0; 16], &[0x80]].concat()
}

#[test]
fn hostile_claim_maps() {
    let map = |head: &[u8], parts: &[&[u8]]| [head, &parts.concat()].concat();
    let chain = chain();
    let plain = map(&[0xa3], &[&IAT, &BOOT, &chain]);
    assert!(Claims::decode(Class::Heartbeat, &plain).is_ok());
    assert!(serde_cbor::from_slice::<BTreeMap<i64, Value>>(&plain).is_ok());
    // Name, bytes, whether serde_cbor takes them for a map of integers to values.
    let hostile = [
        ("keys out of order", map(&[0xa3], &[&BOOT, &IAT, &chain]), true),
        ("a key twice", map(&[0xa4], &[&IAT, &IAT, &BOOT, &chain]), true),
        ("a key twice with another value", map(&[0xa4], &[&IAT, &[0x06, 0x02], &BOOT, &chain]), true),
        ("an unknown key", map(&[0xa4], &[&IAT, &[0x07, 0x41, 0x00], &BOOT, &chain]), true),
        ("a key in 2 bytes", map(&[0xa3], &[&[0x18, 0x06, 0x01], &BOOT, &chain]), true),
        ("a map without a length", map(&[0xbf], &[&IAT, &BOOT, &chain, &[0xff]]), true),
        ("a float for a time", map(&[0xa3], &[&[0x06, 0xf9, 0x3c, 0x00], &BOOT, &chain]), true),
        ("a tagged time", map(&[0xa3], &[&[0x06, 0xc1, 0x01], &BOOT, &chain]), true),
        ("a text key", map(&[0xa4], &[&IAT, &BOOT, &chain, &[0x61, 0x61, 0x00]]), false),
        ("no boot count", map(&[0xa2], &[&IAT, &chain]), true),
        ("a byte left over", map(&[0xa3], &[&IAT, &BOOT, &chain, &[0x00]]), false),
        ("a pair missing", map(&[0xa4], &[&IAT, &BOOT, &chain]), false),
        ("a map of 2^64 − 1 pairs", map(&[0xbb, 255, 255, 255, 255, 255, 255, 255, 255], &[&IAT]), false),
    ];
    for (name, bytes, theirs) in hostile {
        assert!(Claims::decode(Class::Heartbeat, &bytes).is_err(), "ours: {name}");
        assert_eq!(serde_cbor::from_slice::<BTreeMap<i64, Value>>(&bytes).is_ok(), theirs, "serde_cbor: {name}");
    }
}
