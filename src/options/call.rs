//! The options of a single call.

use std::time::Duration;

use crate::error::{Problems, Result};
use crate::headers::Headers;
use crate::options::object::{check_bounds, check_time, count, millis, FromObject};

/// Options of a single call, which replace those of its client. An option that is unset is that of
/// the client.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut options = commbox::CallOptions::default();
/// options.total_timeout = Some(Duration::from_millis(300));
/// options.headers.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Timeout of the call, which covers queueing, all attempts and all backoff: 1 ms to 24 hours.
    /// For an update of a batch, it starts when the update is dispatched.
    pub total_timeout: Option<Duration>,
    /// Timeout of one attempt: 1 ms to 24 hours.
    pub attempt_timeout: Option<Duration>,
    /// Maximum number of retries after a transient failure: 0 to 100.
    pub max_retries: Option<u32>,
    /// Additional headers. Each replaces a header of the client with the same name.
    pub headers: Headers,
}

impl CallOptions {
    /// Reads a JSON object of options, with the keys that `commbox_update_user_json_with()`
    /// documents. A key that is missing or null is unset.
    ///
    /// # Errors
    ///
    /// Those of [`Options::from_json`](crate::Options::from_json).
    ///
    /// # Examples
    ///
    /// ```
    /// let options = commbox::CallOptions::from_json(r#"{"max_retries": 0}"#)?;
    /// assert_eq!(options.max_retries, Some(0));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        Self::read(text)
    }
}

impl FromObject for CallOptions {
    const KEYS: &'static [&'static str] =
        &["total_timeout_ms", "attempt_timeout_ms", "max_retries", "headers"];

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
        for (name, time) in
            [("total_timeout_ms", self.total_timeout), ("attempt_timeout_ms", self.attempt_timeout)]
        {
            if let Some(time) = time {
                check_time(problems, name, time, Duration::from_millis(1));
            }
        }
        check_bounds(
            problems,
            "max_retries",
            self.max_retries.unwrap_or_default().into(),
            &(0..=100),
        );
        self.headers.add_problems(problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_every_problem_is_reported() {
        let json = r#"{"total_timeout_ms":1,"attempt_timeout_ms":2,"max_retries":3,"headers":{"X-A":"b"}}"#;
        let options = CallOptions::from_json(json).unwrap();
        let times = [options.total_timeout, options.attempt_timeout].map(Option::unwrap);
        assert_eq!((times.map(|time| time.as_millis()), options.max_retries), ([1, 2], Some(3)));
        assert!(
            !options.headers.is_empty() && CallOptions::from_json("{}").unwrap().headers.is_empty()
        );
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
