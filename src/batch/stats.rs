//! The progress of a batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::client::Effort;
use crate::delivery::flow::{LastSecond, Moment};
use crate::error::{self, Error};

/// The progress of a [`Batch`](crate::Batch). It serializes to the JSON object of
/// `commbox_batch_stats_json()`.
///
/// # Examples
///
/// ```
/// use commbox::{Batch, BatchOptions};
///
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
/// let stats = batch.stats()?;
/// println!("{} of {}", stats.succeeded + stats.failed, stats.queued + stats.in_flight);
/// # Ok::<(), commbox::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BatchStats {
    /// Pending updates.
    pub queued: usize,
    /// Updates in flight.
    pub in_flight: usize,
    /// Uncollected results.
    pub finished: usize,
    /// Updates that the server confirmed.
    pub succeeded: u64,
    /// Failed updates, including cancelled ones.
    pub failed: u64,
    /// The number of failed updates for each code.
    pub failed_by_code: BTreeMap<i32, u64>,
    /// Attempts beyond the first of an update.
    pub retried: u64,
    /// Attempts that the server answered with 429.
    pub throttled: u64,
    /// Requests per second, over the last second.
    pub requests_per_second: f64,
    /// Requests per second, since the first update was submitted.
    pub average_requests_per_second: f64,
    /// The rate limit that the client learned from 429s, in requests per second; `None` before the
    /// first one.
    pub learned_requests_per_second: Option<f64>,
    /// Time since the first update was submitted.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
}

impl BatchStats {
    /// Returns the JSON object of `commbox_batch_stats_json()`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// assert!(batch.stats()?.to_json().starts_with(r#"{"queued":0,"#));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // The fields are only numbers, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(error::millis(*time))
}

/// The counters of a batch.
pub(super) struct Counts {
    origin: Instant,
    began: Option<Instant>,
    succeeded: u64,
    failed: u64,
    failed_by_code: BTreeMap<i32, u64>,
    retried: u64,
    throttled: u64,
    requests: u64,
    last_second: LastSecond,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            began: None,
            succeeded: 0,
            failed: 0,
            failed_by_code: BTreeMap::new(),
            retried: 0,
            throttled: 0,
            requests: 0,
            last_second: LastSecond::default(),
        }
    }

    /// Counts a submitted update.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Counts the outcome of an update, and its requests.
    pub(super) fn add<T>(&mut self, effort: &Effort, outcome: &Result<T, Error>, now: Instant) {
        let moment = self.moment(now);
        for _ in 0..effort.attempts {
            self.last_second.add(moment);
        }
        self.requests += u64::from(effort.attempts);
        self.retried += u64::from(effort.attempts.saturating_sub(1));
        self.throttled += u64::from(effort.throttled);
        match outcome {
            Ok(_) => self.succeeded += 1,
            Err(error) => {
                self.failed += 1;
                *self.failed_by_code.entry(error.kind().code()).or_default() += 1;
            }
        }
    }

    /// Returns the counts. The caller adds the lengths of the queues and the learned rate.
    pub(super) fn stats(&mut self, now: Instant) -> BatchStats {
        let elapsed =
            self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default();
        let (seconds, moment) = (elapsed.as_secs_f64(), self.moment(now));
        BatchStats {
            queued: 0,
            in_flight: 0,
            finished: 0,
            succeeded: self.succeeded,
            failed: self.failed,
            failed_by_code: self.failed_by_code.clone(),
            retried: self.retried,
            throttled: self.throttled,
            requests_per_second: self.last_second.count(moment),
            average_requests_per_second: if seconds > 0.0 {
                self.requests as f64 / seconds
            } else {
                0.0
            },
            learned_requests_per_second: None,
            elapsed,
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        // The counters need a clock that does not start at zero.
        Moment::from_secs(10) + now.saturating_duration_since(self.origin)
    }
}
