//! How long a call blocks, for what, and what ends it: deadlines, `Retry-After`, pauses, cancels
//! and callbacks.

mod faults;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use commbox::{Client, Delivery, Error, ErrorKind};

use faults::table::{LARGE, SLOWNESS};
use faults::{client, eventually, millis, timed, user, Fault, Server, Share, Step};

const USER: i64 = 100_000_001;

/// What a call may be late.
const LATE: Duration = Duration::from_millis(500 * SLOWNESS as u64);

/// Updates another user each time: calls for the same one would stand behind each other.
fn call(client: &Client) -> (Result<commbox::UpdateReply, Error>, Duration) {
    static USERS: AtomicI64 = AtomicI64::new(USER + 1);
    let user_id = USERS.fetch_add(1, Ordering::SeqCst);
    timed(|| client.update_user_json(user_id, &user(10)))
}

fn never_replies() -> Fault {
    Fault::new(&[Step::Read(Share::All), Step::Hold])
}

fn throttled(retry_after: &str) -> Fault {
    Fault::status(429).header("Retry-After", retry_after)
}

/// A server whose connections are taken by nobody, and no more of which can be made.
fn full_backlog() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A listening socket may be told so again, with room for fewer.
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let waiting = fill(&listener);
    (listener, waiting)
}

/// Takes all the room that is left in a listener's backlog.
fn fill(listener: &TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 10, "the backlog has no end");
    }
    waiting
}

fn client_of(listener: &TcpListener, change: impl FnOnce(&mut commbox::Options)) -> Client {
    let mut options = commbox::Options::default();
    options.base_url = format!("http://{}", listener.local_addr().unwrap());
    options.proxy = Some(String::new());
    change(&mut options);
    Client::new("key-1", &options).unwrap()
}

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
fn a_sleep_that_would_pass_the_deadline_is_not_slept() {
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
fn connecting_has_a_time_of_its_own() {
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
fn an_attempt_that_takes_too_long_is_tried_again() {
    let server = Server::script([never_replies()]);
    let client = client(&server, |options| options.attempt_timeout = millis(300));
    let (result, took) = call(&client);
    result.unwrap();
    assert!((millis(300)..=millis(300) + LATE).contains(&took), "{took:?}");
    let connections: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1]);
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    let date = |ahead| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(ahead));
    for status in [429, 503] {
        // A date has whole seconds, so that of three ahead is more than two ahead.
        // The pause after the first 429 is up to a second and a half.
        let most = if status == 429 { 1500 } else { 1100 };
        for (ahead, least, most) in [(None, 1000, most), (Some(3), 2000, 3300)] {
            let text = ahead.map_or("1".to_owned(), date);
            let server = Server::script([Fault::status(status).header("Retry-After", &text)]);
            let (result, took) = call(&client(&server, |_| {}));
            result.unwrap();
            assert!(
                took >= millis(least) && took <= millis(most) + LATE,
                "{status}, {text}: {took:?}"
            );
        }
        // One that is past is never less than the backoff: after the first 429 that is a second and
        // a half at most.
        for text in ["0", &date(0)] {
            let server = Server::script([Fault::status(status).header("Retry-After", text)]);
            let (result, took) = call(&client(&server, |_| {}));
            result.unwrap();
            let (least, most) = if status == 429 { (1000, 1500) } else { (0, 1) };
            assert!(
                took >= millis(least) && took <= millis(most) + LATE,
                "{status}, {text}: {took:?}"
            );
        }
    }
    // The server's clock goes its own way.
    for hours in [-24, -1, 1, 24_i64] {
        let now = if hours < 0 {
            SystemTime::now() - Duration::from_secs(hours.unsigned_abs() * 3600)
        } else {
            SystemTime::now() + Duration::from_secs(hours.unsigned_abs() * 3600)
        };
        let [now, then] = [now, now + Duration::from_secs(2)].map(httpdate::fmt_http_date);
        let server =
            Server::script([Fault::status(429).header("Date", &now).header("Retry-After", &then)]);
        let (result, took) = call(&client(&server, |_| {}));
        result.unwrap();
        assert!(took >= millis(2000) && took <= millis(2200) + LATE, "{hours} h: {took:?}");
    }
}

