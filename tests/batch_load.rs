//! A batch under load: it is as fast as the server allows, its memory use does not grow with the
//! number of updates, and no update is lost if the server fails. If `COMMBOX_BATCH_UPDATES` is set,
//! the first test sends that many updates to a faster server.

mod faults;

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Batch, BatchOptions, Client, Delivery, ErrorKind, Finished};

use faults::table::{self, ATTEMPT_TIMEOUT};
use faults::{client, is_for, millis, user, Fault, Seen, Server};

/// Held by each test. Together, they would open more files than some systems allow one process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A failed test must not fail the others.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cancels a batch when dropped. If a check fails, nobody collects results any more, and the
/// submitting thread would block forever.
struct Ending<'a>(&'a Batch);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let _ = self.0.cancel();
    }
}

fn batch(client: &Arc<Client>, concurrency: u32) -> Batch {
    let mut options = BatchOptions::default();
    options.concurrency = concurrency;
    // One of the faults is a 401 that does not mean that the key is invalid.
    options.stop_on_unauthorized = false;
    Batch::new(client.clone(), &options).unwrap()
}

/// Submits `updates` from one thread, collects the results on this one, and passes each to `each`.
fn run(batch: &Batch, updates: u64, body: &str, mut each: impl FnMut(Finished)) {
    thread::scope(|scope| {
        scope.spawn(|| {
            for tag in 0..updates {
                batch.submit(tag, 100_000_000 + tag as i64, body.into(), None).unwrap();
            }
            batch.close().unwrap();
        });
        let _ending = Ending(batch);
        while let Some(finished) = batch.next(Some(Duration::from_secs(60))).unwrap() {
            each(finished);
        }
    });
}

/// Returns this process's resident memory in bytes.
fn memory() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

/// Returns the duration of a run divided by the ideal duration, and the memory in use after a third
/// of the run and at the end.
fn measure(updates: u64, delay: Duration) -> (f64, f64, f64) {
    let concurrency = 64;
    let server = Server::start(move || Fault::good().after(delay));
    let batch = batch(&Arc::new(client(&server, |_| {})), concurrency);
    let (mut seen, mut early, mut highest) = (0_u64, 0.0_f64, 0.0_f64);
    let began = Instant::now();
    run(&batch, updates, &user(10), |finished| {
        assert!(finished.outcome.is_ok(), "{:?}", finished.outcome);
        seen += 1;
        if seen % 500 == 0 {
            let now = memory();
            if seen <= updates / 3 {
                early = early.max(now);
            }
            highest = highest.max(now);
        }
    });
    assert_eq!(seen, updates);
    let ideal = delay.mul_f64(updates as f64 / f64::from(concurrency));
    (began.elapsed().as_secs_f64() / ideal.as_secs_f64(), early, highest)
}

#[test]
fn only_the_server_limits_throughput_and_memory_stays_flat() {
    let _alone = alone();
    let many = env::var("COMMBOX_BATCH_UPDATES").ok().and_then(|text| text.parse().ok());
    // By default, the load is small enough for a quarter of one processor.
    let (updates, delay) = many.map_or((4_000, millis(100)), |many| (many, millis(20)));
    // The best run counts, because other processes may use the machine too.
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let (ratio, early, highest) = measure(updates, delay);
        println!("{updates} updates in {ratio:.3} times the ideal; memory {early}, then {highest}");
        // The server records each request, which takes at most 200 bytes.
        let noted = updates as f64 * 200.0;
        assert!(highest - noted <= early * 1.1, "memory grew from {early} to {highest}");
        best = best.min(ratio);
        if best <= 1.1 {
            return;
        }
    }
    // The limit is loose, because the machine may be busy all the time.
    assert!(best <= 1.5, "{best:.3} times the ideal");
}

