//! The fuzzer of `log_probe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::log_probe::check(data));
