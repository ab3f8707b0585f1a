//! Decides which failures are retried, and after which wait.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::process;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::options::Options;

/// The number of retries, and the wait before each: exponential backoff with full jitter.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    max_retries: u32,
    base: Duration,
    cap: Duration,
}

impl Policy {
    pub(crate) fn new(options: &Options) -> Self {
        Self { max_retries: options.max_retries, base: options.retry_base, cap: options.retry_cap }
    }

    /// Returns the same policy with another number of retries, if one is given.
    pub(crate) fn with_max_retries(self, max_retries: Option<u32>) -> Self {
        Self { max_retries: max_retries.unwrap_or(self.max_retries), ..self }
    }

    /// Returns the wait before the next attempt, after `retries` retries, or `None` if the failure
    /// is not retried. The server's `Retry-After` can only make it longer.
    pub(crate) fn wait(&self, error: &Error, retries: u32) -> Option<Duration> {
        if retries >= self.max_retries || !is_transient(error) {
            return None;
        }
        let asked = error.retry_after().map(with_jitter).unwrap_or_default();
        Some(self.bound(retries).mul_f64(random()).max(asked))
    }

    /// The longest backoff.
    pub(crate) fn longest(&self) -> Duration {
        self.cap
    }

    fn bound(&self, retries: u32) -> Duration {
        let doubled = 2_u32.checked_pow(retries).and_then(|factor| self.base.checked_mul(factor));
        doubled.unwrap_or(self.cap).min(self.cap)
    }
}

/// Returns whether a retry may help. A retry is safe, because the body sets the same values each
/// time. A 429 is not a failure: the line delays the next attempt.
pub(crate) fn is_transient(error: &Error) -> bool {
    error.kind() != ErrorKind::Http(429) && error.kind().is_transient() && !error.is_permanent()
}

/// Adds up to 10 % of jitter to the time that a server asks for, so that its clients do not all
/// return at once.
fn with_jitter(asked: Duration) -> Duration {
    // More than a year is as good as never, and fits into every clock.
    let asked = asked.min(Duration::from_secs(365 * 86_400));
    asked + asked.mul_f64(0.1 * random())
}

/// Returns a number from 0 up to 1. It is good enough to spread waits, and is seeded anew in every
/// process, including forked ones.
fn random() -> f64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(process::id());
    hasher.write_u128(Instant::now().elapsed().as_nanos());
    let bits = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Answer;

    const POLICY: Policy = Policy {
        max_retries: 3,
        base: Duration::from_millis(100),
        cap: Duration::from_millis(250),
    };

    fn wait(kind: ErrorKind, retries: u32) -> Option<Duration> {
        POLICY.wait(&Error::new(kind, ""), retries)
    }

    #[test]
    fn only_transient_failures_are_retried() {
        for kind in [500, 502, 503, 504]
            .map(ErrorKind::Http)
            .into_iter()
            .chain([ErrorKind::Connection, ErrorKind::Timeout])
        {
            assert!(wait(kind, 0).is_some(), "{kind:?}");
            assert!(wait(kind, 3).is_none(), "{kind:?}");
        }
        for status in [302, 400, 401, 403, 404, 407, 408, 409, 429, 501] {
            assert!(wait(ErrorKind::Http(status), 0).is_none(), "{status}");
        }
        for kind in
            [ErrorKind::Tls, ErrorKind::Cancelled, ErrorKind::BadResponse, ErrorKind::Internal]
        {
            assert!(wait(kind, 0).is_none(), "{kind:?}");
        }
    }

    #[test]
    fn backoff_is_exponential_with_full_jitter() {
        for (retries, bound) in [(0, 100), (1, 200), (2, 250)] {
            let waits: Vec<_> =
                (0..400).filter_map(|_| wait(ErrorKind::Http(500), retries)).collect();
            let millis = |wait: Option<&Duration>| wait.map_or(0, Duration::as_millis);
            assert_eq!(waits.len(), 400);
            assert!(
                millis(waits.iter().max()) <= bound && millis(waits.iter().max()) > bound * 9 / 10
            );
            assert!(millis(waits.iter().min()) < bound / 10);
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_up_to_ten_percent_jitter() {
        let answer = |seconds| Answer {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Answer::default()
        };
        let error = |seconds| Error::new(ErrorKind::Http(503), "").with_answer(answer(seconds));
        for _ in 0..100 {
            let wait = POLICY.wait(&error(10), 0).unwrap();
            assert!((10.0..=11.0).contains(&wait.as_secs_f64()));
        }
        assert!(POLICY.wait(&error(u64::MAX), 0).is_some());
        // A server that asks for no wait still gets the backoff.
        let waits: Vec<_> = (0..400).filter_map(|_| POLICY.wait(&error(0), 2)).collect();
        assert!(waits.iter().max() > Some(&Duration::from_millis(225)));
    }
}
