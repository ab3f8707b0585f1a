//! The options of a batch.

use std::time::Duration;

use crate::error::{Problems, Result};
use crate::options::object::{boolean, check_bounds, check_time, count, millis, FromObject};

/// The options of a [`Batch`](crate::Batch). `BatchOptions::default()` suits most programs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut options = commbox::BatchOptions::default();
/// options.concurrency = 16;
/// options.overall_timeout = Some(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchOptions {
    /// Maximum number of updates in flight, each with a thread and a connection: 1 to 256. The
    /// default is 8.
    pub concurrency: u32,
    /// Maximum number of pending updates and, separately, of uncollected results: 1 to 1,000,000.
    /// Submitting blocks at either limit. The default is 1024.
    pub queue_limit: u32,
    /// At the first 401, close the batch and cancel the updates that were not sent. The default is
    /// true.
    pub stop_on_unauthorized: bool,
    /// How long an update waits while the server throttles without accepting a request: 1 ms to 24
    /// hours. The default is 15 minutes.
    pub throttle_timeout: Duration,
    /// How long an update waits during an outage: 1 ms to 24 hours. The default is 10 minutes.
    pub outage_timeout: Duration,
    /// Timeout of an update from its submission, whatever it waits for: 1 ms to 24 hours. The
    /// default is `None`: the only timeout is then [`total_timeout`](crate::Options::total_timeout)
    /// of the client, which starts when the update is dispatched.
    pub overall_timeout: Option<Duration>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            queue_limit: 1024,
            stop_on_unauthorized: true,
            throttle_timeout: Duration::from_secs(900),
            outage_timeout: Duration::from_secs(600),
            overall_timeout: None,
        }
    }
}

impl BatchOptions {
    /// Reads a JSON object of options, with the keys that `commbox_batch_new()` documents. A key
    /// that is missing or null keeps its default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions): the text is not a JSON
    /// object, or contains an unknown key or an out-of-range value. The error contains all
    /// problems.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = commbox::BatchOptions::from_json(r#"{"concurrency": 16}"#)?;
    /// assert_eq!(options.concurrency, 16);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        Self::read(text)
    }
}

impl FromObject for BatchOptions {
    const KEYS: &'static [&'static str] = &[
        "concurrency",
        "queue_limit",
        "stop_on_unauthorized",
        "throttle_timeout_ms",
        "outage_timeout_ms",
        "overall_timeout_ms",
    ];

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "concurrency" => self.concurrency = count(value)?,
            "queue_limit" => self.queue_limit = count(value)?,
            "throttle_timeout_ms" => self.throttle_timeout = millis(value)?,
            "outage_timeout_ms" => self.outage_timeout = millis(value)?,
            "overall_timeout_ms" => self.overall_timeout = Some(millis(value)?),
            _ => self.stop_on_unauthorized = boolean(value)?,
        }
        Ok(())
    }

    const WHOSE: &'static str = "a batch";

    fn add_problems(&self, problems: &mut Problems) {
        check_bounds(problems, "concurrency", self.concurrency.into(), &(1..=256));
        check_bounds(problems, "queue_limit", self.queue_limit.into(), &(1..=1_000_000));
        let timeouts = [
            ("throttle_timeout_ms", Some(self.throttle_timeout)),
            ("outage_timeout_ms", Some(self.outage_timeout)),
            ("overall_timeout_ms", self.overall_timeout),
        ];
        for (name, timeout) in timeouts {
            if let Some(timeout) = timeout {
                check_time(problems, name, timeout, Duration::from_millis(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_every_problem_is_reported() {
        let json = r#"{"concurrency":256,"queue_limit":1,"stop_on_unauthorized":false,"throttle_timeout_ms":1,
                       "outage_timeout_ms":2,"overall_timeout_ms":3}"#;
        let options = BatchOptions::from_json(json).unwrap();
        let timeouts =
            [Some(options.throttle_timeout), Some(options.outage_timeout), options.overall_timeout];
        assert_eq!(timeouts, [1, 2, 3].map(|millis| Some(Duration::from_millis(millis))));
        assert_eq!(
            (options.concurrency, options.queue_limit, options.stop_on_unauthorized),
            (256, 1, false)
        );
        let why = BatchOptions::from_json(
            r#"{"concurency":1,"concurrency":257,"queue_limit":0,"stop_on_unauthorized":1}"#,
        );
        assert_eq!(
            why.unwrap_err().to_string(),
            "concurency is an unknown option; did you mean \"concurrency\"?; stop_on_unauthorized must be true or false, not \
             a number; concurrency must be from 1 to 256; queue_limit must be from 1 to 1000000"
        );
        let why =
            BatchOptions::from_json(r#"{"throttle_timeout_ms":0,"overall_timeout_ms":86400001}"#)
                .unwrap_err();
        assert_eq!(
            why.to_string(),
            "throttle_timeout_ms must be from 1 ms to 24 hours; overall_timeout_ms must be from 1 ms to 24 hours"
        );
        assert_eq!(BatchOptions::from_json(r#"{"concurrency":null}"#).unwrap().concurrency, 8);
    }
}
