//! The fuzzer of `reply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::reply::check(data));
