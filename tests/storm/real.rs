//! Short tests with real requests over real sockets.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, Delivery, ErrorKind, Options};

use super::faults::{self, client, user, Fault};
use super::seconds;
use super::servers::{Answer, Bucket, Down, Fixed, Free, Says, Server, Sliding};

/// The result of a storm.
pub struct Storm {
    pub delivered: usize,
    pub took: Duration,
    /// When each request arrived, counted from the first one, and its answer.
    pub requests: Vec<(Duration, Answer)>,
}

/// When each request arrived, and its answer.
type Notes = Arc<Mutex<Vec<(Duration, Answer)>>>;

/// Starts a server that answers as the model does. Returns it and its notes.
pub fn serve(mut model: impl Server + 'static) -> (faults::Server, Notes) {
    let (began, notes) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let noted = notes.clone();
    let server = faults::Server::start(move || {
        let now = began.elapsed();
        let answer = model.answer(now);
        noted.lock().unwrap().push((now, answer));
        match answer {
            Answer::Accepted => Fault::good(),
            Answer::Refused(None) => Fault::status(429),
            Answer::Refused(Some(after)) => {
                Fault::status(429).header("Retry-After", &after.as_secs().to_string())
            }
            Answer::Failed | Answer::Unreachable => Fault::status(503),
        }
    });
    (server, notes)
}

