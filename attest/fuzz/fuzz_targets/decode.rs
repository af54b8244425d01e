//! cargo +nightly fuzz run decode -- seeds/decode
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attest_fuzz::properties::decode_any(bytes));
