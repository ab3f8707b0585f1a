//! Tests the ways to end a batch in C: freed while full, cancelled, closed early. Nothing may hang
//! or leak, and no thread may remain. Every accepted update has a result, unless its batch was
//! freed.

#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;

/// Starts a server that delays each response by half a second, and returns it and the client's
/// options.
fn slow() -> (Sandbox, String) {
    let sandbox = Sandbox::start();
    let answers: Vec<_> = (0..100).map(|_| serde_json::json!({"delay_ms": 500})).collect();
    sandbox.script(&serde_json::Value::from(answers).to_string());
    let options = serde_json::json!({"base_url": sandbox.url, "proxy": ""}).to_string();
    (sandbox, options)
}

fn assert_silent(program: &mut Command) -> std::process::ExitStatus {
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.status
}

#[test]
fn batches_leave_nothing_behind() {
    let (_sandbox, options) = slow();
    let status = assert_silent(compile(Language::C, "c/batch_end.c", "batch-end").arg(options));
    assert!(status.success(), "{status}");
}

#[test]
fn batches_leave_nothing_behind_under_valgrind() {
    let (_sandbox, options) = slow();
    let program = compile(Language::C, "c/batch_end.c", "batch-end-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let status = assert_silent(checked.command().arg(options));
    checked.assert_clean(status);
}
