//! The outcome of a call for each fault of a server: delivered, failed, retried.

mod faults;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use commbox::{Client, Delivery, ErrorKind};

use faults::table::{rows, Row, ATTEMPT_TIMEOUT, LARGE, SLOWNESS};
use faults::{client, eventually, is_for, millis, timed, user, Fault, Server, Share, Step};

const FIRST: i64 = 100_000_001;
const SECOND: i64 = 100_000_002;

/// Plays every row, several in parallel.
fn each_row(play: impl Fn(&Row) + Sync) {
    let rows = rows();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 / SLOWNESS.min(4) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    play(row);
                }
            });
        }
    });
}

fn row_client(server: &Server, max_retries: u32) -> Client {
    client(server, |options| {
        options.attempt_timeout = ATTEMPT_TIMEOUT;
        options.max_retries = max_retries;
    })
}

/// Checks how often the server saw the first user's request. The server may read it after the call
/// has failed.
fn assert_requests(server: &Server, name: &str, times: usize) {
    eventually(name, || server.seen_of(FIRST).len() >= times);
    assert_eq!(server.seen_of(FIRST).len(), times, "{name}");
}

#[test]
fn each_fault_alone() {
    each_row(|row| {
        let name = &row.name;
        let server = Server::script([row.fault.clone()]);
        let client = row_client(&server, 0);
        let (result, took) = timed(|| client.update_user_json(FIRST, &user(row.bytes)));
        assert!(took <= row.within, "{name}: {took:?}");
        match (&result, row.fails) {
            (Ok(reply), None) => assert!(is_for(reply, FIRST), "{name}: {reply}"),
            (Err(error), Some((kind, deliveries))) => {
                assert_eq!(error.kind(), kind, "{name}: {error}");
                assert!(deliveries.contains(&error.delivery()), "{name}: {:?}", error.delivery());
                assert_eq!(error.attempts(), 1, "{name}");
                assert!(error.elapsed() <= took, "{name}");
            }
            _ => panic!("{name}: {result:?}"),
        }
        assert_requests(&server, name, usize::from(row.fault.reads()));

        // The next call gets a working connection and its own reply.
        let reply = client
            .update_user_json(SECOND, &user(10))
            .unwrap_or_else(|error| panic!("{name}, then: {error}"));
        assert!(is_for(&reply, SECOND), "{name}: {reply}");
    });
}

#[test]
fn each_fault_followed_by_a_valid_reply() {
    each_row(|row| {
        let name = &row.name;
        let server = Server::script([row.fault.clone()]);
        let result = row_client(&server, 1).update_user_json(FIRST, &user(row.bytes));
        match result {
            Ok(reply) => {
                assert!(row.fails.is_none() || row.is_transient(), "{name}");
                assert!(is_for(&reply, FIRST), "{name}: {reply}");
            }
            Err(error) => {
                assert!(row.fails.is_some() && !row.is_transient(), "{name}: {error}");
                assert_eq!(error.attempts(), 1, "{name}");
            }
        }
        let attempts = usize::from(row.fault.reads()) + usize::from(row.is_transient());
        assert_requests(&server, name, attempts);
    });
}

#[test]
fn a_closed_idle_connection_fails_no_call() {
    let moment = Step::Wait(millis(50));
    for end in [Step::Fin, Step::Reset] {
        // The connection is closed while idle, when the next request has arrived, or in the middle
        // of a large request.
        for (steps, bytes) in [
            (vec![moment.clone(), end.clone()], 10),
            (vec![Step::Read(Share::All), end.clone()], 10),
            (vec![Step::Read(Share::All), moment.clone(), end.clone()], 10),
            (vec![Step::Read(Share::Half), end.clone()], LARGE),
        ] {
            let server = Server::script([Fault::good().then(&steps)]);
            let client = row_client(&server, 0);
            client.update_user_json(FIRST, &user(10)).unwrap();
            let idle = !steps.iter().any(|step| matches!(step, Step::Read(_)));
            if idle {
                thread::sleep(millis(200));
            }
            let reply = client.update_user_json(SECOND, &user(bytes)).unwrap();
            assert!(is_for(&reply, SECOND));
            let connections: Vec<_> =
                server.seen_of(SECOND).iter().map(|seen| seen.connection).collect();
            assert_eq!(connections, if idle { vec![1] } else { vec![0, 1] }, "{steps:?}");
        }
    }
}

#[test]
fn a_connection_that_closes_as_the_next_request_is_sent_fails_no_call() {
    for end in [Step::Fin, Step::Reset] {
        let mut calls: u64 = 0;
        let server = Server::start(move || {
            calls += 1;
            // From no delay to well after the next request.
            Fault::good()
                .then(&[Step::Wait(std::time::Duration::from_micros(calls * 7 % 150)), end.clone()])
        });
        let client = row_client(&server, 0);
        for call in 0..1000 {
            let reply = client
                .update_user_json(FIRST + call, &user(10))
                .unwrap_or_else(|error| panic!("{error:?}"));
            assert!(is_for(&reply, FIRST + call));
        }
    }
}

#[test]
fn only_one_closed_connection_is_retried_for_free() {
    let lost = [Step::Read(Share::All), Step::Fin];
    let server = Server::script([Fault::good().then(&lost), Fault::new(&lost)]);
    let client = row_client(&server, 0);
    client.update_user_json(FIRST, &user(10)).unwrap();
    let error = client.update_user_json(SECOND, &user(10)).unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Connection, Delivery::Unknown));
    assert_eq!((error.attempts(), server.seen_of(SECOND).len()), (2, 2));
}

