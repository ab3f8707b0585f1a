//! Reads the response headers that say when to send the next request.

use std::time::{Duration, SystemTime};

/// The names of the rate-limit headers that are read, in lower case.
const RATE_LIMITS: [&str; 8] = [
    "ratelimit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-policy",
    "x-ratelimit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-policy",
];

/// A reset at or above these values is a time since 1970, in seconds or in milliseconds. A lower
/// value counts seconds from now.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// What the response headers say about when to send the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Advice {
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// The time until the server accepts more requests, if it accepts none now. It comes from
    /// `RateLimit`, or from `RateLimit-Remaining` and `RateLimit-Reset`, each also with the prefix
    /// `X-`.
    pub(crate) exhausted: Option<Duration>,
    /// The rate that the server accepts, in requests per second, from `RateLimit-Policy`.
    pub(crate) policy: Option<f64>,
}

impl Advice {
    /// Reads the stored headers of a reply that was received at `now`. `date` is its `Date` header.
    pub(crate) fn read(
        asked: Option<&str>,
        limits: &[(&'static str, String)],
        date: Option<&str>,
        now: SystemTime,
    ) -> Self {
        let clock = || date.and_then(|text| httpdate::parse_http_date(text).ok()).unwrap_or(now);
        let mut advice = Self {
            retry_after: asked.and_then(|text| retry_after(text.trim(), clock)),
            ..Self::default()
        };
        let (mut remaining, mut reset) = (None, None);
        for (name, text) in limits {
            match name.trim_start_matches("x-") {
                "ratelimit-remaining" => remaining = number(text),
                "ratelimit-reset" => reset = number(text),
                "ratelimit" => {
                    remaining = parameter(text, &["r", "remaining"]).or(remaining);
                    reset = parameter(text, &["t", "reset"]).or(reset);
                }
                "ratelimit-policy" => advice.policy = policy(text),
                _ => {}
            }
        }
        if remaining.is_some_and(|remaining| remaining < 1.0) {
            advice.exhausted = reset.and_then(|reset| from_now(reset, clock));
        }
        advice
    }

    /// Returns how long a throttling server asks to wait.
    pub(crate) fn asked(&self) -> Option<Duration> {
        self.retry_after.into_iter().chain(self.exhausted).max()
    }
}

/// Parses `Retry-After`, in seconds or as a date. A date is relative to the reply's own `Date`,
/// because the clocks of the server and of this machine may differ.
fn retry_after(text: &str, clock: impl Fn() -> SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // If the number does not fit, the time is longer than any call waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX / 1000)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(clock()).unwrap_or_default())
}

/// Parses a reset: seconds from now, or a time since 1970 if the number is too large for that.
fn from_now(reset: f64, clock: impl Fn() -> SystemTime) -> Option<Duration> {
    if reset < EPOCH_SECONDS {
        return Duration::try_from_secs_f64(reset).ok();
    }
    let seconds = if reset < EPOCH_MILLIS { reset } else { reset / 1000.0 };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    Some(at.duration_since(clock()).unwrap_or_default())
}

fn number(text: &str) -> Option<f64> {
    // Some servers list the values of several windows. The first one belongs to the shortest
    // window.
    let first = text.split([',', ';']).next()?.trim();
    // The options use the same parser. Another one would be as large as this file.
    serde_json::from_str(first).ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Returns a parameter of the first item of a list: `"default";r=50;t=30`, or `limit=100,
/// remaining=50, reset=30` as in older drafts.
fn parameter(text: &str, names: &[&str]) -> Option<f64> {
    let parameters = text.split([',', ';']).filter_map(|part| part.split_once('='));
    let mut values =
        parameters.filter(|(name, _)| names.contains(&name.trim())).map(|(_, value)| value);
    number(values.next()?)
}

/// Parses `100;w=60` or `"default";q=100;w=60`. If there are several policies, the slowest counts.
fn policy(text: &str) -> Option<f64> {
    let rates = text.split(',').filter_map(|item| {
        let quota = parameter(item, &["q"]).or_else(|| number(item))?;
        let window = parameter(item, &["w"])?;
        Some(quota / window).filter(|rate| rate.is_finite() && *rate > 0.0)
    });
    rates.reduce(f64::min)
}

/// Returns the lower-case name of a rate-limit header, or `None` for any other header.
/// `Retry-After` is handled elsewhere.
pub(crate) fn known(name: &[u8]) -> Option<&'static str> {
    let is_near =
        (9..=21).contains(&name.len()) && matches!(name.first(), Some(b'r' | b'R' | b'x' | b'X'));
    if !is_near {
        return None;
    }
    RATE_LIMITS.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Fri, 07 Aug 2026 10:00:00 GMT";

    fn read(headers: &[(&str, &str)]) -> Advice {
        let now = httpdate::parse_http_date(NOW).unwrap();
        let value =
            |of: &str| headers.iter().find(|(name, _)| *name == of).map(|(_, value)| *value);
        let limits = headers
            .iter()
            .filter_map(|(name, value)| Some((known(name.as_bytes())?, (*value).to_owned())));
        Advice::read(value("Retry-After"), &limits.collect::<Vec<_>>(), value("Date"), now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let read =
            |text| read(&[("Retry-After", text)]).retry_after.map(|duration| duration.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("Fri, 07 Aug 2026 10:00:30 GMT"), Some(30));
        assert_eq!(read("Fri, 07 Aug 2026 09:00:00 GMT"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX / 1000));
        for odd in ["", "-1", "1.5", "soon"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_date_is_relative_to_the_clock_of_the_server() {
        for hour in ["09", "10", "11"] {
            let [date, after] =
                [0, 7].map(|second| format!("Fri, 07 Aug 2026 {hour}:00:0{second} GMT"));
            let advice = read(&[("Date", &date), ("Retry-After", &after)]);
            assert_eq!(advice.retry_after, Some(Duration::from_secs(7)), "{hour}");
        }
        let odd = read(&[("Date", "today"), ("Retry-After", "Fri, 07 Aug 2026 10:00:30 GMT")]);
        assert_eq!(odd.retry_after, Some(Duration::from_secs(30)));
    }

    #[test]
    fn rate_limit_headers_are_read() {
        let epoch =
            httpdate::parse_http_date(NOW).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (seconds, millis) = (epoch.as_secs() + 9, epoch.as_millis() + 9000);
        for (headers, exhausted) in [
            (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "9")][..], Some(9)),
            (&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "9")], Some(9)),
            (
                &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &seconds.to_string())],
                Some(9),
            ),
            (
                &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &millis.to_string())],
                Some(9),
            ),
            (&[("RateLimit", "\"default\";r=0;t=9")], Some(9)),
            (&[("RateLimit", "limit=100, remaining=0, reset=9")], Some(9)),
            (&[("RateLimit", "\"default\";r=1;t=9")], None),
            (&[("RateLimit-Remaining", "5"), ("RateLimit-Reset", "9")], None),
            (&[("RateLimit-Remaining", "0")], None),
            (&[("RateLimit-Remaining", "none"), ("RateLimit-Reset", "9")], None),
            (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "-9")], None),
            (&[("X-RateLimit-Reset", "1e400"), ("X-RateLimit-Remaining", "0")], None),
            (&[], None),
        ] {
            assert_eq!(read(headers).exhausted, exhausted.map(Duration::from_secs), "{headers:?}");
        }
        for (text, rate) in [
            ("\"default\";q=100;w=50", Some(2.0)),
            ("100;w=50", Some(2.0)),
            ("10;w=1, 50;w=50", Some(1.0)),
            ("100", None),
            ("100;w=0", None),
            ("0;w=60", None),
        ] {
            assert_eq!(read(&[("RateLimit-Policy", text)]).policy, rate, "{text}");
        }
    }

    #[test]
    fn the_longer_of_retry_after_and_rate_limit_reset_applies() {
        let advice =
            read(&[("Retry-After", "1"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "9")]);
        assert_eq!(advice.asked(), Some(Duration::from_secs(9)));
        assert_eq!(read(&[]).asked(), None);
    }
}
