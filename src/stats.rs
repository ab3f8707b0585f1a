//! The statistics of a client, which its calls count without a lock.
//!
//! Most are sums that only grow. Values that go up and down (calls, requests in flight,
//! connections) and values for a period of time (latencies) are stored in [`Tagged`] cells: such a
//! number counts for one process or for one period, and is 0 in any other. So nothing needs to be
//! reset after a fork or when time passes.

mod latency;
mod tagged;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::ErrorKind;
use crate::fork;

use latency::Latencies;
use tagged::Tagged;

/// The statistics of a [`Client`](crate::Client), counted since it was created. They serialize to
/// the JSON object of `commbox_client_stats_json()`.
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let stats = client.stats();
/// println!("{} of {} calls failed", stats.failed, stats.calls);
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ClientStats {
    /// Calls that were made, including dispatched updates of batches.
    pub calls: u64,
    /// Calls whose update the server confirmed.
    pub succeeded: u64,
    /// Calls that failed, including cancelled ones.
    pub failed: u64,
    /// The number of failed calls for each code.
    pub failed_by_code: BTreeMap<i32, u64>,
    /// Requests.
    pub attempts: u64,
    /// Requests beyond the first of a call.
    pub retried: u64,
    /// Requests that the server answered with 429.
    pub throttled: u64,
    /// Requests that the server answered with another status from 400 to 499.
    pub refused: u64,
    /// Calls that are queued or in backoff now.
    pub waiting: u64,
    /// Requests that are being sent or answered now.
    pub in_flight: u64,
    /// Connections that are open now.
    pub connections_open: u64,
    /// All connections that were opened.
    pub connections_opened: u64,
    /// The queue from which requests are sent.
    pub line: LineStats,
    /// Latencies of the calls that ended within the last 60 to 70 seconds and made a request.
    pub latency: LatencyStats,
}

/// The state of the queue from which the requests of a client are sent, in [`ClientStats`].
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let line = client.stats().line;
/// assert_eq!(line.requests_per_second, None);
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LineStats {
    /// Whether requests are paused.
    pub state: LineState,
    /// The present rate limit, in requests per second; `None` if there is none.
    pub requests_per_second: Option<f64>,
    /// The rate limit that was learned from 429s; `None` before the first one.
    pub learned_requests_per_second: Option<f64>,
    /// Time until the next probe request, in milliseconds; `None` unless requests are paused.
    pub probe_in_ms: Option<u64>,
}

/// Whether the requests of a client are paused.
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// assert_eq!(client.stats().line.state, commbox::LineState::Open);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineState {
    /// Requests are sent.
    Open,
    /// Requests are paused, because the server throttles.
    Throttled,
    /// Requests are paused, because of consecutive transient failures.
    Outage,
}

/// The latencies of calls, in [`ClientStats`].
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// if let Some(p99) = client.stats().latency.p99_ms {
///     println!("99 % of the calls took at most {p99:.1} ms");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LatencyStats {
    /// The number of calls.
    pub count: u64,
    /// The sum of their latencies, in milliseconds.
    pub sum_ms: f64,
    /// The median, in milliseconds. The percentiles are accurate to within one eighth; `None` if there
    /// are no calls.
    pub p50_ms: Option<f64>,
    /// The 90th percentile, in milliseconds.
    pub p90_ms: Option<f64>,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: Option<f64>,
}

