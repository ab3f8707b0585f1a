//! Many updates through the C++ header, also under valgrind.

mod common;

use std::process::Command;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;

/// The parts of the program, each with what the sandbox is to answer first, and how often it is then asked.
const PARTS: [(&str, &str, Option<usize>); 4] = [
    ("updates", "[]", None),
    ("cancel", r#"[{"own": true, "delay_ms": 500}, {"own": true, "delay_ms": 500}]"#, Some(2)),
    ("cancel_tag", r#"[{"delay_ms": 5000}]"#, Some(2)),
    ("failures", "[]", Some(1)),
];

/// Runs every part of the program; `count` is how many updates "updates" makes, twice.
fn run(program: &Command, valgrind: Option<&Valgrind>, count: usize) {
    let sandbox = Sandbox::start();
    for (part, script, requests) in PARTS {
        sandbox.reset();
        sandbox.script(script);
        let mut command = valgrind.map_or_else(|| Command::new(program.get_program()), Valgrind::command);
        command.args([&sandbox.url, part, &count.to_string()]).env_remove("LD_LIBRARY_PATH");
        let output = command.output().expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{part}: {errors}");
        match valgrind {
            Some(valgrind) => valgrind.assert_clean(output.status),
            None => assert!(output.status.success(), "{part}: {}", output.status),
        }
        assert_eq!(sandbox.requests().len(), requests.unwrap_or(2 * count), "{part}");
    }
}

#[test]
fn every_update_comes_back_once() {
    run(&compile(Language::Cpp, "cpp/batch.cpp", "batch-cpp"), None, 1_000);
}

#[test]
fn memory_is_sound() {
    let program = compile(Language::Cpp, "cpp/batch.cpp", "batch-cpp-valgrind");
    if let Some(valgrind) = Valgrind::around(&program) {
        run(&program, Some(&valgrind), 200);
    }
}
