//! The fuzzer of `glob`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::glob::check(data));
