//! The API key and the values of a user do not appear in messages, in `Debug` output, or in log
//! lines of the crates that the library uses. After the client is freed, the key is no longer in
//! the process's memory.

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use commbox::{Client, Error, LogCallback, LogLevel, Options, User};
use serde_json::{json, Value};

use common::build::{compile, Language};
use common::sandbox::Sandbox;

const KEY: &str = "canary-key-4711";
const VALUE: &str = "canary-value-0815";

/// A logger that records everything.
struct Everything(Mutex<String>);

static LOG: Everything = Everything(Mutex::new(String::new()));

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let mut lines = self.0.lock().unwrap();
        writeln!(lines, "{} {}: {}", record.level(), record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

fn assert_clean(what: &str, text: &str) {
    // Neither as plain text nor encoded as in Basic credentials.
    for canary in [KEY, VALUE, "canary", "Y2FuYXJ5"] {
        assert!(!text.contains(canary), "{what} holds {canary}: {text}");
    }
}

/// Checks that an error contains no secret, except in the server's message.
fn assert_error_clean(what: &str, error: &Error) {
    let mut told: Value = serde_json::from_str(&error.to_json()).unwrap();
    let members = told.as_object_mut().unwrap();
    members.remove("response");
    members.remove("description");
    assert_clean(what, &format!("{error} {error:?} {told} {:?}", std::error::Error::source(error)));
}

fn user() -> String {
    let mut user = User::new();
    for field in ["UniqueId", "FirstName", "LastName", "Email", "Phone1", "Phone2", "Remarks"] {
        user.set(field, Some(VALUE)).unwrap();
    }
    user.set_custom("Custom", Some(VALUE)).unwrap();
    assert_clean("a user's Debug", &format!("{user:?}"));
    user.to_json()
}

/// Returns a sandbox response for each way in which a call can end. The server's message repeats
/// `words`.
fn answers(words: &str) -> Vec<Value> {
    let echo = format!("{{\"status\":400,\"description\":\"no such {words}\"}}");
    let statuses = [200, 302, 400, 401, 403, 404, 407, 429, 500, 501, 503];
    let mut answers: Vec<_> =
        statuses.iter().map(|status| json!({"status": status, "body": echo})).collect();
    answers.extend(statuses.iter().map(
        |status| json!({"status": status, "body": words, "headers": {"X-Echo": words, "X-Request-Id": words, "Location": format!("/{words}")}}),
    ));
    answers.push(json!({"cut": 10, "body": echo}));
    answers.push(json!({"reset": true}));
    answers.push(json!({"delay_ms": 1000}));
    answers.push(json!({"body": words, "body_repeat": 100_000}));
    answers.push(json!({"chunked": true, "body": echo}));
    answers
}

#[test]
fn messages_and_log_lines_contain_no_secrets() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    let certificate =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets.pem").display().to_string();
    let servers = [
        Sandbox::start_with(&["--api-key", KEY]),
        Sandbox::start_with(&["--api-key", KEY, "--tls", &certificate]),
    ];
    let certificate = json!({"ca_file": certificate});
    let proxied = json!({"proxy": format!("http://{KEY}:{VALUE}@127.0.0.1:1")});
    // Everything that the clients log.
    let told = Arc::new(Mutex::new(String::new()));
    let lines = told.clone();
    let tell: LogCallback = Arc::new(move |_, json, sentence| {
        writeln!(lines.lock().unwrap(), "{json} {sentence}").unwrap();
    });
    let mut failures = 0;
    for (server, extra) in [
        (&servers[0], json!({})),
        (&servers[0], proxied.clone()),
        (&servers[1], certificate),
        (&servers[1], json!({})),
        (&servers[1], proxied),
    ] {
        let mut options = json!({
            "base_url": server.url, "proxy": "", "max_retries": 0, "attempt_timeout_ms": 300,
            "headers": {"X-Gateway": VALUE, "traceparent": KEY},
        });
        options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let options = Options::from_json(&options.to_string()).unwrap();
        assert_clean("the options' Debug", &format!("{options:?}"));
        for answer in answers("user").into_iter().chain(answers(&format!("{KEY}-{VALUE}"))) {
            // A dependency logs received bytes. The server's message is not a secret that the
            // library must protect.
            let echoes = answer.to_string().contains("canary");
            log::set_max_level(if echoes {
                log::LevelFilter::Debug
            } else {
                log::LevelFilter::Trace
            });
            if server.url.starts_with("http:") {
                server.reset();
                server.script(&json!([answer]).to_string());
            }
            // Each call has its own client, because a 429 pauses later calls of the same client.
            let client = Client::new(KEY, &options).unwrap();
            assert_clean("the client's Debug", &format!("{client:?}"));
            client.set_log(Some((LogLevel::Trace, tell.clone())));
            if let Err(error) = client.update_user_json(1, &user()) {
                assert_error_clean(&answer.to_string(), &error);
                failures += 1;
            }
        }
    }
    let told = told.lock().unwrap();
    assert!(
        told.lines().count() > 1000 && told.contains("\"call_failed\""),
        "{}",
        told.lines().count()
    );
    assert_clean("the log", &told);

    // Many calls must fail: all of those through the unreachable proxy, and those to the server
    // with an untrusted certificate.
    assert!(failures > 180, "{failures}");

    let sandbox = &servers[0];
    let bad_users = [
        format!("{{\"firstname\":\"{VALUE}\"}}"),
        format!("{{\"Email\":\"{}\"}}", VALUE.repeat(20)),
        format!("{{\"Email\":[\"{VALUE}\"]}}"),
        format!("{{\"Email\":\"{VALUE}"),
        format!("\"{VALUE}\""),
        format!("{{\"data\":{{\"Content\":\"{VALUE}\"}}}}"),
        format!("{{\"Email\":\"\\ud800{VALUE}\"}}"),
    ];
    let options = Options::from_json(&json!({"base_url": sandbox.url}).to_string()).unwrap();
    let client = Client::new(KEY, &options).unwrap();
    for bad in &bad_users {
        assert_error_clean(bad, &client.update_user_json(1, bad).unwrap_err());
    }
    for bad in
        [format!("Bearer {KEY}"), format!("{KEY} {VALUE}"), format!("{KEY}\n"), format!("{KEY}é")]
    {
        assert_error_clean(&bad, &Client::new(&bad, &options).unwrap_err());
        assert_error_clean(&bad, &client.set_api_key(&bad).unwrap_err());
    }
    for bad in [
        json!({"proxy": format!("ftp://{KEY}:{VALUE}@x")}),
        json!({"proxy": format!("{KEY} {VALUE}")}),
        json!({"base_url": format!("https://{KEY}:{VALUE}@x")}),
        json!({"user_agent": format!("{VALUE}\n")}),
        json!({"ca_file": format!("/{VALUE}")}),
        json!({"max_retries": VALUE}),
    ] {
        let made =
            Options::from_json(&bad.to_string()).and_then(|options| Client::new(KEY, &options));
        assert_error_clean(&bad.to_string(), &made.unwrap_err());
    }

    let log = LOG.0.lock().unwrap();
    assert!(log.contains("ureq::") && log.contains("TRACE"), "the crates below log nothing: {log}");
    for line in log.lines() {
        assert_clean("a log line", line);
    }
    // Bytes are logged in rows of sixteen, followed by their text.
    let rows = log
        .lines()
        .filter(|line| line.contains("ureq_proto::util"))
        .filter_map(|line| line.rsplit("  ").next());
    let bytes: String = rows.collect();
    assert!(
        bytes.contains("authorization:.Bearer") || bytes.contains("authorization: Bearer"),
        "{bytes}"
    );
    assert_clean("what is logged byte by byte", &bytes);
}

