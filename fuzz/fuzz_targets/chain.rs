//! The fuzzer of `chain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::chain::check(data));
