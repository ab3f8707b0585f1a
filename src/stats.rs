//! Figures of a client, which its calls count without a lock.
//!
//! Most are sums that only grow. What goes up and down (calls, requests in flight, connections) and
//! what is of a certain time (latencies) lie in [`Tagged`] cells: a number that counts for one process,
//! or for one stretch of time, and is nothing in another one. So neither a fork nor the passing of time
//! needs anybody to clear them.

use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::ErrorKind;
use crate::fork;

/// Where a [`Client`](crate::Client) stands. `Serialize` gives the JSON of `commbox_client_stats_json`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ClientStats {
    /// Calls that were made, updates of batches that were dispatched included.
    pub calls: u64,
    /// Calls whose update the server confirmed.
    pub succeeded: u64,
    /// Calls that failed, including cancelled ones.
    pub failed: u64,
    /// How many failed with each code.
    pub failed_by_code: BTreeMap<i32, u64>,
    /// Requests.
    pub attempts: u64,
    /// Requests beyond the first of a call.
    pub retried: u64,
    /// Requests that the server answered by a 429.
    pub throttled: u64,
    /// Requests that the server answered by another status from 400 to 499.
    pub refused: u64,
    /// Calls that wait: for their turn, or for the next attempt.
    pub waiting: u64,
    /// Requests that are being sent or answered.
    pub in_flight: u64,
    /// Open connections.
    pub connections_open: u64,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// The line that all requests leave by.
    pub line: LineStats,
    /// Latencies of the calls that ended within the last minute, if they had made a request.
    pub latency: LatencyStats,
}

/// The line of a client, in its [`ClientStats`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LineStats {
    /// Whether requests may leave.
    pub state: LineState,
    /// The rate at which requests leave now, in requests a second; `None` if nothing limits it.
    pub requests_per_second: Option<f64>,
    /// The rate that the client has learned from 429s; `None` before the first one.
    pub learned_requests_per_second: Option<f64>,
    /// Milliseconds until the next probe request, while requests are paused.
    pub probe_in_ms: Option<u64>,
}

/// Whether requests may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LineState {
    /// They may.
    Open,
    /// Paused: the server throttles.
    Throttled,
    /// Paused: the server does not answer.
    Outage,
}

/// Latencies of calls, from their begin to their end, in [`ClientStats`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LatencyStats {
    /// How many.
    pub count: u64,
    /// The sum, in milliseconds.
    pub sum_ms: f64,
    /// The median, in milliseconds. This and the next ones are exact to an eighth; `None` if there are none.
    pub p50_ms: Option<f64>,
    /// The 90th percentile.
    pub p90_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
}

