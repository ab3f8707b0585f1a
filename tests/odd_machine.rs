//! Machines with unusual faults: the library does not report them as its own bugs, and the reported
//! delivery is correct.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;
mod tls_server;

use serde_json::{json, Value};
use tls_server::{file, serve, Authority};

fn run(what: &str, options: &Value) -> (i64, Value) {
    let output =
        native::program("odd_machine").args([what, &options.to_string()]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (code, error) = text.split_once('\n').unwrap();
    (code.parse().unwrap(), serde_json::from_str(error).unwrap())
}

#[test]
fn a_sandbox_that_refuses_to_sleep() {
    let closed = loopback::closed_port();
    let options =
        json!({"base_url": format!("http://127.0.0.1:{closed}"), "proxy": "", "retry_base_ms": 60});
    let (code, error) = run("sleep", &options);
    assert_eq!(
        (code, &error["attempts"], &error["delivery"]),
        (-5, &json!(4), &json!("not_sent")),
        "{error}"
    );
}

#[test]
fn a_clock_before_1970() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let (code, error) = run(
        "clock",
        &json!({
            "base_url": format!("https://127.0.0.1:{port}"), "ca_file": file("odd-machine.pem", &authority.pem()), "proxy": "",
        }),
    );
    assert_eq!((code, &error["delivery"]), (-6, &json!("not_sent")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("clock"), "{error}");
    assert!(seen.all().is_empty());
}
