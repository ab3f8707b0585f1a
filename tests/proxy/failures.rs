//! Proxies that open no tunnel.

use std::thread;
use std::time::Duration;

use commbox::ErrorKind;

use crate::loopback::{closed_port, reset};
use crate::{answering, fails, http, https, options, proxy};

#[test]
fn a_proxy_that_requires_credentials_is_asked_once() {
    const WANTED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    let (port, connects) = answering(WANTED);
    let remedy = ["user", "password", "proxy option"];
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 1, &remedy);
    let wrong = format!("http://user:p%40ss@127.0.0.1:{port}");
    fails(&options(https(1), &wrong), ErrorKind::Connection, 1, &remedy);
    assert_eq!(connects.all().len(), 2);
}

#[test]
fn a_refusal_by_the_proxy_is_not_retried_and_a_failure_is() {
    let (port, connects) = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 1, &["403", "127.0.0.1:1"]);
    assert_eq!(connects.all().len(), 1);
    let (port, connects) = answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 4, &["502", "127.0.0.1:1"]);
    assert_eq!(connects.all().len(), 4);
}

/// What goes wrong on the way to the tunnel is the proxy's doing, and the message names it by host
/// and port.
#[test]
fn a_proxy_that_is_unreachable_or_not_a_proxy_is_reported() {
    let closed = closed_port();
    let down = format!("http://user:p%40ss@127.0.0.1:{closed}");
    fails(
        &options(https(1), &down),
        ErrorKind::Connection,
        4,
        &[&format!("127.0.0.1:{closed}"), "refused"],
    );

    let (port, _) = proxy(|client, _| reset(&client));
    fails(
        &options(https(1), &http(port)),
        ErrorKind::Connection,
        4,
        &[&format!("127.0.0.1:{port}"), "reset"],
    );

    let (port, _) = proxy(|_, _| ());
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 4, &[]);

    let (port, _) = answering("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 4, &["HTTP"]);
}

#[test]
fn a_proxy_that_stalls_is_a_timeout() {
    let (port, _) = proxy(|client, _| {
        thread::sleep(Duration::from_secs(1));
        drop(client);
    });
    let mut options = options(https(1), &http(port));
    options.connect_timeout = Duration::from_millis(100);
    options.max_retries = 1;
    fails(&options, ErrorKind::Timeout, 2, &[&format!("127.0.0.1:{port}")]);
}
