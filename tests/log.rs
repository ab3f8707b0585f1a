//! The log of a client: it reports each event when it happens, and each change of state once.

mod loopback;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commbox::{Batch, BatchOptions, Client, ErrorKind, LogLevel, Options};
use loopback::{listen, Http, Record, CONFIRMED};
use serde_json::{json, Value};

/// Returns a client whose server gives these responses in order and then repeats the last one. An
/// empty status closes the connection without a response.
fn client(answers: &'static [(&'static str, &'static str)], more: Value) -> Client {
    let next = AtomicUsize::new(0);
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while http.request().is_some() {
            let place = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let (status, head) = answers[place];
            if status.is_empty() {
                return;
            }
            let body = if status.starts_with("200") { CONFIRMED } else { "{}" };
            http.answer_with(status, head, body).unwrap();
        }
    });
    let mut options =
        json!({"base_url": format!("http://127.0.0.1:{port}"), "proxy": "", "max_retries": 0});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Client::new("key", &Options::from_json(&options.to_string()).unwrap()).unwrap()
}

/// Records the events of a client from now on.
fn events(client: &Client, level: LogLevel) -> Record<Value> {
    let events = Record::new();
    let record = events.clone();
    client.set_log(Some((
        level,
        Arc::new(move |level, json, sentence| {
            assert!(!sentence.is_empty() && !sentence.contains('\n') && !json.contains('\n'));
            let event: Value = serde_json::from_str(json).expect("an event is JSON");
            assert_eq!(event["level"], format!("{level:?}").to_lowercase());
            record.add(event);
        }),
    )));
    events
}

