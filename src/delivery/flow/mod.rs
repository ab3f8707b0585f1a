//! When requests may leave: what a client knows of its server, as a state machine without a clock.
//!
//! A [`Flow`] is asked before each request and told what came of it. It neither waits nor looks at a
//! clock, so the same code decides in a client, in a group of processes, and in the tests' simulated
//! time. Three things hold requests back:
//!
//! - **The pace.** `max_requests_per_second`, the rate learned from 429s ([`curve`]), and for a few
//!   seconds after an outage a ramp. Requests leave evenly spaced at the lowest of them.
//! - **A pause for throttling**, which a 429 begins. At a known pace it lasts 50 to 100 ms, after the
//!   first 429 1 to 1.5 s, and never less than the server's `Retry-After`.
//! - **A pause for an outage**, which [`TRIP`](report) transient failures in a row begin.
//!
//! A pause ends by a probe: one request, which leaves when the pause is over. If it is accepted,
//! requests resume. If not, the pause goes on for twice as long as before.
//!
//! Everything here depends on the standard library alone: `tests/storm.rs` includes these files.

mod budget;
mod curve;
mod report;
#[cfg(unix)]
mod stored;
mod taken;
mod ticket;

use std::time::Duration;

pub(crate) use budget::Budget;
#[cfg(unix)]
pub(crate) use stored::WORDS;
pub(crate) use taken::LastSecond;
pub(crate) use ticket::{Moment, Outcome, Probe, Slot, Ticket, Turn, Why};

use curve::Curve;

/// After an outage the rate starts here and grows by this factor a second, for this many seconds.
const RAMP_START: f64 = 50.0;
const RAMP_FACTOR: f64 = 10.0;
const RAMP_SECONDS: f64 = 1.5;

/// So much of a delay, and a tenth of the interval, is made up for by the next request.
const SLACK: Duration = Duration::from_micros(200);

/// The least time for a probe; it gets this many times as long as the slowest answer of late.
const LEAST_PROBE: Duration = Duration::from_secs(2);
const PROBE_TIMES: u32 = 4;

/// A probe that is not heard of for so long after its time is given up.
const PROBE_GRACE: Duration = Duration::from_secs(1);

/// A pause this long, in seconds, may have cost the connections their life.
const LONG_PAUSE: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pause {
    why: Why,
    /// When a probe may leave.
    until: Moment,
    /// How long the pause was, in seconds, had the server not asked for more.
    length: f64,
    /// When the probe that is out is given up.
    probe: Option<Moment>,
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// `max_requests_per_second`; 0 for none.
    limit: f64,
    curve: Option<Curve>,
    pause: Option<Pause>,
    /// Tells the outcome of a request that left before requests were paused or resumed from a new one.
    epoch: u64,
    /// Tells the slots that are void.
    version: u64,
    /// The next slot.
    next: Moment,
    /// When requests were last paused, and when they resumed.
    paused_at: Moment,
    resumed: Moment,
    /// When requests resumed after an outage.
    ramp: Option<Moment>,
    taken: LastSecond,
    /// Since when the server has refused everything.
    refused_since: Option<Moment>,
    /// How many transient failures came in a row, and since when.
    failures: u32,
    failing_since: Moment,
    /// How many probes in a row timed out.
    lost_probes: u32,
    /// The slowest answer of late.
    slowest: Duration,
    random_state: u64,
}

impl Flow {
    /// `limit` is in requests a second, 0 for none. `seed` is any number.
    pub(crate) fn new(limit: f64, seed: u64) -> Self {
        Self {
            limit,
            curve: None,
            pause: None,
            epoch: 0,
            version: 0,
            next: Moment::ZERO,
            paused_at: Moment::ZERO,
            resumed: Moment::ZERO,
            ramp: None,
            taken: LastSecond::default(),
            refused_since: None,
            failures: 0,
            failing_since: Moment::ZERO,
            lost_probes: 0,
            slowest: Duration::ZERO,
            random_state: seed | 1,
        }
    }

    /// Has the rate grow from a low one for the first seconds, as after an outage: for senders that do not
    /// know of each other's requests in flight.
    pub(crate) fn ramp(mut self, now: Moment) -> Self {
        self.ramp = Some(now);
        self
    }

    /// Forgets the probe and the slots of a parent, whose threads a forked child does not have.
    pub(crate) fn reset_after_fork(&mut self) {
        self.version += 1;
        self.next = Moment::ZERO;
        if let Some(pause) = &mut self.pause {
            pause.probe = None;
        }
    }

    /// Asks for leave to send. `slot` is the asker's, if it has asked before.
    pub(crate) fn ask(&mut self, now: Moment, slot: &mut Option<Slot>) -> Turn {
        if let Some(pause) = self.pause {
            *slot = None;
            return self.ask_paused(now, pause);
        }
        let Slot { at, version, rate } = match *slot {
            Some(slot) if slot.version == self.version => slot,
            _ => self.reserve(now),
        };
        if at > now {
            *slot = Some(Slot { at, version, rate });
            return Turn::Wait(at);
        }
        *slot = None;
        if let Some(rate) = rate {
            // After one that left late, the next one is not to follow too closely: a server without burst would refuse it.
            let interval = Duration::from_secs_f64(1.0 / rate);
            self.next = self.next.max(now + interval.saturating_sub(interval / 10 + SLACK));
        }
        Turn::Go(Ticket { epoch: self.epoch, left: now, rate, probe: None })
    }