#[test]
fn retry_after_beyond_the_deadline_fails_at_once_and_is_told() {
    for (text, seconds) in [("7200", 7200), ("99999999999999999999999999", u64::MAX / 1000)] {
        for status in [429, 503] {
            let server = Server::start(move || Fault::status(status).header("Retry-After", text));
            let client = client(&server, |_| {});
            let (result, took) = call(&client);
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Http(status), 1));
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
            assert!(took <= LATE, "{took:?}");
            if status == 429 {
                // The next call finds the gate shut, and asks nobody.
                let (result, took) = call(&client);
                let error = result.unwrap_err();
                assert_eq!(
                    (error.kind(), error.delivery()),
                    (ErrorKind::Throttled, Delivery::NotSent)
                );
                assert!(
                    error.retry_after() > Some(Duration::from_secs(60)),
                    "{:?}",
                    error.retry_after()
                );
                assert!(took <= LATE, "{took:?}");
                assert_eq!(server.seen().len(), 1);
            }
        }
    }
}

#[test]
fn retry_after_that_is_nonsense_is_none() {
    for text in ["-5", "soon", "1.5", "", "Fri, 99 Foo 2026 10:00:00 GMT"] {
        let server = Server::script([Fault::status(503).header("Retry-After", text)]);
        let (result, took) = call(&client(&server, |_| {}));
        result.unwrap();
        assert!(took <= LATE, "{text}: {took:?}");
    }
}

#[test]
fn a_throttled_call_stops_all_and_one_probe_goes_first() {
    let server = Server::script([Fault::status(429), Fault::good().after(millis(400))]);
    let client = client(&server, |_| {});
    thread::scope(|scope| {
        let first = scope.spawn(|| call(&client));
        eventually("the 429 was given", || server.seen().iter().any(|seen| seen.replied));
        thread::sleep(millis(100));
        let others: Vec<_> = (0..8).map(|_| scope.spawn(|| call(&client))).collect();
        for call in others.into_iter().chain([first]) {
            call.join().unwrap().0.unwrap();
        }
    });
    let seen = server.seen();
    assert_eq!(seen.len(), 10);
    assert!(
        seen[1].at - seen[0].at >= millis(1000),
        "the gate was shut for {:?}",
        seen[1].at - seen[0].at
    );
    assert!(
        seen[2].at - seen[1].at >= millis(400),
        "{:?} after the probe",
        seen[2].at - seen[1].at
    );
}

#[test]
fn the_callers_own_limit_is_kept_evenly_over_all_threads() {
    let server = Server::script([]);
    let client = client(&server, |options| options.max_requests_per_second = 20.0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    call(&client).0.unwrap();
                }
            });
        }
    });
    let seen = server.seen();
    assert_eq!(seen.len(), 40);
    let first = seen[0].at;
    for (number, seen) in seen.iter().enumerate() {
        let at = (seen.at - first).as_secs_f64();
        let due = number as f64 / 20.0;
        assert!(
            (at - due).abs() <= 0.4 * f64::from(SLOWNESS),
            "request {number} came at {at} s, not at {due} s"
        );
    }
}

#[test]
fn calls_that_were_cancelled_leave_the_line() {
    let server = Server::script([]);
    let client = client(&server, |options| options.max_requests_per_second = 1.0);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..10).map(|_| scope.spawn(|| call(&client).0)).collect();
        eventually("one was sent", || server.seen().len() == 1);
        thread::sleep(millis(200));
        client.cancel();
        let outcomes: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    });
    let (outcome, took) = call(&client);
    outcome.unwrap();
    assert!(took <= millis(2000), "{took:?}");
}

#[test]
fn a_cancelled_call_tells_of_an_attempt_before_that_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A listening socket may be told so again, with room for fewer.
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let client = client_of(&listener, |options| options.connect_timeout = Duration::from_secs(30));
    thread::scope(|scope| {
        let call = scope.spawn(|| call(&client).0.unwrap_err());
        let (mut first, _) = listener.accept().unwrap();
        assert!(first.read(&mut [0; 4096]).unwrap() > 0);
        let _waiting = fill(&listener);
        // Ends without an answer, so that it is tried again, and does not connect.
        drop(first);
        thread::sleep(millis(1500));
        client.cancel();
        let error = call.join().unwrap();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Cancelled, 2));
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert!(error.to_string().contains("after its request had left"), "{error}");
    });
}

