//! The file descriptor that becomes readable when results can be collected, for event loops.

#![cfg(unix)]

mod common;
mod loopback;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::build::{compile, Language};
use common::sandbox::Sandbox;
use common::valgrind::Valgrind;
use loopback::{listen, Http};

fn run(program: &mut Command) {
    let output = program.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "the library printed: {output:?}"
    );
}

/// Starts a server that confirms the first update at once and delays the others.
fn slow() -> String {
    let requests = AtomicUsize::new(0);
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while http.request().is_some() {
            if requests.fetch_add(1, Ordering::SeqCst) > 0 {
                thread::sleep(Duration::from_secs(20));
            }
            let _ = http.confirm("");
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[test]
fn every_result_is_collected_by_an_event_loop() {
    let sandbox = Sandbox::start();
    run(compile(Language::C, "c/event_loop.c", "event-loop").arg(&sandbox.url));
}

#[test]
fn unsent_updates_are_reported_too() {
    run(compile(Language::C, "c/event_loop.c", "event-loop-slow").arg(slow()).env("SLOW", "1"));
}

#[test]
fn an_event_loop_leaks_nothing() {
    let sandbox = Sandbox::start();
    let program = compile(Language::C, "c/event_loop.c", "event-loop-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let output = checked.command().arg(&sandbox.url).output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
