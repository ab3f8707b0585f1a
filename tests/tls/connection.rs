//! Requests and replies on a connection, its reuse, and its end.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use commbox::{Client, Delivery, ErrorKind};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::loopback::{listen, Record, CONFIRMED};
use crate::tls_server::{accept, serve, Authority};
use crate::{call, tls_server, trusting, BODY};

#[test]
fn both_safe_versions_work_on_one_warm_connection() {
    let authority = Authority::new();
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let config = authority.issue(|_| ()).config_of(&[version]);
        let (port, seen) = serve(config, |http, _| http.confirm("").is_ok());
        let client = Client::new("key", &trusting(port, &authority.pem())).unwrap();
        for id in 1..=3 {
            assert_eq!(client.update_user_json(id, BODY).unwrap(), CONFIRMED);
        }
        let seen = seen.all();
        assert!(seen.iter().all(|seen| seen.connection == 0 && seen.version == expected));
        let paths: Vec<_> = seen.iter().map(|seen| seen.request.path()).collect();
        assert_eq!(paths, ["/users/1", "/users/2", "/users/3"]);
    }
}

#[test]
fn a_new_connection_resumes_the_session() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let config = authority.issue(|_| ()).config_of(&[version]);
        let (port, seen) = serve(config, |http, _| {
            http.confirm("Connection: close\r\n").unwrap();
            false
        });
        let client = Client::new("key", &trusting(port, &authority.pem())).unwrap();
        client.update_user_json(1, BODY).unwrap();
        client.update_user_json(2, BODY).unwrap();
        let seen: Vec<_> =
            seen.all().iter().map(|seen| (seen.connection, seen.handshake)).collect();
        assert!(
            matches!(
                seen[..],
                [
                    (0, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest),
                    (1, HandshakeKind::Resumed)
                ]
            ),
            "{seen:?}"
        );
    }
}

