//! Calls through a proxy: it opens a tunnel (`CONNECT`) to the API, and sees nothing of the calls.

#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../loopback/mod.rs"]
mod loopback;
#[path = "../native/mod.rs"]
mod native;
#[path = "../tls_server/mod.rs"]
mod tls_server;

mod environment;
mod failures;
mod tunnels;

use std::io::{copy, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use loopback::{listen, Http, Record, Request};
use tls_server::{file, serve, Authority, Seen};

const BODY: &str = r#"{"FirstName": "John"}"#;
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A proxy that does with each request as told, and the requests made of it.
fn proxy(serve: impl Fn(TcpStream, &Request) + Send + Sync + 'static) -> (u16, Record<Request>) {
    let record = Record::new();
    let seen = record.clone();
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        if let Some(request) = http.request() {
            seen.add(request.clone());
            serve(http.stream, &request);
        }
    });
    (port, record)
}

/// Connects to what a `CONNECT` names.
fn target(request: &Request) -> TcpStream {
    let stream = TcpStream::connect(request.path()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What a proxy is for.
fn tunnel(client: TcpStream, request: &Request) {
    let server = target(request);
    (&client).write_all(ESTABLISHED).unwrap();
    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let returning = thread::spawn(move || pass(&back.0, &back.1));
    pass(&client, &server);
    returning.join().unwrap();
}

/// Passes on all that comes, and then its end.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A proxy that refuses.
fn answering(head: &'static str) -> (u16, Record<Request>) {
    proxy(move |mut client, _| {
        client.write_all(head.as_bytes()).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    })
}

fn options(base_url: String, proxy: &str) -> Options {
    let mut options = Options::default();
    options.base_url = base_url;
    options.proxy = Some(proxy.to_owned());
    options.retry_base = Duration::from_millis(1);
    options.retry_cap = Duration::from_millis(1);
    options
}

fn https(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// An API under TLS, and the options for it through the proxy at this port.
fn api(name: &str, proxy: u16) -> (Options, Record<Seen>) {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let mut options = options(https(port), &http(proxy));
    options.ca_file = Some(file(&format!("proxy-{name}.pem"), &authority.pem()));
    (options, seen)
}

/// An API without TLS.
fn plain_api() -> (u16, Record<Request>) {
    let record = Record::new();
    let seen = record.clone();
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            seen.add(request);
            http.confirm("").unwrap();
        }
    });
    (port, record)
}

fn call(options: &Options) -> Result<commbox::UpdateReply, Error> {
    Client::new("secret-key", options).unwrap().update_user_json(1, BODY)
}

/// A call that is to fail because of the proxy, which the message says, along with these words.
fn fails(options: &Options, kind: ErrorKind, attempts: u32, words: &[&str]) {
    let error = call(options).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (kind, Delivery::NotSent, attempts),
        "{error}"
    );
    for word in [&["proxy"], words].concat() {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let said = format!("{error:?} {} {options:?}", error.to_json());
    assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
}
