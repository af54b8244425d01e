//! Encodings and verification against vectors by others: RFC 9380, EIP-2537, drand, Wycheproof, commonware.

use aggregator::{DST, Error, GroupKey, Share, Signature};

mod support;
use support::{array, data, hex_of, json, list, sized};

const NUL_G1: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const NUL_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";

/// The key of secret 1, the generator: a signature under it is the hash of the message itself.
fn generator() -> GroupKey {
    let mut one = [0; 32];
    one[31] = 1;
    Share::from_bytes(0, &one).expect("1 is a scalar").public_share()
}

/// x ‖ y of an EIP-2537 G1 point, which pads each coordinate to 64 bytes.
fn unpad(g1: &[u8]) -> [u8; 96] {
    sized(&[&g1[16..64], &g1[80..128]].concat())
}

#[test]
fn rfc9380_hash_to_g1() {
    let Some(file) = json("bls/rfc9380/BLS12381G1_XMD_SHA-256_SSWU_RO_.json") else { return };
    let dst = file["dst"].as_str().expect("text").as_bytes();
    for vector in list(&file["vectors"]) {
        let point = [hex_of(&vector["P"]["x"]), hex_of(&vector["P"]["y"])].concat();
        let hash = Signature::from_onchain(&sized(&point)).expect("their point");
        assert_eq!(hash.to_onchain().as_slice(), point);
        let message = vector["msg"].as_str().expect("text").as_bytes();
        generator().verify_bytes(message, &hash, dst).expect("same hash to curve");
        assert_eq!(generator().verify_bytes(message, &hash, DST), Err(Error::Signature));
    }
}

#[test]
fn eip2537_points_round_trip() {
    for (name, at) in [("bls/eip2537/map_fp2_to_G2_bls.json", "Expected"), ("bls/eip2537/mul_G2_bls.json", "Input")] {
        let Some(cases) = json(name) else { return };
        for case in list(&cases) {
            let bytes: [u8; 256] = sized(&hex_of(&case[at])[..256]);
            if bytes == [0; 256] {
                assert_eq!(GroupKey::from_eip2537(&bytes), Err(Error::Infinity));
                continue;
            }
            let key = GroupKey::from_eip2537(&bytes).expect("their point");
            assert_eq!(key.to_eip2537(), bytes);
            assert_eq!(GroupKey::from_bytes(&key.to_bytes()), Ok(key));
        }
    }
    let Some(cases) = json("bls/eip2537/map_fp_to_G1_bls.json") else { return };
    for case in list(&cases) {
        let bytes = unpad(&hex_of(&case["Expected"]));
        let signature = Signature::from_onchain(&bytes).expect("their point");
        assert_eq!(signature.to_onchain(), bytes);
        assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
    }
}

#[test]
fn eip2537_bad_points_are_refused() {
    let mut refused = 0;
    for name in ["bls/eip2537/fail-mul_G2_bls.json", "bls/eip2537/fail-mul_G1_bls.json"] {
        let Some(cases) = json(name) else { return };
        let size = if name.contains("G2") { 256 } else { 128 };
        for case in list(&cases) {
            let input = hex_of(&case["Input"]);
            let reason = case["ExpectedError"].as_str().expect("text");
            if reason.contains("length") {
                continue; // our types fix the length
            }
            let result = match size {
                256 => GroupKey::from_eip2537(&sized(&input[..256])).map(drop),
                // The padding is not part of the 96-byte form, so that case has nothing to refuse.
                _ if reason.contains("top bytes") => continue,
                _ => Signature::from_onchain(&unpad(&input)).map(drop),
            };
            let wanted = if reason.contains("subgroup") { Error::Subgroup } else { Error::Point };
            assert_eq!(result, Err(wanted), "{}", case["Name"]);
            refused += 1;
        }
    }
    assert!(refused >= 8, "only {refused} cases looked at");
}

