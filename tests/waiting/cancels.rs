//! Cancels and callbacks, wherever a call waits.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Delivery, ErrorKind};

use crate::faults::table::LARGE;
use crate::faults::{client, eventually, millis, user, Fault, Server, Share, Step};
use crate::{call, client_of, faults, fill, full_backlog, never_replies, throttled, LATE, USER};

#[test]
fn cancelled_calls_leave_the_queue() {
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
fn a_cancelled_call_reports_an_earlier_attempt_that_was_sent() {
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
fn cancel_ends_calls_wherever_they_block_and_later_calls_work() {
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
fn the_poll_callback_is_invoked_in_time_wherever_a_call_blocks() {
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
fn a_poll_callback_ends_only_its_own_call() {
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
