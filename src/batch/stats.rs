//! The progress of a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error;

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
        // Numbers only, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(error::millis(*time))
}
