//! The library's threads do not receive signals that are meant for the program.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;
use serde_json::json;

fn assert_read(while_there_is: &str, base_url: &str) {
    let options = json!({"base_url": base_url, "allow_http": true, "proxy": "", "max_retries": 0})
        .to_string();
    let output = native::program("signals").args([while_there_is, &options]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_program_receives_its_signals_while_workers_run() {
    assert_read("batch", &Sandbox::start().url);
}

#[test]
fn a_program_receives_its_signals_during_a_dns_lookup() {
    assert_read("lookup", "http://127.1:1");
}

/// Returns the address of a server that never answers.
fn silent() -> String {
    let port = loopback::listen(|stream, _| {
        let mut http = loopback::Http::new(stream);
        while http.request().is_some() {}
    });
    format!("http://127.0.0.1:{port}")
}

/// The header explains how a signal handler can cancel a program's calls.
#[test]
fn a_handler_ends_a_call_by_a_flag() {
    let output = native::program("handler").arg(silent()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_handler_ends_a_call_under_valgrind() {
    let program = compile(Language::C, "c/handler.c", "handler-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let output = checked.command().arg(silent()).output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
