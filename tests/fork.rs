//! `fork()`: handles remain usable in both processes, and neither disturbs the other.

#![cfg(unix)]

mod common;
mod loopback;
mod native;
mod tls_server;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::build::{compile_against, library_with_failpoints, Language};
use loopback::{listen, Http, Record};
use serde_json::json;

/// What a server saw on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Update(u64),
    End,
}

/// Starts a server that answers each update with its user's id, after it has checked that the
/// request is intact.
fn api() -> (u16, Record<(usize, Event)>) {
    let record = Record::new();
    let seen = record.clone();
    let port = listen(move |stream, connection| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            let id: u64 = request.path().trim_start_matches("/users/").parse().unwrap();
            assert_eq!(request.body, format!(r#"{{"data":{{"Remarks":"{id}"}}}}"#).as_bytes());
            seen.add((connection, Event::Update(id)));
            http.answer("", &format!(r#"{{"status":200,"data":{{"Id":{id}}}}}"#)).unwrap();
        }
        seen.add((connection, Event::End));
    });
    (port, record)
}

/// Returns a command that runs one test of the program `fork`. Calls are not retried, so that no
/// failure is hidden.
fn fork(what: &str, port: u16) -> Command {
    let options = json!({"base_url": format!("http://127.0.0.1:{port}"), "max_retries": 0, "total_timeout_ms": 8000});
    let mut program = native::program("fork");
    program.args([what, &options.to_string()]);
    program
}

fn run(mut program: Command) {
    let output = program.output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the updates, each with the number of its connection, and asserts that every user was
/// updated once.
fn updates(record: &Record<(usize, Event)>) -> Vec<(usize, u64)> {
    let events = record.all();
    let updates: Vec<_> = events
        .iter()
        .filter_map(|(connection, event)| match event {
            Event::Update(id) => Some((*connection, *id)),
            Event::End => None,
        })
        .collect();
    let users: HashSet<_> = updates.iter().map(|(_, id)| id).collect();
    assert_eq!(users.len(), updates.len());
    updates
}

#[test]
fn parent_and_child_call_at_once_on_separate_connections() {
    let (port, record) = api();
    run(fork("both", port));
    let updates = updates(&record);
    assert_eq!(updates.len(), 401);
    // The parent continues to use its connection. The child uses one connection of its own for all
    // of its calls.
    let connections: HashSet<_> =
        updates.iter().map(|(connection, id)| (*connection, (1000..1200).contains(id))).collect();
    assert_eq!(connections, HashSet::from([(0, false), (1, true)]));
}

#[test]
fn parent_and_child_each_use_and_free_the_handles() {
    let (port, record) = api();
    run(fork("handles", port));
    assert_eq!(updates(&record), [(0, 1), (1, 2), (2, 3), (1, 4), (0, 5), (0, 6)]);
}

#[test]
fn forks_during_calls_neither_delay_nor_mix_up_calls() {
    let (port, record) = api();
    run(fork("threads", port));
    let updates = updates(&record);
    let of_children: Vec<_> =
        updates.iter().filter(|(_, id)| (1_000_000..1_000_050).contains(id)).collect();
    let connections: HashSet<_> = of_children.iter().map(|(connection, _)| connection).collect();
    assert_eq!((of_children.len(), connections.len()), (50, 50));
    // A child's connection carries only the child's single call.
    assert_eq!(
        updates.iter().filter(|(connection, _)| connections.contains(connection)).count(),
        50
    );
    assert!(updates.len() > 50 + 8, "the threads were not calling: {}", updates.len());
    // The other connections are the parent's, at most one per thread.
    let of_parent: HashSet<_> = updates
        .iter()
        .map(|(connection, _)| connection)
        .filter(|c| !connections.contains(c))
        .collect();
    assert!(of_parent.len() <= 8, "{}", of_parent.len());
}

#[test]
fn a_child_forked_among_busy_threads_can_use_its_own_handles() {
    run(fork("users", 1));
}

#[test]
fn a_child_forked_in_an_exit_handler_can_use_its_own_handles() {
    run(fork("exit", 1));
}

#[test]
fn a_child_does_not_keep_the_connections_of_its_parent_open() {
    let (port, record) = api();
    let mut program =
        fork("left", port).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "freed\n");
    // The child is still running.
    assert_eq!(record.wait_for(2), [(0, Event::Update(1)), (0, Event::End)]);
    program.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(program.wait().unwrap().success());
}

/// The file descriptor number of a connection may belong to a file of the program by the time of
/// the next fork, or when the connection ends. The library must not close that file.
#[test]
fn descriptors_of_the_program_are_not_closed() {
    let (port, record) = api();
    run(fork("daemon", port));
    let ids: HashSet<_> = updates(&record).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, HashSet::from([1, 2, 3, 4]));
}

#[test]
fn a_child_does_not_wait_for_the_probe_of_its_parent() {
    let record = Record::new();
    let seen = record.clone();
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            let id: u64 = request.path().trim_start_matches("/users/").parse().unwrap();
            seen.add(id);
            match seen.all().len() {
                1 => {
                    let throttled = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
                    http.stream.write_all(throttled.as_bytes()).unwrap();
                }
                number => {
                    if number == 2 {
                        // The probe request is answered together with the child's request.
                        seen.wait_for(3);
                    }
                    http.answer("", &format!(r#"{{"status":200,"data":{{"Id":{id}}}}}"#)).unwrap();
                }
            }
        }
    });
    let options = json!({"base_url": format!("http://127.0.0.1:{port}"), "total_timeout_ms": 8000});
    let mut program = native::program("fork");
    program.args(["probing", &options.to_string()]);
    run(program);
    assert_eq!(record.all(), [1, 1, 2, 1]);
}

/// The library pauses while it creates the TLS settings. In a child that is forked at this moment,
/// no thread continues that work.
#[test]
fn a_child_does_not_wait_for_the_tls_settings_of_its_parent() {
    let authority = tls_server::Authority::new();
    let config = Arc::new(authority.issue(|_| ()).config());
    let port = listen(move |stream, _| {
        let mut http = tls_server::accept(&config, stream);
        while let Some(request) = http.request() {
            let id: u64 = request.path().trim_start_matches("/users/").parse().unwrap();
            http.answer("", &format!(r#"{{"status":200,"data":{{"Id":{id}}}}}"#)).unwrap();
        }
    });
    let options =
        json!({"base_url": format!("https://127.0.0.1:{port}"), "proxy": "", "max_retries": 0});
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/fork.c");
    let library = library_with_failpoints();
    let mut program = compile_against(library, Language::C, &source, "fork-with-failpoints");
    program.env("LD_LIBRARY_PATH", library.parent().unwrap());
    program
        .env("SSL_CERT_FILE", tls_server::file("fork.pem", &authority.pem()))
        .env("COMMBOX_PAUSE_AT", "settings");
    program.args(["sharing", &options.to_string()]);
    run(program);
}

#[test]
fn a_child_does_not_hold_a_connection_that_its_parent_is_making() {
    // A listener with a full queue accepts no connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // SAFETY: the listener is open; this call only makes its queue short.
    assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) }, 0);
    let mut queue = Vec::new();
    while let Ok(stream) =
        TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100))
    {
        queue.push(stream);
        assert!(queue.len() < 1000, "the queue does not fill");
    }
    let options = json!({"base_url": format!("http://{address}"), "max_retries": 0, "connect_timeout_ms": 500});
    let mut program = native::program("fork");
    program.args(["connecting", &options.to_string()]);
    run(program);
}