    fn ask_paused(&mut self, now: Moment, pause: Pause) -> Turn {
        if now < pause.until {
            return Turn::Wait(pause.until);
        }
        if let Some(given_up) = pause.probe {
            if now < given_up {
                return Turn::Probing(given_up);
            }
            self.epoch += 1;
            self.lost_probes = self.lost_probes.saturating_add(1);
        }
        let limit = self.probe_limit();
        self.pause = Some(Pause { probe: Some(now + limit + PROBE_GRACE), ..pause });
        let fresh = pause.why == Why::Outage || pause.length >= LONG_PAUSE || self.failures > 0;
        Turn::Go(Ticket { epoch: self.epoch, left: now, rate: None, probe: Some(Probe { limit, fresh }) })
    }

    /// Takes the next slot.
    fn reserve(&mut self, now: Moment) -> Slot {
        let rate = self.rate(now);
        let at = rate.map_or(now, |_| self.next.max(now));
        if let Some(rate) = rate {
            self.next = at + Duration::from_secs_f64(1.0 / rate);
        }
        Slot { at, version: self.version, rate }
    }

    /// The rate at which requests may leave while they are not paused; None if nothing limits it.
    pub(crate) fn rate(&self, now: Moment) -> Option<f64> {
        let mut lowest = if self.limit > 0.0 { self.limit } else { f64::INFINITY };
        if let Some(curve) = &self.curve {
            lowest = lowest.min(curve.rate(now));
        }
        if let Some(since) = self.ramp {
            let passed = now.saturating_sub(since).as_secs_f64();
            if passed < RAMP_SECONDS {
                lowest = lowest.min(RAMP_START * RAMP_FACTOR.powf(passed));
            }
        }
        lowest.is_finite().then_some(lowest)
    }

    /// The rate that was learned, in requests a second.
    pub(crate) fn learned(&self, now: Moment) -> Option<f64> {
        self.curve.map(|curve| curve.rate(now))
    }

    /// The time between two requests where the last 429 came, in seconds.
    fn interval(&self) -> f64 {
        self.curve.map_or(0.0, |curve| 1.0 / curve.ceiling)
    }

    /// Sets `max_requests_per_second`; 0 for none.
    pub(crate) fn set_limit(&mut self, now: Moment, limit: f64) {
        self.limit = limit;
        self.version += 1;
        self.next = self.rate(now).map_or(now, |rate| self.next.min(now + Duration::from_secs_f64(1.0 / rate)));
    }

    /// Why requests are paused and until when, if they are.
    pub(crate) fn paused(&self) -> Option<(Why, Moment)> {
        self.pause.map(|pause| (pause.why, pause.until))
    }

    /// Since when transient failures have come in a row, and how many.
    pub(crate) fn failing(&self) -> (Moment, u32) {
        (self.failing_since, self.failures)
    }

    /// Whether the server is what holds requests back, and not the caller's limit.
    pub(crate) fn is_throttled(&self, now: Moment) -> bool {
        match self.pause {
            Some(pause) => pause.why == Why::Throttled,
            None => self.learned(now).is_some_and(|learned| self.limit <= 0.0 || learned < self.limit),
        }
    }

    /// When an update that waits is given up: so long after everything was refused, or failed.
    pub(crate) fn patience(&self, throttled: Duration, outage: Duration) -> Option<Moment> {
        match self.pause?.why {
            Why::Throttled => self.refused_since.map(|since| since.saturating_add(throttled)),
            Why::Outage => Some(self.failing_since.saturating_add(outage)),
        }
    }

    /// When the request that stands behind `ahead` others leaves at the earliest, if no 429 comes.
    /// None beyond `deadline`.
    pub(crate) fn earliest(&self, now: Moment, ahead: usize, deadline: Moment) -> Option<Moment> {
        let from = match self.pause {
            Some(pause) => pause.until.max(now),
            None if self.rate(now).is_none() => now,
            None => self.next.max(now),
        };
        if from >= deadline {
            return None;
        }
        if ahead == 0 || self.rate(now).is_none() {
            return Some(from);
        }
        // In steps over the curve, which starts anew when requests resume.
        let curve =
            self.curve.map(|curve| Curve { since: if self.pause.is_some() { from } else { curve.since }, ..curve });
        let step = ((deadline - from) / 64).max(Duration::from_millis(1));
        let (mut at, mut places) = (from, ahead as f64);
        while at < deadline {
            let learned = curve.map_or(f64::INFINITY, |curve| curve.rate(at + step));
            let rate = if self.limit > 0.0 { learned.min(self.limit) } else { learned };
            let needed = places / rate;
            if needed <= step.as_secs_f64() {
                let at = at + Duration::from_secs_f64(needed.max(0.0));
                return (at < deadline).then_some(at);
            }
            places -= rate * step.as_secs_f64();
            at += step;
        }
        None
    }

    /// How many times requests were paused or resumed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    fn probe_limit(&self) -> Duration {
        let limit = (self.slowest * PROBE_TIMES).max(LEAST_PROBE);
        limit.saturating_mul(1 << self.lost_probes.min(10))
    }

    /// From 0 up to 1, by xorshift: good enough to spread waits.
    fn random(&mut self) -> f64 {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        f64::from(u32::try_from(self.random_state >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }
}
