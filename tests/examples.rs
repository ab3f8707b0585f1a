//! The examples do what they document, against the sandbox and when they receive a signal.

#![cfg(unix)]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::build::{compile_file, library, Language};
use common::sandbox::Sandbox;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Returns the path of an example and asserts that it is short enough to read.
fn source(file: &str) -> PathBuf {
    let source = folder().join(file);
    assert!(std::fs::read_to_string(&source).unwrap().lines().count() < 90, "{file} is long");
    source
}

fn against(mut program: Command, sandbox: &Sandbox, key: &str) -> Command {
    program.env("COMMBOX_API_KEY", key).env("COMMBOX_BASE_URL", &sandbox.url).env("no_proxy", "*");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

fn compiled(language: Language, file: &str, name: &str, sandbox: &Sandbox, key: &str) -> Command {
    against(Command::new(compile_file(language, &source(file), name).get_program()), sandbox, key)
}

fn batch(name: &str, sandbox: &Sandbox, key: &str) -> Command {
    compiled(Language::C, "batch.c", name, sandbox, key)
}

fn ivr(name: &str, sandbox: &Sandbox, key: &str) -> Command {
    compiled(Language::C, "ivr.c", name, sandbox, key)
}

fn desktop(name: &str, sandbox: &Sandbox, key: &str) -> Command {
    compiled(Language::Cpp, "desktop_sync.cpp", name, sandbox, key)
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
    // A short outage, then throttling.
    sandbox.script(
        r#"[{"status": 503}, {"reset": true}, {"status": 429, "headers": {"Retry-After": "1"}}]"#,
    );
    let input = rows(50) + "51\t{\"first_name\": \"Canary\"}\n0\t{}\n" + &rows(3);
    let output = run(batch("example-batch", &sandbox, "sandbox-key"), &input);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "53 updated, 2 failed\n");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("row 51: first_name must be written \"FirstName\"\n"), "{told}");
    assert!(
        told.contains("row 52: user_id must be 1 or more\n") && !output.status.success(),
        "{told}"
    );
}

#[test]
fn a_batch_with_a_wrong_key_sends_little_and_reports_every_row() {
    let sandbox = Sandbox::start();
    let output = run(batch("example-batch-401", &sandbox, "wrong-key"), &rows(500));
    let told = String::from_utf8_lossy(&output.stderr);
    let reported = told.lines().filter(|line| line.starts_with("row ")).count();
    assert!(reported > 0 && told.contains("401"), "{told}");
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stdout).starts_with("0 updated, ")
    );
}

