//! Faults of a configuration file are found all at once, and the example file has none.

use std::path::Path;
use std::time::Duration;

use super::*;

const ADDRESSES: &str = r#"
registry = "0x0000000000000000000000000000000000000001"
devices  = "0x0000000000000000000000000000000000000002"
escrow   = "0x0000000000000000000000000000000000000003"
hub      = "0x0000000000000000000000000000000000000004"
"#;

#[test]
fn a_short_file_is_enough_and_paths_follow_it() {
    let text = format!(
        "[mqtt]\nbrokers = [\"localhost:1883\"]\n[chain]\nrpc = \"http://127.0.0.1:8545\"\npoll = \"2s\"\n{ADDRESSES}"
    );
    let config = Config::parse(&text, Path::new("base")).expect("valid");
    assert_eq!(config.keys.member, Path::new("base/keys/member.key"));
    assert_eq!(config.keys.store, Path::new("base/keys/store.key"));
    assert_eq!(config.mqtt.brokers, [Broker { host: "localhost".into(), port: 1883, tls: None }]);
    assert_eq!(config.chain.poll, Duration::from_secs(2));
    assert!(config.http.listen.ip().is_loopback());
    assert_eq!(config.behaviour, Behaviour::Honest);
}

#[test]
fn every_fault_is_named_at_once() {
    let text = r#"
        comittee = 2
        streams = [0, -1]
        [mqtt]
        brokers = ["nowhere"]
        [chain]
        rpc = "ftp://x"
        hub = "0x12"
        poll = "soon"
        [gossip]
        listen = "127.0.0.1:1"
        [http]
        listen = 8080
        [test]
        behaviour = "odd"
    "#;
    let faults = Config::parse(text, Path::new(".")).expect_err("faulty").join("\n");
    for expected in [
        "unknown key \"comittee\"; did you mean \"committee\"?",
        "streams must be a list of 1 to 64 different whole numbers",
        "[mqtt] brokers: \"nowhere\" is not host:port",
        "[mqtt] brokers: at least one",
        "[chain] rpc: \"ftp://x\" is not an http URL",
        "[chain] registry is missing",
        "[chain] hub: \"0x12\" is not a contract address",
        "[chain] poll: \"soon\" is not a duration",
        "[gossip] \"127.0.0.1:1\" is not a multiaddr",
        "[http] listen must be text in quotes",
        "[test] behaviour: \"odd\"",
    ] {
        assert!(faults.contains(expected), "{expected:?} not in:\n{faults}");
    }
}

#[test]
fn each_broker_has_its_own_tls_or_the_common_one() {
    let brokers = r#"
        [mqtt]
        brokers = ["a.example:8883", "b.example:8883"]
        [[mqtt.tls]]
        broker = "b.example:8883"
        ca = "b/ca.pem"
        certificate = "b/node.pem"
        key = "b/node.key"
        [[mqtt.tls]]
        ca = "/etc/ca.pem"
    "#;
    let text = format!("{brokers}\n[chain]\nrpc = \"http://127.0.0.1:8545\"\n{ADDRESSES}");
    let config = Config::parse(&text, Path::new("base")).expect("valid");
    let tls: Vec<_> = config.mqtt.brokers.iter().map(|broker| broker.tls.clone().expect("TLS")).collect();
    assert_eq!(tls[0], BrokerTls { ca: "/etc/ca.pem".into(), identity: None });
    let identity = Some((Path::new("base/b/node.pem").into(), Path::new("base/b/node.key").into()));
    assert_eq!(tls[1], BrokerTls { ca: Path::new("base/b/ca.pem").into(), identity });

    let faulty = text.replace("b.example:8883\"\n        ca", "c.example:1\"\n        cca").replace("key =", "kee =");
    let faults = Config::parse(&faulty, Path::new(".")).expect_err("faulty").join("\n");
    for expected in [
        "[mqtt.tls] unknown key \"cca\"; did you mean \"ca\"?",
        "[mqtt.tls] ca is missing",
        "[mqtt.tls] certificate and key go together",
        "[mqtt] tls: broker \"c.example:1\" is not among the brokers",
    ] {
        assert!(faults.contains(expected), "{expected:?} not in:\n{faults}");
    }
    let faults = Config::parse("[mqtt]\ntls = \"yes\"", Path::new(".")).expect_err("faulty").join("\n");
    assert!(faults.contains("[[mqtt.tls]] tables"), "{faults}");
}

#[test]
fn an_address_book_stands_for_the_addresses() {
    let folder = std::env::temp_dir().join(format!("plumbline-book-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let entry = |name: &str, byte: u8| format!(r#""{name}":{{"address":"0x{}"}}"#, format!("{byte:02x}").repeat(20));
    let contracts = ["CommitteeRegistry", "DeviceRegistry", "LeaseEscrow", "ReportHub", "OperatorStake"];
    let contracts: Vec<String> = contracts.iter().zip(1..).map(|(name, byte)| entry(name, byte)).collect();
    let book = format!(r#"{{"version":1,"block":7,"contracts":{{{}}}}}"#, contracts.join(","));
    std::fs::write(folder.join("book.json"), &book).expect("the book");
    std::fs::write(folder.join("part.json"), book.replace("ReportHub", "Hub")).expect("a part of it");
    let file = |more: &str| {
        format!("[mqtt]\nbrokers = [\"localhost:1883\"]\n[chain]\nrpc = \"http://127.0.0.1:8545\"\n{more}")
    };

    let config = Config::parse(&file("addresses = \"book.json\""), &folder).expect("valid");
    assert_eq!((config.chain.registry, config.chain.hub), (Address::repeat_byte(1), Address::repeat_byte(4)));
    assert_eq!((config.chain.stake, config.chain.start_block), (Some(Address::repeat_byte(5)), 7));
    let faults = |more: &str| Config::parse(&file(more), &folder).expect_err("faulty").join("\n");
    assert!(faults(&format!("addresses = \"book.json\"{ADDRESSES}")).contains("hub is in the address book already"));
    assert!(faults("addresses = \"part.json\"").contains("no address of ReportHub"));
    assert!(faults("addresses = \"none.json\"").contains("none.json: cannot be read"));
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn durations_have_units() {
    let ok = [("1ms", 1), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000)];
    for (text, millis) in ok {
        assert_eq!(reader::parse_duration(text), Some(Duration::from_millis(millis)));
    }
    for text in ["", "5", "s", "0s", "1.5s", "-1s", "99999999999999999999h"] {
        assert_eq!(reader::parse_duration(text), None, "{text}");
    }
}

#[test]
fn the_example_file_is_valid() {
    let text = include_str!("../../config.example.toml");
    let config = Config::parse(text, Path::new(".")).expect("the example");
    assert_eq!(config.behaviour, Behaviour::Honest);
    assert_eq!((config.committee, config.term, config.streams), (1, 1, [0].into()));
}
