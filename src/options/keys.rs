//! The keys of a client's options: how each is read, and which values it may have.

use std::env;
use std::time::Duration;

use crate::error::{Problems, Result};
use crate::headers::{self, Headers};
use crate::options::object::{boolean, check_bounds, check_time, count, millis, text, FromObject};
use crate::options::url::{base_url, proxy};
use crate::options::Options;

/// The head of a request must fit into a buffer.
const LONGEST_URL: usize = 2048;
const LONGEST_USER_AGENT: usize = 256;

/// The variable that contains the server's URL if the options do not.
const BASE_URL: &str = "COMMBOX_BASE_URL";

impl FromObject for Options {
    const KEYS: &'static [&'static str] = &[
        "base_url",
        "allow_http",
        "connect_timeout_ms",
        "attempt_timeout_ms",
        "total_timeout_ms",
        "max_retries",
        "retry_base_ms",
        "retry_cap_ms",
        "max_requests_per_second",
        "order_per_user",
        "rate_group",
        "max_idle_connections",
        "idle_timeout_ms",
        "dns_ttl_ms",
        "proxy",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "validate",
        "unknown_fields",
        "custom_fields",
        "user_agent",
        "headers",
        "request_id_header",
    ];

    /// Returns the defaults, with the server from the environment.
    fn initial() -> Self {
        let base_url = env::var(BASE_URL).ok().filter(|url| !url.is_empty());
        match base_url {
            Some(base_url) => Self { base_url, ..Self::default() },
            None => Self::default(),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "base_url" => self.base_url = text(value)?,
            "allow_http" => self.allow_http = boolean(value)?,
            "connect_timeout_ms" => self.connect_timeout = millis(value)?,
            "attempt_timeout_ms" => self.attempt_timeout = millis(value)?,
            "total_timeout_ms" => self.total_timeout = millis(value)?,
            "max_retries" => self.max_retries = count(value)?,
            "retry_base_ms" => self.retry_base = millis(value)?,
            "retry_cap_ms" => self.retry_cap = millis(value)?,
            "max_requests_per_second" => {
                self.max_requests_per_second =
                    serde_json::from_str(value).map_err(|_| "a number")?;
            }
            "order_per_user" => self.order_per_user = boolean(value)?,
            "rate_group" => self.rate_group = Some(text(value)?),
            "max_idle_connections" => self.max_idle_connections = count(value)?,
            "idle_timeout_ms" => self.idle_timeout = millis(value)?,
            "dns_ttl_ms" => self.dns_ttl = millis(value)?,
            "proxy" => self.proxy = Some(text(value)?),
            "ca_file" => self.ca_file = Some(text(value)?.into()),
            "client_cert_file" => self.client_cert_file = Some(text(value)?.into()),
            "client_key_file" => self.client_key_file = Some(text(value)?.into()),
            "validate" => self.validate = boolean(value)?,
            "unknown_fields" => {
                self.unknown_fields =
                    serde_json::from_str(value).map_err(|_| "\"refuse\" or \"allow\"")?;
            }
            "custom_fields" => {
                self.custom_fields =
                    Some(serde_json::from_str(value).map_err(|_| "an array of strings")?);
            }
            "headers" => self.headers = Headers::read(value)?,
            "request_id_header" => self.request_id_header = Some(text(value)?),
            _ => self.user_agent = Some(text(value)?),
        }
        Ok(())
    }

    const WHOSE: &'static str = "a client";

    fn headers(&mut self) -> Option<&mut Headers> {
        Some(&mut self.headers)
    }

    fn add_problems(&self, problems: &mut Problems) {
        for (name, time, least) in [
            ("connect_timeout_ms", self.connect_timeout, 1),
            ("attempt_timeout_ms", self.attempt_timeout, 1),
            ("total_timeout_ms", self.total_timeout, 1),
            ("retry_base_ms", self.retry_base, 1),
            ("retry_cap_ms", self.retry_cap, 1),
            ("idle_timeout_ms", self.idle_timeout, 0),
            ("dns_ttl_ms", self.dns_ttl, 0),
        ] {
            check_time(problems, name, time, Duration::from_millis(least));
        }
        check_bounds(problems, "max_retries", self.max_retries.into(), &(0..=100));
        check_bounds(
            problems,
            "max_idle_connections",
            self.max_idle_connections.into(),
            &(0..=1024),
        );
        if self.retry_cap < self.retry_base {
            problems.add("retry_cap_ms", "must be at least {retry_base_ms}");
        }
        if !is_rate(self.max_requests_per_second) {
            problems.add("max_requests_per_second", format!("must be {RATES}"));
        }
        if !self.rate_group.as_deref().is_none_or(is_group_name) {
            problems.add(
                "rate_group",
                "must have 1 to 64 letters, digits, '.', '_' or '-', and must not start with '.'",
            );
        }
        let printable =
            |text: &String| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !self
            .user_agent
            .as_ref()
            .is_none_or(|text| printable(text) && text.len() <= LONGEST_USER_AGENT)
        {
            let message = format!("must be visible ASCII and spaces, {LONGEST_USER_AGENT} at most");
            problems.add("user_agent", message);
        }
        self.headers.add_problems(problems);
        if let Some(Err(why)) = self.request_id_header.as_deref().map(headers::check_token) {
            problems.add("request_id_header", why);
        }
        if self.base_url.len() > LONGEST_URL {
            problems.add("base_url", format!("must have {LONGEST_URL} characters at most"));
        }
        if let Err(why) = base_url(&self.base_url, self.allow_http) {
            match env::var(BASE_URL) {
                Ok(url) if url == self.base_url => {
                    problems.add("base_url", format!("{why}; it comes from {BASE_URL}"));
                }
                _ => problems.add("base_url", why),
            }
        }
        if let Some(url) = self.proxy.as_ref().filter(|url| !url.is_empty()) {
            if let Err(why) = proxy(url) {
                problems.add("proxy", why);
            }
        }
    }
}

