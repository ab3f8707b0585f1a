//! Decides when requests may be sent. The client's knowledge of its server is a state machine
//! without a clock.
//!
//! A [`Flow`] is asked before each request, and each outcome is reported to it. It neither blocks
//! nor reads a clock, so the same code runs in a client, in a group of processes, and in the
//! simulated time of the tests. Three things hold requests back:
//!
//! - **The pace.** `max_requests_per_second`, the rate learned from 429s ([`curve`]), and a ramp
//!   for a few seconds after an outage. Requests are evenly spaced at the lowest of these rates.
//! - **A pause for throttling**, which a 429 begins. If a rate has been learned, it lasts 50 to 100
//!   ms; after the first 429, 1 to 1.5 s. It is never shorter than the server's `Retry-After`.
//! - **A pause for an outage**, which [`TRIP`](report) consecutive transient failures begin.
//!
//! A pause ends with a probe: one request, which is sent when the pause is over. If the server
//! accepts it, requests resume. If not, the pause continues for twice as long as before.
//!
//! This module depends only on the standard library, because `tests/storm.rs` includes its files.

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

/// After an outage, the rate starts at [`RAMP_START`] and grows by [`RAMP_FACTOR`] per second, for
/// [`RAMP_SECONDS`] seconds.
const RAMP_START: f64 = 50.0;
const RAMP_FACTOR: f64 = 10.0;
const RAMP_SECONDS: f64 = 1.5;

/// If a request is late, the next one makes up for this much of the delay, plus a tenth of the
/// interval.
const SLACK: Duration = Duration::from_micros(200);

/// The shortest timeout of a probe. Otherwise, it is [`PROBE_TIMES`] times the slowest recent
/// reply.
const LEAST_PROBE: Duration = Duration::from_secs(2);
const PROBE_TIMES: u32 = 4;

/// If the outcome of a probe is still unknown this long after its timeout, the probe is given up.
const PROBE_GRACE: Duration = Duration::from_secs(1);

/// After a pause of this many seconds, the idle connections may be closed.
const LONG_PAUSE: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Pause {
    why: Why,
    /// When a probe may be sent.
    until: Moment,
    /// The length of the pause in seconds, without any extension that the server asked for.
    length: f64,
    /// When the probe in flight is given up.
    probe: Option<Moment>,
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// `max_requests_per_second`; 0 means no limit.
    limit: f64,
    curve: Option<Curve>,
    pause: Option<Pause>,
    /// Distinguishes outcomes of requests sent since the last pause or resumption from earlier
    /// ones.
    epoch: u64,
    /// Identifies slots that are no longer valid.
    version: u64,
    /// The next slot.
    next: Moment,
    /// When requests were last paused, and when they resumed.
    paused_at: Moment,
    resumed: Moment,
    /// When requests resumed after an outage.
    ramp: Option<Moment>,
    taken: LastSecond,
    /// The time since which the server has refused everything.
    refused_since: Option<Moment>,
    /// The number of consecutive transient failures, and the time of the first one.
    failures: u32,
    failing_since: Moment,
    /// The number of consecutive probes that timed out.
    lost_probes: u32,
    /// The slowest recent reply.
    slowest: Duration,
    random_state: u64,
}

impl Flow {
    /// `limit` is in requests per second; 0 means no limit. `seed` is any number.
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

    /// Starts with a low rate that grows in the first seconds, as after an outage. This is for
    /// senders that do not know about each other's requests in flight.
    pub(crate) fn ramp(mut self, now: Moment) -> Self {
        self.ramp = Some(now);
        self
    }

    /// Forgets the parent's probe and slots: a forked child does not have the parent's threads.
    pub(crate) fn reset_after_fork(&mut self) {
        self.version += 1;
        self.next = Moment::ZERO;
        if let Some(pause) = &mut self.pause {
            pause.probe = None;
        }
    }

    /// Asks for permission to send. `slot` is what a former call of this function stored, if any.
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
            // If a request was late, the next one must not follow too closely: a server that allows
            // no burst would refuse it.
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
        Turn::Go(Ticket {
            epoch: self.epoch,
            left: now,
            rate: None,
            probe: Some(Probe { limit, fresh }),
        })
    }

    /// Reserves the next slot.
    fn reserve(&mut self, now: Moment) -> Slot {
        let rate = self.rate(now);
        let at = rate.map_or(now, |_| self.next.max(now));
        if let Some(rate) = rate {
            self.next = at + Duration::from_secs_f64(1.0 / rate);
        }
        Slot { at, version: self.version, rate }
    }

    /// Returns the rate at which requests may be sent while they are not paused, or `None` if
    /// nothing limits it.
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

    /// Returns the learned rate, in requests per second.
    pub(crate) fn learned(&self, now: Moment) -> Option<f64> {
        self.curve.map(|curve| curve.rate(now))
    }

    /// Returns the time between two requests at the rate of the last 429, in seconds.
    fn interval(&self) -> f64 {
        self.curve.map_or(0.0, |curve| 1.0 / curve.ceiling)
    }

    /// Sets `max_requests_per_second`; 0 removes the limit.
    pub(crate) fn set_limit(&mut self, now: Moment, limit: f64) {
        self.limit = limit;
        self.version += 1;
        self.next = self
            .rate(now)
            .map_or(now, |rate| self.next.min(now + Duration::from_secs_f64(1.0 / rate)));
    }

    /// Returns why requests are paused and until when, if they are.
    pub(crate) fn paused(&self) -> Option<(Why, Moment)> {
        self.pause.map(|pause| (pause.why, pause.until))
    }

    /// Returns the time of the first of the consecutive transient failures, and their number.
    pub(crate) fn failing(&self) -> (Moment, u32) {
        (self.failing_since, self.failures)
    }

    /// Returns whether the server, and not the caller's own limit, holds requests back.
    pub(crate) fn is_throttled(&self, now: Moment) -> bool {
        match self.pause {
            Some(pause) => pause.why == Why::Throttled,
            None => {
                self.learned(now).is_some_and(|learned| self.limit <= 0.0 || learned < self.limit)
            }
        }
    }

    /// Returns when a waiting update is given up: `throttled` after the server began to refuse
    /// everything, or `outage` after the first failure.
    pub(crate) fn patience(&self, throttled: Duration, outage: Duration) -> Option<Moment> {
        match self.pause?.why {
            Why::Throttled => self.refused_since.map(|since| since.saturating_add(throttled)),
            Why::Outage => Some(self.failing_since.saturating_add(outage)),
        }
    }

    /// Returns the earliest time at which a request behind `ahead` others can be sent, if no 429
    /// comes. Returns `None` if that is not before `deadline`.
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
        // Integrate the curve in steps. It starts anew when requests resume.
        let curve = self.curve.map(|curve| Curve {
            since: if self.pause.is_some() { from } else { curve.since },
            ..curve
        });
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

    /// Returns a number that changes whenever requests are paused or resumed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    fn probe_limit(&self) -> Duration {
        let limit = (self.slowest * PROBE_TIMES).max(LEAST_PROBE);
        limit.saturating_mul(1 << self.lost_probes.min(10))
    }

    /// Returns a number from 0 up to, but excluding, 1. Xorshift is good enough to spread waits.
    fn random(&mut self) -> f64 {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        f64::from(u32::try_from(self.random_state >> 32).unwrap_or_default())
            / (f64::from(u32::MAX) + 1.0)
    }
}
