//! cargo +nightly fuzz run claims -- seeds/claims
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attest_fuzz::properties::claims_any(bytes));
