//! The latencies of the last minute, in buckets. They are counted without a lock, and expire by
//! themselves.

use std::iter;
use std::time::{Duration, Instant};

use crate::stats::tagged::Tagged;
use crate::stats::LatencyStats;

/// The latencies of a client.
pub(super) struct Latencies {
    origin: Instant,
    stretches: Box<[Stretch; STRETCHES]>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), stretches: Box::new([const { Stretch::new() }; STRETCHES]) }
    }

    /// Counts a call that took `latency` and ended at `ended`.
    pub(super) fn add(&self, ended: Instant, latency: Duration) {
        let number = self.stretch_of(ended);
        if let Some(stretch) = self.stretches.get(number as usize % STRETCHES) {
            stretch.add(number, u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Returns the number of the period that contains this moment. No period has the number 0.
    fn stretch_of(&self, moment: Instant) -> u32 {
        let seconds = moment.saturating_duration_since(self.origin).as_secs();
        u32::try_from(seconds / STRETCH_SECONDS).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Returns the latencies of the last minute.
    pub(super) fn read(&self, now: Instant) -> LatencyStats {
        self.of(self.stretch_of(now))
    }

    /// Returns the latencies of the period with this number and of the stored periods before it.
    fn of(&self, last: u32) -> LatencyStats {
        let numbers = || {
            (0..STRETCHES as u32)
                .filter_map(|back| last.checked_sub(back))
                .filter(|number| *number > 0)
        };
        let stretches = || {
            numbers().filter_map(|number| {
                Some((number, self.stretches.get(number as usize % STRETCHES)?))
            })
        };
        let mut counts = [0; BUCKETS];
        for (number, stretch) in stretches() {
            for (sum, count) in counts.iter_mut().zip(&stretch.counts) {
                *sum += count.get(number);
            }
        }
        let count = counts.iter().sum();
        let percentile =
            |part: f64| (count > 0).then(|| millis(percentile(&counts, count as f64 * part)));
        LatencyStats {
            count,
            sum_ms: millis(
                stretches().map(|(number, stretch)| stretch.micros.get(number)).sum::<u64>() as f64,
            ),
            p50_ms: percentile(0.5),
            p90_ms: percentile(0.9),
            p99_ms: percentile(0.99),
        }
    }
}

/// Returns milliseconds, rounded to microseconds.
fn millis(micros: f64) -> f64 {
    micros.round() / 1000.0
}

/// The number of periods that are kept, and the seconds in each: one minute plus the present
/// period.
const STRETCHES: usize = 7;
const STRETCH_SECONDS: u64 = 10;

/// The latencies of one period.
struct Stretch {
    counts: [Tagged; BUCKETS],
    /// The sum of the latencies.
    micros: Tagged,
}

impl Stretch {
    const fn new() -> Self {
        Self { counts: [const { Tagged::new() }; BUCKETS], micros: Tagged::new() }
    }

    fn add(&self, number: u32, micros: u64) {
        if let Some(count) = self.counts.get(bucket(micros)) {
            count.add(number, 1);
        }
        self.micros.add(number, micros);
    }
}

/// There are eight buckets up to 128 µs, and eight more for each doubling, up to more than a day.
const BUCKETS: usize = 8 + 8 * 30;
const FIRST_BITS: u32 = 7;

fn bucket(micros: u64) -> usize {
    // The number of doublings, and the three bits after the leading one.
    let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(FIRST_BITS);
    let bits = (micros >> (doublings.saturating_sub(1) + FIRST_BITS - 3)) as usize & 7;
    (8 * doublings as usize + bits).min(BUCKETS - 1)
}

/// Returns the start of a bucket in microseconds, and its width.
fn bounds(bucket: usize) -> (u64, u64) {
    let (doublings, eighth) = (bucket / 8, bucket as u64 % 8);
    match doublings.checked_sub(1) {
        None => (eighth << (FIRST_BITS - 3), 1 << (FIRST_BITS - 3)),
        Some(more) => (
            (8 + eighth) << (more + FIRST_BITS as usize - 3),
            1 << (more + FIRST_BITS as usize - 3),
        ),
    }
}

/// Returns the latency, in microseconds, below which `rank` of the calls lie.
fn percentile(counts: &[u64; BUCKETS], rank: f64) -> f64 {
    let mut below = 0.0;
    let ends = counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum as f64)
    });
    for ((bucket, count), end) in counts.iter().enumerate().zip(ends) {
        if *count > 0 && rank <= end {
            let (begin, width) = bounds(bucket);
            return begin as f64 + width as f64 * (rank - below) / *count as f64;
        }
        below = end;
    }
    iter::zip(counts, 0..)
        .filter(|(count, _)| **count > 0)
        .last()
        .map_or(0.0, |(_, bucket)| bounds(bucket).0 as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous() {
        for (before, after) in (0..BUCKETS - 1).map(|bucket| (bounds(bucket), bounds(bucket + 1))) {
            assert_eq!(before.0 + before.1, after.0);
        }
        for micros in (0..5_000).chain([86_400_000_000, u64::MAX]) {
            let (begin, width) = bounds(bucket(micros));
            assert!(
                begin <= micros && (micros - begin < width || bucket(micros) == BUCKETS - 1),
                "{micros}"
            );
        }
    }

    #[test]
    fn percentiles_cover_the_last_minute_with_an_error_below_one_eighth() {
        let latencies = Latencies::new();
        let later = latencies.origin + Duration::from_secs(1000);
        for millis in 1..=1000 {
            latencies.add(later, Duration::from_millis(millis));
        }
        let number = latencies.stretch_of(later);
        let latency = latencies.of(number + 6);
        assert_eq!((latency.count, latency.sum_ms), (1000, 500_500.0));
        for (found, exact) in
            [(latency.p50_ms, 500.0), (latency.p90_ms, 900.0), (latency.p99_ms, 990.0)]
        {
            let found = found.unwrap();
            assert!((found - exact).abs() <= exact / 8.0, "{found} is not {exact}");
        }
        let none = LatencyStats { count: 0, sum_ms: 0.0, p50_ms: None, p90_ms: None, p99_ms: None };
        assert_eq!(latencies.of(number + 7), none);
        assert_eq!(latencies.of(number - 1), none);
    }
}
