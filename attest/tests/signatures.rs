//! Signatures by others: Wycheproof and the Ed25519 edge cases under ZIP-215, each through the single and the batch
//! verifier, whose verdicts must be equal in every composition.

mod common;

use std::{env, fs, path::PathBuf};

use attest::{
    BatchVerifier, Body, Class, Envelope, MAX_MESSAGE, PublicKey, Signer, SoftEd25519, SoftP256, VerifyError, decode,
    seal, verify, verify_statement,
};
use common::{claims, network};
use curve25519_dalek::{
    EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, constants::EIGHT_TORSION, traits::IsIdentity,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// A signature by someone else: key, message, signature and what to call it.
struct Foreign {
    name: String,
    key: PublicKey,
    message: Vec<u8>,
    signature: [u8; 64],
}

fn data(file: &str) -> Option<Value> {
    let root = env::var_os("PLUMBLINE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join("signatures").join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: no {file} in the data folder");
        return None;
    };
    Some(serde_json::from_str(&text).expect("json"))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().expect(field)
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).expect("hex")
}

/// The single verdicts; each batch composition must give the same.
fn verdicts(foreign: &[Foreign]) -> Vec<bool> {
    let single: Vec<bool> = foreign.iter().map(|f| verify_statement(&f.key, &f.message, &f.signature)).collect();
    // All together, then in runs of several sizes: each signature meets other company.
    for size in [foreign.len(), 2, 3, 5, 8, 16, 33] {
        for (run, expected) in foreign.chunks(size.max(1)).zip(single.chunks(size.max(1))) {
            let mut batch = BatchVerifier::new(network());
            for f in run {
                batch.push_statement(&f.key, &f.message, &f.signature);
            }
            let found: Vec<bool> = batch.finish().iter().map(Result::is_ok).collect();
            assert_eq!(found, expected, "batches of {size}, from {}", run[0].name);
        }
    }
    // And each among many good ones.
    let good = SoftEd25519::from_seed([5; 32]);
    for (f, expected) in foreign.iter().zip(&single) {
        let mut batch = BatchVerifier::new(network());
        for n in 0..9u8 {
            if n == 4 {
                batch.push_statement(&f.key, &f.message, &f.signature);
            }
            let signature = good.sign(attest::ToBeSigned::new(&[n])).expect("signs");
            batch.push_statement(&good.public_key(), &[n], &signature);
        }
        let found = batch.finish();
        assert_eq!(found[4].is_ok(), *expected, "{}", f.name);
        assert_eq!(found.iter().filter(|verdict| verdict.is_ok()).count(), 9 + usize::from(*expected), "{}", f.name);
    }
    single
}

/// Wycheproof's tests whose key and signature have our lengths, with the number of those that have not.
fn wycheproof(value: &Value, key: impl Fn(&Value) -> Option<PublicKey>) -> (Vec<(Foreign, Value)>, usize) {
    let mut out = Vec::new();
    let mut other_lengths = 0;
    for group in value["testGroups"].as_array().expect("groups") {
        for test in group["tests"].as_array().expect("tests") {
            match (key(group), <[u8; 64]>::try_from(bytes(test, "sig"))) {
                (Some(key), Ok(signature)) => {
                    let foreign =
                        Foreign { name: test["tcId"].to_string(), key, message: bytes(test, "msg"), signature };
                    out.push((foreign, test.clone()));
                }
                _ => {
                    // Such a signature does not fit the envelope at all; Wycheproof must agree that it is no loss.
                    assert_eq!(text(test, "result"), "invalid", "{}", test["tcId"]);
                    other_lengths += 1;
                }
            }
        }
    }
    (out, other_lengths)
}

/// The one Wycheproof test on which ZIP-215 differs from RFC 8032: R is the neutral point written with a sign bit,
/// an encoding that ZIP-215 takes on purpose, so that no verifier needs to know which encodings others refuse.
const ZIP215_LENIENT: u64 = 151;

#[test]
fn wycheproof_ed25519() {
    let Some(value) = data("wycheproof_ed25519_test.json") else { return };
    let (tests, other_lengths) =
        wycheproof(&value, |group| PublicKey::from_parts(1, &bytes(&group["publicKey"], "pk")));
    let (foreign, tests): (Vec<_>, Vec<_>) = tests.into_iter().unzip();
    for (accepted, test) in verdicts(&foreign).into_iter().zip(&tests) {
        let lenient = test["tcId"] == ZIP215_LENIENT;
        assert_eq!(accepted, lenient || text(test, "result") == "valid", "{test}");
    }
    println!("wycheproof ed25519: {} verdicts, {other_lengths} of other lengths", foreign.len());
    assert!(foreign.len() > 120);
}