/// Returns the share of the server's allowed rate that a batch uses, and the share of its requests
/// that are rejected.
fn throttled(rate: f64, updates: u64) -> (f64, f64) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = requests.clone();
    let (mut tokens, mut at) = (rate, Instant::now());
    let server = Server::start(move || {
        let now = Instant::now();
        tokens = (tokens + (now - at).as_secs_f64() * rate).min(rate);
        at = now;
        let takes = tokens >= 1.0;
        tokens -= f64::from(u8::from(takes));
        noted.lock().unwrap().push(takes);
        if takes {
            Fault::good()
        } else {
            Fault::status(429)
        }
    });
    let client = Arc::new(client(&server, |options| {
        options.total_timeout = Duration::from_secs(5);
        options.max_retries = 10;
    }));
    let mut delivered = 0;
    let began = Instant::now();
    run(&batch(&client, 64), updates, &user(10), |finished| {
        assert!(finished.outcome.is_ok(), "{:?}", finished.outcome);
        delivered += 1;
    });
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(delivered, updates);
    let requests = requests.lock().unwrap();
    let rejected = requests.iter().filter(|takes| !**takes).count() as f64 / requests.len() as f64;
    (updates as f64 / (rate * seconds), rejected)
}

#[test]
fn a_batch_uses_nearly_the_whole_rate_of_a_throttling_server() {
    let _alone = alone();
    // The best run counts, because other processes may use the machine too.
    let runs = (0..3).map(|_| throttled(200.0, 5_000)).inspect(|(used, rejected)| {
        println!("{used:.3} of the allowed rate used, {rejected:.4} of the requests rejected");
    });
    // The simulation in tests/storm.rs checks the exact rule. This test checks that threads follow
    // it, even on a busy machine.
    let good = |(used, rejected): (f64, f64)| used >= 0.6 && rejected <= 0.02;
    assert!({ runs }.any(good), "never as much as is allowed");
}

#[test]
fn every_update_has_a_result_despite_faults() {
    let _alone = alone();
    // Excludes the faults that pause all requests, or that make every attempt last until its
    // timeout: few requests would remain to check.
    let faults: Vec<Fault> = table::rows().into_iter().map(|row| row.fault).collect();
    let mut count = 0_usize;
    let server = Server::start(move || {
        count += 1;
        if count % 10 == 0 {
            faults[count / 10 % faults.len()].clone()
        } else {
            Fault::good()
        }
    });
    let client = Arc::new(client(&server, |options| {
        options.attempt_timeout = ATTEMPT_TIMEOUT;
        options.total_timeout = ATTEMPT_TIMEOUT * 3;
        options.max_retries = 1;
    }));
    let updates = 3_000_u64;
    let mut outcomes = HashMap::new();
    let batch = batch(&client, 16);
    run(&batch, updates, &user(10), |Finished { tag, outcome }| {
        assert!(outcomes.insert(tag, outcome).is_none(), "{tag} came back twice");
    });
    assert_eq!(outcomes.len() as u64, updates);
    thread::sleep(millis(500));
    let mut seen: HashMap<i64, Vec<Seen>> = HashMap::new();
    for request in server.seen() {
        seen.entry(request.user_id).or_default().push(request);
    }
    let mut failed = 0;
    for (tag, outcome) in &outcomes {
        let user_id = 100_000_000 + *tag as i64;
        let requests = seen.remove(&user_id).unwrap_or_default();
        let replied = requests.iter().any(|seen| seen.replied);
        match outcome {
            Ok(reply) => assert!(is_for(reply, user_id) && replied, "{user_id} got {reply}"),
            Err(error) => {
                failed += 1;
                assert_ne!(error.kind(), ErrorKind::Cancelled);
                match error.delivery() {
                    Delivery::NotSent => {
                        assert!(requests.is_empty(), "{user_id} was not sent: {requests:?}")
                    }
                    Delivery::Answered => assert!(replied, "{user_id} was answered: {requests:?}"),
                    Delivery::Unknown => {}
                }
                assert!(requests.len() <= error.attempts() as usize);
            }
        }
    }
    assert!(seen.is_empty(), "requests for nobody: {:?}", seen.keys());
    let stats = batch.stats().unwrap();
    assert_eq!((stats.succeeded, stats.failed), (updates - failed, failed));
    assert!(failed > 0 && stats.retried > 0, "{stats:?}");
}
