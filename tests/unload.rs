//! Repeats `dlopen()`, a call over TLS, and `dlclose()`.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;
mod tls_server;

use serde_json::json;

use common::build::library;
use tls_server::{file, serve, Authority};

#[test]
fn the_library_may_be_unloaded_and_loaded_again() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let options = json!({
        "base_url": format!("https://localhost:{port}"),
        "ca_file": file("unload.pem", &authority.pem()),
        "proxy": "",
    });
    const CYCLES: usize = 40;
    let mut program = native::program("unload");
    let output =
        program.arg(library()).args([options.to_string(), CYCLES.to_string()]).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(seen.all().len(), CYCLES);
}
