//! Where a batch stands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::client::Effort;
use crate::delivery::flow::{LastSecond, Moment};
use crate::error::{self, Error};

/// Where a [`Batch`](crate::Batch) stands. `Serialize` gives the JSON of `commbox_batch_stats_json`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BatchStats {
    /// Updates that wait to be sent.
    pub queued: usize,
    /// Updates that a worker has.
    pub in_flight: usize,
    /// Finished updates that were not taken back yet.
    pub finished: usize,
    /// How many the server confirmed.
    pub succeeded: u64,
    /// How many failed, were cancelled among them.
    pub failed: u64,
    /// How many failed with each code.
    pub failed_by_code: BTreeMap<i32, u64>,
    /// Attempts beyond the first of an update.
    pub retried: u64,
    /// Requests that the server answered by a 429.
    pub throttled: u64,
    /// Requests a second, over the last second.
    pub requests_per_second: f64,
    /// Requests a second, since the first update was submitted.
    pub average_requests_per_second: f64,
    /// The rate that the client has learned from 429s, in requests a second; `None` before the first one.
    pub learned_requests_per_second: Option<f64>,
    /// Since the first update was submitted.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
}

impl BatchStats {
    /// The JSON of `commbox_batch_stats_json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers only, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(error::millis(*time))
}

/// What a batch counts.
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

    /// An update was submitted.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Counts what came of an update, and the requests that were made for it.
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

    /// What was counted. What is in the queues, and the rate that was learned, the caller fills in.
    pub(super) fn stats(&mut self, now: Instant) -> BatchStats {
        let elapsed = self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default();
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
            average_requests_per_second: if seconds > 0.0 { self.requests as f64 / seconds } else { 0.0 },
            learned_requests_per_second: None,
            elapsed,
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        // The clock of what is counted does not begin with nothing.
        Moment::from_secs(10) + now.saturating_duration_since(self.origin)
    }
}
