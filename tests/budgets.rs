//! Limits for the cost of the library. The costs are counts, which are the same on every machine,
//! and each limit leaves a little room. If a change exceeds a limit, reduce its cost or explain
//! here why the limit is raised.
//!
//! A warm call uses an open connection. It sends the example from the vendor's documentation and
//! receives its reply with the five headers that nginx sends. Its cost is the difference between a
//! long and a short run, divided by the difference in calls.

#![cfg(target_os = "linux")]

mod common;
mod loopback;

use std::fs;
use std::io::Write;
use std::mem;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use common::build::{self, Language};
use common::tools::has;
use loopback::{listen, Http};

/// Check whether the connection is open, send, receive. The rest is room for interrupted waits.
const SYSTEM_CALLS: f64 = 3.2;

/// The same for eight threads that share the client, including the cost of waiting for each other.
/// If a lock is held during a system call, the count rises a lot, because strace stops its holder
/// there.
const SHARED_SYSTEM_CALLS: f64 = 3.5;

/// Per update in a batch with 64 workers, including the cost of queueing it and waking a worker. If
/// workers are woken without work, the count rises a lot.
const BATCH_SYSTEM_CALLS: f64 = 12.0;

/// In user space, counted by callgrind, on x86-64.
const INSTRUCTIONS: f64 = 30_000.0;

/// More than half of these are in ureq.
const ALLOCATIONS: f64 = 27.0;

/// The maximum cost of a call while 1,000 connections, or as many as the system allows, are idle,
/// relative to a call with one connection.
const WITH_MANY_IDLE: f64 = 1.1;

/// One call through the C API: checking the handle and the text, the panic guard, the last error,
/// and storing a field.
const BOUNDARY_INSTRUCTIONS: f64 = 1_200.0;

/// Size of the stripped shared library. Signing with a client certificate accounts for 100 KB. The
/// log, the statistics, the diagnosis and the setters of single options account for 170 KB.
const BYTES: u64 = 2_600_000;

const FEW: u32 = 80;
const MANY: u32 = 640;

/// A tool that counts, and its command line.
struct Tool {
    name: &'static str,
    arguments: &'static [&'static str],
    /// The option that sets the report file.
    report: &'static str,
    /// The words before and after the number in the report.
    words: (&'static str, &'static str),
}

const STRACE: Tool = Tool {
    name: "strace",
    arguments: &["-f", "--summary-only", "--summary-columns=calls"],
    report: "--output",
    words: ("----------------\n", " total"),
};

const CALLGRIND: Tool = Tool {
    name: "valgrind",
    arguments: &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
    report: "--log-file",
    words: ("Collected : ", "\n"),
};

/// Counts only the calls, not the creation of the connections, which needs more threads than
/// valgrind allows by default.
const CALLGRIND_OF_ONE_FUNCTION: Tool = Tool {
    arguments: &[
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=measured_calls",
        "--max-threads=1100",
    ],
    ..CALLGRIND
};

const MEMCHECK: Tool = Tool {
    name: "valgrind",
    arguments: &["--leak-check=no", "--undef-value-errors=no"],
    report: "--log-file",
    words: ("total heap usage: ", " allocs"),
};

impl Tool {
    /// Returns the cost of one more of `what`: the program's first argument, and the arguments
    /// after the number and the URL. `base_url` returns the URL for each run.
    fn each(&self, what: &[&str], base_url: impl Fn() -> Option<String>) -> f64 {
        // Each test compiles its own program, because the tests run in parallel.
        let name = format!("warm_calls_{}_{}", what.join("_"), self.words.0.len());
        let program = build::compile(Language::C, "c/warm_calls.c", &name);
        let [few, many] = [FEW, MANY]
            .map(|number| self.count(Path::new(program.get_program()), what, number, base_url()));
        let each = (many - few) / f64::from(MANY - FEW);
        let what = what.join(" ");
        println!(
            "{what}: {each}{}, by {} {}",
            self.words.1.trim_end(),
            self.name,
            self.arguments.join(" ")
        );
        each
    }

    fn count(&self, program: &Path, what: &[&str], number: u32, base_url: Option<String>) -> f64 {
        let report = program.with_extension(format!("{number}.txt"));
        let mut command = Command::new(self.name);
        command.args(self.arguments).arg(format!("{}={}", self.report, report.display()));
        command.arg(program).args([what[0], &number.to_string()]).args(base_url).args(&what[1..]);
        command.env_remove("LD_LIBRARY_PATH");
        let output = command.output().expect("it is there");
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let report = fs::read_to_string(&report).expect("it reports");
        self.number(&report).unwrap_or_else(|| panic!("{command:?} counted nothing: {report}"))
    }

    fn number(&self, report: &str) -> Option<f64> {
        let (before, after) = self.words;
        let (_, rest) = report.rsplit_once(before)?;
        let (number, _) = rest.split_once(after)?;
        number.trim().replace(',', "").parse().ok()
    }
}

