//! Calls at the end of a thread and of the process, after the destructors of thread-local
//! variables. They work like any other call. Whatever calls on ordinary threads allocate is freed.

#![cfg(target_os = "linux")]

mod common;
mod native;

use std::process::Command;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;

/// Starts a sandbox and returns it with client options that require a DNS lookup: they contain a
/// form of its address that only the system's resolver parses.
fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::start();
    let url = sandbox.url.replace("127.0.0.1", "127.1");
    let options = serde_json::json!({"base_url": url, "allow_http": true, "proxy": ""}).to_string();
    (sandbox, options)
}

fn assert_prints(program: &mut Command, expected: &str) {
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn keys_and_exit_handlers_make_calls() {
    let (_sandbox, options) = sandbox();
    let expected = "a thread with calls before\na thread without\nan exit handler\n";
    assert_prints(native::program("exit").args(["ends", &options]), expected);
}

#[test]
fn a_static_object_makes_calls() {
    let (_sandbox, options) = sandbox();
    let expected = "updated\n-4: firstname must be written \"FirstName\"\n";
    assert_prints(compile(Language::Cpp, "cpp/exit.cpp", "exit-cpp").arg(options), expected);
}

#[test]
fn ordinary_threads_leave_nothing_behind() {
    let (_sandbox, options) = sandbox();
    let Some(checked) = Valgrind::around(&native::program("exit")) else { return };
    let output = checked.command().args(["threads", &options]).output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
