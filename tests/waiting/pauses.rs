//! Pauses and limits that hold for all calls of a client.

use std::thread;

use crate::call;
use crate::faults::table::SLOWNESS;
use crate::faults::{client, eventually, millis, Fault, Server};

#[test]
fn a_throttled_call_pauses_all_and_one_probe_is_sent_first() {
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
fn the_rate_limit_paces_requests_of_all_threads() {
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
