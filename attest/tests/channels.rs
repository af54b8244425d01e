//! SenML's terms: names and units as RFC 8428 has them, a reading as its record, and the examples of the RFC's authors.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use attest::{ChannelName, Name, Reading, Unit};
use serde_json::Value;

#[test]
fn units_have_numbers_that_never_move() {
    let symbols = Unit::symbols();
    assert_eq!(symbols.iter().collect::<BTreeSet<_>>().len(), symbols.len(), "each once");
    for (place, symbol) in symbols.iter().enumerate() {
        let unit = Unit(u16::try_from(place + 1).expect("small"));
        assert_eq!((unit.symbol(), Unit::of(symbol)), (Some(*symbol), Some(unit)));
    }
    for (number, symbol) in [(1, "m"), (15, "W"), (24, "Cel"), (50, "%"), (59, "B"), (75, "Wh"), (99, "km/h")] {
        assert_eq!(Unit(number).symbol(), Some(symbol));
    }
    assert_eq!((Unit(0).symbol(), Unit(100).symbol(), Unit::of("furlong")), (None, None, None));
}

#[test]
fn names_are_those_of_senml() {
    for good in ["a", "9", "urn:dev:mac:0024befffe804f", "t.1/x_y-z"] {
        let name = &good[..good.len().min(Name::MAX)];
        assert_eq!(Name::new(name).expect("allowed").as_str(), name);
    }
    for bad in ["", "-a", ".a", "_a", "a b", "ä", "a\0", "abcdefghijklmnopqrstuvwxy"] {
        assert_eq!(Name::new(bad), None, "{bad:?}");
    }
}

/// The record of a reading, as docs/protocol.md §2 says.
fn record(channel: &ChannelName, reading: &Reading) -> String {
    let unit = channel.unit.symbol().unwrap_or_default();
    format!("{{\"n\":\"{}\",\"u\":\"{unit}\",\"v\":{}e{}}}", channel.name, reading.mantissa, reading.exponent)
}

#[test]
fn the_examples_units_are_known_and_a_reading_is_one_of_them() {
    let root = env::var_os("PLUMBLINE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(text) = fs::read_to_string(root.join("cose/senml-rfc8428-examples.json")) else {
        println!("skipped: no senml-rfc8428-examples.json in the data folder");
        return;
    };
    let examples: Value = serde_json::from_str(&text).expect("json");
    let mut seen = BTreeSet::new();
    let mut voltage = None;
    for (name, case) in examples["cases"].as_object().expect("cases") {
        let Some(resolved) = case["resolved"].as_str() else { continue };
        let Ok(Value::Array(records)) = serde_json::from_str::<Value>(resolved) else { continue };
        for record in records {
            if let Some(unit) = record["u"].as_str() {
                assert!(Unit::of(unit).is_some(), "{name}: unit {unit} has no number");
                seen.insert(unit.to_owned());
            }
            if name == "ex2" && record["u"] == "V" {
                voltage = record["v"].as_f64();
            }
        }
    }
    assert!(seen.len() >= 6, "only {seen:?}");
    let channel =
        ChannelName { channel: 1, unit: Unit::of("V").expect("known"), name: Name::new("voltage").expect("allowed") };
    let ours: Value =
        serde_json::from_str(&record(&channel, &Reading { channel: 1, exponent: -1, mantissa: 1201 })).expect("json");
    assert_eq!((ours["v"].as_f64(), ours["u"].as_str()), (voltage, Some("V")));
}
