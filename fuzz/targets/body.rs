//! Fuzzes the check of the user, and the body built from it.

#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::body::check(data));
