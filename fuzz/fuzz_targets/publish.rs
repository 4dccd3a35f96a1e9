//! The fuzzer of `publish`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::publish::check(data));
