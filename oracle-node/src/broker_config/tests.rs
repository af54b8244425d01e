//! The folder that `oracle-node broker` makes, and its rules. What mosquitto makes of them: `.ci/mosquitto`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::testing::Dir;

const KID: &str = "0123456789abcdef";

fn flags(dir: &Path) -> Init {
    Init {
        dir: dir.to_owned(),
        hosts: vec!["localhost".into(), "127.0.0.1".into()],
        nodes: vec!["node-a".into(), "node-b".into()],
        port: 8_883,
        bind: None,
        at: None,
    }
}

fn device_flags(dir: &Path, csr: Option<PathBuf>) -> Device {
    Device { dir: dir.to_owned(), kid: KID.into(), csr, days: 30 }
}

#[test]
fn a_folder_is_made_once_with_tight_keys_that_work() {
    let scratch = Dir::new("broker-config");
    let dir = scratch.path().join("b");
    init(&flags(&dir)).expect("made");
    device(&device_flags(&dir, None)).expect("a device");
    for key in ["ca.key", "broker.key", "node-a.key", "node-b.key", "devices/0123456789abcdef.key"] {
        let mode = std::fs::metadata(dir.join(key)).expect(key).permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{key}");
    }
    let pair = |name: &str| (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    for name in ["node-a", "devices/0123456789abcdef"] {
        let (certificate, key) = pair(name);
        attest_mqtt::Tls::from_files(&dir.join("ca.pem"), Some((&certificate, &key))).expect(name);
    }
    let (certificate, _) = pair("node-a");
    let (_, key) = pair("node-b");
    assert!(attest_mqtt::Tls::from_files(&dir.join("ca.pem"), Some((&certificate, &key))).is_err(), "not a pair");

    let before = std::fs::read(dir.join("ca.pem")).expect("read");
    assert!(init(&flags(&dir)).expect_err("twice").to_string().contains("nothing was changed"));
    assert!(device(&device_flags(&dir, None)).expect_err("twice").to_string().contains("overwritten"));
    assert_eq!(std::fs::read(dir.join("ca.pem")).expect("read"), before);
}

#[test]
fn a_request_keeps_its_key_and_gets_our_name() {
    let scratch = Dir::new("broker-csr");
    let dir = scratch.path().join("b");
    init(&flags(&dir)).expect("made");
    // The request asks for a node's name and for being a CA.
    let mut params = rcgen::CertificateParams::new(vec!["node-a".to_owned()]).expect("parameters");
    params.distinguished_name.push(rcgen::DnType::CommonName, "node-a");
    let key = rcgen::KeyPair::generate().expect("a key");
    let request = scratch.path().join("device.csr");
    std::fs::write(&request, params.serialize_request(&key).expect("a request").pem().expect("PEM")).expect("written");
    device(&device_flags(&dir, Some(request.clone()))).expect("signed");
    let pem = std::fs::read_to_string(dir.join("devices/0123456789abcdef.pem")).expect("read");
    assert!(!dir.join("devices/0123456789abcdef.key").exists(), "the key stays where it is");
    let secret = key.serialize_pem();
    let ca = std::fs::read(dir.join("ca.pem")).expect("read");
    attest_mqtt::Tls::from_pem(&ca, Some((pem.as_bytes(), secret.as_bytes()))).expect("certificate and key fit");
    let der = der(&pem);
    let holds = |name: &str| der.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(holds(KID) && !holds("node-a"), "the name is ours to give");

    std::fs::write(&request, "nonsense").expect("written");
    assert!(format!("{:#}", device(&device_flags(&dir, Some(request))).expect_err("nonsense")).contains("device.csr"));
}

/// PEM to bytes, enough for a test.
fn der(pem: &str) -> Vec<u8> {
    let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = pem.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes);
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0u32, 0);
    for value in digits.filter_map(|digit| table.iter().position(|known| *known == digit)) {
        buffer = (buffer << 6) | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    bytes
}

#[test]
fn names_that_could_pass_for_another_are_refused() {
    for name in ["", "Node", "node a", "node+", "#", "0123456789abcdef", "ca", "broker", "../x", &"n".repeat(33)] {
        assert!(check_node(name).is_err(), "{name:?}");
    }
    for kid in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "node-a", "0123456789abcde+"] {
        assert!(check_kid(kid).is_err(), "{kid:?}");
    }
    assert!(check_node("node-1").is_ok() && check_kid(KID).is_ok());
}

#[test]
fn rules_name_every_topic_of_the_protocol_and_blocking_comes_last() {
    let scratch = Dir::new("broker-acl");
    let dir = scratch.path().join("b");
    init(&flags(&dir)).expect("made");
    block(&dir, KID).expect("blocked");
    block(&dir, KID).expect("blocked already");
    let rules = std::fs::read_to_string(dir.join("acl")).expect("read");
    assert_eq!(rules.matches("topic deny #").count(), 1);
    assert!(rules.ends_with("\nuser 0123456789abcdef\ntopic deny #\n"));
    // The patterns are the topics that attest writes and listens to.
    let kid = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    let up = attest::topic_up(attest::Class::Answer, &kid).replace("answer", "+").replace(KID, "%u");
    assert!(rules.contains(&format!("pattern write {up}\n")), "{up}");
    let down = attest::topic_down(attest::Down::Receipt, &kid).replace("receipt", "#").replace(KID, "%u");
    assert!(rules.contains(&format!("pattern read {down}\n")), "{down}");
    assert!(rules.contains(&format!("pattern read {}\n", attest::BEACON_TOPIC)));
    let term = attest::topic_term(&[0; 8], 0);
    let (term, _) = term.rsplit_once("/0000000000000000/").expect("network and committee");
    assert!(rules.contains(&format!("pattern read {term}/#\n")), "{term}");
    let status = attest_mqtt::status_topic(&kid).replace(KID, "%u");
    assert!(rules.contains(&format!("pattern write {status}\n")), "{status}");
    let conf = std::fs::read_to_string(dir.join("mosquitto.conf")).expect("read");
    for line in ["require_certificate true", "allow_anonymous false", "use_username_as_clientid true", "listener 8883"]
    {
        assert!(conf.lines().any(|found| found == line), "{line}");
    }
}
