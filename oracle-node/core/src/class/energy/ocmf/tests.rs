//! Hostile records, and the twelve files of a public verifier, judged as their names say.

use super::key::Curve;
use super::*;
use crate::class::energy::policy::Section;

const SIGNATURE: &str = r#"{"SD":"3006020105020109"}"#;

fn parse(payload: &str) -> Result<(), OcmfError> {
    Record::parse(format!("OCMF|{payload}|{SIGNATURE}").as_bytes()).map(|_| ())
}

#[test]
fn hostile_records_are_refused_by_name() {
    let reading =
        r#"{"TM":"2018-07-24T13:22:04,000+0200 S","TX":"B","RV":1,"RI":"1-0:1.8.0","RU":"kWh","EF":"","ST":"G"}"#;
    assert_eq!(parse(&format!(r#"{{"PG":"T1","RD":[{reading}]}}"#)), Ok(()));
    let deep = format!(r#"{{"PG":"T1","RD":{}{}}}"#, "[".repeat(3_000), "]".repeat(3_000));
    assert!(matches!(parse(&deep), Err(OcmfError::TooDeep { .. })));
    assert!(matches!(parse(&" ".repeat(9_000)), Err(OcmfError::TooLong { .. })));
    assert!(matches!(parse(r#"{"PG":"T1","PG":"T2","RD":[]}"#), Err(OcmfError::DuplicateKey { .. })));
    assert!(matches!(parse(r#"{"PG":"T1","RD":[]}"#), Err(OcmfError::Readings { count: 0 })));
    assert!(matches!(parse(&format!(r#"{{"PG":"T01","RD":[{reading}]}}"#)), Err(OcmfError::BadPage { .. })));
    for huge in ["1e999999999", "1e99", "1e-31", r#""1e31""#, r#"" 1,5""#, &"9".repeat(31)] {
        let payload = format!(r#"{{"PG":"T1","RD":[{}]}}"#, reading.replace("\"RV\":1", &format!("\"RV\":{huge}")));
        assert!(matches!(parse(&payload), Err(OcmfError::BadNumber { .. })), "{huge}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), text in "\\PC{0,200}") {
        let _ = Record::parse(&bytes);
        let _ = Record::parse(format!("OCMF|{text}|{SIGNATURE}").as_bytes());
        let _ = Record::parse(format!(r#"OCMF|{{"PG":"T1","RD":[{{{text}}}]}}|{SIGNATURE}"#).as_bytes());
        let _ = thumbprint(&bytes);
    }
}

/// The texts between two tags.
fn between<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
    let parts = text.split(&open).skip(1);
    parts.filter_map(|part| part.split_once('>')?.1.split_once(&close).map(|(inner, _)| inner.trim())).collect()
}

/// Thumbprint of the key of an RFC 5480 `SubjectPublicKeyInfo` of the shortest form; `None` for a curve without one.
fn thumbprint(spki: &[u8]) -> Option<[u8; 32]> {
    use attest::MeterCurve::{BrainpoolP256r1, P256, P384, Secp256k1};
    let heads = [
        (P256, "3059301306072a8648ce3d020106082a8648ce3d030107034200"),
        (Secp256k1, "3056301006072a8648ce3d020106052b8104000a034200"),
        (P384, "3076301006072a8648ce3d020106052b81040022036200"),
        (BrainpoolP256r1, "305a301406072a8648ce3d020106092b2403030208010107034200"),
    ];
    let of = |(curve, head): &(_, &str)| {
        let point = spki.strip_prefix(hex::decode(head).unwrap().as_slice())?.strip_prefix(&[4])?;
        attest::meter_key_thumbprint(*curve, point)
    };
    heads.iter().find_map(of)
}

fn key(text: &str) -> Option<[u8; 32]> {
    let plain: String = text.split_whitespace().collect();
    thumbprint(&hex::decode(&plain).ok().or_else(|| base64(&plain))?)
}

/// What a file comes to: the reason of its first record that fails, then of its session.
fn verdict(text: &str) -> (String, String) {
    let curves = Section::sessions().allowed().unwrap();
    let (records, keys) = (between(text, "signedData"), between(text, "publicKey"));
    let mut read = Vec::new();
    for (record, key_text) in records.iter().zip(&keys) {
        let checked = Record::parse(record.as_bytes())
            .and_then(|record| key::check(&record, &key(key_text).unwrap_or_default(), &curves).map(|()| record));
        match checked {
            Ok(record) => read.push(record),
            Err(why) => return (why.fault().reason.name().to_owned(), String::new()),
        }
    }
    if read.is_empty() {
        let no = Record::parse(between(text, "encodedData").first().copied().unwrap_or("").as_bytes());
        return (no.map_or_else(|why| why.fault().reason.name().to_owned(), |_| "OK".to_owned()), String::new());
    }
    read.sort_by_key(|record| record.page);
    let own: Vec<&Record<'_>> = read.iter().take(if read.len() > 2 { 1 } else { 2 }).collect();
    let rules = Section { resolution_exponent: -4, ..Section::sessions() }.session_rules(22_000, u64::MAX, true, 0);
    let session = session::judge(&own, &rules);
    ("OK".to_owned(), session.map_or_else(|fault| fault.reason.name().to_owned(), |session| session.energy.to_string()))
}

#[test]
fn the_twelve_files_are_judged_as_their_names_say() {
    let folder = crate::class::energy::tests::data().join("ocmf");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no {}", folder.display());
        return;
    };
    let mut found: Vec<(String, String, String)> = files
        .flatten()
        .map(|file| {
            let bytes = std::fs::read(file.path()).unwrap();
            let (signed, session) = verdict(&String::from_utf8_lossy(&bytes));
            (file.file_name().to_string_lossy().into_owned(), signed, session)
        })
        .collect();
    found.sort();
    found.iter().for_each(|(name, signed, session)| println!("{name}: {signed} {session}"));
    assert_eq!(found.len(), 12);
    let of = |name: &str| {
        found.iter().find(|(known, ..)| known == name).map(|(_, signed, session)| (signed.as_str(), session.as_str()))
    };
    assert_eq!(of("test_ocmf_keba_kcp30.xml"), Some(("OK", "0.1")));
    assert_eq!(of("test_ocmf_keba_kcp30_fail.xml"), Some(("METER_SIGNATURE", "")));
    assert_eq!(of("brainpoolP256r1.xml"), Some(("METER_SIGNATURE", "")));
    assert_eq!(of("second_key_fail_ocmf.xml").map(|(signed, _)| signed == "OK"), Some(false));
    assert_eq!(of("keba_test.xml"), Some(("OK", "CLOCK_UNKNOWN")));
    assert_eq!(of("ocmf_tariff_1.xml"), Some(("OK", "CLOCK_UNKNOWN")));
    assert_eq!(of("test_ocmf_rsa_01.xml"), Some(("RECORD_MALFORMED", "")));
    assert_eq!(of("nistP384_0Wh.xml"), Some(("OK", "0")));
    assert!(Curve::VERIFIABLE.len() == 3);
}

/// A record that is signed by what makes a signature of a digest.
fn signed(sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let reading = r#"{"TM":"2018-07-24T13:22:04,000+0200 S","TX":"B","RV":1,"RI":"1-0:1.8.0","RU":"Wh","ST":"G"}"#;
    let payload = format!(r#"{{"PG":"T1","RD":[{reading}]}}"#);
    let signature = hex::encode(sign(&Sha256::digest(payload.as_bytes())));
    format!(r#"OCMF|{payload}|{{"SD":"{signature}"}}"#)
}

/// Texts of one record on each curve, by the key of a byte, with the key's thumbprint; both forms of s on P-256.
fn on_each_curve(byte: u8) -> Vec<(Curve, [u8; 32], String)> {
    use attest::{MeterCurve, meter_key_thumbprint};
    use p256::ecdsa::signature::hazmat::PrehashSigner as _;
    let p256 = p256::ecdsa::SigningKey::from_slice(&[byte; 32]).unwrap();
    let p384 = p384::ecdsa::SigningKey::from_slice(&[byte; 48]).unwrap();
    let k256 = k256::ecdsa::SigningKey::from_slice(&[byte; 32]).unwrap();
    let one = |digest: &[u8]| -> p256::ecdsa::Signature { p256.sign_prehash(digest).unwrap() };
    let other = |digest: &[u8]| {
        let (r, s) = one(digest).split_scalars();
        p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap()
    };
    let three = |digest: &[u8]| -> p384::ecdsa::Signature { p384.sign_prehash(digest).unwrap() };
    let four = |digest: &[u8]| k256.sign_prehash_recoverable(digest).unwrap().0;
    let print = |curve, point: &[u8]| meter_key_thumbprint(curve, &point[1..]).unwrap();
    let first = print(MeterCurve::P256, p256.verifying_key().to_sec1_point(false).as_bytes());
    let second = print(MeterCurve::P384, p384.verifying_key().to_sec1_point(false).as_bytes());
    let third = print(MeterCurve::Secp256k1, k256.verifying_key().to_encoded_point(false).as_bytes());
    vec![
        (Curve::Secp256r1, first, signed(|digest| one(digest).to_bytes().to_vec())),
        (Curve::Secp256r1, first, signed(|digest| other(digest).to_bytes().to_vec())),
        (Curve::Secp384r1, second, signed(|digest| three(digest).to_bytes().to_vec())),
        (Curve::Secp256k1, third, signed(|digest| four(digest).to_bytes().to_vec())),
    ]
}

#[test]
fn a_key_is_found_by_its_thumbprint_on_every_curve_and_by_no_other() {
    for byte in 1..9 {
        for (curve, registered, text) in on_each_curve(byte) {
            let record = Record::parse(text.as_bytes()).unwrap();
            assert_eq!(key::check(&record, &registered, &[curve]), Ok(()));
            let elsewhere: Vec<Curve> = Curve::VERIFIABLE.into_iter().filter(|other| *other != curve).collect();
            let largest = elsewhere.iter().map(|curve| curve.bits()).max().unwrap();
            let refused = Err(OcmfError::CurveNotAllowed { curve, largest });
            assert_eq!(key::check(&record, &registered, &elsewhere), refused);
            for (_, other, _) in on_each_curve(byte + 1) {
                assert_eq!(key::check(&record, &other, &Curve::VERIFIABLE), Err(OcmfError::Signature));
            }
            let changed = text.replace("\"RV\":1", "\"RV\":2");
            let changed = Record::parse(changed.as_bytes()).unwrap();
            assert_eq!(key::check(&changed, &registered, &Curve::VERIFIABLE), Err(OcmfError::Signature));
        }
    }
}
