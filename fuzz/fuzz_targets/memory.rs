//! The fuzzer of `memory`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ubos_sync_fuzz::memory::check(data));