/// Where a call may be waiting: its client, what it sends, and whether it may be there now.
struct Wait {
    name: &'static str,
    client: Client,
    bytes: usize,
    is_there: Box<dyn Fn() -> bool + Send>,
    /// The server, which is to live as long.
    _alive: Box<dyn Send>,
}

fn waits() -> Vec<Wait> {
    let wait = |name, fault: Fault, bytes| {
        let server = Arc::new(Server::script([fault]));
        let client = client(&server, |_| {});
        let asked = server.clone();
        Wait {
            name,
            client,
            bytes,
            is_there: Box::new(move || !asked.seen().is_empty()),
            _alive: Box::new(server),
        }
    };
    let (full, waiting) = full_backlog();
    vec![
        wait("queueing at the gate", throttled("30"), 10),
        wait("sleeping before a retry", Fault::status(503).header("Retry-After", "30"), 10),
        wait("sending", Fault::new(&[Step::Read(Share::Head), Step::Hold]), LARGE),
        wait("waiting for the reply", never_replies(), 10),
        wait(
            "reading the reply",
            Fault::new(&[Step::Read(Share::All), Step::SendTo(faults::Place::MidBody), Step::Hold]),
            10,
        ),
        Wait {
            name: "connecting",
            client: client_of(&full, |options| options.connect_timeout = Duration::from_secs(30)),
            bytes: 10,
            is_there: Box::new(|| true),
            _alive: Box::new((full, waiting)),
        },
    ]
}

#[test]
fn cancel_ends_calls_wherever_they_wait_and_later_ones_work() {
    thread::scope(|scope| {
        for wait in waits() {
            scope.spawn(move || {
                let Wait { name, client, bytes, is_there, _alive } = wait;
                let ended = Mutex::new(None);
                thread::scope(|scope| {
                    let call = scope.spawn(|| {
                        let result = client.update_user_json(USER, &user(bytes));
                        *ended.lock().unwrap() = Some(Instant::now());
                        result
                    });
                    eventually(name, &is_there);
                    // Until it waits there.
                    thread::sleep(millis(300));
                    assert!(!call.is_finished(), "{name}: {:?}", call.join());
                    let cancelled = Instant::now();
                    client.cancel();
                    let error = call.join().unwrap().unwrap_err();
                    let took = ended.lock().unwrap().unwrap() - cancelled;
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{name}: {error}");
                    assert!(took <= LATE, "{name}: {took:?}");
                });
                // The gate stays shut, and that server full.
                if !["queueing at the gate", "connecting"].contains(&name) {
                    client.update_user_json(USER, &user(10)).unwrap();
                }
            });
        }
    });
}

#[test]
fn the_interrupt_is_asked_in_time_wherever_a_call_waits() {
    thread::scope(|scope| {
        for wait in waits() {
            scope.spawn(move || {
                let Wait { name, client, bytes, _alive, .. } = wait;
                let body = user(bytes);
                let (asked, caller) =
                    (Arc::new(Mutex::new(vec![Instant::now()])), thread::current().id());
                let asks = asked.clone();
                client.set_interrupt(Some(Arc::new(move || {
                    assert_eq!(thread::current().id(), caller);
                    let mut asks = asks.lock().unwrap();
                    asks.push(Instant::now());
                    asks.len() > 10
                })));
                let error = client.update_user_json(USER, &body).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{name}: {error}");
                let asked = asked.lock().unwrap();
                let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
                // What the promise is, and that a busy machine may be late now and then.
                assert!(gaps.iter().all(|gap| *gap <= millis(1000)), "{name}: {gaps:?}");
                let late = gaps.iter().filter(|gap| **gap > millis(100)).count();
                assert!(late <= 2, "{name}: {gaps:?}");
            });
        }
    });
}

#[test]
fn an_interrupt_ends_its_own_call_only() {
    let server = Server::start(|| Fault::good().after(millis(500)));
    let client = client(&server, |_| {});
    let asked = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| call(&client));
        eventually("the other call has begun", || server.seen().len() == 1);
        let counter = asked.clone();
        client.set_interrupt(Some(Arc::new(move || counter.fetch_add(1, Ordering::SeqCst) == 1)));
        assert_eq!(call(&client).0.unwrap_err().kind(), ErrorKind::Cancelled);
        other.join().unwrap().0.unwrap();
    });
    client.set_interrupt(None);
    call(&client).0.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