#[test]
fn drand_beacons_verify_under_their_own_tag_only() {
    let Some(file) = json("bls/drand-beacons.json") else { return };
    let (mut good, mut historic) = (0, 0);
    for beacon in list(&file["beacons"]) {
        let scheme = beacon["scheme"].as_str().expect("text");
        if !scheme.starts_with("bls-unchained") {
            continue; // keys in G1: not our arrangement
        }
        let key = GroupKey::from_bytes(&array(&beacon["public_key"])).expect("their key");
        let signature = Signature::from_bytes(&array(&beacon["signature"])).expect("their signature");
        let message = hex_of(&beacon["message_sha256"]);
        let under = |dst| key.verify_bytes(&message, &signature, dst).is_ok();
        assert!(!under(DST), "our tag must not accept another network's beacon");
        if scheme == "bls-unchained-g1-rfc9380" {
            assert!(under(NUL_G1));
            let mut other = message.clone();
            other[0] ^= 1;
            assert_eq!(key.verify_bytes(&other, &signature, NUL_G1), Err(Error::Signature));
            good += 1;
        } else {
            assert!(!under(NUL_G1), "fastnet used the G2 tag");
            assert!(under(NUL_G2));
            historic += 1;
        }
    }
    assert!(good > 0 && historic > 0, "{good} good, {historic} historic");
}

#[test]
fn min_sig_key_and_signature_vectors() {
    let Some(text) = data("bls/min_sig_sign_verify.txt") else { return };
    let mut count = 0;
    for line in text.lines() {
        let fields: Vec<Vec<u8>> = line.split(':').map(|field| hex::decode(field).expect("hex")).collect();
        let [secret, message, signature] = fields.as_slice() else { panic!("three fields: {line}") };
        let key = Share::from_bytes(0, &sized(secret)).expect("their secret").public_share();
        let signature = Signature::from_bytes(&sized(signature)).expect("their signature");
        key.verify_bytes(message, &signature, NUL_G1).expect("their signature verifies");
        assert_eq!(key.verify_bytes(message, &signature, DST), Err(Error::Signature));
        count += 1;
    }
    assert_eq!(count, 128);
}

/// Wycheproof has keys in G1 and signatures in G2, the other way round: here only the decoders are compared.
#[test]
fn wycheproof_hostile_points_are_refused() {
    let Some(file) = json("bls/wycheproof/bls_sig_g2_basic_verify_test.json") else { return };
    const POINT_FAULTS: [&str; 6] =
        ["IdentityPoint", "TruncatedSignature", "InvalidEncoding", "NotOnCurve", "InvalidFlags", "NotInSubgroup"];
    let (mut good, mut bad) = (0, 0);
    for group in list(&file["testGroups"]) {
        let g1 = hex_of(&group["publicKey"]["pk"]);
        let g1 = g1.try_into().ok().and_then(|bytes| Signature::from_bytes(&bytes).ok());
        for test in list(&group["tests"]) {
            let g2 = hex_of(&test["sig"]);
            let g2 = g2.try_into().ok().and_then(|bytes| GroupKey::from_bytes(&bytes).ok());
            let both = g1.is_some() && g2.is_some();
            let faulty = list(&test["flags"]).iter().any(|f| POINT_FAULTS.contains(&f.as_str().unwrap_or_default()));
            if test["result"] == "valid" {
                assert!(both, "refused a good point: {}", test["comment"]);
                good += 1;
            } else if faulty {
                assert!(!both, "accepted a bad point: {}", test["comment"]);
                bad += 1;
            }
        }
    }
    assert!(good > 20 && bad > 30, "{good} good, {bad} bad");
}

#[test]
fn infinity_and_zero_are_refused() {
    let mut g1 = [0; 48];
    g1[0] = 0xc0;
    assert_eq!(Signature::from_bytes(&g1), Err(Error::Infinity));
    let mut g2 = [0; 96];
    g2[0] = 0xc0;
    assert_eq!(GroupKey::from_bytes(&g2), Err(Error::Infinity));
    let mut onchain = [0; 96];
    onchain[0] = 0x40;
    assert_eq!(Signature::from_onchain(&onchain), Err(Error::Infinity));
    assert_eq!(Signature::from_onchain(&[0; 96]), Err(Error::Point));
    assert_eq!(GroupKey::from_eip2537(&[0; 256]), Err(Error::Infinity));
    assert_eq!(Share::from_bytes(0, &[0; 32]).map(drop), Err(Error::Scalar));
    assert_eq!(Share::from_bytes(0, &[0xff; 32]).map(drop), Err(Error::Scalar));
}