#[test]
fn long_requests_and_replies_are_complete() {
    let authority = Authority::new();
    let reply = format!(r#"{{"status": 200, "description": "{}"}}"#, "long ".repeat(30_000));
    let sent = reply.clone();
    let (port, seen) =
        serve(authority.issue(|_| ()).config(), move |http, _| http.answer("", &sent).is_ok());
    let client = Client::new("key", &trusting(port, &authority.pem())).unwrap();
    let body = format!(r#"{{"data": {{"Remarks": "{}"}}}}"#, "x".repeat(300 << 10));
    for _ in 0..2 {
        assert_eq!(client.update_user_json(1, &body).unwrap(), reply);
    }
    let seen = seen.all();
    assert!(seen.iter().all(|seen| seen.connection == 0 && seen.request.body == body.as_bytes()));
}

#[test]
fn one_cancel_by_the_poll_callback_ends_a_call_that_sends() {
    let authority = Authority::new();
    let config = Arc::new(authority.issue(|_| ()).config());
    let record = Record::new();
    let seen = record.clone();
    let port = listen(move |stream, number| {
        seen.add(number);
        let mut http = accept(&config, stream);
        http.stream.read_exact(&mut [0; 1000]).unwrap();
        // Reads no more, so that the client cannot send it all.
        thread::sleep(Duration::from_secs(3));
        let left = http.stream.read_to_end(&mut Vec::new()).unwrap_err();
        // What had left is whole records, and then the connection ends.
        assert_ne!(left.kind(), io::ErrorKind::InvalidData, "{left}");
        seen.add(100);
    });
    let client = Client::new("key", &trusting(port, &authority.pem())).unwrap();
    let asked = AtomicUsize::new(0);
    client.set_interrupt(Some(Arc::new(move || asked.fetch_add(1, Ordering::SeqCst) == 2)));
    let (large, began) = (format!(r#"{{"Remarks": "{}"}}"#, "x".repeat(8 << 20)), Instant::now());
    let error = client.update_user_json(1, &large).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Cancelled, Delivery::Unknown, 1)
    );
    assert_eq!(record.wait_for(2), [0, 100]);
}

#[test]
fn a_reply_before_the_whole_request_was_sent_is_read() {
    let authority = Authority::new();
    let config = Arc::new(authority.issue(|_| ()).config());
    let port = listen(move |stream, _| {
        let mut http = accept(&config, stream);
        http.stream.read_exact(&mut [0; 1000]).unwrap();
        http.stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        http.stream.flush().unwrap();
        // Closed with more to read, it is reset.
    });
    let large = format!(r#"{{"Remarks": "{}"}}"#, "x".repeat(8 << 20));
    let error = Client::new("key", &trusting(port, &authority.pem()))
        .unwrap()
        .update_user_json(1, &large)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Http(413), Delivery::Answered, 1)
    );
}

/// What a server does with a connection that it has had enough of is not the caller's business:
/// even with no retries the next call succeeds, on a new connection.
fn parted(config: ServerConfig, pem: &str, part: fn(&mut tls_server::Tls)) -> Vec<(usize, String)> {
    let parted = Record::new();
    let done = parted.clone();
    let (port, seen) = serve(config, move |http, _| {
        http.confirm("").unwrap();
        part(&mut http.stream);
        done.add(());
        // It stays open for TCP as long as the client wants it to.
        true
    });
    let mut options = trusting(port, pem);
    options.max_retries = 0;
    let client = Client::new("key", &options).unwrap();
    for id in 1..=2 {
        client.update_user_json(id, BODY).unwrap();
        parted.wait_for(id as usize);
        thread::sleep(Duration::from_millis(20));
    }
    seen.all().iter().map(|seen| (seen.connection, seen.request.path().to_owned())).collect()
}

#[test]
fn a_close_notify_on_an_idle_connection_fails_no_call() {
    let authority = Authority::new();
    let each_on_its_own = [(0, "/users/1".to_owned()), (1, "/users/2".to_owned())];
    for version in [&TLS12, &TLS13] {
        let config = || authority.issue(|_| ()).config_of(&[version]);
        let seen = parted(config(), &authority.pem(), |tls| {
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        });
        assert_eq!(seen, each_on_its_own);
        let seen = parted(config(), &authority.pem(), |tls| {
            tls.sock.shutdown(std::net::Shutdown::Write).unwrap()
        });
        assert_eq!(seen, each_on_its_own);
    }
}

/// The farewell can also come with the reply, in one packet, and be read with it.
#[test]
fn a_close_notify_with_the_reply_closes_the_connection() {
    let authority = Authority::new();
    let (config, sent) = (Arc::new(authority.issue(|_| ()).config()), Record::new());
    let requests = sent.clone();
    let port = listen(move |stream, connection| {
        let mut http = accept(&config, stream);
        while http.request().is_some() {
            requests.add(connection);
            let tls = &mut http.stream.conn;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONFIRMED}",
                CONFIRMED.len()
            );
            tls.writer().write_all(answer.as_bytes()).unwrap();
            tls.send_close_notify();
            let mut packet = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut packet).unwrap();
            }
            http.stream.sock.write_all(&packet).unwrap();
        }
    });
    let mut options = trusting(port, &authority.pem());
    options.max_retries = 0;
    let client = Client::new("key", &options).unwrap();
    for id in 1..=3 {
        client.update_user_json(id, BODY).unwrap();
    }
    assert_eq!(sent.all(), [0, 1, 2]);
}

/// The farewell can cross the next request on its way.
#[test]
fn a_close_notify_instead_of_a_reply_costs_no_retry() {
    let authority = Authority::new();
    for notify in [true, false] {
        let (port, seen) = serve(authority.issue(|_| ()).config(), move |http, number| {
            if number == 0 {
                return http.confirm("").is_ok();
            }
            if notify {
                http.stream.conn.send_close_notify();
                http.stream.flush().unwrap();
            }
            false
        });
        let mut options = trusting(port, &authority.pem());
        options.max_retries = 0;
        let client = Client::new("key", &options).unwrap();
        for id in 1..=2 {
            client.update_user_json(id, BODY).unwrap();
        }
        let seen: Vec<_> = seen.all().iter().map(|seen| seen.connection).collect();
        assert_eq!(seen, [0, 0, 1], "notify: {notify}");
    }
}

#[test]
fn a_truncated_reply_is_reported_as_unknown() {
    let authority = Authority::new();
    for notify in [true, false] {
        let (port, _) = serve(authority.issue(|_| ()).config(), move |http, _| {
            http.stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\"")
                .unwrap();
            if notify {
                http.stream.conn.send_close_notify();
            }
            http.stream.flush().unwrap();
            false
        });
        let error = call(&trusting(port, &authority.pem())).unwrap_err();
        let expected = (ErrorKind::Connection, Delivery::Unknown, 4);
        assert_eq!((error.kind(), error.delivery(), error.attempts()), expected, "{error}");
        assert!(error.to_string().contains("before its answer was complete"), "{error}");
    }
}
