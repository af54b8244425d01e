//! Another implementation of COSE (`coset`) beside ours: what it builds we decode and verify, what we make it reads back,
//! its Sig_structure is ours; and the examples of the COSE working group where they have our two algorithms. Last, the frame's
//! deviations, each refused by kind.

mod common;

use std::{env, fs, path::PathBuf};

use attest::{
    Alg, Body, Class, DecodeError, MAX_MESSAGE, PublicKey, SoftEd25519, ToBeSigned, decode, evidence_id, seal,
    sig_structure, verify, verify_statement,
};
use common::{bodies, claims, network, payload, signers};
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, SignatureContext, TaggedCborSerializable, iana,
    sig_structure_data,
};
use serde_json::Value;

/// `["plumbline", 1, class, network]`, by coset's CBOR library.
fn external_aad(class: Class) -> Vec<u8> {
    use coset::cbor::value::Value as Cbor;
    let parts = vec![
        Cbor::Text("plumbline".to_owned()),
        Cbor::from(1),
        Cbor::from(class.as_u8()),
        Cbor::Bytes(network().to_vec()),
    ];
    Cbor::Array(parts).to_vec().expect("encodes")
}

fn algorithm(alg: Alg) -> iana::Algorithm {
    match alg {
        Alg::Ed25519 => iana::Algorithm::Ed25519,
        Alg::Esp256 => iana::Algorithm::ESP256,
    }
}

#[test]
fn what_coset_builds_decodes_and_verifies_here() {
    for (name, signer) in signers() {
        let key = signer.public_key();
        for body in bodies() {
            let (class, payload) = (body.class(), payload(&claims(body)));
            let header = HeaderBuilder::new().algorithm(algorithm(key.alg())).key_id(key.kid().to_vec()).build();
            let built = CoseSign1Builder::new()
                .protected(header)
                .payload(payload.clone())
                .create_signature(&external_aad(class), |tbs| {
                    signer.sign(ToBeSigned::new(tbs)).expect("signs").to_vec()
                })
                .build();
            let bytes = built.to_tagged_vec().expect("encodes");
            let env = decode(&bytes).expect("ours reads it");
            assert_eq!(env.payload, payload, "{name} {class}");
            let id = verify(&env, class, &network(), &key).expect("ours verifies it");
            assert_eq!(id, evidence_id(class, &network(), &env));
            // Both sign deterministically: the very bytes are the same.
            let mut buf = [0; MAX_MESSAGE];
            let ours = seal(&&*signer, &network(), &claims(body), &mut buf).expect("seals");
            assert_eq!(ours.bytes, bytes, "{name} {class}");
        }
    }
}

#[test]
fn what_we_make_coset_reads_and_verifies() {
    for (name, signer) in signers() {
        let key = signer.public_key();
        for body in bodies() {
            let class = body.class();
            let mut buf = [0; MAX_MESSAGE];
            let signed = seal(&&*signer, &network(), &claims(body), &mut buf).expect("seals");
            let read = CoseSign1::from_tagged_slice(signed.bytes).expect("coset reads it");
            assert_eq!(read.protected.header.key_id, key.kid(), "{name} {class}");
            assert_eq!(
                read.protected.header.alg,
                Some(coset::RegisteredLabelWithPrivate::Assigned(algorithm(key.alg()))),
                "{name} {class}"
            );
            assert!(read.unprotected.is_empty());
            read.verify_signature(&external_aad(class), |signature, tbs| {
                let env = decode(signed.bytes).expect("decodes");
                assert_eq!(tbs, sig_structure(class, &network(), &env), "{name} {class}");
                let signature = signature.try_into().expect("64 bytes");
                if verify_statement(&key, tbs, signature) { Ok(()) } else { Err(()) }
            })
            .expect("the same signature over the same bytes");
            assert_eq!(read.to_tagged_vec().expect("encodes"), signed.bytes, "{name} {class}");
        }
    }
}

#[test]
fn what_cose_allows_and_we_do_not_is_refused() {
    let [(_, signer), _] = signers();
    let key = signer.public_key();
    let with = |change: fn(CoseSign1Builder) -> CoseSign1Builder| {
        let header = HeaderBuilder::new().algorithm(iana::Algorithm::Ed25519).key_id(key.kid().to_vec()).build();
        let built = change(CoseSign1Builder::new().protected(header).payload(vec![0xa0]));
        built.create_signature(b"", |tbs| signer.sign(ToBeSigned::new(tbs)).expect("signs").to_vec()).build()
    };
    let plain = with(|b| b);
    assert!(decode(&plain.clone().to_tagged_vec().expect("encodes")).is_ok());
    let untagged = plain.to_vec().expect("encodes");
    assert_eq!(decode(&untagged), Err(DecodeError::Frame));
    let unprotected = with(|b| b.unprotected(HeaderBuilder::new().key_id(vec![1]).build()));
    assert_eq!(decode(&unprotected.to_tagged_vec().expect("encodes")), Err(DecodeError::Frame));
    let bare = with(|b| b.protected(HeaderBuilder::new().algorithm(iana::Algorithm::Ed25519).build()));
    assert_eq!(decode(&bare.to_tagged_vec().expect("encodes")), Err(DecodeError::Frame));
    let mut detached = with(|b| b);
    detached.payload = None;
    assert_eq!(decode(&detached.to_tagged_vec().expect("encodes")), Err(DecodeError::Type));
}

