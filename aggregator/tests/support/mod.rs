//! Reading test data: other people's vectors from the data folder, hex. Leaves judging to the tests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::PathBuf;

/// Text of a file in the data folder (`PLUMBLINE_DATA`, default `../shared/data` beside the repository); `None`, said
/// aloud, if it is not there.
pub(crate) fn data(name: &str) -> Option<String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = std::env::var("PLUMBLINE_DATA").unwrap_or_else(|_| "../shared/data".into());
    let path = root.join(folder).join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {name} is not in the data folder");
    }
    text
}

/// The same, parsed as JSON.
pub(crate) fn json(name: &str) -> Option<serde_json::Value> {
    data(name).map(|text| serde_json::from_str(&text).expect("test data is JSON"))
}

/// Bytes of a hex string field, with or without 0x.
pub(crate) fn hex_of(value: &serde_json::Value) -> Vec<u8> {
    let text = value.as_str().expect("a hex string");
    hex::decode(text.trim_start_matches("0x")).expect("hex")
}

/// Bytes of a hex string field of known length.
pub(crate) fn array<const N: usize>(value: &serde_json::Value) -> [u8; N] {
    sized(&hex_of(value))
}

/// A slice of known length as an array.
pub(crate) fn sized<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the right length")
}

/// The items of a JSON array.
pub(crate) fn list(value: &serde_json::Value) -> &[serde_json::Value] {
    value.as_array().expect("a JSON array")
}
