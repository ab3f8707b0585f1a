//! Many threads against a server that throttles: all is delivered, near the rate that it allows, with few rejections.

mod faults;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use commbox::Options;

use faults::{client, user, Fault, Server};

/// How a server counts what it allows.
trait Allowance: Send {
    fn takes(&mut self, now: Instant) -> bool;
}

/// Tokens that come at a rate, up to a burst of them.
struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, at: Instant::now() }
    }
}

impl Allowance for TokenBucket {
    fn takes(&mut self, now: Instant) -> bool {
        let came = (now - self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + came).min(self.burst);
        self.at = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }
}

/// So many in each second of the server's clock.
struct FixedWindow {
    rate: u64,
    began: Instant,
    window: u64,
    taken: u64,
}

impl FixedWindow {
    fn new(rate: u64) -> Self {
        Self { rate, began: Instant::now(), window: 0, taken: 0 }
    }
}

impl Allowance for FixedWindow {
    fn takes(&mut self, now: Instant) -> bool {
        let window = (now - self.began).as_secs();
        if window != self.window {
            (self.window, self.taken) = (window, 0);
        }
        let takes = self.taken < self.rate;
        if takes {
            self.taken += 1;
        }
        takes
    }
}

/// What came of a storm.
struct Storm {
    delivered: usize,
    took: Duration,
    /// When each request came, from the first on, and whether it was let through.
    requests: Vec<(Duration, bool)>,
}

impl Storm {
    /// Lets `threads` make calls until `ends` says so.
    fn run(allowance: impl Allowance + 'static, threads: usize, ends: impl Fn(i64, Duration) -> bool + Sync) -> Self {
        let allowance = Mutex::new(allowance);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = requests.clone();
        let server = Server::start(move || {
            let now = Instant::now();
            let takes = allowance.lock().unwrap().takes(now);
            noted.lock().unwrap().push((now, takes));
            if takes {
                Fault::good()
            } else {
                Fault::status(429)
            }
        });
        let client = client(&server, |options: &mut Options| {
            options.total_timeout = Duration::from_secs(120);
            options.max_retries = 10;
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
                    client.update_user_json(100_000_000 + call, &user(10)).expect("each is delivered in the end");
                    delivered += 1;
                }
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let took = began.elapsed();
        let requests = requests.lock().unwrap().iter().map(|(at, takes)| (*at - began, *takes)).collect();
        Self { delivered, took, requests }
    }

    /// The share that was rejected of the requests from this time on.
    fn rejected_after(&self, time: Duration) -> f64 {
        let counted: Vec<_> = self.requests.iter().filter(|(at, _)| *at >= time).collect();
        counted.iter().filter(|(_, takes)| !takes).count() as f64 / counted.len() as f64
    }

    fn report(&self, name: &str, allowed: f64) {
        let rate = self.delivered as f64 / self.took.as_secs_f64();
        let rejected = self.requests.iter().filter(|(_, takes)| !takes).count();
        println!(
            "{name}: {} delivered in {:.1} s, {rate:.1} a second of {allowed} allowed; {rejected} rejected, {:.2} % \
             after the first second",
            self.delivered,
            self.took.as_secs_f64(),
            100.0 * self.rejected_after(Duration::from_secs(1)),
        );
    }
}

const FIRST_SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_thousand_updates_at_fifty_a_second() {
    let storm = Storm::run(TokenBucket::new(50.0, 50.0), 32, |call, _| call >= 2000);
    storm.report("token bucket of 50", 50.0);
    assert_eq!(storm.delivered, 2000);
    assert!(storm.rejected_after(FIRST_SECOND) <= 0.03);
    assert!(storm.took <= Duration::from_secs(45), "{:?}", storm.took);
}

#[test]
fn a_fixed_window() {
    let storm = Storm::run(FixedWindow::new(50), 16, |call, _| call >= 500);
    storm.report("fixed window of 50", 50.0);
    assert_eq!(storm.delivered, 500);
    assert!(storm.rejected_after(FIRST_SECOND) <= 0.03);
    assert!(storm.took <= Duration::from_secs(16), "{:?}", storm.took);
}

#[test]
fn nearly_all_of_what_is_allowed_is_used() {
    let storm = Storm::run(TokenBucket::new(200.0, 200.0), 64, |_, passed| passed >= Duration::from_secs(10));
    storm.report("token bucket of 200", 200.0);
    assert!(storm.delivered as f64 >= 0.95 * 200.0 * 10.0, "{} delivered", storm.delivered);
    assert!(storm.rejected_after(FIRST_SECOND) <= 0.02);
}

#[test]
fn a_limit_far_beyond_the_first_burst_is_found() {
    let seconds = Duration::from_secs;
    let late = || {
        let storm = Storm::run(TokenBucket::new(50.0, 5.0), 16, |_, passed| passed >= seconds(25));
        storm.report("token bucket of 50, with bursts of 5", 50.0);
        assert!(storm.rejected_after(FIRST_SECOND) <= 0.03);
        let late = |at: &Duration| (seconds(20)..seconds(25)).contains(at);
        storm.requests.iter().filter(|(at, takes)| *takes && late(at)).count()
    };
    // How soon it is found hangs on where in a burst the first 429s fall: the second run counts as much.
    let found = [late(), late()].into_iter().max().unwrap_or_default();
    assert!(found as f64 >= 0.7 * 50.0 * 5.0, "{found} let through in the last five seconds");
}
