//! cargo +nightly fuzz run verify -- seeds/verify
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attest_fuzz::properties::verify_any(bytes));