fn examples() -> Option<Value> {
    let root = env::var_os("PLUMBLINE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(text) = fs::read_to_string(root.join("cose/cose-wg-examples.json")) else {
        println!("skipped: no cose-wg-examples.json in the data folder");
        return None;
    };
    Some(serde_json::from_str(&text).expect("json"))
}

/// The key of an example, if key and algorithm are one of our two kinds.
fn key_of(sign: &Value) -> Option<PublicKey> {
    let key = &sign["key"];
    let coordinate = |name: &str| match key[format!("{name}_hex")].as_str() {
        Some(text) => hex::decode(text).ok(),
        None => Some(base64url(key[name].as_str()?)),
    };
    match (key["crv"].as_str()?, sign["alg"].as_str()?) {
        ("P-256", "ES256") => PublicKey::from_parts(2, &[coordinate("x")?, coordinate("y")?].concat()),
        ("Ed25519", "EdDSA") => PublicKey::from_parts(1, &coordinate("x")?),
        _ => None,
    }
}

/// Base64 with `-` and `_`, without padding (RFC 4648 §5).
fn base64url(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in text.trim_end_matches('=').chars() {
        bits = (bits << 6) | u32::try_from(DIGITS.find(digit).expect("base64url")).expect("small");
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).expect("one byte"));
        }
    }
    out
}

/// COSE_Sign1 of others under our verifier: coset reads the frame, we judge the signature over coset's Sig_structure.
/// None of them is evidence: our own gate refuses every one.
#[test]
fn the_working_groups_examples() {
    let Some(examples) = examples() else { return };
    let (mut good, mut bad) = (0, 0);
    for (name, case) in examples["cases"].as_object().expect("cases") {
        let sign = &case["input"]["sign0"];
        let Some(key) = key_of(sign) else { continue };
        let text = case["output"]["cbor"].as_str().expect("hex");
        let bytes = hex::decode(text).expect("hex");
        assert!(decode(&bytes).is_err(), "{name} is no evidence");
        let fails = case["fail"].as_bool().unwrap_or(false);
        let read = CoseSign1::from_tagged_slice(&bytes).or_else(|_| CoseSign1::from_slice(&bytes));
        let external = hex::decode(sign["external"].as_str().unwrap_or_default()).expect("hex");
        let holds = read.is_ok_and(|read| {
            let Ok(signature) = <&[u8; 64]>::try_from(&read.signature[..]) else { return false };
            let payload = read.payload.clone().unwrap_or_default();
            let tbs = sig_structure_data(SignatureContext::CoseSign1, read.protected, None, &external, &payload);
            if let Some(expected) = case["intermediates"]["ToBeSign_hex"].as_str().filter(|_| !fails) {
                // The known trap: `sign-pass-01` writes h'A0' and signs over an empty string.
                if !name.contains("sign-pass-01") {
                    assert_eq!(hex::encode_upper(&tbs), expected.to_uppercase(), "{name}");
                }
                return verify_statement(&key, &hex::decode(expected).expect("hex"), signature);
            }
            verify_statement(&key, &tbs, signature)
        });
        if fails {
            // A few of them fail by their frame alone (another tag): the signature may then hold.
            let by_frame = CoseSign1::from_tagged_slice(&bytes).is_err();
            assert!(by_frame || !holds, "{name} must fail");
            bad += 1;
        } else {
            assert!(holds, "{name} must verify");
            good += 1;
        }
    }
    println!("cose-wg: {good} verify, {bad} fail");
    assert!(good >= 6 && bad >= 4, "{good} good, {bad} bad: the examples were not read");
}

#[test]
fn the_frame_is_held_to_its_form() {
    use DecodeError::{Algorithm, Frame, NotShortest, Type};
    let mut buf = [0; MAX_MESSAGE];
    let signed = seal(&SoftEd25519::from_seed([9; 32]), &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
    let with = |at: usize, take: usize, put: &[u8]| {
        let mut bytes = signed.bytes.to_vec();
        bytes.splice(at..at + take, put.iter().copied());
        decode(&bytes).map(|env| env.alg)
    };
    assert_eq!(with(5, 1, &[0x27]), Ok(attest::Alg::Ed25519), "the older alias");
    assert_eq!(with(5, 1, &[0x26]), Ok(attest::Alg::Esp256), "the older alias");
    for (what, at, take, put, error) in [
        ("no tag", 0, 1, &[][..], Frame),
        ("another tag", 0, 1, &[0xd1], Frame),
        ("array(3)", 1, 1, &[0x83], Frame),
        ("indefinite array", 1, 1, &[0x9f], Frame),
        ("protected not shortest", 2, 1, &[0x58, 0x0d], Frame),
        ("alg -7 as two bytes", 5, 1, &[0x38, 0x06], Frame),
        ("HMAC", 5, 1, &[0x05], Algorithm),
        ("kid label 5", 6, 1, &[0x05], Frame),
        ("kid of nine bytes", 7, 1, &[0x49], Frame),
        ("unprotected not empty", 16, 1, &[0xa1, 0x00, 0x00], Frame),
        ("payload nil", 17, 39, &[0xf6], Type),
        ("payload not shortest", 17, 1, &[0x59, 0x00], NotShortest),
        ("payload indefinite", 17, 2, &[0x5f], Type),
        ("signature of 63 bytes", 57, 1, &[0x3f], Frame),
    ] {
        assert_eq!(with(at, take, put), Err(error), "{what}");
    }
}
