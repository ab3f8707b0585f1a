//! Handshakes that fail for another reason than the certificate of the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Delivery, ErrorKind};
use rustls::version::{TLS12, TLS13};
use rustls::ServerConfig;

use crate::loopback::{closed_port, listen, reset, Record};
use crate::tls_server::{accept, Authority};
use crate::{call, options, refused, trusting, BODY};

/// A server that takes the client's first words and answers with these bytes.
fn saying(bytes: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
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
fn a_server_that_speaks_plain_http_is_recognized() {
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
fn a_server_that_requires_a_client_certificate_is_recognized() {
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
fn a_connection_that_breaks_in_the_handshake_is_not_a_tls_failure() {
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
