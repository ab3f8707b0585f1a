//! A server that can produce every kind of server fault. It uses plain sockets and threads, and
//! records what it received.

#![allow(dead_code, unused_imports, reason = "each test file uses its part of it")]

mod fault;
mod server;
pub mod table;

use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Options};

pub use fault::{Fault, Place, Share, Step};
pub use server::{Seen, Server};

/// Creates a client of the server, without a proxy and without waits between retries. `change` sets
/// other options.
pub fn client(server: &Server, change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options::default();
    options.base_url = server.url();
    options.proxy = Some(String::new());
    options.retry_base = Duration::from_millis(1);
    options.retry_cap = Duration::from_millis(1);
    change(&mut options);
    Client::new("key-1", &options).expect("options of a test")
}

/// Returns whether a server's reply is for this user's update.
pub fn is_for(reply: &str, user_id: i64) -> bool {
    reply.contains(&format!("\"Id\":{user_id}.0}}"))
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns the result and how long it took.
pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = run();
    (result, began.elapsed())
}

/// Returns a user whose body has about this length.
pub fn user(bytes: usize) -> String {
    format!(r#"{{"FirstName":"John","Content":{{"Notes":"{}"}}}}"#, "n".repeat(bytes))
}

/// Waits until `is_so` returns true. If it does not, the test fails after a while.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    eventually_within(Duration::from_secs(10), what, is_so);
}

/// Waits until `is_so` returns true. If it does not within `limit`, the test fails.
pub fn eventually_within(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < until, "never so: {what}");
        thread::sleep(millis(2));
    }
}
