//! Fuzzes the interpretation of the server's reply.

#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::reply::check(data));
