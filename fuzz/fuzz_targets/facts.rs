//! The fuzzer of `facts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::facts::check(data));
