//! The fuzzer of `policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::policy::check(data));
