//! How many a second, now.

use std::time::Instant;

/// Events of the last second, in tenths.
#[derive(Default)]
pub(crate) struct LastSecond {
    counts: [u32; 10],
    /// The tenth that is being counted.
    tenth: u128,
    began: Option<Instant>,
}

impl LastSecond {
    pub(crate) fn add(&mut self, now: Instant) {
        self.advance(now);
        let index = usize::try_from(self.tenth % 10).unwrap_or_default();
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
    }

    pub(crate) fn count(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let counted = f64::from(self.counts.iter().sum::<u32>());
        let millis = self.began.map_or(0, |began| now.saturating_duration_since(began).as_millis());
        if millis < 1000 {
            return counted;
        }
        // The tenth that is being counted is not over, and the one of a second ago is forgotten.
        let covered = u32::try_from(900 + millis % 100).unwrap_or(1000);
        counted * 1000.0 / f64::from(covered)
    }

    /// Forgets the tenths that are more than a second old.
    fn advance(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let tenth = now.saturating_duration_since(began).as_millis() / 100;
        for passed in (self.tenth + 1..=tenth).take(10) {
            let index = usize::try_from(passed % 10).unwrap_or_default();
            if let Some(count) = self.counts.get_mut(index) {
                *count = 0;
            }
        }
        self.tenth = self.tenth.max(tenth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn forgets_what_is_older_than_a_second() {
        let (mut events, began) = (LastSecond::default(), Instant::now());
        let at = |millis| began + Duration::from_millis(millis);
        for millis in [0, 50, 500, 950] {
            events.add(at(millis));
        }
        assert!((events.count(at(960)) - 4.0).abs() < 0.1);
        assert!((events.count(at(1_050)) - 2.0 / 0.95).abs() < 0.1);
        assert!((events.count(at(1_800)) - 1.0 / 0.9).abs() < 0.1);
        assert!(events.count(at(60_000)) < 0.1);
    }
}
