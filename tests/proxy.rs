//! Calls through a proxy: it opens a tunnel (`CONNECT`) to the API, and sees nothing of the calls.

#![cfg(unix)]

mod common;
mod loopback;
mod native;
mod tls_server;

use std::io::{copy, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use loopback::{closed_port, listen, reset, Http, Record, Request, CONFIRMED};
use native::{call_once, program};
use serde_json::json;
use tls_server::{accept, file, serve, Authority, Seen};

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

#[test]
fn https_goes_through_one_tunnel_that_is_kept() {
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
fn http_goes_through_a_tunnel_too() {
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
fn a_proxy_may_be_spoken_to_under_tls() {
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

#[test]
fn a_proxy_that_wants_credentials_says_so_once() {
    const WANTED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    let (port, connects) = answering(WANTED);
    let remedy = ["user", "password", "proxy option"];
    fails(&options(https(1), &http(port)), ErrorKind::Connection, 1, &remedy);
    let wrong = format!("http://user:p%40ss@127.0.0.1:{port}");
    fails(&options(https(1), &wrong), ErrorKind::Connection, 1, &remedy);
    assert_eq!(connects.all().len(), 2);
}

#[test]
fn a_proxy_that_refuses_is_not_asked_again_and_one_that_fails_is() {
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
fn a_proxy_that_is_not_there_or_no_proxy_is_named() {
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

/// The bytes of a `CONNECT` and of a handshake are none of the request.
#[test]
fn a_tunnel_that_breaks_before_the_request_sent_nothing() {
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
fn a_tunnel_that_breaks_after_the_request_is_unknown() {
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
fn an_idle_tunnel_that_the_proxy_closes_is_never_seen() {
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

#[test]
fn the_environment_names_a_proxy_and_who_needs_none() {
    let (port, connects) = proxy(tunnel);
    let (target, _) = plain_api();
    let proxy_url = http(port);
    // Whether a call with these variables and options goes through the proxy.
    let tunnelled = |variables: &[(&str, &str)], options: serde_json::Value| {
        let before = connects.all().len();
        let (code, answer) =
            call_once(program("call_once").envs(variables.iter().copied()), &options);
        assert_eq!(code, 0, "{answer}");
        connects.all().len() > before
    };
    let base = json!({"base_url": http(target)});
    for name in ["http_proxy", "ALL_PROXY", "all_proxy"] {
        assert!(tunnelled(&[(name, &proxy_url)], base.clone()), "{name}");
    }
    // A header can set the first of these, and the others are for https.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "https_proxy"] {
        assert!(!tunnelled(&[(name, &proxy_url)], base.clone()), "{name}");
    }
    assert!(!tunnelled(&[], base.clone()));
    let none = json!({"base_url": http(target), "proxy": ""});
    assert!(!tunnelled(&[("http_proxy", &proxy_url)], none));
    let null = json!({"base_url": http(target), "proxy": null});
    assert!(tunnelled(&[("http_proxy", &proxy_url)], null));
    // The option rules.
    let own = json!({"base_url": http(target), "proxy": proxy_url});
    assert!(tunnelled(&[("http_proxy", &http(closed_port()))], own));

    for (excepted, through) in [
        ("127.0.0.1", false),
        ("*", false),
        ("other.example,127.0.0.1", false),
        ("other.example, 127.0.0.1", false),
        ("other.example", true),
        ("", true),
    ] {
        let variables = [("http_proxy", proxy_url.as_str()), ("NO_PROXY", excepted)];
        assert_eq!(tunnelled(&variables, base.clone()), through, "NO_PROXY={excepted}");
    }
}

#[test]
fn no_proxy_may_name_an_ipv6_address_with_or_without_brackets() {
    let (port, connects) = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let options = json!({"base_url": format!("http://[::1]:{}", closed_port()), "max_retries": 0});
    for (excepted, asked) in [("::1", 0), ("[::1]", 0), ("::2", 1)] {
        let (code, error) = call_once(
            program("call_once").env("http_proxy", http(port)).env("NO_PROXY", excepted),
            &options,
        );
        assert_eq!((code, connects.all().len()), (-5, asked), "NO_PROXY={excepted}: {error}");
    }
}

/// What may go in the clear because it stays on this machine does not leave it by way of a proxy
/// that it never named.
#[test]
fn http_to_loopback_goes_through_a_proxy_of_the_environment_only_where_that_is_loopback_too() {
    let (port, connects) = proxy(tunnel);
    let (target, seen) = plain_api();
    // Reaches this machine, and is no loopback address by its name.
    let elsewhere = format!("http://0.0.0.0:{port}");
    let calls = |variable: &str, options: serde_json::Value| {
        let before = (connects.all().len(), seen.all().len());
        let (code, answer) = call_once(program("call_once").env("http_proxy", variable), &options);
        assert_eq!(code, 0, "{answer}");
        assert_eq!(seen.all().len(), before.1 + 1);
        connects.all().len() - before.0
    };
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target)})), 0);
    assert_eq!(calls(&elsewhere, json!({"base_url": format!("HTTP://localhost:{target}")})), 0);
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target), "allow_http": true})), 1);
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target), "proxy": elsewhere})), 1);
    for near in [http(port), format!("http://localhost:{port}")] {
        assert_eq!(calls(&near, json!({"base_url": http(target)})), 1, "{near}");
    }
}

