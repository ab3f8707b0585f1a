//! A rate limit as servers implement it: a token bucket.

use std::time::Instant;

/// Allows a rate of requests, and a burst after an idle time.
pub struct Limit {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Limit {
    /// Creates a limit whose bucket is full.
    pub fn new(rate: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate, burst, tokens: burst, at: Instant::now() }
    }

    /// Accepts a request, or returns the seconds until the next one is accepted.
    pub fn take(&mut self, now: Instant) -> Result<(), u64> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // The Retry-After header only supports whole seconds.
        let wait = ((1.0 - self.tokens) / self.rate.max(0.001)).ceil();
        Err(if wait >= 1.0 { wait as u64 } else { 1 })
    }
}
