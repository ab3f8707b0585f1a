//! Random faults of all kinds, with many threads that share one client. The outcome of every call
//! must match what the server saw.

mod faults;

use std::collections::HashMap;
use std::env;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Delivery, Error, ErrorKind};

use faults::table::{self, ATTEMPT_TIMEOUT};
use faults::{client, is_for, user, Fault, Seen, Server};

const THREADS: usize = 16;

/// Deterministic pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// The outcome of one call.
struct Ended {
    user_id: i64,
    result: Result<commbox::UpdateReply, Error>,
    took: Duration,
}

/// Starts a server that injects a fault into half of the requests. No fault pauses the client's
/// requests, because then too few would be sent.
fn faults_at_random() -> Server {
    let faults: Vec<Fault> = table::rows().into_iter().map(|row| row.fault).collect();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    Server::start(move || match dice.below(2) {
        0 => Fault::good(),
        _ => faults[dice.below(faults.len())].clone(),
    })
}

fn call_until(until: Instant, client: &Client, ids: &AtomicI64) -> Vec<Ended> {
    let mut ended = Vec::new();
    while Instant::now() < until {
        let user_id = ids.fetch_add(1, Ordering::SeqCst);
        // One body in fifty is so large that it is sent in several pieces.
        let body = user(if user_id % 50 == 0 { 1 << 20 } else { 10 });
        let (result, took) = faults::timed(|| client.update_user_json(user_id, &body));
        ended.push(Ended { user_id, result, took });
    }
    ended
}

#[test]
fn every_call_is_accounted_for() {
    let seconds =
        env::var("COMMBOX_FAULT_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let total_timeout = ATTEMPT_TIMEOUT * 3;
    let server = faults_at_random();
    let client = client(&server, |options| {
        options.attempt_timeout = ATTEMPT_TIMEOUT;
        options.total_timeout = total_timeout;
        options.max_retries = 2;
    });
    let ids = AtomicI64::new(100_000_000);
    let until = Instant::now() + Duration::from_secs(seconds);
    let ended: Vec<Ended> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| call_until(until, &client, &ids))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(ended.len() as i64, ids.load(Ordering::SeqCst) - 100_000_000);
    // The server may still have to read what the last calls sent without waiting for it.
    thread::sleep(Duration::from_millis(500));
    let mut seen: HashMap<i64, Vec<Seen>> = HashMap::new();
    for request in server.seen() {
        seen.entry(request.user_id).or_default().push(request);
    }
    let mut unseen = 0;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for call in &ended {
        let requests = seen.remove(&call.user_id).unwrap_or_default();
        *counts.entry(account(call, &requests)).or_default() += 1;
        assert!(
            call.took <= total_timeout + Duration::from_millis(1500),
            "{}: {:?}",
            call.user_id,
            call.took
        );
        if requests.is_empty()
            && call.result.as_ref().is_err_and(|error| error.delivery() == Delivery::Unknown)
        {
            unseen += 1;
        }
    }
    // The remaining requests belong to no call.
    assert!(seen.is_empty(), "{:?}", seen.keys());
    // If bytes were sent but not read, they were sent on connections that the server dropped unread
    // or never read.
    assert!(unseen <= server.unread(), "{unseen} of {}", server.unread());

    let calls = ended.len();
    println!("{calls} calls over {} connections: {counts:#?}", server.connections());
    // Each of these outcomes must occur, or its rules were not tested. "Not sent" is not required,
    // because it depends on the timing of a reset.
    for way in ["delivered", "Answered", "Unknown"] {
        assert!(counts.get(way).is_some_and(|count| *count > 10), "{way}");
    }
}

/// Checks one call against the requests that the server received, and returns the kind of its
/// outcome.
fn account(call: &Ended, requests: &[Seen]) -> String {
    let id = call.user_id;
    let replied = requests.iter().any(|seen| seen.replied);
    let error = match &call.result {
        Ok(reply) => {
            assert!(is_for(reply, id), "{id} got {reply}");
            assert!(replied, "{id} was delivered: {requests:?}");
            return "delivered".into();
        }
        Err(error) => error,
    };
    match error.delivery() {
        Delivery::NotSent => assert!(requests.is_empty(), "{id} was not sent: {requests:?}"),
        Delivery::Answered => {
            assert!(replied, "{id} was answered: {requests:?}");
            if let Some(response) = error.response().filter(|response| response.contains("\"Id\""))
            {
                assert!(
                    is_for(response, id) || error.kind() == ErrorKind::BadResponse,
                    "{id} got {response}"
                );
            }
        }
        Delivery::Unknown => {}
    }
    assert!(
        requests.len() <= error.attempts() as usize,
        "{id}: {} attempts, {requests:?}",
        error.attempts()
    );
    format!("{:?}", error.delivery())
}
