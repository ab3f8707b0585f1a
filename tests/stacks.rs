//! Programs that switch stacks in their callback: calls of several clients take turns on one
//! thread. The program is "c/stacks.c".

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;

use std::collections::HashSet;
use std::net::TcpStream;
use std::process::Command;

use common::valgrind::Valgrind;
use loopback::{listen, Http, Record};
use serde_json::json;

/// Starts `count` servers. Returns their ports and the API keys that each received.
fn servers(count: usize) -> Vec<(u16, Record<String>)> {
    let start = |_| {
        let keys = Record::new();
        let seen = keys.clone();
        let port = listen(move |stream: TcpStream, _| {
            let mut http = Http::new(stream);
            while let Some(request) = http.request() {
                seen.add(request.header("authorization").unwrap().to_owned());
                std::thread::sleep(std::time::Duration::from_millis(80));
                http.confirm("").unwrap();
            }
        });
        (port, keys)
    };
    (0..count).map(start).collect()
}

/// Runs the program with `count` servers. Each must receive only the key of its own client.
fn play(command: &mut Command, count: usize) -> std::process::ExitStatus {
    let servers = servers(count);
    let options = servers.iter().map(|(port, _)| {
        // Each call opens a connection, which requires a DNS lookup.
        json!({
            "base_url": format!("http://one.example:{port}"), "allow_http": true, "proxy": "", "max_retries": 0,
            "dns_ttl_ms": 0, "max_idle_connections": 0,
        })
        .to_string()
    });
    let output = command.args(options).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    for (number, (_, keys)) in servers.iter().enumerate() {
        let seen: HashSet<_> = keys.all().into_iter().collect();
        assert_eq!(seen, HashSet::from([format!("Bearer key-{number}")]));
        assert_eq!(keys.all().len(), 5);
    }
    output.status
}

#[test]
fn each_server_sees_the_key_of_its_own_client() {
    for count in [2, 3] {
        play(&mut native::program("stacks"), count);
    }
}

#[test]
fn freed_memory_is_not_read() {
    let Some(valgrind) = Valgrind::around(&native::program("stacks")) else { return };
    let status = play(&mut valgrind.command(), 3);
    valgrind.assert_clean(status);
}
