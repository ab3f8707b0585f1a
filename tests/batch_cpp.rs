//! Batches through the C++ header, with and without valgrind.

mod common;

use std::process::Command;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;

/// The expected number of requests to the sandbox.
enum Asked {
    Exactly(usize),
    TimesCount(usize),
    AnyNumber,
}

/// The parts of the program, each with the sandbox's first responses and the expected number of
/// requests.
const PARTS: [(&str, &str, Asked); 8] = [
    ("updates", "[]", Asked::TimesCount(2)),
    ("run", "[]", Asked::TimesCount(10)),
    ("everything first", "[]", Asked::TimesCount(10)),
    ("broken ranges", "[]", Asked::AnyNumber),
    ("longest", "[]", Asked::Exactly(2)),
    (
        "cancel",
        r#"[{"own": true, "delay_ms": 500}, {"own": true, "delay_ms": 500}]"#,
        Asked::Exactly(2),
    ),
    ("cancel_tag", r#"[{"delay_ms": 5000}]"#, Asked::Exactly(2)),
    ("failures", "[]", Asked::Exactly(1)),
];

/// Runs every part of the program. "updates" makes `count` updates twice. "run" and "everything
/// first" make ten times as many.
fn run(program: &Command, valgrind: Option<&Valgrind>, count: usize) {
    let sandbox = Sandbox::start();
    for (part, script, requests) in PARTS {
        sandbox.reset();
        sandbox.script(script);
        let mut command =
            valgrind.map_or_else(|| Command::new(program.get_program()), Valgrind::command);
        command.args([&sandbox.url, part, &count.to_string()]).env_remove("LD_LIBRARY_PATH");
        let output = command.output().expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{part}: {errors}");
        match valgrind {
            Some(valgrind) => valgrind.assert_clean(output.status),
            None => assert!(output.status.success(), "{part}: {}", output.status),
        }
        let asked = sandbox.requests().len();
        match requests {
            Asked::Exactly(times) => assert_eq!(asked, times, "{part}"),
            Asked::TimesCount(times) => assert_eq!(asked, times * count, "{part}"),
            Asked::AnyNumber => {}
        }
    }
}

#[test]
fn every_update_has_one_result() {
    run(&compile(Language::Cpp, "cpp/batch.cpp", "batch-cpp"), None, 1_000);
}

#[test]
fn no_result_is_lost_if_memory_runs_out() {
    let sandbox = Sandbox::start();
    let mut program = compile(Language::Cpp, "cpp/no_memory.cpp", "no-memory-cpp");
    let output = program
        .arg(&sandbox.url)
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(sandbox.requests().len(), 40);
}

#[test]
fn memory_is_sound() {
    let program = compile(Language::Cpp, "cpp/batch.cpp", "batch-cpp-valgrind");
    if let Some(valgrind) = Valgrind::around(&program) {
        run(&program, Some(&valgrind), 200);
    }
}