#[test]
fn a_truncated_reply_on_a_reused_connection_is_a_failure() {
    let broken =
        Fault::new(&[Step::Read(Share::All), Step::SendTo(faults::Place::MidBody), Step::Reset]);
    let server = Server::script([Fault::good(), broken]);
    let client = row_client(&server, 0);
    client.update_user_json(FIRST, &user(10)).unwrap();
    let error = client.update_user_json(SECOND, &user(10)).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Connection, Delivery::Unknown, 1)
    );
}

#[test]
fn delivery_covers_all_attempts() {
    let lost = || Fault::new(&[Step::Read(Share::All), Step::Reset]);
    let server = Server::script([lost(), Fault::status(503)]);
    let error = row_client(&server, 1).update_user_json(FIRST, &user(10)).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Http(503), Delivery::Answered, 2)
    );

    // Once the server is gone, nothing can be sent. The outcome of the first attempt remains
    // unknown.
    let server = Server::script([lost()]);
    let client = client(&server, |options| {
        options.max_retries = 1;
        options.retry_base = millis(600);
        options.retry_cap = millis(600);
    });
    let call = thread::spawn(move || client.update_user_json(FIRST, &user(10)).unwrap_err());
    eventually("the first attempt was seen", || server.seen().len() == 1);
    drop(server);
    let error = call.join().unwrap();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Connection, Delivery::Unknown, 2)
    );
    assert!(error.elapsed() <= millis(900), "{:?}", error.elapsed());
}

#[test]
fn a_refused_connection_is_not_sent_and_is_retried() {
    let server = Server::script([]);
    let refused = client(&server, |options| options.max_retries = 2);
    drop(server);
    let error = refused.update_user_json(FIRST, &user(10)).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Connection, Delivery::NotSent, 3)
    );
}

#[test]
fn max_retries_limits_the_retries() {
    for max_retries in [0, 1, 4] {
        let server = Server::start(|| Fault::status(503));
        let error =
            row_client(&server, max_retries).update_user_json(FIRST, &user(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Http(503));
        assert_eq!(error.attempts(), max_retries + 1);
        assert_eq!(server.seen().len(), max_retries as usize + 1);
    }
}

#[test]
fn backoff_is_bounded() {
    let server = Server::start(|| Fault::status(500));
    let client = client(&server, |options| {
        options.max_retries = 6;
        options.retry_base = millis(40);
        options.retry_cap = millis(100);
    });
    client.update_user_json(FIRST, &user(10)).unwrap_err();
    let seen = server.seen();
    assert_eq!(seen.len(), 7);
    for (retry, pair) in seen.windows(2).enumerate() {
        let bound = millis(100).min(millis(40 << retry)) + millis(500);
        assert!(pair[1].at - pair[0].at <= bound, "retry {retry}: {:?}", pair[1].at - pair[0].at);
    }
}

#[test]
fn a_call_whose_key_was_replaced_is_retried_with_the_new_key() {
    let server = Server::script([Fault::status(401).after(millis(200)), Fault::status(401)]);
    let client = row_client(&server, 0);
    thread::scope(|scope| {
        let call = scope.spawn(|| client.update_user_json(FIRST, &user(10)));
        eventually("the old key was seen", || server.seen().len() == 1);
        client.set_api_key("key-2").unwrap();
        // The second key is rejected too, and there is no third one to try.
        assert_eq!(call.join().unwrap().unwrap_err().attempts(), 2);
    });
    client.update_user_json(SECOND, &user(10)).unwrap();
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.key).collect();
    assert_eq!(keys, ["key-1", "key-2", "key-2"]);
}

#[test]
fn idle_connections_are_limited_in_time_and_number() {
    let server = Server::script([]);
    let brief = client(&server, |options| options.idle_timeout = millis(300));
    for wait in [0, 0, 700] {
        thread::sleep(millis(wait));
        brief.update_user_json(FIRST, &user(10)).unwrap();
    }
    assert_eq!(server.connections(), 2);

    for (kept, connections) in [(0, 8), (2, 6), (4, 4)] {
        let server = Server::start(|| Fault::good().after(millis(300)));
        let client = client(&server, |options| options.max_idle_connections = kept);
        for _ in 0..2 {
            thread::scope(|scope| {
                for id in FIRST..FIRST + 4 {
                    let client = &client;
                    scope.spawn(move || client.update_user_json(id, &user(10)).unwrap());
                }
            });
        }
        assert_eq!(server.connections(), connections, "{kept} kept");
    }
}

#[test]
fn a_cached_lookup_is_discarded_if_its_addresses_do_not_connect() {
    let server = Server::script([]);
    let port = server.port();
    let client = client(&server, |options| {
        options.base_url = format!("http://127.1:{port}");
        options.allow_http = true;
        options.max_retries = 0;
        options.max_idle_connections = 0;
    });
    client.update_user_json(FIRST, &user(10)).unwrap();
    drop(server);
    let error = client.update_user_json(FIRST, &user(10)).unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Connection, Delivery::NotSent));
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let call = thread::spawn(move || client.update_user_json(FIRST, &user(10)));
    drop(listener.accept().unwrap());
    // The new server received the request, but does not answer.
    assert_eq!(call.join().unwrap().unwrap_err().delivery(), Delivery::Unknown);
}

#[test]
fn the_longest_request_head_is_sent_completely() {
    let server = Server::script([]);
    let prefix = "p".repeat(2048 - server.url().len() - 1);
    let client = client(&server, |options| {
        options.base_url = format!("{}/{prefix}", server.url());
        options.user_agent = Some("a".repeat(256));
    });
    let key = "k".repeat(4096);
    client.set_api_key(&key).unwrap();
    for _ in 0..2 {
        client.update_user_json(i64::MAX, &user(10)).unwrap();
    }
    let seen = server.seen_of(i64::MAX);
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.key == key && seen.complete));
}
