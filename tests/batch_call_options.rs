//! Updates of one batch in C, each with its own options.

mod common;
mod loopback;

use std::process::Command;
use std::thread;
use std::time::Duration;

use common::build::{compile, Language};
use common::valgrind::Valgrind;
use loopback::{listen, Http, Record};

/// Starts a server that rejects two users and delays the response for a third. Returns its address
/// and a record of each request.
fn server() -> (String, Record<String>) {
    let requests = Record::new();
    let seen = requests.clone();
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            seen.add(format!("{} {} {}", request.path(), header("x-tenant"), header("x-row")));
            match request.path() {
                "/users/2" | "/users/3" => {
                    http.answer_with("500 Internal Server Error", "", "").unwrap()
                }
                "/users/5" => thread::sleep(Duration::from_secs(60)),
                _ => http.confirm("").unwrap(),
            }
        }
    });
    (format!("http://127.0.0.1:{port}"), requests)
}

#[test]
fn each_update_has_its_own_options() {
    let (url, requests) = server();
    let program = compile(Language::C, "c/batch_call_options.c", "batch-call-options");
    let output = Command::new(program.get_program()).arg(url).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "the library printed");
    assert_eq!(
        requests.all(),
        [
            "/users/1 all first",
            "/users/2 all ",
            "/users/3 all ",
            "/users/3 all ",
            "/users/4 own ",
            "/users/5 all ",
        ]
    );
}

#[test]
fn call_options_leak_nothing() {
    let program = compile(Language::C, "c/batch_call_options.c", "batch-call-options-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let output = checked.command().arg(server().0).output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
