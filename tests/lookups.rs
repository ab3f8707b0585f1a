//! DNS lookups: at most one at a time for each name. All waiting calls use its result, however late
//! it is.
//!
//! Each program replaces the system's lookup function with one that takes as long as the test
//! requires.

#![cfg(target_os = "linux")]

mod common;
mod loopback;
mod native;

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use loopback::{listen, Http};
use serde_json::{json, Value};

fn serve(stream: TcpStream) {
    let mut http = Http::new(stream);
    while http.request().is_some() {
        http.confirm("").unwrap();
    }
}

/// Runs one test of `lookups.c`, in which every call opens a new connection.
fn run_at(url: &str, what: &str, more: Value) {
    let mut options = json!({
        "base_url": url, "allow_http": true, "max_retries": 0, "max_idle_connections": 0, "proxy": "",
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    let output = native::program("lookups").args([what, &options.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} {options}: {}: {said}", output.status);
}

fn run(what: &str, options: Value) {
    let port = listen(|stream, _| serve(stream));
    run_at(&format!("http://one.example:{port}"), what, options);
}

#[test]
fn a_late_lookup_serves_the_next_attempt() {
    for ttl in [60_000, 0] {
        run("late", json!({"connect_timeout_ms": 300, "dns_ttl_ms": ttl}));
        let retries = json!({"max_retries": 2, "retry_base_ms": 1, "retry_cap_ms": 1});
        let mut options = json!({"connect_timeout_ms": 300, "dns_ttl_ms": ttl});
        options.as_object_mut().unwrap().extend(retries.as_object().unwrap().clone());
        run("retried", options);
    }
}

#[test]
fn an_uncached_lookup_serves_all_waiting_calls() {
    run("anew", json!({"dns_ttl_ms": 0}));
}

#[test]
fn a_failed_lookup_is_reported_to_all_waiting_calls_and_not_cached() {
    run("failing", json!({}));
}

#[test]
fn each_call_that_waits_for_a_lookup_keeps_its_deadline() {
    run("stopped", json!({"connect_timeout_ms": 300}));
    run("within", json!({}));
}

#[test]
fn a_batch_makes_one_lookup_at_a_time() {
    run("cold", json!({}));
    run(
        "hung",
        json!({"connect_timeout_ms": 100, "max_retries": 100, "retry_base_ms": 1, "retry_cap_ms": 1}),
    );
}

#[test]
fn a_lookup_that_never_ends_does_not_prevent_later_ones() {
    run("endless", json!({"connect_timeout_ms": 300}));
}

#[test]
fn localhost_is_loopback_whatever_the_resolver_returns() {
    let port = listen(|stream, _| serve(stream));
    run_at(&format!("http://localhost:{port}"), "unasked", json!({}));
}

#[test]
fn a_forked_child_looks_up_by_itself() {
    run("forked", json!({"dns_ttl_ms": 0}));
    run("forking", json!({"max_retries": 1, "retry_base_ms": 1, "retry_cap_ms": 1}));
}

#[test]
fn an_unresponsive_address_is_tried_first_only_once() {
    // A listener with a full queue accepts no connection.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: `listen` may be called again on a listening socket, with a shorter queue.
    assert_eq!(unsafe { libc::listen(dead.as_raw_fd(), 0) }, 0);
    let address = dead.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
        assert!(queue.len() < 10, "the queue has no end");
    }
    let good = TcpListener::bind(("127.0.0.2", address.port())).unwrap();
    thread::spawn(move || {
        for stream in good.incoming() {
            thread::spawn(|| serve(stream.unwrap()));
        }
    });
    let url = format!("http://two.example:{}", address.port());
    run_at(&url, "dead", json!({"connect_timeout_ms": 800}));
}