impl ClientStats {
    /// Returns the JSON object of `commbox_client_stats_json()`.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// assert!(client.stats().to_json().starts_with(r#"{"calls":0,"#));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // The fields are only numbers and names, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The counters that calls update.
pub(crate) struct Stats {
    succeeded: AtomicU64,
    failed: Box<[AtomicU64; CODES]>,
    attempts: AtomicU64,
    retried: AtomicU64,
    throttled: AtomicU64,
    refused: AtomicU64,
    /// The running calls, and their requests in flight.
    calls: Tagged,
    in_flight: Tagged,
    latencies: Latencies,
    pub(crate) connections: Arc<Connections>,
}

/// The number of the library's own codes, from -1 down, and of all codes, including the statuses
/// from 100 up.
const OWN: usize = 11;
const CODES: usize = OWN + 500;

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: Box::new([const { AtomicU64::new(0) }; CODES]),
            attempts: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            calls: Tagged::new(),
            in_flight: Tagged::new(),
            latencies: Latencies::new(),
            connections: Arc::default(),
        }
    }

    /// Counts a running call until the returned value is dropped.
    pub(crate) fn call_begins(&self) -> Counted<'_> {
        Counted::in_process(&self.calls)
    }

    /// Counts a request in flight until the returned value is dropped.
    pub(crate) fn attempt_begins(&self, is_first: bool) -> Counted<'_> {
        self.attempts.fetch_add(1, Relaxed);
        if !is_first {
            self.retried.fetch_add(1, Relaxed);
        }
        Counted::in_process(&self.in_flight)
    }

    /// Counts a call that made at least one request, and succeeded after `latency`.
    pub(crate) fn call_succeeded(&self, ended: Instant, latency: Duration) {
        self.succeeded.fetch_add(1, Relaxed);
        self.latencies.add(ended, latency);
    }

    pub(crate) fn call_failed(
        &self,
        kind: ErrorKind,
        attempts: u32,
        ended: Instant,
        latency: Duration,
    ) {
        let place = match kind.code() {
            own if own < 0 => usize::try_from(-1 - own),
            status => usize::try_from(status - 100).map(|status| OWN + status),
        };
        if let Some(count) = place.ok().and_then(|place| self.failed.get(place)) {
            count.fetch_add(1, Relaxed);
        }
        if attempts > 0 {
            self.latencies.add(ended, latency);
        }
    }

    /// Counts a reply with this status.
    pub(crate) fn answered(&self, status: u16) {
        match status {
            429 => self.throttled.fetch_add(1, Relaxed),
            400..=499 => self.refused.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    pub(crate) fn read(&self, line: LineStats) -> ClientStats {
        let code = |place: usize| match place.checked_sub(OWN) {
            Some(status) => 100 + i32::try_from(status).unwrap_or_default(),
            None => -1 - i32::try_from(place).unwrap_or_default(),
        };
        let counts =
            self.failed.iter().enumerate().map(|(place, count)| (code(place), count.load(Relaxed)));
        let failed_by_code: BTreeMap<_, _> = counts.filter(|(_, count)| *count > 0).collect();
        let (succeeded, failed) = (self.succeeded.load(Relaxed), failed_by_code.values().sum());
        let (running, in_flight) = (self.calls.in_process(), self.in_flight.in_process());
        ClientStats {
            calls: succeeded + failed + running,
            succeeded,
            failed,
            failed_by_code,
            attempts: self.attempts.load(Relaxed),
            retried: self.retried.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waiting: running.saturating_sub(in_flight),
            in_flight,
            connections_open: self.connections.open.in_process(),
            connections_opened: self.connections.opened.load(Relaxed),
            line,
            latency: self.latencies.read(Instant::now()),
        }
    }
}

/// The connections of a client.
#[derive(Default)]
pub(crate) struct Connections {
    opened: AtomicU64,
    open: Tagged,
}

impl Connections {
    /// Counts an open connection until the returned value is dropped.
    pub(crate) fn opens(self: &Arc<Self>) -> OpenConnection {
        self.opened.fetch_add(1, Relaxed);
        let generation = fork::generation();
        self.open.add(generation, 1);
        OpenConnection { connections: self.clone(), generation }
    }
}

/// Is counted as an open connection.
pub(crate) struct OpenConnection {
    connections: Arc<Connections>,
    generation: u32,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.subtract(self.generation);
    }
}

/// Is counted in a cell, for the process in which it was created.
pub(crate) struct Counted<'a> {
    cell: &'a Tagged,
    generation: u32,
}

impl<'a> Counted<'a> {
    fn in_process(cell: &'a Tagged) -> Self {
        let generation = fork::generation();
        cell.add(generation, 1);
        Self { cell, generation }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.cell.subtract(self.generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_code_has_a_counter_and_no_count_is_lost() {
        let stats = Stats::new();
        let kinds: Vec<_> =
            (-11..0).chain(100..600).map(|code| ErrorKind::of_code(code).unwrap()).collect();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for kind in &kinds {
                        let _call = stats.call_begins();
                        let _attempt = stats.attempt_begins(true);
                        stats.call_failed(*kind, 1, Instant::now(), Duration::from_millis(1));
                    }
                });
            }
        });
        let line = LineStats {
            state: LineState::Open,
            requests_per_second: None,
            learned_requests_per_second: None,
            probe_in_ms: None,
        };
        let read = stats.read(line);
        assert_eq!(read.failed_by_code.len(), kinds.len());
        assert!(read.failed_by_code.values().all(|count| *count == 4));
        let all = 4 * kinds.len() as u64;
        assert_eq!(
            (read.calls, read.failed, read.attempts, read.latency.count),
            (all, all, all, all)
        );
        assert_eq!((read.waiting, read.in_flight, read.succeeded, read.retried), (0, 0, 0, 0));
    }
}
