//! TLS: which certificates the library trusts, how it reports the others, and how it handles
//! connections.

mod loopback;
mod tls_server;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use loopback::{closed_port, listen, reset, Record, CONFIRMED};
use rcgen::{date_time_ymd, BasicConstraints, IsCa};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tls_server::{accept, file, self_signed, serve, Authority, Identity};

const BODY: &str = r#"{"FirstName": "John"}"#;

/// Options for a server on this port, trying again as often as by default, though sooner.
fn options(port: u16) -> Options {
    let mut options = Options::default();
    options.base_url = format!("https://127.0.0.1:{port}");
    options.proxy = Some(String::new());
    options.retry_base = Duration::from_millis(1);
    options.retry_cap = Duration::from_millis(1);
    options
}

/// The same with this PEM trusted.
fn trusting(port: u16, pem: &str) -> Options {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let mut options = options(port);
    options.ca_file = Some(file(&format!("tls-{}.pem", FILES.fetch_add(1, Ordering::SeqCst)), pem));
    options
}

fn call(options: &Options) -> Result<commbox::UpdateReply, Error> {
    Client::new("key", options).unwrap().update_user_json(1, BODY)
}

/// Calls a server that is wrong in its TLS, while `pem` is trusted: the call is not tried again,
/// sends nothing, and says these words.
fn refused(pem: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static, words: &[&str]) {
    let connections = Record::new();
    let seen = connections.clone();
    let port = listen(move |stream, number| {
        seen.add(number);
        serve(stream);
    });
    let error = call(&trusting(port, pem)).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Tls, Delivery::NotSent, 1),
        "{error}"
    );
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert_eq!(connections.all().len(), 1);
}

/// A server with this identity, which no request may reach.
fn showing(identity: Identity) -> impl Fn(TcpStream) + Send + Sync {
    let config = Arc::new(identity.config());
    move |stream| assert!(accept(&config, stream).request().is_none())
}

/// A server that takes the client's first words and answers with these bytes.
fn saying(bytes: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn an_interrupt_that_says_so_once_ends_a_call_that_sends() {
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
fn an_answer_before_all_was_sent_is_heard() {
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

#[test]
fn an_unknown_authority_is_refused_and_the_remedy_named() {
    let known = Authority::new().pem();
    refused(
        &known,
        showing(Authority::new().issue(|_| ())),
        &["not signed by an authority that is trusted", "ca_file", "SSL_CERT_FILE"],
    );
    refused(&known, showing(self_signed(|_| ())), &["ca_file", "SSL_CERT_FILE"]);
}

#[test]
fn an_authority_that_changed_its_key_is_told_apart() {
    let (former, present) = (Authority::named("Renewed"), Authority::named("Renewed"));
    refused(&former.pem(), showing(present.issue(|_| ())), &["another key", "ca_file"]);
}

/// As `openssl req -x509` makes them.
#[test]
fn a_self_signed_authority_in_the_place_of_a_certificate_is_refused() {
    let identity = self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(&Authority::new().pem(), showing(identity), &["certificate", "authority", "ca_file"]);
}

#[test]
fn a_certificate_outside_its_time_is_refused() {
    let authority = Authority::new();
    let expired = authority.issue(|params| params.not_after = date_time_ymd(2020, 1, 1));
    refused(&authority.pem(), showing(expired), &["has expired", "renew", "clock"]);
    let early = authority.issue(|params| params.not_before = date_time_ymd(2090, 1, 1));
    refused(&authority.pem(), showing(early), &["not valid yet", "clock"]);
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let other = authority.issue(|params| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
    });
    refused(&authority.pem(), showing(other), &["another host", "base URL"]);
}

#[test]
fn a_server_without_a_safe_version_of_tls_is_refused() {
    let pem = Authority::new().pem();
    // An alert "protocol version", and a ServerHello for TLS 1.1.
    refused(&pem, saying(b"\x15\x03\x01\x00\x02\x02\x46"), &["TLS 1.2"]);
    let hello = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02--------------------------------\x00\xc0\x13\x00";
    refused(&pem, saying(hello), &["TLS 1.2"]);
}

#[test]
fn a_server_that_speaks_plain_http_is_told_apart() {
    let pem = Authority::new().pem();
    refused(
        &pem,
        saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        &["not TLS", "base URL", "http"],
    );
}

/// A server that wants the client to show a certificate; the client has none.
fn wanting_a_certificate(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> ServerConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.issue(|_| ()).chain.remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    );
    let config = authority.issue(|_| ()).config_of(&[version]);
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(config.cert_resolver.clone())
}

#[test]
fn a_server_that_wants_a_client_certificate_is_told_apart() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(wanting_a_certificate(&authority, version));
        let port = listen(move |stream, _| {
            let mut http = accept(&config, stream);
            assert!(http.request().is_none());
            // What the client had sent is read, or the system would have a reset overtake the
            // alert.
            let _ = http.stream.sock.read_to_end(&mut Vec::new());
        });
        let error = call(&trusting(port, &authority.pem())).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Tls, 1), "{error}");
        assert!(error.to_string().contains("client certificate"), "{error}");
        // In TLS 1.3 a client may send before it hears what the server thinks of its certificate.
        let delivery = if *version == TLS12 { Delivery::NotSent } else { Delivery::Unknown };
        assert_eq!(error.delivery(), delivery);
    }
}

