//! The learned rate, and how it grows back: the cubic curve of TCP CUBIC.
//!
//! A 429 shows approximately where the limit is. The rate is cut to slightly below it, stays there
//! for most of the time `K`, passes the rate of the last 429 slowly, and then grows faster and
//! faster. The growth is absolute, not relative to the rate: whatever the rate, it finds a raised
//! limit in seconds.
//!
//! If no 429 follows, the limit is gone, and the rate doubles in little more than a second.
//!
//! If the first 429 comes after few requests, it is a rough measure. From a rough measure, the rate
//! triples each second until the next 429, as in TCP's slow start.

use super::Moment;

/// The lowest rate, in requests per second.
pub(super) const SLOWEST: f64 = 0.1;

/// The initial rate if the server accepted almost nothing before its first 429.
pub(super) const START: f64 = 2.0;

/// The steepness of the curve, in requests per second per second cubed.
const STEEPNESS: f64 = 0.05;

/// The share of the rate that remains after a 429, by the number of 429s in quick succession.
const CUTS: [f64; 5] = [0.9, 0.88, 0.85, 0.85, 0.85];

/// The bounds of `K`, in seconds. Between them, `K` lasts at least [`REQUESTS`] requests.
const SHORTEST: f64 = 1.0;
const LONGEST: f64 = 60.0;
const REQUESTS: f64 = 25.0;

/// The longest `K`, in seconds, before 429s have come in quick succession: a limit that was met
/// only once may be gone.
const LONGEST_AT_FIRST: f64 = 8.5;

/// At low rates, the longest `K` is raised, up to [`LONGEST`], so that it can last this many
/// requests.
const FEWEST: f64 = 8.0;

/// If no 429 comes for [`FREE`] seconds after `K`, the limit is gone: the rate then grows by the
/// factor [`GROWTH`] every [`FREE_GROWS`] seconds.
const FREE: f64 = 1.5;
const FREE_GROWS: f64 = 1.4;

/// If fewer requests than this were accepted before the first 429, the measured rate is rough.
const ROUGH: f64 = 10.0;

/// The factor by which the rate grows each second while the measure is rough.
const GROWTH: f64 = 3.0;

/// If less than this share of the rate was accepted, the caller had no more to send.
const IDLE: f64 = 0.6;

/// If a 429 comes within this many requests after the rate was cut, the rough measure was too high.
const FEW: f64 = 3.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curve {
    /// The rate at which the last 429 came.
    pub(super) ceiling: f64,
    /// The share of the rate that remained then.
    pub(super) cut: f64,
    /// When requests resumed.
    pub(super) since: Moment,
    /// How many 429s have come in quick succession.
    pub(super) strikes: u32,
    /// Whether the ceiling is a rough measure.
    pub(super) rough: bool,
}

impl Curve {
    /// Creates the curve after the first 429, when the server accepted `taken` requests in the last
    /// second.
    pub(super) fn first(taken: f64, policy: Option<f64>, now: Moment) -> Self {
        let ceiling = policy.unwrap_or_else(|| taken.max(START)).max(SLOWEST);
        Self {
            ceiling,
            cut: cut(0),
            since: now,
            strikes: 0,
            rough: policy.is_none() && taken < ROUGH,
        }
    }

    /// Returns the curve after a 429 to a request that was sent at `left` and at `rate`. `measured`
    /// is the rate that the server accepted in the last second, if known.
    pub(super) fn next(self, rate: f64, measured: Option<f64>, left: Moment) -> Self {
        let passed = self.passed(left);
        let early = if self.rough { passed * rate < FEW } else { passed < self.k() };
        let strikes = if early { self.strikes.saturating_add(1) } else { 0 };
        // While the rate grows, the rate measured over the last second is below the limit. After
        // 429s in quick succession, or if the caller had no more to send, it is the better measure.
        let half_a_second_ago = self.rate(left.saturating_sub(Moment::from_millis(500))).min(rate);
        let measured = measured.unwrap_or(rate).min(rate);
        let is_better = early || measured < IDLE * half_a_second_ago;
        let measured = if is_better { measured } else { (measured * rate).sqrt() };
        // A single measurement may be far off, so the rate is at most halved.
        let ceiling = measured.max(rate / 2.0).max(SLOWEST);
        Self { ceiling, cut: cut(strikes), since: left, strikes, rough: self.rough && early }
    }

    /// Returns the present rate, in requests per second.
    pub(super) fn rate(&self, now: Moment) -> f64 {
        let (passed, floor) = (self.passed(now), self.ceiling * self.cut);
        let rate = if self.rough {
            floor * GROWTH.powf(passed.min(60.0) * (self.ceiling / START).min(1.0))
        } else {
            let beyond = passed - self.k();
            let cubic = (self.ceiling + STEEPNESS * beyond.powi(3)).max(floor);
            cubic.max(self.ceiling * GROWTH.powf((beyond - FREE).min(60.0) / FREE_GROWS))
        };
        rate.clamp(SLOWEST, 1e9)
    }

    fn passed(&self, now: Moment) -> f64 {
        now.saturating_sub(self.since).as_secs_f64()
    }

    /// Returns how many seconds the rate takes to return to the ceiling.
    fn k(&self) -> f64 {
        let bend = (self.ceiling * (1.0 - self.cut) / STEEPNESS).powf(1.0 / 3.0);
        let longest = if self.strikes > 1 { LONGEST } else { LONGEST_AT_FIRST };
        let longest = longest.max(FEWEST / self.ceiling).min(LONGEST);
        bend.max(REQUESTS / self.ceiling).clamp(SHORTEST, longest)
    }
}

fn cut(strikes: u32) -> f64 {
    let last = CUTS.len() - 1;
    let index = usize::try_from(strikes).unwrap_or(last).min(last);
    CUTS.get(index).copied().unwrap_or(0.7)
}
