//! The fuzzer of `listener`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::listener::check(data));
