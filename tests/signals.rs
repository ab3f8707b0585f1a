//! The threads of the library take no signal that is meant for the program's own.

#![cfg(target_os = "linux")]

mod common;
mod native;

use common::sandbox::Sandbox;
use serde_json::json;

fn assert_read(while_there_is: &str, base_url: &str) {
    let options = json!({"base_url": base_url, "allow_http": true, "proxy": "", "max_retries": 0}).to_string();
    let output = native::program("signals").args([while_there_is, &options]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_program_reads_its_signals_while_there_are_workers() {
    assert_read("batch", &Sandbox::start().url);
}

#[test]
fn a_program_reads_its_signals_while_a_name_is_looked_up() {
    assert_read("lookup", "http://127.1:1");
}
