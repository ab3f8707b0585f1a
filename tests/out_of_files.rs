//! A process that temporarily cannot open more files: the error says so, and later calls are not
//! affected.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;
mod tls_server;

use std::path::Path;
use std::process::Command;

use loopback::{listen, Http};
use native::program;
use serde_json::{json, Value};
use tls_server::{file, serve, Authority};

/// Returns the error of a call while only `files` more files can be opened. The next call of the
/// process, which may open all the files that it needs, must succeed.
fn failure(program: &mut Command, options: &Value, files: u32) -> Value {
    let output = program.args([options.to_string(), files.to_string()]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 4 && lines[2] == "0", "{text}");
    assert_eq!(lines[0], "-5", "{text}");
    serde_json::from_str(lines[1]).unwrap()
}

fn assert_reported(error: &Value) {
    assert_eq!(error["delivery"], "not_sent", "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("this process has too many files open"),
        "{error}"
    );
}

#[test]
fn without_a_socket_or_a_dns_lookup() {
    let port = listen(|stream, _| {
        let mut http = Http::new(stream);
        while http.request().is_some() {
            http.confirm("").unwrap();
        }
    });
    for host in ["127.0.0.1", "one.example"] {
        let options = json!({"base_url": format!("http://{host}:{port}"), "allow_http": true, "max_retries": 0});
        let mut program =
            with_files("mount --bind \"$0\" /etc/hosts", &file("hosts", "127.0.0.1 one.example\n"));
        assert_reported(&failure(&mut program, &options, 0));
    }
}

/// Returns a command that runs the program on a machine with different files. `replace` is a shell
/// command that replaces one of the system's files with `file`, its `$0`.
fn with_files(replace: &str, file: &Path) -> Command {
    let inner = program("out_of_files");
    let mut program = Command::new("unshare");
    program.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    program.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &format!("{replace} && exec \"$@\""),
    ]);
    program.arg(file).arg(inner.get_program());
    program
}

/// Starts an API server over TLS whose certificate this authority signs. Returns the client's
/// options.
fn api(authority: &Authority) -> Value {
    let (port, _) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    json!({"base_url": format!("https://127.0.0.1:{port}"), "max_retries": 0})
}

/// The connection uses the only available file, so the certificates cannot be opened.
#[test]
fn without_the_trust_store_of_the_environment() {
    let authority = Authority::new();
    let mut program = program("out_of_files");
    program.env("SSL_CERT_FILE", file("out-of-files.pem", &authority.pem()));
    assert_reported(&failure(&mut program, &api(&authority), 1));
}

/// The bundled roots are for a machine without a store. They are not used if the store exists but
/// cannot be read at the moment.
#[test]
fn without_the_trust_store_of_the_system() {
    let authority = Authority::new();
    let replace = "mount -t tmpfs none /etc/ssl && cp \"$0\" /etc/ssl/cert.pem";
    let mut program = with_files(replace, &file("machine.pem", &authority.pem()));
    assert_reported(&failure(&mut program, &api(&authority), 1));
}
