//! The diagnosis: what it finds between a machine and its server. It must not send an update or the
//! API key.

mod loopback;
mod tls_server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, ErrorKind, Options};
use loopback::{closed_port, listen, Http, Record};
use serde_json::{json, Value};
use tls_server::{file, serve, Authority};

const KEY: &str = "canary-key-4711";

fn client(options: Value) -> Client {
    let mut all = json!({"proxy": "", "headers": {"X-Gateway": "canary-header"}});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    Client::new(KEY, &Options::from_json(&all.to_string()).unwrap()).unwrap()
}

fn diagnose(options: Value) -> Value {
    let text = client(options).diagnose_json().unwrap();
    assert!(!text.contains("canary"), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Starts a TLS server and returns its port, a record of the requests, and the authority that
/// signed its certificate.
fn server(date: &'static str) -> (u16, Record<tls_server::Seen>, Authority) {
    let authority = Authority::named("Diagnose Authority");
    let identity = authority.issue(|params| params.not_after = rcgen::date_time_ymd(2049, 1, 2));
    let (port, seen) = serve(identity.config(), move |http, _| {
        http.stream
            .write_all(
                format!("HTTP/1.1 404 Not Found\r\n{date}Content-Length: 9\r\n\r\n").as_bytes(),
            )
            .unwrap();
        http.stream.flush().unwrap();
        false
    });
    (port, seen, authority)
}

#[test]
fn a_healthy_server_has_no_problem() {
    let (port, seen, authority) = server("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    let ca_file = file("diagnose.pem", &authority.pem());
    let found = diagnose(
        json!({"base_url": format!("https://localhost:{port}/prefix"), "ca_file": ca_file}),
    );
    assert_eq!(found["server"], json!({"host": "localhost", "port": port, "tls": true}));
    assert_eq!(
        (&found["proxy"], &found["tunnel"], &found["lookup"]["error"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let connections = found["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 2, "each address: {found}");
    assert_eq!(connections[0]["address"], format!("127.0.0.1:{port}"));
    assert!(
        connections[0]["error"].is_null() && connections[1]["error"].is_string(),
        "nobody listens on IPv6: {found}"
    );
    let tls = &found["tls"];
    assert!(
        tls["version"] == "TLSv1.3" && tls["trusted"] == true && tls["error"].is_null(),
        "{found}"
    );
    assert_eq!(tls["chain"][0]["issuer"], "CN=Diagnose Authority");
    assert_eq!(tls["chain"][0]["names"], json!(["127.0.0.1", "localhost"]));
    assert_eq!(tls["chain"][0]["not_after"], "2049-01-02T00:00:00Z");
    assert_eq!(found["http"]["status"], 404);
    assert_eq!(found["clock"]["server"], "Sun, 06 Nov 1994 08:49:37 GMT");
    assert!(found["clock"]["ahead_s"].as_f64() > Some(9e8), "{found}");
    let requests = seen.all();
    assert_eq!(requests.len(), 1);
    let head = &requests[0].request.head;
    assert_eq!(
        head.to_lowercase(),
        format!("head / http/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n")
    );
}

#[test]
fn an_untrusted_certificate_is_shown_with_the_reason() {
    let (port, seen, _) = server("");
    let found = diagnose(json!({"base_url": format!("https://127.0.0.1:{port}")}));
    let tls = &found["tls"];
    assert!(tls["trusted"] == false && tls["version"].is_null(), "{found}");
    assert!(
        tls["error"].as_str().unwrap().contains("not signed by an authority that is trusted here"),
        "{found}"
    );
    assert_eq!(tls["chain"][0]["issuer"], "CN=Diagnose Authority");
    assert!(found["http"].is_null() && found["clock"]["server"].is_null() && seen.all().is_empty());
}

#[test]
fn only_the_first_failure_is_reported() {
    let found = diagnose(json!({"base_url": format!("http://127.0.0.1:{}", closed_port())}));
    assert!(
        found["connections"][0]["error"].as_str().unwrap().contains("refused the connection"),
        "{found}"
    );
    assert_eq!((&found["tls"], &found["http"]), (&Value::Null, &Value::Null));

    // The proxy refuses the tunnel. Its credentials must not appear in the result.
    let port = listen(|stream: TcpStream, _| {
        let mut http = Http::new(stream);
        http.request();
        http.answer_with("403 Forbidden", "", "").unwrap();
    });
    let proxy = format!("http://canary-user:canary-password@127.0.0.1:{port}");
    let found = diagnose(json!({"base_url": "https://api.example", "proxy": proxy}));
    let expected =
        json!({"scheme": "http", "host": "127.0.0.1", "port": port, "source": "the proxy option"});
    assert_eq!(found["proxy"], expected);
    assert!(found["connections"][0]["error"].is_null());
    assert!(found["tunnel"]["error"].as_str().unwrap().contains("HTTP 403"), "{found}");
    assert!(found["tls"].is_null());
}

#[test]
fn a_silent_server_ends_in_a_timeout_or_a_cancel() {
    let port = listen(|mut stream: TcpStream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let url = format!("http://127.0.0.1:{port}");
    let began = Instant::now();
    let found =
        diagnose(json!({"base_url": url, "attempt_timeout_ms": 300, "total_timeout_ms": 5000}));
    assert!(found["http"]["error"].as_str().unwrap().contains("within"), "{found}");
    assert!(began.elapsed() < Duration::from_secs(5));

    let client = client(json!({"base_url": url}));
    thread::scope(|scope| {
        let call = scope.spawn(|| client.diagnose_json());
        while !call.is_finished() {
            thread::sleep(Duration::from_millis(200));
            client.cancel();
        }
        assert_eq!(call.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}