#[test]
fn a_handshake_that_stalls_is_a_timeout() {
    let port = listen(|stream, _| {
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    let mut options = options(port);
    options.connect_timeout = Duration::from_millis(150);
    options.max_retries = 1;
    let began = Instant::now();
    let error = call(&options).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Timeout, Delivery::NotSent, 2)
    );
    assert!((300..600).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_breaks_in_the_handshake_is_no_tls_failure() {
    let broken = listen(|mut stream, _| {
        let _ = stream.read(&mut [0; 16]).unwrap();
        reset(&stream);
    });
    let closed = listen(|mut stream, _| {
        let _ = stream.read(&mut [0; 4096]).unwrap();
    });
    for port in [broken, closed, closed_port()] {
        let error = call(&options(port)).unwrap_err();
        let expected = (ErrorKind::Connection, Delivery::NotSent, 4);
        assert_eq!((error.kind(), error.delivery(), error.attempts()), expected, "{error}");
    }
}

#[test]
fn a_cancel_ends_a_handshake() {
    let begun = Record::new();
    let seen = begun.clone();
    let port = listen(move |stream, _| {
        seen.add(());
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    let client = Client::new("key", &options(port)).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.update_user_json(1, BODY));
        begun.wait_for(1);
        let began = Instant::now();
        client.cancel();
        let error = call.join().unwrap().unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
        assert_eq!(
            (error.kind(), error.delivery(), error.attempts()),
            (ErrorKind::Cancelled, Delivery::NotSent, 1)
        );
    });
}

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
fn a_name_is_checked_as_an_address_is() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let mut options = trusting(port, &authority.pem());
    options.base_url = format!("https://localhost:{port}/prefix/");
    call(&options).unwrap();
    assert_eq!(seen.all()[0].request.path(), "/prefix/users/1");
}

#[test]
fn a_ca_file_may_hold_several_authorities_and_a_server_show_a_chain() {
    let authority = Authority::new();
    let intermediate = authority.intermediate();
    let confirm = |http: &mut loopback::Http<_>, _| http.confirm("").is_ok();

    let both = format!("{}{}", Authority::new().pem(), authority.pem());
    let mut identity = intermediate.issue(|_| ());
    identity.chain.push(intermediate.certificate());
    call(&trusting(serve(identity.config(), confirm).0, &both)).unwrap();

    // A server that forgets its intermediate is served by a ca_file that has it.
    let chain = format!("{}{}", intermediate.pem(), authority.pem());
    call(&trusting(serve(intermediate.issue(|_| ()).config(), confirm).0, &chain)).unwrap();
    refused(&authority.pem(), showing(intermediate.issue(|_| ())), &["ca_file"]);
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
fn long_requests_and_replies_pass_whole() {
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
fn a_farewell_on_an_idle_connection_is_never_seen() {
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
fn a_farewell_that_comes_with_the_reply_is_heeded() {
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
fn a_farewell_in_the_place_of_an_answer_costs_no_retry() {
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
fn a_reply_cut_short_is_unknown() {
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
