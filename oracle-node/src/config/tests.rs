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
    assert_eq!(config.mqtt.brokers, [Broker { host: "localhost".into(), port: 1883 }]);
    assert_eq!(config.chain.poll, Duration::from_secs(2));
    assert!(config.http.listen.ip().is_loopback());
    assert_eq!(config.behaviour, Behaviour::Honest);
}

#[test]
fn every_fault_is_named_at_once() {
    let text = r#"
        comittee = 2
        stream = -1
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
        "stream must be a whole number from 0",
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
    assert_eq!((config.committee, config.term, config.stream), (1, 1, 0));
}
