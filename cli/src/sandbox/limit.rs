//! A rate limit, as servers have one: a bucket of tokens.

use std::time::Instant;

/// Lets so many requests through a second, and a burst of more after a quiet time.
pub struct Limit {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Limit {
    /// A limit whose bucket is full.
    pub fn new(rate: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate, burst, tokens: burst, at: Instant::now() }
    }

    /// Lets a request through, or returns after how many seconds the next one may come.
    pub fn take(&mut self, now: Instant) -> Result<(), u64> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // Whole seconds are all that the header has.
        let wait = ((1.0 - self.tokens) / self.rate.max(0.001)).ceil();
        Err(if wait >= 1.0 { wait as u64 } else { 1 })
    }
}