#[test]
fn wycheproof_p256() {
    let Some(value) = data("wycheproof_ecdsa_secp256r1_sha256_p1363_test.json") else { return };
    let (tests, other_lengths) = wycheproof(&value, |group| {
        let point = bytes(&group["publicKey"], "uncompressed");
        PublicKey::from_parts(2, point.get(1..)?)
    });
    let (foreign, tests): (Vec<_>, Vec<_>) = tests.into_iter().unzip();
    for (f, test) in foreign.iter().zip(&tests) {
        let accepted = verify_statement(&f.key, &f.message, &f.signature);
        assert_eq!(accepted, text(test, "result") == "valid", "{test}");
        let mut batch = BatchVerifier::new(network());
        batch.push_statement(&f.key, &f.message, &f.signature);
        assert_eq!(batch.finish()[0].is_ok(), accepted);
    }
    println!("wycheproof p256: {} verdicts, {other_lengths} of other lengths", foreign.len());
    assert!(foreign.len() > 200);
}

#[test]
fn zip215_cases() {
    let Some(value) = data("ed25519_zip215.json") else { return };
    let cases = value.as_array().expect("cases");
    let foreign: Vec<Foreign> = cases
        .iter()
        .enumerate()
        .map(|(n, case)| Foreign {
            name: n.to_string(),
            key: PublicKey::from_parts(1, &bytes(case, "vk_bytes")).expect("32 bytes"),
            message: b"Zcash".to_vec(),
            signature: bytes(case, "sig_bytes").try_into().expect("64 bytes"),
        })
        .collect();
    for (accepted, case) in verdicts(&foreign).into_iter().zip(cases) {
        assert_eq!(Some(accepted), case["valid_zip215"].as_bool(), "{case}");
    }
    assert!(foreign.len() > 100);
}

#[test]
fn the_twelve_edge_cases() {
    let Some(value) = data("ed25519_edge-cases.json") else { return };
    let foreign: Vec<Foreign> = value
        .as_array()
        .expect("cases")
        .iter()
        .enumerate()
        .map(|(n, case)| Foreign {
            name: n.to_string(),
            key: PublicKey::from_parts(1, &bytes(case, "pub_key")).expect("32 bytes"),
            message: bytes(case, "message"),
            signature: bytes(case, "signature").try_into().expect("64 bytes"),
        })
        .collect();
    // Cofactored, S canonical, points in any encoding: 6, 7 and 8 have S at or above the group order.
    let expected = [true, true, true, true, true, true, false, false, false, true, true, true];
    assert_eq!(verdicts(&foreign), expected);
}

/// Signs as a key holder who adds a small-order point to R before hashing: the classical way to split a network.
fn torsion_tampered(seed: u8, message: &[u8], torsion: EdwardsPoint, torsion_in_key: EdwardsPoint) -> Foreign {
    let secret = Scalar::from_bytes_mod_order_wide(&Sha512::digest([seed]).into());
    let nonce = Scalar::from_bytes_mod_order_wide(&Sha512::digest([&[seed, 1][..], message].concat()).into());
    let key = (ED25519_BASEPOINT_POINT * secret + torsion_in_key).compress().to_bytes();
    let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress().to_bytes();
    let k = Scalar::from_bytes_mod_order_wide(&Sha512::digest([&r[..], &key, message].concat()).into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&(nonce + k * secret).to_bytes());
    Foreign { name: format!("torsion {seed}"), key: PublicKey::Ed25519(key), message: message.to_vec(), signature }
}

#[test]
fn torsion_splits_nobody() {
    let mut foreign = Vec::new();
    for (n, torsion) in EIGHT_TORSION.into_iter().enumerate() {
        for (m, in_key) in EIGHT_TORSION.into_iter().enumerate() {
            let seed = u8::try_from(8 * n + m).expect("small");
            foreign.push(torsion_tampered(seed, b"a reading", torsion, in_key));
        }
    }
    assert!(EIGHT_TORSION[0].is_identity());
    let accepted = verdicts(&foreign);
    assert!(accepted.iter().all(|accepted| *accepted), "ZIP-215 is cofactored: every one verifies");
    let mut published = published(&foreign, true);
    // A torsion point added after signing changes R and so the hash: refused by everyone.
    for (n, f) in foreign.iter_mut().enumerate() {
        let point = curve25519_dalek::edwards::CompressedEdwardsY(f.signature[..32].try_into().expect("32 bytes"));
        let moved = point.decompress().expect("a point") + EIGHT_TORSION[1 + n % 7];
        f.signature[..32].copy_from_slice(&moved.compress().to_bytes());
    }
    assert!(verdicts(&foreign).iter().all(|accepted| !accepted));
    published.extend(self::published(&foreign, false));
    pinned(&published);
}