impl ClientStats {
    /// The JSON of `commbox_client_stats_json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and names only, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What calls count.
pub(crate) struct Stats {
    origin: Instant,
    succeeded: AtomicU64,
    failed: Box<[AtomicU64; CODES]>,
    attempts: AtomicU64,
    retried: AtomicU64,
    throttled: AtomicU64,
    refused: AtomicU64,
    /// Calls that run, and those of their requests that are in flight.
    calls: Tagged,
    in_flight: Tagged,
    latencies: Box<[Stretch; STRETCHES]>,
    pub(crate) connections: Arc<Connections>,
}

/// So many codes of this side, from -1 down, and so many statuses, from 100 up.
const OWN: usize = 11;
const CODES: usize = OWN + 500;

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            succeeded: AtomicU64::new(0),
            failed: Box::new([const { AtomicU64::new(0) }; CODES]),
            attempts: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            calls: Tagged::new(),
            in_flight: Tagged::new(),
            latencies: Box::new([const { Stretch::new() }; STRETCHES]),
            connections: Arc::default(),
        }
    }

    /// A call begins; it ends when what is returned is dropped.
    pub(crate) fn call_begins(&self) -> Counted<'_> {
        Counted::in_process(&self.calls)
    }

    /// A request is sent; it ends when what is returned is dropped.
    pub(crate) fn attempt_begins(&self, is_first: bool) -> Counted<'_> {
        self.attempts.fetch_add(1, Relaxed);
        if !is_first {
            self.retried.fetch_add(1, Relaxed);
        }
        Counted::in_process(&self.in_flight)
    }

    /// A call that made a request succeeded after this time.
    pub(crate) fn call_succeeded(&self, ended: Instant, latency: Duration) {
        self.succeeded.fetch_add(1, Relaxed);
        self.took(ended, latency);
    }

    pub(crate) fn call_failed(&self, kind: ErrorKind, attempts: u32, ended: Instant, latency: Duration) {
        let place = match kind.code() {
            own if own < 0 => usize::try_from(-1 - own),
            status => usize::try_from(status - 100).map(|status| OWN + status),
        };
        if let Some(count) = place.ok().and_then(|place| self.failed.get(place)) {
            count.fetch_add(1, Relaxed);
        }
        if attempts > 0 {
            self.took(ended, latency);
        }
    }

    /// The server answered by this status.
    pub(crate) fn answered(&self, status: u16) {
        match status {
            429 => self.throttled.fetch_add(1, Relaxed),
            400..=499 => self.refused.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    fn took(&self, ended: Instant, latency: Duration) {
        let number = self.stretch_of(ended);
        if let Some(stretch) = self.latencies.get(number as usize % STRETCHES) {
            stretch.add(number, u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// The number of the stretch of time that this moment is in; none is 0.
    fn stretch_of(&self, moment: Instant) -> u32 {
        let seconds = moment.saturating_duration_since(self.origin).as_secs();
        u32::try_from(seconds / STRETCH_SECONDS).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(crate) fn read(&self, line: LineStats) -> ClientStats {
        let code = |place: usize| match place.checked_sub(OWN) {
            Some(status) => 100 + i32::try_from(status).unwrap_or_default(),
            None => -1 - i32::try_from(place).unwrap_or_default(),
        };
        let counts = self.failed.iter().enumerate().map(|(place, count)| (code(place), count.load(Relaxed)));
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
            latency: self.latency(self.stretch_of(Instant::now())),
        }
    }

    /// Of the stretch of this number and those before it that are still there.
    fn latency(&self, last: u32) -> LatencyStats {
        let numbers = || (0..STRETCHES as u32).filter_map(|back| last.checked_sub(back)).filter(|number| *number > 0);
        let stretches =
            || numbers().filter_map(|number| Some((number, self.latencies.get(number as usize % STRETCHES)?)));
        let mut counts = [0; BUCKETS];
        for (number, stretch) in stretches() {
            for (sum, count) in counts.iter_mut().zip(&stretch.counts) {
                *sum += count.get(number);
            }
        }
        let count = counts.iter().sum();
        let percentile = |part: f64| (count > 0).then(|| millis(percentile(&counts, count as f64 * part)));
        LatencyStats {
            count,
            sum_ms: millis(stretches().map(|(number, stretch)| stretch.micros.get(number)).sum::<u64>() as f64),
            p50_ms: percentile(0.5),
            p90_ms: percentile(0.9),
            p99_ms: percentile(0.99),
        }
    }
}

/// Milliseconds, to the microsecond.
fn millis(micros: f64) -> f64 {
    micros.round() / 1000.0
}

/// Connections of a client.
#[derive(Default)]
pub(crate) struct Connections {
    opened: AtomicU64,
    open: Tagged,
}

impl Connections {
    /// One was opened; it is open until what is returned is dropped.
    pub(crate) fn opens(self: &Arc<Self>) -> OpenConnection {
        self.opened.fetch_add(1, Relaxed);
        let generation = fork::generation();
        self.open.add(generation, 1);
        OpenConnection { connections: self.clone(), generation }
    }
}

/// Counts as an open connection.
pub(crate) struct OpenConnection {
    connections: Arc<Connections>,
    generation: u32,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.subtract(self.generation);
    }
}

/// Counts in a cell, in the process that it was made in.
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

/// A number that counts for one tag: with another one it is 0.
#[derive(Default)]
struct Tagged(AtomicU64);

/// The number takes the low bits, and the tag the others.
const NUMBER_BITS: u32 = 40;
const MOST: u64 = (1 << NUMBER_BITS) - 1;

impl Tagged {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self, tag: u32, amount: u64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |cell| {
            Some(tagged(tag) | (number(cell, tag) + amount.min(MOST)).min(MOST))
        });
    }

    /// Takes 1 away, if it counts for this tag.
    fn subtract(&self, tag: u32) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |cell| (number(cell, tag) > 0).then(|| cell - 1));
    }

    fn get(&self, tag: u32) -> u64 {
        number(self.0.load(Relaxed), tag)
    }

    fn in_process(&self) -> u64 {
        self.get(fork::generation())
    }
}

fn tagged(tag: u32) -> u64 {
    u64::from(tag) << NUMBER_BITS
}

fn number(cell: u64, tag: u32) -> u64 {
    // Of the tag the low bits are enough: 2^24 are far apart.
    if (cell ^ tagged(tag)) >> NUMBER_BITS == 0 {
        cell & MOST
    } else {
        0
    }
}

/// Latencies are kept for so many stretches of time, each of so many seconds: a minute, and the
/// present stretch.
const STRETCHES: usize = 7;
const STRETCH_SECONDS: u64 = 10;

