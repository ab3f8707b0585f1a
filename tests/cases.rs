//! Runs the conformance cases in Rust, in C, in C++, and in C under valgrind.

mod common;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Error, Options};

use common::build::{compile, Language};
use common::case::{self, Case, Outcome};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;

/// Plays every case with `call` and reports all mismatches at once.
fn play(language: &str, timed: bool, mut call: impl FnMut(&Case, &str) -> Outcome) {
    let sandbox = Sandbox::start();
    let mut report = String::new();
    for case in case::all() {
        sandbox.reset();
        if let Some(script) = &case.script {
            sandbox.script(script.get());
        }
        let options = case.options(&sandbox.url);
        let started = Instant::now();
        let outcome = call(&case, &options);
        let took = timed.then(|| started.elapsed());
        for mismatch in case.mismatches(&outcome, took, &sandbox) {
            report += &format!("\n{} in {language}: {mismatch}", case.file);
        }
    }
    assert!(report.is_empty(), "cases failed:{report}");
}

#[test]
fn in_rust() {
    let call = |case: &Case, options: &str| {
        let client = Client::new(&case.api_key, &Options::from_json(options)?)?;
        thread::scope(|scope| {
            if let Some(after) = case.cancel_after_ms {
                let client = &client;
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(after));
                    client.cancel();
                });
            }
            client.update_user_json(case.user_id, &case.body)
        })
    };
    play("Rust", true, |case, options| match call(case, options) {
        Ok(reply) => Outcome { code: 0, reply: reply.into_json(), error: String::new() },
        Err(error) => failure(&error),
    });
}

fn failure(error: &Error) -> Outcome {
    Outcome { code: error.kind().code(), reply: String::new(), error: error.to_json() }
}

#[test]
fn in_c() {
    play_with(compile(Language::C, "c/call.c", "call-c"), "C", true);
}

#[test]
fn in_cpp() {
    play_with(compile(Language::Cpp, "cpp/call.cpp", "call-cpp"), "C++", true);
}

#[test]
fn in_c_under_valgrind() {
    let program = compile(Language::C, "c/call.c", "call-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let status = play_with_status(checked.command(), "C under valgrind", false);
    checked.assert_clean(status);
}

fn play_with(program: Command, language: &str, timed: bool) {
    let status = play_with_status(program, language, timed);
    assert!(status.success(), "the program in {language} ended with {status}");
}

fn play_with_status(program: Command, language: &str, timed: bool) -> ExitStatus {
    let mut driver = Driver::start(program);
    play(language, timed, |case, options| driver.call(case, options));
    driver.finish()
}

/// A program that makes the calls it reads (`tests/c/call.c`, `tests/cpp/call.cpp`).
struct Driver {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Driver {
    fn start(mut program: Command) -> Self {
        // Cargo adds the debug library to LD_LIBRARY_PATH, which takes precedence over the release
        // library that the program was linked with.
        program.env_remove("LD_LIBRARY_PATH").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        let input = BufWriter::new(child.stdin.take().expect("standard input is piped"));
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self { child, input, output }
    }

    fn call(&mut self, case: &Case, options: &str) -> Outcome {
        let cancel_after = case.cancel_after_ms.map(|after| after.to_string()).unwrap_or_default();
        for field in [&case.api_key, options, &case.user_id.to_string(), &case.body, &cancel_after]
        {
            assert!(!field.contains('\0'), "{}: a NUL cannot be passed in C", case.file);
            write!(self.input, "{field}\0").expect("the program reads");
        }
        self.input.flush().expect("the program reads");
        let [code, reply, error] = [(); 3].map(|()| self.read_field(case));
        Outcome { code: code.parse().expect("the code is a number"), reply, error }
    }

    fn read_field(&mut self, case: &Case) -> String {
        let mut field = Vec::new();
        self.output.read_until(0, &mut field).expect("the program's output can be read");
        assert_eq!(
            field.pop(),
            Some(0),
            "{}: the program ended in the middle of a call",
            case.file
        );
        String::from_utf8(field).expect("the library's text is UTF-8")
    }

    /// Closes the input, so that the program ends.
    fn finish(self) -> ExitStatus {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait().expect("the program ends")
    }
}
