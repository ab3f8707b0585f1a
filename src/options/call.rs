//! What a single call can be told.

use std::time::Duration;

use crate::error::{Problems, Result};
use crate::headers::Headers;
use crate::options::object::{check_bounds, check_time, count, millis, FromObject};

/// What a single call can be told, in the place of what its client was told. Everything else about it, the rate limit and
/// the order among it, is its client's.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Longest time of the call, all included: 1 ms to a day. Of an update of a batch, from when it is dispatched.
    pub total_timeout: Option<Duration>,
    /// Longest time of one attempt: 1 ms to a day.
    pub attempt_timeout: Option<Duration>,
    /// Maximum number of retries: 0 to 100.
    pub max_retries: Option<u32>,
    /// Further headers; they replace those of the client that have the same names.
    pub headers: Headers,
}

impl CallOptions {
    /// Reads a JSON object of options; what it does not name, or is null, is as the client has it.
    ///
    /// # Errors
    ///
    /// As for [`Options::from_json`](crate::Options::from_json).
    pub fn from_json(text: &str) -> Result<Self> {
        Self::read(text)
    }
}

impl FromObject for CallOptions {
    const KEYS: &'static [&'static str] = &["total_timeout_ms", "attempt_timeout_ms", "max_retries", "headers"];

    const PARAMETER: &'static str = "call_json";

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "total_timeout_ms" => self.total_timeout = Some(millis(value)?),
            "attempt_timeout_ms" => self.attempt_timeout = Some(millis(value)?),
            "max_retries" => self.max_retries = Some(count(value)?),
            _ => self.headers = Headers::read(value)?,
        }
        Ok(())
    }

    const WHOSE: &'static str = "a call";

    fn headers(&mut self) -> Option<&mut Headers> {
        Some(&mut self.headers)
    }

    fn add_problems(&self, problems: &mut Problems) {
        for (name, time) in [("total_timeout_ms", self.total_timeout), ("attempt_timeout_ms", self.attempt_timeout)] {
            if let Some(time) = time {
                check_time(problems, name, time, Duration::from_millis(1));
            }
        }
        check_bounds(problems, "max_retries", self.max_retries.unwrap_or_default().into(), &(0..=100));
        self.headers.add_problems(problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_everything_wrong_is_named() {
        let json = r#"{"total_timeout_ms":1,"attempt_timeout_ms":2,"max_retries":3,"headers":{"X-A":"b"}}"#;
        let options = CallOptions::from_json(json).unwrap();
        let times = [options.total_timeout, options.attempt_timeout].map(Option::unwrap);
        assert_eq!((times.map(|time| time.as_millis()), options.max_retries), ([1, 2], Some(3)));
        assert!(!options.headers.is_empty() && CallOptions::from_json("{}").unwrap().headers.is_empty());
        let why = CallOptions::from_json(
            r#"{"proxy":"x","total_timeout_ms":0,"attempt_timeout_ms":86400001,"max_retries":101,"headers":{"Host":"canary"}}"#,
        );
        assert_eq!(
            why.unwrap_err().to_string(),
            "proxy is an unknown option; the options are total_timeout_ms, attempt_timeout_ms, max_retries, headers; \
             total_timeout_ms must be from 1 ms to 24 hours; attempt_timeout_ms must be from 1 ms to 24 hours; max_retries \
             must be from 0 to 100; headers.Host is reserved; the library sets it, or the connection needs it"
        );
    }
}
