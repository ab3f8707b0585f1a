//! Counts the events of the last second.

use super::Moment;

const TENTH: u32 = 100;

/// The events of the last second, counted per tenth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LastSecond {
    pub(super) counts: [u32; 10],
    /// The tenth that is being counted, since the clock's zero.
    pub(super) tenth: u64,
}

impl LastSecond {
    pub(crate) fn add(&mut self, now: Moment) {
        self.advance(now);
        if let Some(count) = self.counts.get_mut(index(self.tenth)) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the events of the last second. If only part of it is covered, the count is
    /// extrapolated to a full second.
    pub(crate) fn count(&mut self, now: Moment) -> f64 {
        self.advance(now);
        let counted: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        // The present tenth is not over yet, and the tenth of a second ago has been discarded.
        let covered = 900 + now.subsec_millis() % TENTH;
        counted * 1000.0 / f64::from(covered)
    }

    /// Returns the counted events of the last second, without extrapolation.
    pub(crate) fn sum(&mut self, now: Moment) -> f64 {
        self.advance(now);
        self.counts.iter().map(|count| f64::from(*count)).sum()
    }

    /// Discards the tenths that are more than a second old.
    fn advance(&mut self, now: Moment) {
        let tenth = now.as_secs() * 10 + u64::from(now.subsec_millis() / TENTH);
        if tenth <= self.tenth {
            return;
        }
        for passed in (self.tenth.saturating_add(1)..=tenth).rev().take(10) {
            if let Some(count) = self.counts.get_mut(index(passed)) {
                *count = 0;
            }
        }
        self.tenth = tenth;
    }
}

fn index(tenth: u64) -> usize {
    usize::try_from(tenth % 10).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_older_than_a_second_are_not_counted() {
        let mut events = LastSecond::default();
        let at = |millis: u64| Moment::from_millis(5_000_000 + millis);
        for millis in [0, 50, 500, 950] {
            events.add(at(millis));
        }
        assert!((events.count(at(999)) - 4.0).abs() < 0.1);
        assert!((events.count(at(1_050)) - 2.0 / 0.95).abs() < 0.1);
        assert!((events.count(at(1_800)) - 1.0 / 0.9).abs() < 0.1);
        assert!(events.count(at(60_000)) < 0.1);
        assert!(events.sum(at(3_600_000)) < 0.1);
    }
}