/// Under TLS a proxy sees nothing, so the environment's serves there, loopback or not.
#[test]
fn https_to_loopback_goes_through_a_proxy_of_the_environment() {
    let (port, connects) = proxy(tunnel);
    let (options, _) = api("elsewhere", port);
    let call = json!({"base_url": options.base_url, "ca_file": options.ca_file});
    let (code, answer) =
        call_once(program("call_once").env("HTTPS_PROXY", format!("http://0.0.0.0:{port}")), &call);
    assert_eq!((code, connects.all().len()), (0, 1), "{answer}");
}

/// As for everyone else: what is for the scheme goes before what is for all.
#[test]
fn variables_rule_by_the_scheme_of_the_api() {
    let (port, connects) = proxy(tunnel);
    let (options, _) = api("scheme", port);
    let (target, _) = plain_api();
    let https = json!({"base_url": options.base_url, "ca_file": options.ca_file, "max_retries": 0});
    let plain = json!({"base_url": http(target)});
    let good = http(port);
    let tunnelled = |variables: &[(&str, &str)], options: &serde_json::Value| {
        let before = connects.all().len();
        let (code, answer) =
            call_once(program("call_once").envs(variables.iter().copied()), options);
        assert_eq!(code, 0, "{variables:?}: {answer}");
        connects.all().len() > before
    };
    let orders = [
        (&https, &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"][..]),
        (&plain, &["http_proxy", "ALL_PROXY", "all_proxy"]),
    ];
    for (options, order) in orders {
        for (place, name) in order.iter().enumerate() {
            let mut variables = vec![(*name, good.as_str())];
            variables.extend(order[..place].iter().map(|before| (*before, "")));
            variables
                .extend(order[place + 1..].iter().map(|after| (*after, "socks5://127.0.0.1:1080")));
            assert!(tunnelled(&variables, options), "{variables:?}");
        }
    }
    for name in ["HTTP_PROXY", "http_proxy"] {
        assert!(!tunnelled(&[(name, &good)], &https), "{name}");
    }
}

/// Going around a proxy that the machine prescribes would be wrong, and saying nothing worse.
#[test]
fn a_proxy_of_the_environment_that_cannot_be_used_is_refused() {
    let (target, seen) = plain_api();
    let base = json!({"base_url": http(target)});
    for url in [
        "socks4://user:p%40ss@127.0.0.1:1080",
        "user:p%40ss@:bad port",
        "http://user:p%40ss@127.0.0.1:99999",
    ] {
        let (code, error) = call_once(program("call_once").env("http_proxy", url), &base);
        assert_eq!(code, -3, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("http_proxy") && message.contains("proxy option"), "{message}");
        assert!(!message.contains("p%40ss") && !message.contains("p@ss"), "{message}");
    }
    assert_eq!(seen.all().len(), 0);
}
