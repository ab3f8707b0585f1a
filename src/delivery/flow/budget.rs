//! Limits how much load the retries of a client add to a failing server, like the retry quota of
//! the AWS SDKs.

/// The initial and maximum number of tokens.
const FULL: u32 = 500;

/// The tokens that a retry takes, and those that a retry after a timeout takes.
const RETRY: u32 = 5;
const TIMEOUT: u32 = 10;

/// The tokens that a success returns.
const SUCCESS: u32 = 1;

/// The available tokens. Retries take them and successes return them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(FULL)
    }
}

impl Budget {
    /// Takes the tokens for a retry. Returns false if there are too few.
    pub(crate) fn take(&mut self, after_timeout: bool) -> bool {
        let cost = if after_timeout { TIMEOUT } else { RETRY };
        let rest = self.0.checked_sub(cost);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    pub(crate) fn success(&mut self) {
        self.0 = (self.0 + SUCCESS).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_allows_100_retries_or_50_after_timeouts_and_1_per_5_successes() {
        for (after_timeout, retries) in [(false, 100), (true, 50)] {
            let mut budget = Budget::default();
            assert_eq!((0..1000).filter(|_| budget.take(after_timeout)).count(), retries);
            for _ in 0..5 {
                assert!(!budget.take(after_timeout));
                budget.success();
            }
            assert_eq!((0..10).filter(|_| budget.take(false)).count(), 1);
        }
        let mut budget = Budget::default();
        budget.success();
        assert_eq!((0..1000).filter(|_| budget.take(false)).count(), 100);
    }
}
