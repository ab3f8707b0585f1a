//! Where a batch stands.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error;

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
