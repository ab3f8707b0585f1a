//! Calls leave no memory, open file or uncounted handle behind, whatever their outcome.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;
use std::thread;

use common::build::{compile, compile_against, library_with_failpoints, Language};
use common::sandbox::Sandbox;

const CALLS: usize = 10_000;

/// Less than seven bytes per call.
const BOUND: i64 = 64 << 10;

#[test]
fn ten_thousand_calls_of_each_outcome_leak_no_memory_and_no_files() {
    let program = compile(Language::C, "c/growth.c", "growth");
    let run = |args: &[&str]| {
        let mut program = Command::new(program.get_program());
        // Memory that malloc caches would be counted as in use, and memory in the arenas of other
        // threads would not be counted.
        program
            .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1")
            .env_remove("LD_LIBRARY_PATH");
        let output = program.args(args).output().expect("the program starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("the program prints text")
    };
    let measure = |outcome: &str| {
        let sandbox = Sandbox::start();
        let answer = match outcome {
            "bad response" => Some(r#"{"body": "no JSON"}"#),
            // The reply arrives after the cancellation.
            "cancelled" => Some(r#"{"delay_ms": 200}"#),
            _ => None,
        };
        if let Some(answer) = answer {
            // One response for each call, including the warm-up calls.
            sandbox.script(&format!("[{}]", [answer; CALLS + CALLS / 50].join(",")));
        }
        let report = run(&[outcome, &sandbox.url, &CALLS.to_string()]);
        let numbers = report.split(' ').map(str::parse).collect::<Result<Vec<i64>, _>>();
        let Ok([memory, files]) = numbers.as_deref() else {
            panic!("{outcome}: {report:?} is no measurement")
        };
        let held = *memory >= BOUND || *files > 0;
        held.then(|| format!("{outcome}: {memory} bytes, {files} files"))
    };
    let outcomes = run(&[]);
    let grown: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> =
            outcomes.lines().map(|outcome| scope.spawn(move || measure(outcome))).collect();
        runs.into_iter()
            .filter_map(|run| run.join().expect("the outcome can be measured"))
            .collect()
    });
    assert!(
        outcomes.lines().count() >= 14 && grown.is_empty(),
        "after {CALLS} calls more is held: {grown:?}"
    );
}

#[test]
fn unfreed_handles_are_counted() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/forgetful.c");
    let mut program = compile_against(library_with_failpoints(), Language::C, &source, "forgetful");
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 4 3");
}