/// The reply in the vendor's documentation, as nginx sends it.
const REPLY: &str =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 06 Aug 2024 07:51:52 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 123\r\nConnection: keep-alive\r\n\r\n\
    {\"status\":\"200\",\"description\":\"Operation successful\",\
    \"response_time\":\"2024-08-06T07:51:52.2581942Z\",\"data\":{\"Id\":94382332}}";

/// Returns the cost of one more call, made as `what` specifies.
fn call(tool: &Tool, what: &[&str]) -> f64 {
    call_with_idle(tool, what, 0)
}

/// Like [`call`], after `connections` simultaneous calls, which are answered when all have arrived.
fn call_with_idle(tool: &Tool, what: &[&str], connections: usize) -> f64 {
    let requests = Arc::new(AtomicU32::new(0));
    let each = tool.each(what, || {
        let (seen, all) = (requests.clone(), Barrier::new(connections));
        let port = listen(move |stream, number| {
            let mut http = Http::new(stream);
            let mut waits = number < connections;
            while http.request().is_some() {
                seen.fetch_add(1, Ordering::SeqCst);
                if mem::take(&mut waits) {
                    all.wait();
                }
                http.stream.write_all(REPLY.as_bytes()).unwrap();
            }
        });
        Some(format!("http://127.0.0.1:{port}"))
    });
    let expected = FEW + MANY + 2 * u32::try_from(connections).unwrap();
    assert_eq!(
        requests.load(Ordering::SeqCst),
        expected,
        "every call that is counted is a request"
    );
    each
}

/// Raises the limit on open files as far as the system allows, for this process and its children:
/// many systems start with 1,024. Returns how many connections fit beside the files that other
/// tests open. Each connection uses a file on both sides.
fn allowed_connections() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both take a limit that lives during the call.
    let is_raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    assert!(is_raised && limit.rlim_cur >= 256, "{} open files are too few", limit.rlim_cur);
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).saturating_sub(96) / 2
}

/// The lower limit detects a tool that counts nothing.
fn assert_cost(tool: &Tool, least: f64, most: f64, cost: impl FnOnce(&Tool) -> f64) {
    if has(tool.name, tool.name) {
        let each = cost(tool);
        assert!((least..=most).contains(&each), "{each}, which is not from {least} to {most}");
    }
}

#[test]
fn a_warm_call_makes_three_system_calls() {
    assert_cost(&STRACE, 2.9, SYSTEM_CALLS, |strace| call(strace, &["update"]));
}

#[test]
fn threads_that_share_a_client_do_not_wait_for_each_other() {
    assert_cost(&STRACE, 2.0, SHARED_SYSTEM_CALLS, |strace| call(strace, &["share"]));
}

/// Counts system calls, because the time that eight threads take varies more between runs.
#[test]
fn threads_that_share_a_client_do_not_pay_for_idle_connections() {
    assert_cost(&STRACE, 1.5, SHARED_SYSTEM_CALLS, |strace| {
        call_with_idle(strace, &["idle", "100", "8"], 100)
    });
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "other processors need other numbers")]
fn idle_connections_cost_a_call_nothing() {
    let with = |connections: usize| {
        move |tool: &Tool| {
            call_with_idle(tool, &["idle", &connections.to_string(), "1"], connections)
        }
    };
    let tool = &CALLGRIND_OF_ONE_FUNCTION;
    if has(tool.name, tool.name) {
        let idle = allowed_connections().min(1000);
        let (one, many) = (with(1)(tool), with(idle)(tool));
        assert!(
            one > 20_000.0 && many < one * WITH_MANY_IDLE,
            "{one}, and {many} beside {idle} idle connections"
        );
    }
}

#[test]
fn a_batch_wakes_no_thread_needlessly() {
    assert_cost(&STRACE, 3.0, BATCH_SYSTEM_CALLS, |strace| call(strace, &["batch"]));
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "other processors need other numbers")]
fn a_warm_call_takes_few_instructions() {
    assert_cost(&CALLGRIND, 20_000.0, INSTRUCTIONS, |callgrind| call(callgrind, &["update"]));
}

#[test]
fn a_warm_call_allocates_little() {
    assert_cost(&MEMCHECK, 20.0, ALLOCATIONS, |memcheck| call(memcheck, &["update"]));
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "other processors need other numbers")]
fn the_boundary_takes_few_instructions() {
    assert_cost(&CALLGRIND, 500.0, BOUNDARY_INSTRUCTIONS, |callgrind| {
        callgrind.each(&["set"], || None)
    });
}

#[test]
fn the_library_is_small() {
    let stripped = build::library().with_extension("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(build::library()).status();
    assert!(strip.is_ok_and(|status| status.success()), "strip runs");
    let bytes = fs::metadata(&stripped).expect("strip writes it").len();
    assert!((500_000..=BYTES).contains(&bytes), "{bytes} bytes");
}
