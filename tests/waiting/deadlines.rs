//! Deadlines and timeouts.

use std::thread;
use std::time::Duration;

use commbox::{Delivery, ErrorKind};

use crate::faults::{client, millis, Fault, Server};
use crate::{call, client_of, full_backlog, never_replies, LATE};

#[test]
fn the_deadline_covers_attempts_and_sleeps() {
    for (fault, attempt, base) in [
        // In one attempt, in the third of many, in the sleep after the first.
        (never_replies(), 5000, 1),
        (never_replies(), 250, 1),
        (Fault::status(503).after(millis(100)), 5000, 1),
    ] {
        let server = Server::start(move || fault.clone());
        let client = client(&server, |options| {
            options.total_timeout = millis(600);
            options.attempt_timeout = millis(attempt);
            options.max_retries = 100;
            options.retry_base = millis(base);
            options.retry_cap = millis(base);
        });
        let (result, took) = call(&client);
        let error = result.unwrap_err();
        assert!(took <= millis(600) + LATE, "{took:?}");
        assert!(took >= millis(400), "{took:?} and {error}");
        assert_eq!(error.attempts() as usize, server.seen().len());
        assert!(error.elapsed() <= took);
    }
}

#[test]
fn a_call_fails_at_once_if_the_backoff_exceeds_the_deadline() {
    let server = Server::start(|| Fault::status(503).header("Retry-After", "2"));
    let client = client(&server, |options| options.total_timeout = millis(1500));
    let (result, took) = call(&client);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Http(503), 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    assert!(took <= LATE, "{took:?}");
}

#[test]
fn the_deadline_covers_queueing() {
    let server = Server::script([]);
    let client = client(&server, |options| {
        options.max_requests_per_second = 2.0;
        options.total_timeout = millis(800);
    });
    // At 0, at 500 ms, and at 1000 ms, which is too late and known at once.
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| call(&client))).collect();
        let results: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let late: Vec<_> = results
            .iter()
            .filter_map(|(result, took)| Some((result.as_ref().err()?, took)))
            .collect();
        let [(error, took)] = late[..] else { panic!("{results:?}") };
        assert_eq!(
            (error.kind(), error.delivery(), error.attempts()),
            (ErrorKind::Timeout, Delivery::NotSent, 0)
        );
        assert!(*took <= LATE, "{took:?}");
    });
}

#[test]
fn connecting_has_its_own_timeout() {
    let (listener, _waiting) = full_backlog();
    let client = client_of(&listener, |options| {
        options.connect_timeout = millis(300);
        options.max_retries = 0;
    });
    let (result, took) = call(&client);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Timeout, Delivery::NotSent));
    assert!((millis(300)..=millis(300) + LATE).contains(&took), "{took:?}");
}

#[test]
fn an_attempt_that_times_out_is_retried() {
    let server = Server::script([never_replies()]);
    let client = client(&server, |options| options.attempt_timeout = millis(300));
    let (result, took) = call(&client);
    result.unwrap();
    assert!((millis(300)..=millis(300) + LATE).contains(&took), "{took:?}");
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1]);
}
