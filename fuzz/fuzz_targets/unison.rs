//! The fuzzer of `unison`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::unison::check(data));