/// The valid rate limits, for messages.
pub(crate) const RATES: &str = "0 (no limit) or from 0.001 to 1000000";

pub(crate) fn is_rate(rate: f64) -> bool {
    rate == 0.0 || (0.001..=1_000_000.0).contains(&rate)
}

/// Returns whether a text can name a group. The name becomes part of a file name.
fn is_group_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn problem(json: &str) -> String {
        let error = Options::from_json(json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        error.to_string()
    }

    #[test]
    fn every_key_is_read() {
        let options = Options::from_json(
            r#"{"base_url":"http://10.0.0.1:8080/prefix","allow_http":true,"connect_timeout_ms":1,"attempt_timeout_ms":2,
                "total_timeout_ms":3,"max_retries":4,"retry_base_ms":5,"retry_cap_ms":6,"max_requests_per_second":0.5,
                "order_per_user":false,"rate_group":"crm-1",
                "max_idle_connections":7,"idle_timeout_ms":8,"dns_ttl_ms":9,"proxy":"http://u:p@proxy:3128",
                "ca_file":"ca.pem","client_cert_file":"me.pem",
                "client_key_file":"me.key","validate":false,"user_agent":"crm-sync/2"}"#,
        )
        .unwrap();
        assert_eq!(options.base_url, "http://10.0.0.1:8080/prefix");
        assert!(options.allow_http && !options.validate && !options.order_per_user);
        assert_eq!(options.rate_group.as_deref(), Some("crm-1"));
        let times = [
            options.connect_timeout,
            options.attempt_timeout,
            options.total_timeout,
            options.retry_base,
            options.retry_cap,
            options.idle_timeout,
            options.dns_ttl,
        ];
        assert_eq!(times.map(|time| time.as_millis()), [1, 2, 3, 5, 6, 8, 9]);
        assert_eq!((options.max_retries, options.max_idle_connections), (4, 7));
        assert!((options.max_requests_per_second - 0.5).abs() < f64::EPSILON);
        assert_eq!(options.ca_file.as_deref(), Some("ca.pem".as_ref()));
        assert_eq!(options.client_cert_file.as_deref(), Some("me.pem".as_ref()));
        assert_eq!(options.client_key_file.as_deref(), Some("me.key".as_ref()));
        assert_eq!(options.user_agent.as_deref(), Some("crm-sync/2"));
        assert!(!format!("{options:?}").contains("u:p"));
    }

    #[test]
    fn null_keeps_the_default() {
        let nulls: Vec<_> = Options::KEYS.iter().map(|key| format!("\"{key}\":null")).collect();
        let options = Options::from_json(&format!("{{{}}}", nulls.join(","))).unwrap();
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn unknown_keys_are_reported_with_the_nearest_key() {
        assert_eq!(
            problem(r#"{"max_retrys":1}"#),
            r#"max_retrys is an unknown option; did you mean "max_retries"?"#
        );
        assert!(problem(r#"{"BASE_URL":"x"}"#).contains("did you mean \"base_url\"?"));
        assert!(problem(r#"{"timeout_ms":1}"#).contains("timeout_ms"));
        assert!(problem(r#"{"colour":1}"#).contains("the options are base_url, "));
    }

    #[test]
    fn all_problems_are_reported_at_once_and_no_value_is_quoted() {
        let message = problem(
            r#"{"total_timeout_ms":0,"retry_base_ms":9000,"max_retries":-1,"validate":"canary","proxy":"ftp://canary"}"#,
        );
        let numbers = problem(
            r#"{"validate":-1,"max_retries":1.5,"max_idle_connections":1e30,"dns_ttl_ms":-0.5}"#,
        );
        assert_eq!(
            numbers,
            "validate must be true or false, not a number; max_retries must be a whole number, 0 or more, not a fraction; \
             max_idle_connections must be a whole number, 0 or more, not a fraction; dns_ttl_ms must not be negative"
        );
        assert_eq!(problem(r#"{"max_retries":99999999999999999999}"#), "max_retries is too large");
        for part in [
            "total_timeout_ms must be from 1",
            "retry_cap_ms",
            "max_retries",
            "validate must be",
            "proxy must",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("canary"));
        assert_eq!(
            problem(r#"{"base_url":"\ud800"}"#),
            "base_url has a \\u escape that is not a character (half of a surrogate pair)"
        );
        assert!(problem("[]").contains("must be a JSON object, not an array"));
        assert!(problem("{").contains("is not JSON"));
    }
}
