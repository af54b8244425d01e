//! The properties, one function per fuzz target: each takes any bytes and panics when one is broken.

use attest::{
    BatchVerifier, Beacon, Claims, Class, Endorsement, MAX_MESSAGE, Network, PublicKey, Queue, Receipts, Signer,
    SoftEd25519, SoftP256, decode, evidence_id, parse_topic_up, sig_structure, topic_up, verify,
};

const NETWORK: Network = [0x1c, 0x27, 0x5f, 0x01, 0x84, 0xf8, 0x1a, 0xff];

/// Everything that reads bytes from outside: refuses or reads, never panics; what an envelope decodes to rebuilds its
/// very bytes.
pub fn decode_any(bytes: &[u8]) {
    if let Ok(env) = decode(bytes) {
        let (head, payload_len) = ([0xd2, 0x84, 0x4d].as_slice(), env.payload.len());
        let mut again = [head, env.protected, &[0xa0]].concat();
        match u8::try_from(payload_len) {
            Ok(len @ 0..24) => again.push(0x40 | len),
            Ok(len) => again.extend([0x58, len]),
            Err(_) => {
                again.push(0x59);
                again.extend(u16::try_from(payload_len).expect("at most 1024").to_be_bytes());
            }
        }
        again.extend([env.payload, &[0x58, 0x40], env.signature].concat());
        assert_eq!(again, bytes, "an envelope with two encodings");
    }
    if let Some(beacon) = Beacon::parse(bytes) {
        assert_eq!(bytes, [&beacon.slot.to_be_bytes()[..], &beacon.certificate].concat());
    }
    if let Ok(endorsement) = Endorsement::decode(bytes) {
        let mut room = [0; attest::MAX_ENDORSEMENT];
        let len = endorsement.encode(&mut room).expect("what was read can be written");
        assert_eq!(room.get(..len), Some(bytes), "an endorsement with two encodings");
    }
    if let Some((class, kid)) = std::str::from_utf8(bytes).ok().and_then(parse_topic_up) {
        assert_eq!(topic_up(class, &kid).as_bytes(), bytes);
    }
    if let Ok(receipts) = Receipts::decode(bytes) {
        assert!(receipts.ids().count() > 0, "receipts of nothing");
    }
    let mut storage = bytes.to_vec();
    let queue = Queue::resume(&mut storage, &NETWORK);
    assert!(queue.iter().all(|item| item.bytes.len() <= MAX_MESSAGE && decode(item.bytes).is_ok()));
}

/// First byte: the class. The rest is a payload: refused, or encoded again to the same bytes.
pub fn claims_any(bytes: &[u8]) {
    let Some((class, payload)) = bytes.split_first() else { return };
    let Some(class) = Class::from_u8(*class) else { return };
    if let Ok(claims) = Claims::decode(class, payload) {
        let mut out = [0; MAX_MESSAGE];
        let len = claims.encode(&mut out).expect("what was read can be written");
        assert_eq!(out.get(..len), Some(payload), "claims with two encodings");
        assert_eq!(claims.class(), class);
    }
}

/// First byte: the class. The rest is an envelope, verified under a known key of its algorithm, alone and in a batch
/// of itself: one verdict. The id does not depend on the signature.
pub fn verify_any(bytes: &[u8]) {
    let Some((class, bytes)) = bytes.split_first() else { return };
    let Some(class) = Class::from_u8(*class) else { return };
    let Ok(env) = decode(bytes) else { return };
    let seed = [0x42; 32];
    for key in [SoftEd25519::from_seed(seed).public_key(), SoftP256::from_seed(seed).public_key(), stranger(bytes)] {
        let alone = verify(&env, class, &NETWORK, &key);
        let mut batch = BatchVerifier::new(NETWORK);
        for _ in 0..4 {
            batch.push(class, &env, &key);
        }
        assert!(batch.finish().iter().all(|verdict| *verdict == alone), "batch and single differ");
        if let Ok(id) = alone {
            assert_eq!(id, evidence_id(class, &NETWORK, &env));
            let structure = sig_structure(class, &NETWORK, &env);
            assert_eq!(id, attest::ToBeSigned::new(&structure).digest());
        }
    }
}

/// A key that the bytes themselves name: their last 32.
fn stranger(bytes: &[u8]) -> PublicKey {
    PublicKey::Ed25519(*bytes.last_chunk().unwrap_or(&[1; 32]))
}