fn names(events: &Record<Value>) -> Vec<String> {
    events.all().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_step_of_a_call_is_logged() {
    let client = client(
        &[("200 OK", "X-Request-Id: r-1\r\n"), ("200 OK", "Connection: close\r\n")],
        json!({}),
    );
    let events = events(&client, LogLevel::Trace);
    for _ in 0..2 {
        client.update_user_json(1, "{}").unwrap();
    }
    let expected = [
        "proxy",
        "call_began",
        "connection_opened",
        "attempt",
        "call_succeeded",
        "call_began",
        "connection_reused",
        "connection_closed",
        "attempt",
        "call_succeeded",
    ];
    assert_eq!(names(&events), expected);
    let all = events.all();
    assert_eq!((&all[0]["host"], &all[0]["call"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&all[2]["call"], &all[2]["host"], &all[2]["tls"]),
        (&json!(1), &json!("127.0.0.1"), &Value::Null)
    );
    assert_eq!(
        (&all[4]["attempts"], &all[4]["http_status"], &all[4]["request_id"]),
        (&json!(1), &json!(200), &json!("r-1"))
    );
    assert_eq!((&all[7]["call"], &all[7]["why"]), (&json!(2), &json!("not_reusable")));
    assert_eq!(all[8]["reused_connection"], true);

    client.set_log(None);
    client.update_user_json(1, "{}").unwrap();
    assert_eq!(events.all().len(), expected.len());
}

#[test]
fn retries_and_failures_are_logged_with_their_reason() {
    let client = client(
        &[("503 Service Unavailable", ""), ("404 Not Found", "Request-Id: r-2\r\n")],
        json!({"max_retries": 1, "retry_base_ms": 1, "retry_cap_ms": 1}),
    );
    let events = events(&client, LogLevel::Info);
    client.update_user_json(1, "{}").unwrap_err();
    client.update_user_json(1, r#"{"Email": 7}"#).unwrap_err();
    assert_eq!(names(&events), ["retry", "call_failed", "call_failed"]);
    let all = events.all();
    assert_eq!((&all[0]["after"], &all[0]["retry"]), (&json!("server_error"), &json!(1)));
    assert_eq!(
        (&all[1]["code"], &all[1]["attempts"], &all[1]["request_id"]),
        (&json!(404), &json!(2), &json!("r-2"))
    );
    assert_eq!(
        (&all[2]["name"], &all[2]["delivery"]),
        (&json!("invalid_user"), &json!("not_sent"))
    );
}

#[test]
fn a_rejected_key_and_throttling_are_logged_once() {
    let rejected = client(&[("401 Unauthorized", "")], json!({}));
    let of_rejected = events(&rejected, LogLevel::Error);
    for _ in 0..3 {
        rejected.update_user_json(1, "{}").unwrap_err();
    }
    rejected.set_api_key("another").unwrap();
    rejected.update_user_json(1, "{}").unwrap_err();
    assert_eq!(names(&of_rejected), ["key_rejected", "key_rejected"]);

    let throttled = client(&[("429 Too Many Requests", ""), ("200 OK", "")], json!({}));
    let of_throttled = events(&throttled, LogLevel::Info);
    throttled.update_user_json(1, "{}").unwrap();
    assert_eq!(names(&of_throttled), ["throttled", "resumed"]);
    let all = of_throttled.all();
    assert!(
        all[0]["probe_in_ms"].as_u64() > Some(0)
            && all[0]["learned_requests_per_second"].is_number()
    );
    assert!(all[1]["after"] == "throttled" && all[1]["requests_per_second"].is_number());
}

#[test]
fn the_beginning_and_end_of_an_outage_are_logged() {
    static ANSWERS: [(&str, &str); 9] = [
        ("", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("200 OK", ""),
    ];
    let client = client(&ANSWERS, json!({}));
    let events = events(&client, LogLevel::Error);
    for _ in 0..8 {
        assert_eq!(client.update_user_json(1, "{}").unwrap_err().kind(), ErrorKind::Connection);
    }
    assert_eq!(names(&events), ["outage_began"]);
    assert_eq!(events.all()[0]["failures"], 8);
    client.update_user_json(1, "{}").unwrap();
    assert_eq!(names(&events), ["outage_began"], "that requests resume is no error");
    let figures = client.stats();
    assert_eq!((figures.failed_by_code[&-5], figures.succeeded, figures.attempts), (8, 1, 9));
}

#[test]
fn the_log_callback_may_use_the_client_and_holds_no_lock() {
    let client = Arc::new(client(&[("429 Too Many Requests", ""), ("200 OK", "")], json!({})));
    let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counted, own, record) = (calls.clone(), Arc::downgrade(&client), told.clone());
    client.set_log(Some((
        LogLevel::Trace,
        Arc::new(move |_, json, _| {
            record.lock().unwrap().push(json.to_owned());
            // If a lock were held during the callback, these calls would deadlock.
            let client = own.upgrade().unwrap();
            client.set_max_requests_per_second(0.0).unwrap();
            let _ = (client.stats(), client.validate_user_json(1, "{}"));
            client.cancel();
            client.set_api_key("key").unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    )));
    assert_eq!(client.update_user_json(1, "{}").unwrap_err().kind(), ErrorKind::Cancelled);
    let before = calls.load(Ordering::SeqCst);
    assert!(before > 0 && before == told.lock().unwrap().len());

    // A call from within the callback is not logged, because that would never end.
    let own = Arc::downgrade(&client);
    let inner = Arc::new(AtomicUsize::new(0));
    let counted = inner.clone();
    client.set_log(Some((
        LogLevel::Debug,
        Arc::new(move |_, json, _| {
            if json.contains("call_began") {
                own.upgrade().unwrap().update_user_json(2, "{}").unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }),
    )));
    std::thread::sleep(Duration::from_millis(10));
    client.update_user_json(1, "{}").unwrap();
    assert_eq!(inner.load(Ordering::SeqCst), 1);
}

/// A batch may requeue an update until other updates show whether the server is up. The update
/// keeps its number.
#[test]
fn a_batch_update_is_logged_as_one_call() {
    let port = listen(move |stream, _| {
        let mut http = Http::new(stream);
        while let Some(request) = http.request() {
            let fails = request.path() == "/users/1";
            let status = if fails { "503 Service Unavailable" } else { "200 OK" };
            http.answer_with(status, "", if fails { "" } else { CONFIRMED }).unwrap();
        }
    });
    let options = json!({
        "base_url": format!("http://127.0.0.1:{port}"), "proxy": "", "retry_base_ms": 1, "retry_cap_ms": 2,
    });
    let client =
        Arc::new(Client::new("key", &Options::from_json(&options.to_string()).unwrap()).unwrap());
    let events = events(&client, LogLevel::Debug);
    let mut options = BatchOptions::default();
    options.concurrency = 1;
    let batch = Batch::new(client, &options).unwrap();
    for user_id in 1..=3_i64 {
        batch.submit(user_id.unsigned_abs(), user_id, "{}".into(), None).unwrap();
    }
    batch.close().unwrap();
    let mut failed = Vec::new();
    while let Some(finished) = batch.next(Some(Duration::from_secs(60))).unwrap() {
        failed.extend(finished.outcome.is_err().then_some(finished.tag));
    }
    assert_eq!(failed, [1]);
    let numbers = |name: &str| {
        let mut numbers: Vec<_> = events
            .all()
            .iter()
            .filter(|event| event["event"] == name)
            .map(|event| event["call"].clone())
            .collect();
        numbers.sort_by_key(Value::as_u64);
        numbers
    };
    assert_eq!(numbers("call_began"), [1, 2, 3]);
    assert_eq!(numbers("call_failed"), [1]);
    assert_eq!(numbers("call_succeeded"), [2, 3]);
    assert!(numbers("attempt").iter().filter(|number| **number == 1).count() >= 4);
}