impl Storm {
    /// Makes calls on `threads` threads until `ends` returns true. Every call must be delivered.
    fn run(
        model: impl Server + 'static,
        threads: usize,
        ends: impl Fn(i64, Duration) -> bool + Sync,
    ) -> Self {
        let (server, notes) = serve(model);
        let client = client(&server, |options: &mut Options| {
            options.total_timeout = Duration::from_secs(120);
            // A 429 does not count as a retry.
            options.max_retries = 0;
            options.max_idle_connections = 64;
        });
        let calls = AtomicI64::new(0);
        let began = Instant::now();
        let delivered = thread::scope(|scope| {
            let work = || {
                let mut delivered = 0;
                loop {
                    let call = calls.fetch_add(1, Ordering::SeqCst);
                    if ends(call, began.elapsed()) {
                        return delivered;
                    }
                    client
                        .update_user_json(100_000_000 + call, &user(10))
                        .expect("each is delivered in the end");
                    delivered += 1;
                }
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let took = began.elapsed();
        let requests = notes.lock().unwrap().clone();
        Self { delivered, took, requests }
    }

    pub fn refused(&self) -> f64 {
        let refused =
            self.requests.iter().filter(|(_, answer)| *answer != Answer::Accepted).count();
        refused as f64 / self.requests.len() as f64
    }

    fn report(&self, name: &str) {
        println!(
            "{name}: {} delivered in {:.1} s, {:.2} % of {} requests refused",
            self.delivered,
            self.took.as_secs_f64(),
            100.0 * self.refused(),
            self.requests.len(),
        );
    }
}

#[test]
fn a_bucket_without_burst() {
    let storm = Storm::run(Bucket::new(50.0, 1.0), 8, |call, _| call >= 500);
    storm.report("bucket of 50, burst 1");
    assert_eq!(storm.delivered, 500);
    // On a busy machine, some requests leave late, so the next ones arrive too soon after them.
    assert!(storm.refused() <= 0.15);
    assert!(storm.took <= seconds(80), "{:?}", storm.took);
}

#[test]
fn a_fixed_window() {
    let storm = Storm::run(Fixed::new(seconds(1), 50, Says::Nothing), 16, |call, _| call >= 400);
    storm.report("50 in each second");
    assert_eq!(storm.delivered, 400);
    assert!(storm.refused() <= 0.1);
    assert!(storm.took <= seconds(30), "{:?}", storm.took);
}

#[test]
fn nearly_the_whole_allowed_rate_is_used() {
    let storm = Storm::run(Bucket::new(200.0, 200.0), 8, |_, passed| passed >= seconds(10));
    storm.report("bucket of 200");
    assert!(storm.delivered as f64 >= 0.7 * 200.0 * 10.0, "{} delivered", storm.delivered);
    assert!(storm.refused() <= 0.02);
}

#[test]
fn sixteen_calls_at_one_a_second_are_all_delivered() {
    let storm = Storm::run(Bucket::new(1.0, 1.0), 16, |call, _| call >= 16);
    storm.report("one a second");
    assert_eq!(storm.delivered, 16);
    assert!(storm.took <= seconds(50), "{:?}", storm.took);
}

#[test]
fn a_batch_pauses_in_an_outage_and_loses_nothing() {
    let model = Down {
        server: Sliding::new(1_000_000),
        from: Duration::ZERO,
        to: seconds(4),
        answer: Answer::Failed,
    };
    let (server, notes) = serve(model);
    let client = Arc::new(client(&server, |_| {}));
    let batch = Batch::new(client, &BatchOptions::default()).unwrap();
    for number in 0..500_u32 {
        batch.submit(number.into(), 1_000 + i64::from(number), user(10), None).unwrap();
    }
    batch.close().unwrap();
    let mut lost = 0;
    while let Some(finished) = batch.next(None).unwrap() {
        lost += usize::from(finished.outcome.is_err());
    }
    let requests = notes.lock().unwrap();
    let failed = requests.iter().filter(|(_, answer)| *answer == Answer::Failed).count();
    println!("down for 4 s: {failed} requests then, {} in all, {lost} lost", requests.len());
    assert_eq!(lost, 0);
    assert!(failed <= 16, "{failed}");
}

/// Sends updates through a batch. Returns their errors, the number of requests and the duration.
fn give_back(
    answer: Answer,
    change: impl FnOnce(&mut BatchOptions),
) -> (Vec<commbox::Error>, usize, Duration) {
    let (server, notes) =
        serve(Down { server: Free, from: Duration::ZERO, to: seconds(3600), answer });
    let mut options = BatchOptions::default();
    change(&mut options);
    let batch = Batch::new(Arc::new(client(&server, |_| {})), &options).unwrap();
    let began = Instant::now();
    for number in 0..200_u32 {
        batch.submit(number.into(), 1_000 + i64::from(number), user(10), None).unwrap();
    }
    batch.close().unwrap();
    let mut errors = Vec::new();
    while let Some(finished) = batch.next(None).unwrap() {
        errors.push(finished.outcome.unwrap_err());
    }
    let requests = notes.lock().unwrap().len();
    (errors, requests, began.elapsed())
}

#[test]
fn a_batch_returns_updates_that_an_outage_delays_too_long() {
    let (errors, requests, took) =
        give_back(Answer::Failed, |options| options.outage_timeout = seconds(2));
    assert_eq!(errors.len(), 200);
    let not_sent = errors.iter().filter(|error| error.delivery() == Delivery::NotSent).count();
    assert!(not_sent >= 180, "{not_sent}");
    for error in &errors {
        let is_sent = error.delivery() != Delivery::NotSent;
        assert!(
            error.kind() == if is_sent { ErrorKind::Http(503) } else { ErrorKind::Connection },
            "{error}"
        );
    }
    assert!(requests <= 24, "{requests}");
    assert!(took < seconds(30), "{took:?}");
}

#[test]
fn a_batch_returns_updates_that_throttling_delays_too_long() {
    let (errors, requests, took) = give_back(Answer::Refused(None), |options| {
        options.throttle_timeout = Duration::from_millis(2500)
    });
    assert_eq!(errors.len(), 200);
    for error in &errors {
        let is_sent = error.delivery() != Delivery::NotSent;
        assert!(
            error.kind() == if is_sent { ErrorKind::Http(429) } else { ErrorKind::Throttled },
            "{error}"
        );
    }
    assert!(requests <= 24, "{requests}");
    assert!(took >= Duration::from_millis(1000) && took < seconds(30), "{took:?}");
}

/// Tests single calls, each with a short timeout.
#[test]
fn calls_report_a_lasting_outage_without_hammering_the_server() {
    let model =
        Down { server: Free, from: Duration::ZERO, to: seconds(3600), answer: Answer::Failed };
    let (server, notes) = serve(model);
    let client = client(&server, |options| options.total_timeout = Duration::from_millis(400));
    for call in 0..50 {
        client.update_user_json(100 + call, &user(10)).unwrap_err();
    }
    let before = notes.lock().unwrap().len();
    let mut held = 0;
    for call in 0..100 {
        let error = client.update_user_json(1_000 + call, &user(10)).unwrap_err();
        if error.delivery() == Delivery::NotSent {
            assert_eq!(error.kind(), ErrorKind::Connection);
            assert!(error.retry_after().is_some());
            let message = error.to_string();
            assert!(
                message.starts_with("outage: ") && message.contains("next probe request"),
                "{message}"
            );
            held += 1;
        }
    }
    let after = notes.lock().unwrap().len();
    println!("a lasting 503: {} requests of 100 calls, {held} failed at once", after - before);
    assert!(after - before <= 110);
    assert!(held > 50, "{held}");
}

/// Two calls for one user: the first call's retry is sent before the second call.
#[test]
fn calls_of_one_user_arrive_in_order() {
    let server = faults::Server::script([Fault::status(503), Fault::good(), Fault::good()]);
    let client: Client = client(&server, |options| {
        options.retry_base = Duration::from_millis(300);
        options.retry_cap = Duration::from_millis(300);
    });
    thread::scope(|scope| {
        scope.spawn(|| client.update_user_json(7, &user(10)).unwrap());
        faults::eventually("the first has left", || !server.seen().is_empty());
        client.update_user_json(7, &user(20_000)).unwrap();
    });
    let sizes: Vec<bool> = server.seen().iter().map(|seen| seen.bytes > 10_000).collect();
    assert_eq!(sizes, [false, false, true]);
}