/// The tampered signatures as others can test with them.
fn published(foreign: &[Foreign], valid: bool) -> Vec<Value> {
    let one = |f: &Foreign| {
        json!({
            "key": hex::encode(f.key.bytes()), "message": hex::encode(&f.message),
            "signature": hex::encode(f.signature), "valid_zip215": valid,
        })
    };
    foreign.iter().map(one).collect()
}

/// Holds them to `vectors/torsion.json`; `PLUMBLINE_BLESS=1` writes it.
fn pinned(cases: &[Value]) {
    let now = json!({
        "about": "Ed25519 signatures with small-order points added to R (before or after hashing) and to the key. \
                  ZIP-215: 64 are valid, 64 are not, alone and in every batch.",
        "cases": cases,
    });
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/torsion.json");
    if env::var_os("PLUMBLINE_BLESS").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&now).expect("json") + "\n").expect("written");
    }
    let text = fs::read_to_string(file).expect("the vectors are part of the crate");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("json"), now);
}

#[test]
fn messages_in_batches_get_their_single_verdicts() {
    let mut messages = Vec::new();
    let mut keys = Vec::new();
    for n in 0..70u8 {
        let (ed, p256) = (SoftEd25519::from_seed([n; 32]), SoftP256::from_seed([n; 32]));
        let signer: &dyn Signer = if n % 7 == 3 { &p256 } else { &ed };
        let mut buf = [0; MAX_MESSAGE];
        let signed = seal(&signer, &network(), &claims(Body::Heartbeat), &mut buf).expect("seals");
        let mut wire = signed.bytes.to_vec();
        let last = wire.len() - 1;
        match n {
            5 | 6 | 41 => wire[last - 40] ^= 1, // R
            17 => wire[last] ^= 0x10,           // S out of range
            30 => wire[40] ^= 1,                // a claim
            50 => wire[10] ^= 1,                // the key id
            _ => {}
        }
        messages.push(wire);
        keys.push(if n == 60 { not_a_point() } else { signer.public_key() });
    }
    let decoded: Vec<Envelope<'_>> = messages.iter().map(|wire| decode(wire).expect("decodes")).collect();
    let class = |n: usize| if n == 20 { Class::Telemetry } else { Class::Heartbeat };
    let mut batch = BatchVerifier::new(network());
    for (n, (env, key)) in decoded.iter().zip(&keys).enumerate() {
        batch.push(class(n), env, key);
    }
    assert_eq!(batch.len(), 70);
    let found = batch.finish();
    let mut refused = Vec::new();
    for (n, (env, key)) in decoded.iter().zip(&keys).enumerate() {
        assert_eq!(found[n], verify(env, class(n), &network(), key), "{n}");
        if let Err(error) = found[n] {
            refused.push((n, error));
        }
    }
    use VerifyError::{Kid, Signature};
    let expected = [5, 6, 17, 20, 30, 41, 50, 60].map(|n| (n, if n == 50 || n == 60 { Kid } else { Signature }));
    assert_eq!(refused, expected);
}

/// 32 bytes that decompress to no point.
fn not_a_point() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    PublicKey::Ed25519(bytes)
}

#[test]
fn keys_that_are_no_points_are_named_so() {
    let signature = [1; 64];
    for key in [not_a_point(), PublicKey::P256([3; 64]), PublicKey::P256([0; 64])] {
        let mut wire = hex::decode("d2844da201").expect("hex");
        wire.push(if matches!(key, PublicKey::P256(_)) { 0x28 } else { 0x32 });
        wire.extend([0x04, 0x48]);
        wire.extend(key.kid());
        wire.extend([0xa0, 0x40, 0x58, 0x40]);
        wire.extend(signature);
        let env = decode(&wire).expect("the form is right");
        assert_eq!(verify(&env, Class::Heartbeat, &network(), &key), Err(VerifyError::Key));
        let mut batch = BatchVerifier::new(network());
        for _ in 0..9 {
            batch.push(Class::Heartbeat, &env, &key);
        }
        assert_eq!(batch.finish(), vec![Err(VerifyError::Key); 9]);
        assert!(!verify_statement(&key, b"", &signature));
    }
}

#[test]
fn an_empty_batch_has_no_verdicts() {
    let batch = BatchVerifier::new(network());
    assert!(batch.is_empty());
    assert_eq!(batch.finish(), vec![]);
}
