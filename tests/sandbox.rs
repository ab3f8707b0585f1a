//! The sandbox itself: its rules, scripted replies, TLS, and how it starts and ends.

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use commbox::{Client, ErrorKind, Options};
use serde_json::{json, Value};

use common::build;
use common::sandbox::Sandbox;

/// Returns the user's data from the reply to `GET /users/{id}`.
fn user(sandbox: &Sandbox, id: i64) -> String {
    let (status, reply) = sandbox.get(&format!("/users/{id}"));
    assert_eq!(status, 200);
    let (_, data) = reply.split_once("\"data\":").expect("a user is shown under data");
    data.strip_suffix('}').expect("data comes last").to_owned()
}

/// Returns the status of an update's response, and the `status` and `description` of its reply.
fn update(sandbox: &Sandbox, path: &str, body: &str) -> (u16, Value, Value) {
    let (status, reply) = sandbox.post(path, body);
    let reply: Value = serde_json::from_str(&reply).expect("the reply is JSON");
    (status, reply["status"].clone(), reply["description"].clone())
}

#[test]
fn an_update_adds_and_overrides() {
    let sandbox = Sandbox::start();
    assert_eq!(user(&sandbox, 7), r#"{"Id":7}"#);
    sandbox.post(
        "/users/7",
        r#"{"data":{"FirstName":"Jo","LastName":"Doe","Content":{"VIP":"8","Plan":"a"}}}"#,
    );
    sandbox.post(
        "/crm/users/7",
        r#"{"data":{"LastName":null,"Content":{"VIP":12345678901234567890.10}}}"#,
    );
    let expected = r#"{"Id":7,"FirstName":"Jo","LastName":null,"Content":{"Plan":"a","VIP":12345678901234567890.10}}"#;
    assert_eq!(user(&sandbox, 7), expected);
    assert_eq!(user(&sandbox, 8), r#"{"Id":8}"#);
}

#[test]
fn a_success_is_as_documented() {
    let sandbox = Sandbox::start();
    let (status, reply) = sandbox.post("/users/94382332", r#"{"data":{}}"#);
    assert_eq!(status, 200);
    let (before, after) =
        reply.split_once("\"response_time\":\"").expect("the reply tells its time");
    let (time, after) = after.split_once('"').expect("the time is a string");
    assert_eq!(before, r#"{"status":200,"description":"Operation successful","#);
    assert_eq!(after, r#","data":{"Id":94382332}}"#);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.0000000Z");
}

#[test]
fn invalid_requests_are_refused() {
    let sandbox = Sandbox::start();
    let bad_request = (400, json!(400), json!("Bad Request"));
    let not_found = (404, json!(404), json!("Not found"));

    let (status, reply) = sandbox.post_with_key("wrong-key", "/users/1", r#"{"data":{}}"#);
    assert!(
        status == 401 && reply.starts_with(r#"{"status":401,"description":"Unauthorized access","#),
        "{reply}"
    );

    for (field, limit) in [
        ("UniqueId", 50),
        ("FirstName", 100),
        ("LastName", 100),
        ("Email", 255),
        ("Phone1", 100),
        ("Phone2", 100),
    ] {
        let body = |length: usize| format!(r#"{{"data":{{"{field}":"{}"}}}}"#, "é".repeat(length));
        assert_eq!(update(&sandbox, "/users/1", &body(limit)).0, 200, "{field}");
        assert_eq!(update(&sandbox, "/users/1", &body(limit + 1)), bad_request, "{field}");
    }
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"data":[]}"#,
        r#"{"data":{"Email":1}}"#,
        r#"{"data":{"Content":"x"}}"#,
    ] {
        assert_eq!(update(&sandbox, "/users/2", body), bad_request, "{body}");
    }
    assert_eq!(user(&sandbox, 2), r#"{"Id":2}"#);
    for path in [
        "/users/0",
        "/users/-1",
        "/users/x",
        "/users/9223372036854775808",
        "/users",
        "/sandbox/requests",
    ] {
        assert_eq!(update(&sandbox, path, r#"{"data":{}}"#), not_found, "{path}");
    }
    assert_eq!(sandbox.get("/sandbox/script").0, 404);
}

#[test]
fn scripted_answers_are_used_in_order() {
    let sandbox = Sandbox::start();
    sandbox.script(r#"[{"status":429,"headers":{"Retry-After":"1"}},{"status":501},{"own":true}]"#);
    sandbox
        .script(r#"[{"body":"ab","body_repeat":3,"chunked":true},{"delay_ms":200,"status":200}]"#);
    let body = r#"{"data":{"FirstName":"Jo"}}"#;
    assert_eq!(update(&sandbox, "/users/3", body), (429, json!(429), json!("Too Many Requests")));
    assert_eq!(sandbox.post("/users/3", body), (501, String::new()));
    assert_eq!(user(&sandbox, 3), r#"{"Id":3}"#, "a scripted answer changes no user");
    assert_eq!(update(&sandbox, "/users/3", body).0, 200);
    assert_eq!(user(&sandbox, 3), r#"{"Id":3,"FirstName":"Jo"}"#);
    assert_eq!(sandbox.post("/users/3", body), (200, "ababab".into()));
    let started = Instant::now();
    assert_eq!(
        update(&sandbox, "/users/3", body),
        (200, json!(200), json!("Operation successful"))
    );
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        update(&sandbox, "/users/3", "").0,
        400,
        "a script that is used up leaves the own rules"
    );
}

#[test]
fn an_invalid_script_is_refused() {
    let sandbox = Sandbox::start();
    for (script, part) in [
        ("", "EOF"),
        ("{}", "expected a sequence"),
        (r#"[{"delay":5}]"#, "unknown field `delay`"),
        (r#"[{},{"status":99}]"#, "answer 2 has a \"status\""),
        (r#"[{"status":600}]"#, "from 200 to 599"),
        (r#"[{"own":true,"status":200}]"#, "\"own\""),
        (r#"[{"body_repeat":2}]"#, "without \"body\""),
        (r#"[{"headers":{"a b":"c"}}]"#, "\"headers\""),
    ] {
        let (status, why) = sandbox.post("/sandbox/script", script);
        assert!(status == 400 && why.contains(part), "{script}: {status} {why}");
    }
    assert_eq!(
        update(&sandbox, "/users/1", r#"{"data":{}}"#).0,
        200,
        "a refused script leaves nothing behind"
    );
}

#[test]
fn requests_are_recorded_until_reset() {
    let sandbox = Sandbox::start();
    sandbox.script(r#"[{"status":503},{"status":503}]"#);
    sandbox.post("/users/4", " {\"data\":{ }}\n");
    sandbox.post_with_key("other", "/v2/users/5", "é");
    let requests = sandbox.requests();
    let seen: Vec<_> =
        requests.iter().map(|request| (&*request.method, &*request.path, &*request.body)).collect();
    assert_eq!(seen, [("POST", "/users/4", " {\"data\":{ }}\n"), ("POST", "/v2/users/5", "é")]);
    assert_eq!(requests[1].headers["authorization"], "Bearer other");
    assert_eq!(requests[1].headers["content-length"], "2");
    assert!(requests[0].at_ms <= requests[1].at_ms);

    sandbox.script(r#"[{"status":500}]"#);
    sandbox.reset();
    assert!(sandbox.requests().is_empty());
    assert_eq!(update(&sandbox, "/users/4", r#"{"data":{}}"#).0, 200, "reset drops the script");
}

#[test]
fn connections_are_served_concurrently() {
    let sandbox = Sandbox::start();
    sandbox.script(&format!("[{}]", [r#"{"delay_ms":500}"#; 8].join(",")));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(update(&sandbox, "/users/6", r#"{"data":{}}"#).0, 200));
        }
    });
    let took = started.elapsed();
    assert!(took < Duration::from_millis(2000), "eight answers of 500 ms took {took:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_gracefully() {
    for signal in ["-TERM", "-INT"] {
        let mut sandbox = Sandbox::start();
        let sent = Command::new("kill").args([signal, &sandbox.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let status = sandbox.child.wait().expect("the sandbox ends");
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn flags() {
    let run = |args: &[&str]| -> Output {
        Command::new(build::sandbox()).args(args).output().expect("it starts")
    };
    for (args, part) in [
        (&["--bogus"][..], "unknown argument \"--bogus\""),
        (&["stray"], "unknown argument \"stray\""),
        (&["--port", "99999"], "99999"),
        (&["--host", "nowhere"], "nowhere"),
        (&["--port"], "--port"),
    ] {
        let output = run(args);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
        assert!(message.contains(part) && message.contains("--help"), "{args:?}: {message}");
    }
    let help = run(&["--help"]);
    assert!(
        help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--api-key KEY")
    );

    let sandbox =
        Sandbox::start_with(&["--api-key", "own-key", "--host", "127.0.0.1", "--port", "0"]);
    assert_eq!(sandbox.post("/users/1", r#"{"data":{}}"#).0, 401);
    assert_eq!(sandbox.post_with_key("own-key", "/users/1", r#"{"data":{}}"#).0, 200);

    let port = sandbox.url.rsplit(':').next().expect("the address has a port");
    let taken = run(&["--port", port]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains(port), "{taken:?}");
}

#[test]
fn https_uses_its_own_certificate() {
    let pem = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox-ca.pem");
    let pem = pem.to_str().expect("the target directory is UTF-8");
    let sandbox = Sandbox::start_with(&["--tls", pem]);
    assert!(sandbox.url.starts_with("https://localhost:"), "{}", sandbox.url);
    let call = |url: &str, ca_file: Option<&str>| {
        let options = json!({"base_url": url, "ca_file": ca_file, "proxy": ""}).to_string();
        Client::new("sandbox-key", &Options::from_json(&options)?)?
            .update_user_json(1, r#"{"FirstName":"Jo"}"#)
    };
    assert!(call(&sandbox.url, Some(pem))
        .expect("the certificate is trusted")
        .contains(r#""Id":1"#));
    let by_ip = sandbox.url.replace("localhost", "127.0.0.1");
    assert!(call(&by_ip, Some(pem))
        .expect("the certificate is for the address, too")
        .contains(r#""Id":1"#));

    let error = call(&sandbox.url, None).expect_err("an unknown certificate is not trusted");
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert_eq!(error.delivery(), commbox::Delivery::NotSent);
    assert!(error.to_string().contains("ca_file"), "{error}");
}
