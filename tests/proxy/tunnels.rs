//! What passes through a tunnel, and what becomes of a call whose tunnel ends.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use commbox::{Client, Delivery, ErrorKind};

use crate::loopback::{closed_port, listen, reset, Http, Record, CONFIRMED};
use crate::tls_server::{accept, file, Authority};
use crate::{api, call, fails, http, https, options, plain_api, proxy, tunnel, BODY, ESTABLISHED};

#[test]
fn https_calls_reuse_one_tunnel() {
    let (port, connects) = proxy(tunnel);
    let (mut options, seen) = api("kept", port);
    options.proxy = Some(format!("http://user:p%40ss@127.0.0.1:{port}"));
    let client = Client::new("secret-key", &options).unwrap();
    for id in 1..=3 {
        assert_eq!(client.update_user_json(id, BODY).unwrap(), CONFIRMED);
    }
    assert!(seen
        .all()
        .iter()
        .all(|seen| seen.connection == 0 && seen.request.body.ends_with(b"\"John\"}}")));
    assert_eq!(seen.all().len(), 3);

    let connects = connects.all();
    assert_eq!(connects.len(), 1);
    let host = options.base_url.trim_start_matches("https://");
    assert!(
        connects[0].head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
        "{}",
        connects[0].head
    );
    assert_eq!(connects[0].header("host"), Some(host));
    assert_eq!(connects[0].header("proxy-authorization"), Some("Basic dXNlcjpwQHNz"));
    assert_eq!(connects[0].header("authorization"), None);
    // What is meant for the proxy stays there.
    assert!(seen.all().iter().all(|seen| seen.request.header("proxy-authorization").is_none()));
    assert!(!format!("{client:?} {options:?}").contains("p%40ss"));
}

#[test]
fn http_calls_use_a_tunnel_too() {
    let (port, connects) = proxy(tunnel);
    let (target, seen) = plain_api();
    let client = Client::new("secret-key", &options(http(target), &http(port))).unwrap();
    for id in 1..=2 {
        client.update_user_json(id, BODY).unwrap();
    }
    assert_eq!(connects.all().len(), 1);
    assert_eq!(connects.all()[0].path(), format!("127.0.0.1:{target}"));
    assert_eq!(connects.all()[0].header("proxy-authorization"), None);
    assert_eq!(seen.all().len(), 2);
}

#[test]
fn a_proxy_may_use_tls() {
    let (authority, connects) = (Authority::new(), Record::new());
    let (config, seen) = (Arc::new(authority.issue(|_| ()).config()), connects.clone());
    let port = listen(move |stream, _| {
        let mut http = accept(&config, stream);
        while let Some(request) = http.request() {
            seen.add(request.head.clone());
            if request.head.starts_with("CONNECT") {
                http.stream.write_all(ESTABLISHED).unwrap();
            } else {
                http.confirm("").unwrap();
            }
        }
    });
    // It plays the API behind the tunnel as well: one thread can do both, where it need not pass
    // bytes both ways.
    let mut options = options(http(closed_port()), &https(port));
    options.ca_file = Some(file("proxy-tls.pem", &authority.pem()));
    call(&options).unwrap();
    let heads = connects.all();
    assert!(
        heads.len() == 2
            && heads[0].starts_with("CONNECT ")
            && heads[1].starts_with("POST /users/1 "),
        "{heads:?}"
    );

    // Its certificate is looked at as any other.
    options.ca_file = None;
    fails(&options, ErrorKind::Tls, 1, &["not signed by an authority that is trusted"]);
}

/// The bytes of a `CONNECT` and of a handshake are none of the request.
#[test]
fn a_tunnel_that_breaks_before_the_request_is_reported_as_not_sent() {
    for late in [false, true] {
        let (port, connects) = proxy(move |mut client, _| {
            if late {
                client.write_all(ESTABLISHED).unwrap();
                let _ = client.read(&mut [0; 16]).unwrap();
                reset(&client);
            }
        });
        let (options, seen) = api("breaks", port);
        let error = call(&options).unwrap_err();
        let expected = (ErrorKind::Connection, Delivery::NotSent, 4);
        assert_eq!((error.kind(), error.delivery(), error.attempts()), expected, "{error}");
        assert_eq!((connects.all().len(), seen.all().len()), (4, 0));
    }
}

#[test]
fn a_tunnel_that_breaks_after_the_request_is_reported_as_unknown() {
    let (port, _) = proxy(|mut client, _| {
        client.write_all(ESTABLISHED).unwrap();
        let mut http = Http::new(client);
        assert!(http.request().is_some());
    });
    let error = call(&options(http(closed_port()), &http(port))).unwrap_err();
    let expected = (ErrorKind::Connection, Delivery::Unknown, 4);
    assert_eq!((error.kind(), error.delivery(), error.attempts()), expected, "{error}");
}

#[test]
fn an_idle_tunnel_that_the_proxy_closes_fails_no_call() {
    let tunnels = Record::new();
    let open = tunnels.clone();
    let (port, connects) = proxy(move |client, request| {
        open.add(Arc::new(client.try_clone().unwrap()));
        tunnel(client, request);
    });
    let (mut options, seen) = api("idle", port);
    options.max_retries = 0;
    let client = Client::new("secret-key", &options).unwrap();
    for id in 1..=3 {
        client.update_user_json(id, BODY).unwrap();
        for tunnel in tunnels.all() {
            let _ = tunnel.shutdown(Shutdown::Both);
        }
    }
    assert_eq!((connects.all().len(), seen.all().len()), (3, 3));
}