#[test]
fn a_signal_ends_a_batch_that_reports_unsent_rows() {
    let sandbox = Sandbox::start();
    sandbox.script(&format!("[{}]", [r#"{"delay_ms": 3000, "own": true}"#; 16].join(",")));
    let mut child =
        batch("example-batch-signal", &sandbox, "sandbox-key").spawn().expect("the program starts");
    // The input stays open, as that of a pipe does.
    let mut input = child.stdin.take().unwrap();
    input.write_all(rows(200).as_bytes()).unwrap();
    input.flush().unwrap();
    thread::sleep(Duration::from_millis(1000));
    let killed =
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    drop(input);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("this update was not sent: the batch was cancelled"), "{told}");
}

/// A short outage, then throttling.
const TROUBLE: &str =
    r#"[{"status": 503}, {"reset": true}, {"status": 429, "headers": {"Retry-After": "1"}}]"#;

/// Returns more responses than a program requests. Each is delayed until after the program is
/// ended.
fn slow() -> String {
    format!("[{}]", [r#"{"delay_ms": 5000, "own": true}"#; 32].join(","))
}

/// Ends a program in the middle of its calls, while its input is still open.
fn end(mut program: Command, input: &str, sandbox: &Sandbox) -> Output {
    let mut child = program.spawn().expect("the program starts");
    let mut held = child.stdin.take().unwrap();
    held.write_all(input.as_bytes()).unwrap();
    held.flush().unwrap();
    let began = Instant::now();
    while sandbox.requests().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was sent");
        thread::sleep(Duration::from_millis(20));
    }
    let killed =
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    drop(held);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("Canary"), "{output:?}");
    output
}

/// Returns the numbers that a program prints at its end.
fn tally(output: &Output) -> Vec<usize> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .last()
        .unwrap_or_default()
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn choices(count: usize) -> String {
    (1..=count).map(|user| format!("{user}\tCanary {user}\n")).collect()
}

#[test]
fn an_ivr_stores_what_it_can_within_its_time_limit() {
    let sandbox = Sandbox::start();
    let output = run(ivr("example-ivr", &sandbox, "sandbox-key"), &choices(50));
    // On a busy machine, 300 ms may be too short for every call.
    let counts = tally(&output);
    assert!(counts.iter().sum::<usize>() == 50 && counts.first() > Some(&0), "{output:?}");
    sandbox.script(TROUBLE);
    let output = run(ivr("example-ivr", &sandbox, "sandbox-key"), &choices(50));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(tally(&output).iter().sum::<usize>(), 50, "{output:?}");
    assert!(told.contains("(try again later)") && !output.status.success(), "{told}");
    let output = run(ivr("example-ivr", &sandbox, "wrong-key"), &choices(50));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 stored, 50 failed\n", "{output:?}");
    assert!(
        told.contains(": unauthorized after 1 requests: the server answered HTTP 401"),
        "{told}"
    );
}

#[test]
fn a_signal_ends_an_ivr() {
    let sandbox = Sandbox::start();
    sandbox.script(&slow());
    let output = end(ivr("example-ivr-signal", &sandbox, "sandbox-key"), &choices(3), &sandbox);
    assert_eq!((output.status.code(), tally(&output)), (Some(1), vec![0, 3]), "{output:?}");
}

/// Writes a file of rows. It is removed together with its folder.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_desktop_program_sends_its_rows_and_can_be_stopped() {
    let sandbox = Sandbox::start();
    let rows = file("example-desktop.tsv", &(rows(50) + "0\t{}\n"));
    let mut program = desktop("example-desktop", &sandbox, "sandbox-key");
    program.arg(&rows);
    sandbox.script(TROUBLE);
    let output = run(program, "");
    assert_eq!(tally(&output), [50, 1, 0], "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("row 51: user_id must be 1 or more\n"),
        "{output:?}"
    );

    let mut program = desktop("example-desktop", &sandbox, "wrong-key");
    program.arg(&rows);
    let output = run(program, "");
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("401"),
        "{output:?}"
    );

    sandbox.reset();
    sandbox.script(&slow());
    let mut program = desktop("example-desktop", &sandbox, "sandbox-key");
    program.arg(&rows);
    let output = end(program, "", &sandbox);
    let counts = tally(&output);
    assert_eq!((output.status.code(), counts.iter().sum()), (Some(1), 51), "{output:?}");
    assert!(counts.first() < Some(&51), "{output:?}");
}

#[test]
fn a_nightly_job_writes_what_failed_to_a_file() {
    let sandbox = Sandbox::start();
    let table: String = (1..=50).map(|user| format!("{user},Canary,gold\n")).collect();
    let table =
        file("example-nightly.csv", &format!("UserId,FirstName,Content.Plan\n{table}0,Canary,\n"));
    let rejects = table.with_file_name("example-rejects.csv");
    let nightly = |key| {
        let mut program = against(Command::new("python3"), &sandbox, key);
        program
            .arg(source("nightly.py"))
            .args([&table, &rejects])
            .env("COMMBOX_LIBRARY", library());
        program
            .env("PYTHONPATH", folder().join("../bindings/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        program
    };
    let rejected = || std::fs::read_to_string(&rejects).unwrap();
    sandbox.script(TROUBLE);
    let output = run(nightly("sandbox-key"), "");
    assert_eq!(tally(&output), [50, 1], "{output:?}");
    assert_eq!(
        rejected(),
        "UserId,FirstName,Content.Plan,Error\r\n0,Canary,,user_id must be 1 or more\r\n"
    );
    let user: serde_json::Value = serde_json::from_str(&sandbox.get("/users/50").1).unwrap();
    assert!(user.to_string().contains("\"Plan\":\"gold\""), "{user}");

    let output = run(nightly("wrong-key"), "");
    assert_eq!((tally(&output), rejected().lines().count()), (vec![0, 51], 52), "{output:?}");

    sandbox.reset();
    sandbox.script(&slow());
    let output = end(nightly("sandbox-key"), "", &sandbox);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        tally(&output).get(1).map(|left| left + 1),
        Some(rejected().lines().count()),
        "{output:?}"
    );
}
