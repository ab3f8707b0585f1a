//! The examples do what they say, against the sandbox and a signal.

#![cfg(unix)]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::build::{compile_file, Language};
use common::sandbox::Sandbox;

fn batch(name: &str, sandbox: &Sandbox, key: &str) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/batch.c");
    assert!(std::fs::read_to_string(&source).unwrap().lines().count() <= 90);
    let mut program = Command::new(compile_file(Language::C, &source, name).get_program());
    program.env("COMMBOX_API_KEY", key).env("COMMBOX_BASE_URL", &sandbox.url).env("no_proxy", "*");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

fn rows(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, user| {
        writeln!(text, "{user}\t{{\"FirstName\": \"Canary\"}}").unwrap();
        text
    })
}

fn run(mut program: Command, input: &str) -> Output {
    let mut child = program.spawn().expect("the program starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("Canary"), "{output:?}");
    output
}

#[test]
fn a_batch_updates_each_row_and_reports_those_that_failed() {
    let sandbox = Sandbox::start();
    // An outage of a moment, and throttling.
    sandbox.script(r#"[{"status": 503}, {"reset": true}, {"status": 429, "headers": {"Retry-After": "1"}}]"#);
    let input = rows(50) + "51\t{\"first_name\": \"Canary\"}\n0\t{}\n" + &rows(3);
    let output = run(batch("example-batch", &sandbox, "sandbox-key"), &input);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "53 updated, 2 failed\n");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("row 51: first_name must be written \"FirstName\"\n"), "{told}");
    assert!(told.contains("row 52: user_id must be 1 or more\n") && !output.status.success(), "{told}");
}

#[test]
fn a_batch_with_a_wrong_key_sends_little_and_reports_every_row() {
    let sandbox = Sandbox::start();
    let output = run(batch("example-batch-401", &sandbox, "wrong-key"), &rows(500));
    let told = String::from_utf8_lossy(&output.stderr);
    let reported = told.lines().filter(|line| line.starts_with("row ")).count();
    assert!(reported > 0 && told.contains("401"), "{told}");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("0 updated, "));
}

#[test]
fn a_batch_ends_by_a_signal_and_reports_what_was_not_sent() {
    let sandbox = Sandbox::start();
    sandbox.script(&format!("[{}]", [r#"{"delay_ms": 3000, "own": true}"#; 16].join(",")));
    let mut child = batch("example-batch-signal", &sandbox, "sandbox-key").spawn().expect("the program starts");
    // Its input does not end, as that of a pipe.
    let mut input = child.stdin.take().unwrap();
    input.write_all(rows(200).as_bytes()).unwrap();
    input.flush().unwrap();
    thread::sleep(Duration::from_millis(1000));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    drop(input);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("this update was not sent: the batch was cancelled"), "{told}");
}