#[cfg(target_os = "linux")]
#[test]
fn secrets_are_erased_once_the_client_is_freed() {
    let certificate =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets-memory.pem").display().to_string();
    let plain = Sandbox::start();
    let tls = Sandbox::start_with(&["--tls", &certificate]);
    let options = [
        json!({"base_url": plain.url, "proxy": ""}),
        json!({"base_url": tls.url, "proxy": "", "ca_file": certificate}),
        json!({"base_url": "http://127.0.0.1:1", "proxy": "", "max_retries": 1, "retry_base_ms": 1}),
        // The certificate is not trusted, so nothing is sent.
        json!({"base_url": tls.url, "proxy": ""}),
    ];
    let mut program = compile(Language::C, "c/secrets.c", "secrets");
    program.args(options.map(|options| options.to_string())).env_remove("LD_LIBRARY_PATH");
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let keys = ["first-key-to-find", "second-key-to-find"].map(|start| format!("{start:0<40}"));
    child.stdin.take().unwrap().write_all(keys.concat().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<(&str, u32)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(when, count)| (when, count.parse().unwrap()))
        .collect();
    let [("before", 0), ("alive", alive), ("freed", freed)] = counts[..] else {
        panic!("{}: {text}", output.status)
    };
    // Checks that the search finds a key while it is in memory, one per client.
    assert!(alive >= 4, "{text}");
    assert_eq!(freed, 0, "{text}");
    // The keys were sent nevertheless: the first one for three calls, the second one after that.
    let sent: Vec<_> =
        plain.requests().iter().map(|request| request.headers["authorization"].clone()).collect();
    let [first, second] = keys.clone().map(|key| format!("Bearer {key}"));
    assert_eq!(sent, [first.clone(), first.clone(), first, second, "Bearer another".to_owned()]);
    // The last request contained the first key as the value of a header.
    let gateway = plain.requests().last().map(|request| request.headers["x-gateway"].clone());
    assert_eq!(gateway.as_ref(), Some(&keys[0]));
}
