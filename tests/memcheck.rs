//! Runs every program of `tests/c` and `tests/cpp` under memcheck, to verify that no program
//! depends on uninitialized memory and that the library accesses only memory that it was given.
//!
//! Other tests check the results of the programs, and leaks. Here, each program does a little of
//! everything and may end while its threads are still running.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use common::build::{compile_against, library, library_with_failpoints, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;
use serde_json::json;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// How a program is run under memcheck.
enum Plan {
    /// Once for each of these runs.
    Runs(Vec<Run>),
    /// The test in the named file runs it.
    By(&'static str),
}

/// One run of a program.
#[derive(Default)]
struct Run {
    arguments: Vec<String>,
    input: Vec<u8>,
    /// With the failpoints, which only tests use.
    with_failpoints: bool,
}

fn run<T: Into<String>>(arguments: impl IntoIterator<Item = T>) -> Run {
    Run { arguments: arguments.into_iter().map(Into::into).collect(), ..Run::default() }
}

/// Returns how to run this program against the sandbox, or `None` if that has not been defined yet.
fn plan(program: &str, sandbox: &Sandbox) -> Option<Plan> {
    let url = sandbox.url.clone();
    // A form of the sandbox's address that requires a lookup by the system.
    let by_name = url.replace("127.0.0.1", "127.1");
    let options = |url: &str| {
        json!({"base_url": url, "allow_http": true, "proxy": "", "max_retries": 0}).to_string()
    };
    let here = options(&url);
    let runs = match program {
        "c/batch_end.c" => return Some(Plan::By("batch_end.rs")),
        "c/batch_call_options.c" => return Some(Plan::By("batch_call_options.rs")),
        "c/call.c" => return Some(Plan::By("cases.rs")),
        "c/last.c" => return Some(Plan::By("last.rs")),
        "c/event_loop.c" => return Some(Plan::By("batch_notify.rs")),
        "c/handler.c" => return Some(Plan::By("signals.rs")),
        "c/handles.c" => return Some(Plan::By("boundary.rs")),
        "c/panics.c" => return Some(Plan::By("panics.rs")),
        "c/stacks.c" => return Some(Plan::By("stacks.rs")),
        "cpp/batch.cpp" => return Some(Plan::By("batch_cpp.rs")),
        "c/call_once.c" => {
            vec![run(["sandbox-key", &here, "1", "{}"]), run(["a b", &here, "1", "{}"])]
        }
        "c/exit.c" => vec![run(["ends", &options(&by_name)]), run(["threads", &options(&by_name)])],
        "c/forgetful.c" => vec![Run { with_failpoints: true, ..run([""; 0]) }],
        "c/fork.c" => ["both", "handles", "left", "threads", "users", "exit"]
            .map(|what| Run { input: b"\n".into(), ..run([what, &here, "10"]) })
            .into(),
        "c/growth.c" => GROWTH.map(|outcome| run([outcome, &url, "5"])).into(),
        "c/lookups.c" => {
            // Every call opens a new connection, and no address is cached.
            let options = json!({
                "base_url": by_name, "allow_http": true, "proxy": "", "max_idle_connections": 0, "dns_ttl_ms": 0, "max_retries": 1,
                "retry_base_ms": 1,
            });
            ["within", "anew", "forking"].map(|what| run([what, &options.to_string()])).into()
        }
        "c/odd_machine.c" => ["sleep", "clock"].map(|what| run([what, &here])).into(),
        "c/out_of_files.c" => vec![run([&*here, "0"]), run([&*options(&by_name), "1"])],
        "c/out_of_memory.c" => vec![run([here])],
        "c/out_of_threads.c" => vec![run([options("http://127.1:1")])],
        "c/secrets.c" => vec![Run { input: [b'k'; 80].into(), ..run(["-", &here]) }],
        "c/signals.c" => vec![run(["batch", &here]), run(["lookup", &options(&by_name)])],
        "c/storm_of_handles.c" => vec![run([&*url, "2", "4", "1"])],
        "c/storm_under_helgrind.c" => {
            vec![Run { with_failpoints: true, ..run([&*url, "2", "4", "1"]) }]
        }
        // Renaming a file to itself has no effect.
        "c/two_clients.c" => vec![run([&*here, file!(), file!()])],
        "c/unload.c" => vec![run([&*library().to_string_lossy(), &here, "5"])],
        "c/warm_calls.c" => {
            let calls = ["update", "share", "batch"].map(|what| run([what, "64", &url]));
            calls.into_iter().chain([run(["set", "64"])]).collect()
        }
        "cpp/call.cpp" => {
            let fields =
                |id, user| ["sandbox-key", &here, id, user, "", ""].join("\0").into_bytes();
            let input = [fields("1", r#"{"FirstName": "John"}"#), fields("0", "{}")].concat();
            vec![Run { input, ..run([""; 0]) }]
        }
        "cpp/exit.cpp" => vec![run([options(&by_name)])],
        "cpp/no_memory.cpp" => vec![run([&*url, "any"])],
        "cpp/options.cpp" => vec![run([&*url])],
        "cpp/text.cpp" => vec![run([""; 0])],
        _ => return None,
    };
    Some(Plan::Runs(runs))
}

/// The arguments that `growth` accepts.
const GROWTH: [&str; 14] = [
    "client made and freed",
    "user built",
    "key replaced",
    "updated",
    "batch made and freed",
    "updated by a batch",
    "bad options",
    "bad text",
    "bad user",
    "bad handle",
    "bad response",
    "refused connection",
    "refused user",
    "cancelled",
];

/// Returns the programs: all source files in both folders.
fn programs() -> Vec<String> {
    let sources = [("c", "c"), ("cpp", "cpp")].into_iter().flat_map(|(folder, ending)| {
        let entries = fs::read_dir(Path::new(TESTS).join(folder)).expect("the folder is there");
        entries.filter_map(move |entry| {
            let name =
                entry.expect("it can be read").file_name().into_string().expect("names are text");
            name.ends_with(&format!(".{ending}")).then(|| format!("{folder}/{name}"))
        })
    });
    sources.collect()
}

/// Returns whether a program uses an API key other than the sandbox's default.
fn has_own_key(program: &str) -> bool {
    ["c/fork.c", "c/lookups.c", "c/unload.c"].contains(&program)
}

/// Returns what is wrong with a program, if anything.
fn check(program: &str) -> Result<(), String> {
    let sandbox = Sandbox::start_with(&[
        "--api-key",
        if has_own_key(program) { "key" } else { "sandbox-key" },
    ]);
    let runs = match plan(program, &sandbox).ok_or("memcheck.rs does not say what it is to do")? {
        Plan::Runs(runs) => runs,
        Plan::By(test) => {
            let text = fs::read_to_string(Path::new(TESTS).join(test))
                .map_err(|error| format!("{test}: {error}"))?;
            let is_checked =
                text.contains(&format!("\"{program}\"")) && text.contains("Valgrind::around");
            return is_checked
                .then_some(())
                .ok_or(format!("{test} does not run it under valgrind"));
        }
    };
    let language = if program.ends_with(".c") { Language::C } else { Language::Cpp };
    for (number, run) in runs.iter().enumerate() {
        sandbox.reset();
        if run.arguments.iter().any(|argument| argument == "bad response") {
            sandbox.script(&format!("[{}]", [r#"{"body": "no JSON"}"#; 60].join(",")));
        }
        let library = if run.with_failpoints { library_with_failpoints() } else { library() };
        let name = format!("memcheck-{}", program.replace(['/', '.'], "-"));
        let compiled = compile_against(library, language, &Path::new(TESTS).join(program), &name);
        play(&compiled, number, run).map_err(|why| format!("{:?}: {why}", run.arguments))?;
    }
    Ok(())
}

fn play(compiled: &Command, number: usize, run: &Run) -> Result<(), String> {
    let checked = Valgrind::around_named(compiled, &number.to_string())
        .ok_or("valgrind is gone")?
        .ignoring_leaks();
    let mut command = checked.command();
    command
        .args(&run.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child
        .stdin
        .take()
        .ok_or("no standard input")?
        .write_all(&run.input)
        .map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let found = checked.findings().unwrap_or_default();
    (output.status.success() && found.is_empty()).then_some(()).ok_or_else(|| {
        let said = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        format!("{}\n{said}{found}", output.status)
    })
}

#[test]
fn memcheck_finds_no_error_in_any_program() {
    if Valgrind::around(&Command::new("memcheck")).is_none() {
        return;
    }
    let programs = programs();
    assert!(programs.len() > 20, "{programs:?}");
    let (next, report) = (Mutex::new(programs.iter()), Mutex::new(String::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| loop {
                let Some(program) = next.lock().unwrap().next() else { return };
                if let Err(why) = check(program) {
                    *report.lock().unwrap() += &format!("\n{program} {why}");
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    assert!(report.is_empty(), "{report}");
}
