//! The sources of trusted certificates. A process reads the system's store only once, so each call
//! runs in its own process.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;
mod tls_server;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::scratch::scratch;
use native::{call_once, program};
use serde_json::{json, Value};
use tls_server::{file, serve, Authority};

const TLS: i64 = -6;

/// Starts a server whose certificate this authority signed. Returns its port.
fn server(authority: &Authority) -> u16 {
    serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok()).0
}

fn call(port: u16, program: &mut Command, ca_file: Option<&Path>) -> (i64, Value) {
    call_once(
        program,
        &json!({"base_url": format!("https://127.0.0.1:{port}"), "ca_file": ca_file}),
    )
}

/// Makes a call that must fail in TLS with a message that contains these words.
fn refused(port: u16, program: &mut Command, words: &[&str]) {
    let (code, error) = call(port, program, None);
    assert_eq!(
        (code, &error["delivery"], &error["attempts"]),
        (TLS, &json!("not_sent"), &json!(1)),
        "{error}"
    );
    let message = error["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn ssl_cert_file_and_ssl_cert_dir_name_the_store() {
    let authority = Authority::new();
    let port = server(&authority);
    let pem = file("trust.pem", &authority.pem());
    let (code, reply) = call(port, program("call_once").env("SSL_CERT_FILE", &pem), None);
    assert_eq!((code, &reply["status"]), (0, &json!("200")), "{reply}");

    let folder = pem.with_file_name("trust");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&pem, folder.join("any-name")).unwrap();
    assert_eq!(call(port, program("call_once").env("SSL_CERT_DIR", &folder), None).0, 0);
}

/// The stores of many machines contain broken files and links. The rest of the store remains
/// usable.
#[test]
fn a_store_with_a_broken_file_still_serves_the_others() {
    let authority = Authority::new();
    let pem = file("of-many.pem", &authority.pem());
    let folder = pem.with_file_name("of-many");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&pem, folder.join("good.pem")).unwrap();
    fs::write(
        folder.join("broken.pem"),
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    symlink("loop.pem", folder.join("loop.pem")).unwrap();
    assert_eq!(
        call(server(&authority), program("call_once").env("SSL_CERT_DIR", &folder), None).0,
        0
    );
}

#[test]
fn a_ca_file_is_trusted_in_addition_to_the_store() {
    let (machine, own) = (Authority::new(), Authority::new());
    let (store, ca_file) = (file("store.pem", &machine.pem()), file("own.pem", &own.pem()));
    for port in [server(&machine), server(&own)] {
        assert_eq!(
            call(port, program("call_once").env("SSL_CERT_FILE", &store), Some(&ca_file)).0,
            0
        );
    }
    refused(
        server(&own),
        program("call_once").env("SSL_CERT_FILE", &store),
        &["not signed by an authority that is trusted"],
    );
}

#[test]
fn a_missing_store_is_reported() {
    let port = server(&Authority::new());
    refused(
        port,
        program("call_once").env("SSL_CERT_FILE", "/no/such/file"),
        &["SSL_CERT_FILE", "no certificate"],
    );
    let empty = file("empty.pem", "");
    refused(
        port,
        program("call_once").env("SSL_CERT_FILE", empty),
        &["SSL_CERT_FILE", "no certificate"],
    );
    let folder = scratch().join("empty");
    fs::create_dir_all(&folder).unwrap();
    refused(
        port,
        program("call_once").env("SSL_CERT_DIR", folder),
        &["SSL_CERT_DIR", "no certificate"],
    );
}

/// Machines without a store, such as small containers, use the bundled roots. The call must fail
/// because of the server's certificate, and not because there are no roots.
#[test]
fn bundled_roots_serve_a_machine_without_a_store() {
    let port = server(&Authority::new());
    let with_store = program("call_once");
    // In separate namespaces, the program does not see the machine's certificates.
    let hide = r#"for folder in /etc/ssl /etc/pki; do
                      if [ -d $folder ]; then mount -t tmpfs none $folder || exit 3; fi
                  done
                  exec "$0" "$@""#;
    let mut without_store = Command::new("unshare");
    without_store.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    without_store
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", hide])
        .arg(with_store.get_program());
    refused(port, &mut without_store, &["not signed by an authority that is trusted", "ca_file"]);
}

#[test]
fn an_empty_variable_counts_as_unset_and_an_unreadable_file_is_named() {
    let machine = Authority::new();
    let (port, _) = serve(machine.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let store = file("empty-variable.pem", &machine.pem());
    let (code, error) = call(port, program("call_once").env("SSL_CERT_FILE", ""), Some(&store));
    assert_eq!(code, 0, "{error}");
    refused(
        port,
        program("call_once").env("SSL_CERT_FILE", "/nowhere/roots.pem"),
        &["SSL_CERT_FILE", "/nowhere/roots.pem"],
    );
}

/// In the same process, a new client uses the certificates that were added to the machine.
#[test]
fn a_changed_store_is_read_again() {
    let (former, present) = (Authority::new(), Authority::new());
    let (port, _) = serve(present.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let store = file("changing.pem", &former.pem());
    let replacement = file("changed.pem", &format!("{}{}", former.pem(), present.pem()));
    let options = json!({"base_url": format!("https://127.0.0.1:{port}"), "proxy": ""}).to_string();
    let mut program = program("two_clients");
    program.env("SSL_CERT_FILE", &store).arg(&options).arg(&replacement).arg(&store);
    let output = program.output().unwrap();
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.0 == "-6 0\n", "{said:?}");
}
