//! Many threads share a few handles, and each thread may free any of them at any time. Every
//! outcome must be a documented one, nothing may hang, and no handle may remain at the end.

mod common;

use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::build::{compile_against, library, library_with_failpoints, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;
use serde_json::Value;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// The threads draw the same random numbers in every run, but the order of their draws varies.
const SEED: u64 = 20_260_801;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, no number"))
    })
}

fn compile(library: &Path, source: &str, name: &str) -> Command {
    compile_against(library, Language::C, &Path::new(TESTS).join(source), name)
}

/// Runs the program and checks the outcomes that it counted.
fn run_storm(storm: &mut Command, seconds: u64, threads: u64) {
    let sandbox = Sandbox::start();
    let seed = number("COMMBOX_CONCURRENCY_SEED", SEED);
    storm.arg(&sandbox.url).args([seconds, threads, seed].map(|number| number.to_string()));
    let output = storm.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    let (told, why) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && why.is_empty(), "{storm:?}: {}: {told}{why}", output.status);
    let counts: Value =
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told:?} is no JSON"));
    assert!(counts["left"] == 0 && counts["live"] == 0, "handles are left: {counts}");
    // If an outcome never occurred, the load was too low to test anything.
    for outcome in ["updated", "cancelled", "refused", "taken back", "void"] {
        assert!(counts[outcome].as_u64() > Some(0), "none was {outcome}: {counts}");
    }
}

#[test]
fn every_outcome_of_a_storm_is_documented() {
    let seconds = number("COMMBOX_CONCURRENCY_SECONDS", 20);
    // The library as users get it, and a build with overflow checks and a count of live handles.
    let builds = [(library(), "storm"), (library_with_failpoints(), "storm-checked")];
    thread::scope(|scope| {
        for (library, name) in builds {
            scope.spawn(move || {
                run_storm(&mut compile(library, "c/storm_of_handles.c", name), seconds, 16)
            });
        }
    });
}

#[test]
fn helgrind_finds_no_race_and_no_possible_deadlock() {
    if Valgrind::around(&Command::new("storm-helgrind")).is_none() {
        return;
    }
    let program = compile(library_with_failpoints(), "c/storm_under_helgrind.c", "storm-helgrind");
    let mut helgrind = Command::new("valgrind");
    helgrind.args(["--quiet", "--tool=helgrind", "--error-exitcode=99"]);
    helgrind
        .arg(format!("--suppressions={TESTS}/valgrind/helgrind.supp"))
        .arg(program.get_program());
    run_storm(&mut helgrind, 10, 4);
}
