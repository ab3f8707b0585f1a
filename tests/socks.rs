//! SOCKS5 proxies, and the possible replies of HTTP proxies to `CONNECT`.

mod loopback;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use loopback::{closed_port, listen, Http, Record};

fn api() -> (u16, Record<String>) {
    let seen = Record::new();
    let record = seen.clone();
    let port = listen(move |stream: TcpStream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            record.add(request.head);
            http.confirm("").unwrap();
        }
    });
    (port, seen)
}

fn call(base_url: &str, proxy: &str) -> Result<commbox::UpdateReply, Error> {
    let mut options = Options::default();
    options.base_url = base_url.to_owned();
    options.allow_http = true;
    options.proxy = Some(proxy.to_owned());
    options.retry_base = std::time::Duration::from_millis(1);
    options.retry_cap = std::time::Duration::from_millis(1);
    Client::new("secret-key", &options)?.update_user_json(1, "{}")
}

fn exact<const COUNT: usize>(stream: &mut TcpStream) -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Copies bytes in both directions until one side ends.
fn relay(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut { server }, &mut { client });
}

/// A SOCKS5 proxy that requires these credentials, answers with `reply`, and always connects to
/// `target`. It records the address that was requested.
fn socks(
    credentials: Option<(&'static str, &'static str)>,
    reply: u8,
    target: u16,
) -> (u16, Record<Vec<u8>>) {
    let asked = Record::new();
    let record = asked.clone();
    let port = listen(move |mut stream: TcpStream, _| {
        let [version, count] = exact::<2>(&mut stream);
        let mut methods = vec![0; count.into()];
        stream.read_exact(&mut methods).unwrap();
        assert_eq!(version, 5);
        let wanted = if credentials.is_some() { 2 } else { 0 };
        if !methods.contains(&wanted) {
            stream.write_all(&[5, 0xff]).unwrap();
            return;
        }
        stream.write_all(&[5, wanted]).unwrap();
        if let Some((user, password)) = credentials {
            assert_eq!(exact::<1>(&mut stream), [1]);
            let mut field = || {
                let [length] = exact::<1>(&mut stream);
                let mut bytes = vec![0; length.into()];
                stream.read_exact(&mut bytes).unwrap();
                String::from_utf8(bytes).unwrap()
            };
            let right = (field().as_str(), field().as_str()) == (user, password);
            stream.write_all(&[1, u8::from(!right)]).unwrap();
            if !right {
                return;
            }
        }
        let [_, command, _, kind] = exact::<4>(&mut stream);
        assert_eq!(command, 1);
        let mut place = vec![
            0;
            match kind {
                1 => 4,
                4 => 16,
                _ => exact::<1>(&mut stream)[0].into(),
            }
        ];
        stream.read_exact(&mut place).unwrap();
        let _ = exact::<2>(&mut stream);
        record.add(place);
        stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        if reply == 0 {
            relay(stream, TcpStream::connect(("127.0.0.1", target)).unwrap());
        }
    });
    (port, asked)
}

#[test]
fn socks5_sends_addresses_and_socks5h_sends_names() {
    let (target, seen) = api();
    let (port, asked) = socks(None, 0, target);
    call("http://127.0.0.1:9", &format!("socks5://127.0.0.1:{port}")).unwrap();
    call("http://crm.example:9", &format!("socks5h://127.0.0.1:{port}")).unwrap();
    call("http://[::1]:9", &format!("socks5h://127.0.0.1:{port}")).unwrap();
    let ipv6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(asked.all(), [vec![127, 0, 0, 1], b"crm.example".to_vec(), ipv6.to_vec()]);
    assert_eq!(seen.all().len(), 3);
}

#[test]
fn socks5_sends_credentials() {
    let (target, seen) = api();
    let (port, _) = socks(Some(("user", "p@ss")), 0, target);
    call("http://crm.example:9", &format!("socks5h://user:p%40ss@127.0.0.1:{port}")).unwrap();
    for (login, word) in [("user:wrong@", "does not accept"), ("", "user and a password")] {
        let error = call("http://crm.example:9", &format!("socks5h://{login}127.0.0.1:{port}"))
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Connection, Delivery::NotSent),
            "{error}"
        );
        assert!(
            error.to_string().contains(word) && error.to_string().contains("proxy option"),
            "{error}"
        );
        assert!(!error.to_string().contains("wrong@"), "{error}");
    }
    assert_eq!(seen.all().len(), 1);
}

#[test]
fn socks5_refusals_are_reported() {
    for (reply, word) in [(2, "rules"), (4, "reach"), (5, "refused"), (1, "failed")] {
        let (port, _) = socks(None, reply, closed_port());
        let error =
            call("http://crm.example:9", &format!("socks5h://127.0.0.1:{port}")).unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Connection, Delivery::NotSent),
            "{error}"
        );
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

/// A proxy that answers `CONNECT` with `answer`. Returns its port and a record of its connections.
fn connect_proxy(answer: String, target: u16) -> (u16, Record<usize>) {
    let connects = Record::new();
    let seen = connects.clone();
    let port = listen(move |stream: TcpStream, number| {
        let mut http = Http::new(stream);
        if http.request().is_some() {
            seen.add(number);
            http.stream.write_all(answer.as_bytes()).unwrap();
            if answer.contains(" 20") {
                relay(http.stream, TcpStream::connect(("127.0.0.1", target)).unwrap());
            }
        }
    });
    (port, connects)
}

#[test]
fn any_2xx_opens_a_tunnel_and_1xx_is_skipped() {
    let (target, seen) = api();
    let many = "X-Proxy: 1\r\n".repeat(100);
    for answer in [
        "HTTP/1.1 201 Created\r\n\r\n".to_owned(),
        "HTTP/1.0 200 Connection established\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
    ] {
        let (port, _) = connect_proxy(answer.clone(), target);
        call("http://crm.example:9", &format!("http://127.0.0.1:{port}"))
            .unwrap_or_else(|error| panic!("{answer}: {error}"));
    }
    assert_eq!(seen.all().len(), 4);
}

#[test]
fn a_refusal_is_not_retried_and_a_busy_proxy_is() {
    let many = "X-Proxy: 1\r\n".repeat(100);
    let wanted = "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n";
    for (answer, attempts, words) in [
        (format!("HTTP/1.1 407 No\r\n{many}{wanted}\r\n"), 1, ["user", "NTLM, Negotiate"]),
        ("HTTP/1.1 403 No\r\n\r\n".to_owned(), 1, ["HTTP 403", "proxy option"]),
        ("HTTP/1.1 429 Busy\r\n\r\n".to_owned(), 4, ["HTTP 429", "proxy option"]),
        ("HTTP/1.1 408 Late\r\n\r\n".to_owned(), 4, ["HTTP 408", "proxy option"]),
        ("HTTP/1.1 502 Bad\r\n\r\n".to_owned(), 4, ["HTTP 502", "proxy option"]),
    ] {
        let (port, connects) = connect_proxy(answer.clone(), closed_port());
        let error = call("http://crm.example:9", &format!("http://127.0.0.1:{port}")).unwrap_err();
        let found = (error.kind(), error.delivery(), error.attempts(), connects.all().len());
        assert_eq!(
            found,
            (ErrorKind::Connection, Delivery::NotSent, attempts, attempts as usize),
            "{error}"
        );
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}
