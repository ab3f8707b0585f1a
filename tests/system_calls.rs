//! What a warm call over plain HTTP costs in system calls: look whether the connection is open, send, receive.

mod common;
mod faults;

use std::env;
use std::path::Path;
use std::process::Command;

use common::build::{compile, Language};
use faults::Server;

/// With room for waking up in the middle of a wait, and none for one more system call a call.
const AT_MOST: f64 = 3.2;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {words}");
    words
}

/// How many system calls the program makes for this many calls.
fn count(program: &Path, server: &Server, calls: usize) -> f64 {
    let summary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("calls-{calls}.txt"));
    run(Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&summary)
        .arg(program)
        .arg(server.url())
        .arg(calls.to_string())
        .env_remove("LD_LIBRARY_PATH"));
    let summary = std::fs::read_to_string(&summary).unwrap();
    // % time, seconds, usecs/call, calls, then errors where there are some, and "total".
    let total = summary.lines().find(|line| line.ends_with("total")).expect("a total");
    let total = total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok());
    total.unwrap_or_else(|| panic!("no number of calls in {summary}"))
}

#[test]
fn a_warm_call_makes_three_system_calls() {
    if Command::new("strace").arg("--version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "CI is set, and there is no strace");
        println!("not measured: there is no strace");
        return;
    }
    let program = compile(Language::C, "c/calls.c", "calls");
    let program = Path::new(program.get_program());
    let server = Server::script([]);
    let (few, many) = (count(program, &server, 100), count(program, &server, 1100));
    assert_eq!(server.seen().len(), 1200);
    let each = (many - few) / 1000.0;
    println!("{each} system calls a call");
    // Below two it was not measured at all: no request comes and goes with less.
    assert!((2.0..=AT_MOST).contains(&each), "{each} system calls a call");
}
