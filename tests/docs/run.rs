//! Runs the program of an example against the sandbox.

use std::process::Command;

use crate::common::sandbox::Sandbox;
use crate::API_KEY;

pub fn sandbox() -> Sandbox {
    Sandbox::start_with(&["--api-key", API_KEY])
}

/// Runs a program, which is to end well and leave one user with a name.
pub fn run(what: &str, program: &mut Command, sandbox: &Sandbox) -> String {
    sandbox.reset();
    program
        .env("COMMBOX_BASE_URL", &sandbox.url)
        .env("COMMBOX_API_KEY", API_KEY)
        .env_remove("LD_LIBRARY_PATH");
    let output = program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what} ended with {}:\n{stdout}{stderr}", output.status);
    let requests = sandbox.requests();
    assert!(!requests.is_empty(), "{what} sent nothing");
    for request in requests {
        assert_eq!(
            request.headers.get("authorization").map(String::as_str),
            Some("Bearer my-api-key"),
            "{what}"
        );
    }
    stdout.into_owned()
}

/// Runs a program whose calls the server answers with words about the customer: none of them may be
/// printed. The first `confirmed` calls succeed, those after them fail.
pub fn prints_no_answer(what: &str, program: &mut Command, sandbox: &Sandbox) {
    program
        .env("COMMBOX_BASE_URL", &sandbox.url)
        .env("COMMBOX_API_KEY", API_KEY)
        .env_remove("LD_LIBRARY_PATH");
    for confirmed in [0, 3, 60] {
        let answer = |status: u16| {
            let body = format!(
                r#"{{"status":{status},"description":"canary 0501234567","response_time":"canary","data":{{"Id":94382332}}}}"#
            );
            serde_json::json!({"status": status, "body": body})
        };
        let answers: Vec<_> =
            (0..60).map(|call| answer(if call < confirmed { 200 } else { 404 })).collect();
        sandbox.reset();
        sandbox.script(&serde_json::Value::from(answers).to_string());
        // It may end as it likes: some of them end with the first error.
        let output =
            program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        assert!(!sandbox.requests().is_empty(), "{what} sent nothing");
        for told in [output.stdout, output.stderr] {
            let told = String::from_utf8_lossy(&told);
            assert!(
                !told.contains("canary") && !told.contains("0501234567"),
                "{what} prints an answer:\n{told}"
            );
        }
    }
}