/// The latencies of one stretch of time.
struct Stretch {
    counts: [Tagged; BUCKETS],
    /// Their sum.
    micros: Tagged,
}

impl Stretch {
    const fn new() -> Self {
        Self { counts: [const { Tagged::new() }; BUCKETS], micros: Tagged::new() }
    }

    fn add(&self, number: u32, micros: u64) {
        if let Some(count) = self.counts.get(bucket(micros)) {
            count.add(number, 1);
        }
        self.micros.add(number, micros);
    }
}

/// Eight buckets up to 128 µs, and eight more for each doubling, up to more than a day.
const BUCKETS: usize = 8 + 8 * 30;
const FIRST_BITS: u32 = 7;

fn bucket(micros: u64) -> usize {
    // How often it is doubled, and the three bits behind the first one.
    let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(FIRST_BITS);
    let bits = (micros >> (doublings.saturating_sub(1) + FIRST_BITS - 3)) as usize & 7;
    (8 * doublings as usize + bits).min(BUCKETS - 1)
}

/// Where a bucket begins, in microseconds, and how wide it is.
fn bounds(bucket: usize) -> (u64, u64) {
    let (doublings, eighth) = (bucket / 8, bucket as u64 % 8);
    match doublings.checked_sub(1) {
        None => (eighth << (FIRST_BITS - 3), 1 << (FIRST_BITS - 3)),
        Some(more) => ((8 + eighth) << (more + FIRST_BITS as usize - 3), 1 << (more + FIRST_BITS as usize - 3)),
    }
}

/// The latency below which so many lie, in microseconds.
fn percentile(counts: &[u64; BUCKETS], rank: f64) -> f64 {
    let mut below = 0.0;
    let ends = counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum as f64)
    });
    for ((bucket, count), end) in counts.iter().enumerate().zip(ends) {
        if *count > 0 && rank <= end {
            let (begin, width) = bounds(bucket);
            return begin as f64 + width as f64 * (rank - below) / *count as f64;
        }
        below = end;
    }
    iter::zip(counts, 0..).filter(|(count, _)| **count > 0).last().map_or(0.0, |(_, bucket)| bounds(bucket).0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_number_counts_for_its_tag() {
        let cell = Tagged::new();
        cell.add(1, 2);
        cell.subtract(1);
        assert_eq!((cell.get(1), cell.get(2)), (1, 0));
        cell.subtract(2);
        assert_eq!(cell.get(1), 1, "what is of another time or process takes nothing away");
        cell.add(2, 5);
        assert_eq!((cell.get(1), cell.get(2)), (0, 5));
        cell.add(2, u64::MAX);
        assert_eq!(cell.get(2), MOST);
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for (before, after) in (0..BUCKETS - 1).map(|bucket| (bounds(bucket), bounds(bucket + 1))) {
            assert_eq!(before.0 + before.1, after.0);
        }
        for micros in (0..5_000).chain([86_400_000_000, u64::MAX]) {
            let (begin, width) = bounds(bucket(micros));
            assert!(begin <= micros && (micros - begin < width || bucket(micros) == BUCKETS - 1), "{micros}");
        }
    }

    #[test]
    fn percentiles_are_exact_to_an_eighth_and_only_of_the_last_minute() {
        let stats = Stats::new();
        let later = stats.origin + Duration::from_secs(1000);
        for millis in 1..=1000 {
            stats.call_succeeded(later, Duration::from_millis(millis));
        }
        let number = stats.stretch_of(later);
        let latency = stats.latency(number + 6);
        assert_eq!((latency.count, latency.sum_ms), (1000, 500_500.0));
        for (found, exact) in [(latency.p50_ms, 500.0), (latency.p90_ms, 900.0), (latency.p99_ms, 990.0)] {
            let found = found.unwrap();
            assert!((found - exact).abs() <= exact / 8.0, "{found} is not {exact}");
        }
        let none = LatencyStats { count: 0, sum_ms: 0.0, p50_ms: None, p90_ms: None, p99_ms: None };
        assert_eq!(stats.latency(number + 7), none);
        assert_eq!(stats.latency(number - 1), none);
    }

    #[test]
    fn every_code_has_its_count_and_no_count_is_lost() {
        let stats = Stats::new();
        let kinds: Vec<_> = (-11..0).chain(100..600).map(|code| ErrorKind::of_code(code).unwrap()).collect();
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
        assert_eq!((read.calls, read.failed, read.attempts, read.latency.count), (all, all, all, all));
        assert_eq!((read.waiting, read.in_flight, read.succeeded, read.retried), (0, 0, 0, 0));
    }
}
