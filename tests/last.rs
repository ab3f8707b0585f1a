//! The accessors of the C interface for the last update.

mod common;
mod loopback;

use std::process::Command;

use common::build::{compile, Language};
use common::valgrind::Valgrind;
use loopback::{listen, Http, CONFIRMED};

/// The responses in order: the status line, and additional header lines.
const ANSWERS: [(&str, &str); 10] = [
    ("503 Service Unavailable", "X-Request-Id: none-of-these\r\n"),
    ("200 OK", "X-Correlation-ID: other\r\nx-request-id: first\r\nRequest-Id: other\r\n"),
    ("200 OK", ""),
    ("400 Bad Request", "X-Correlation-Id: third\r\n"),
    ("503 Service Unavailable", "Retry-After: 0\r\n"),
    ("503 Service Unavailable", "Retry-After: 0\r\nRequest-Id: not an id\r\n"),
    ("200 OK", "Request-Id: fifth\r\n"),
    ("404 Not Found", "Request-Id: sixth\r\n"),
    ("200 OK", "Request-Id: other\r\nX-Trace: seventh\r\n"),
    ("200 OK", "Request-Id: eighth\r\n"),
];

/// Starts a server that gives these responses and returns its address.
fn server() -> String {
    let answers = std::sync::Mutex::new(ANSWERS.into_iter());
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while http.request().is_some() {
            let (status, more) =
                answers.lock().unwrap().next().expect("an answer for each request");
            let body = if status.starts_with("200") { CONFIRMED } else { "" };
            http.answer_with(status, more, body).unwrap();
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[test]
fn the_last_error_of_calls_and_batch_updates_is_reported() {
    let program = compile(Language::C, "c/last.c", "last");
    let output =
        Command::new(program.get_program()).arg(server()).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "the library printed");
}

#[test]
fn the_last_error_is_reported_under_valgrind() {
    let program = compile(Language::C, "c/last.c", "last-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let output = checked.command().arg(server()).output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
