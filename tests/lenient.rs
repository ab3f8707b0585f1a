//! Replies that violate HTTP but that other clients accept. The server processed the update, so the
//! call must succeed.

mod faults;
mod loopback;

use std::io::{Read, Write};
use std::net::TcpStream;

use commbox::{Delivery, ErrorKind};

use faults::{client, is_for, user, Fault, Server, Step};
use loopback::{listen, Http, Record};

const ID: i64 = 4711;

fn answered(fault: Fault) -> Result<commbox::UpdateReply, commbox::Error> {
    let server = Server::script([fault]);
    client(&server, |options| options.max_retries = 0).update_user_json(ID, &user(10))
}

#[test]
fn unusual_response_heads_are_accepted() {
    let length = "Content-Length: {length}\r\n";
    let many = |count: usize| "X-More: 1\r\n".repeat(count);
    for (name, head) in [
        (
            "100 Continue with headers",
            format!(
                "HTTP/1.1 100 Continue\r\nServer: x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n{length}\r\n"
            ),
        ),
        ("129 headers", format!("HTTP/1.1 200 OK\r\n{}{length}\r\n", many(128))),
        ("511 headers", format!("HTTP/1.1 200 OK\r\n{}{length}\r\n", many(510))),
        ("a long header", format!("HTTP/1.1 200 OK\r\nX: {}\r\n{length}\r\n", "y".repeat(60_000))),
        (
            "a folded header",
            format!("HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\n\tc\r\n{length}\r\n"),
        ),
        (
            "a blank before the colon",
            "HTTP/1.1 200 OK\r\nServer : x\r\nContent-Length : {length}\r\n\r\n".to_string(),
        ),
        ("a line that is no header", format!("HTTP/1.1 200 OK\r\nwhat is this\r\n{length}\r\n")),
    ] {
        let reply =
            answered(Fault::good().head(&head)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(is_for(&reply, ID), "{name}: {reply}");
    }
    let error =
        answered(Fault::good().head(&format!("HTTP/1.1 200 OK\r\n{}{length}\r\n", many(600))))
            .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadResponse);
    assert!(error.to_string().contains("512 lines"), "{error}");
}

#[test]
fn a_chunk_with_a_long_extension() {
    let body = r#"{"status":200,"data":{"Id":4711.0}}"#;
    let chunks = format!("{:X};name=\"{}\"\r\n{body}\r\n0\r\n\r\n", body.len(), "x".repeat(1000));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(is_for(&answered(Fault::good().head(head).body(&chunks)).unwrap(), ID));
}

/// A response without a length is complete when the connection is closed, but not when it is reset.
#[test]
fn a_cut_without_a_length_is_transient() {
    let error =
        answered(Fault::good().head("HTTP/1.1 200 OK\r\n\r\n").then(&[Step::Reset])).map(|_| ());
    // The client may or may not have read what was sent before the reset.
    if let Err(error) = error {
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Connection, Delivery::Unknown),
            "{error}"
        );
    }
}

#[test]
fn a_cut_within_a_body_without_a_length_is_transient() {
    let partial = Fault::good()
        .head("HTTP/1.1 200 OK\r\n\r\n")
        .body("{\"status\":")
        .then(&[Step::Wait(std::time::Duration::from_millis(100)), Step::Reset]);
    let error = answered(partial).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Connection, Delivery::Unknown),
        "{error}"
    );
}

#[test]
fn no_encoding_is_requested_and_a_received_one_is_reported() {
    let heads = Record::new();
    let seen = heads.clone();
    let port = listen(move |stream: TcpStream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            seen.add(request.header("accept-encoding").map(str::to_owned));
            http.answer("Content-Encoding: gzip\r\n", "no JSON").unwrap();
        }
    });
    let mut options = commbox::Options::default();
    options.base_url = format!("http://127.0.0.1:{port}");
    let error =
        commbox::Client::new("key", &options).unwrap().update_user_json(ID, "{}").unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::BadResponse, Delivery::Answered),
        "{error}"
    );
    assert!(error.to_string().contains("gzip"), "{error}");
    assert_eq!(heads.all(), [Some("identity".to_owned())]);
}

/// The server continues to read after its response, so that the connection counts as kept alive.
#[test]
fn connections_are_reused_after_unusual_heads() {
    let served = Record::new();
    let seen = served.clone();
    let port = listen(move |mut stream: TcpStream, number| {
        let mut input = [0; 4096];
        while stream.read(&mut input).is_ok_and(|amount| amount > 0) {
            seen.add(number);
            let body = loopback::CONFIRMED;
            let answer = format!(
                "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut options = commbox::Options::default();
    options.base_url = format!("http://127.0.0.1:{port}");
    let client = commbox::Client::new("key", &options).unwrap();
    for _ in 0..3 {
        client.update_user_json(1, "{}").unwrap();
    }
    assert_eq!(served.all(), [0, 0, 0]);
}
