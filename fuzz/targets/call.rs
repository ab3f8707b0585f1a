//! Fuzzes a whole call, answered with arbitrary bytes.

#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::call::check(data));
