//! Bugs of the library: if it panics, the caller gets `COMMBOX_INTERNAL`, the handles remain
//! usable, nothing is printed, and nothing leaks.
//!
//! The tests cause a panic in every exported function that the header declares, and at the stages
//! that the sources name.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::thread;

use common::build::{self, Language};
use common::header;
use common::sandbox::Sandbox;
use common::scratch::scratch;
use common::valgrind::Valgrind;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns whether `place` is a function that only returns a value or frees something. After a
/// panic, such a function sets no error and returns its value for "none".
fn is_accessor(place: &str) -> bool {
    let other = ["commbox_version", "commbox_abi_version", "commbox_string_free"];
    other.contains(&place)
        || ["commbox_last_", "commbox_code_"].iter().any(|start| place.starts_with(start))
}

/// Stages that only https calls pass.
const OF_TLS: [&str; 2] = ["settings", "handshake"];

fn stages(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            stages(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("sources are text");
            let names =
                text.split("failpoint::reach(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

fn places() -> Vec<String> {
    let mut places = header::functions();
    stages(&Path::new(ROOT).join("src"), &mut places);
    places
}

/// Runs `play` for every place on two threads and reports all failures.
fn for_all(play: impl Fn(&str) -> Option<String> + Sync) {
    let places = places();
    assert!(places.len() > 30, "{places:?}");
    let (next, report) = (Mutex::new(places.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| loop {
                let Some(place) = next.lock().unwrap().next() else { return };
                if let Some(why) = play(place) {
                    report.lock().unwrap().push(format!("{place}: {why}"));
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    assert!(report.is_empty(), "{}", report.join("\n"));
}

/// Returns what is wrong with a run in which the library panicked at `place`.
fn judge(place: &str, output: &Output) -> Option<String> {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || !stderr.is_empty() {
        return Some(format!("{}: {stdout}{stderr}", output.status));
    }
    let panics: u32 = stdout.trim().parse().expect("the program prints how many panics were told");
    let expected = !is_accessor(place);
    (expected != (panics > 0)).then(|| format!("{panics} calls told of a panic"))
}

struct Servers {
    plain: Sandbox,
    tls: Sandbox,
    certificate: String,
}

impl Servers {
    fn start(name: &str) -> Self {
        let certificate = scratch().join(name).display().to_string();
        Self {
            plain: Sandbox::start(),
            tls: Sandbox::start_with(&["--tls", &certificate]),
            certificate,
        }
    }

    /// Returns options with which a call passes every place.
    fn options(&self, place: &str) -> String {
        let url = if OF_TLS.contains(&place) { &self.tls.url } else { &self.plain.url };
        serde_json::json!({"base_url": url, "ca_file": self.certificate, "proxy": "", "max_retries": 0}).to_string()
    }
}

#[test]
fn panics_become_errors() {
    let servers = Servers::start("panics.pem");
    let library = build::library_with_failpoints();
    let program = build::compile_against(
        library,
        Language::C,
        &Path::new(ROOT).join("tests/c/panics.c"),
        "panics",
    );
    for_all(|place| {
        let mut program = std::process::Command::new(program.get_program());
        program.arg(servers.options(place)).env("COMMBOX_FAIL_AT", place);
        let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
        judge(place, &output)
    });
}

#[test]
fn panics_leak_nothing() {
    let servers = Servers::start("panics-valgrind.pem");
    let library = build::library_with_failpoints();
    let program = build::compile(Language::C, "c/panics.c", "panics-valgrind");
    if Valgrind::around(&program).is_none() {
        return;
    }
    for_all(|place| {
        let mut checked = Valgrind::around_named(&program, place)?;
        if OF_TLS.contains(&place) {
            checked = checked.ignoring_undefined_values();
        }
        let mut command = checked.command();
        command.arg(servers.options(place)).env("COMMBOX_FAIL_AT", place);
        let output =
            command.env("LD_LIBRARY_PATH", library.parent()?).output().expect("valgrind starts");
        judge(place, &output).or_else(|| checked.findings())
    });
}
