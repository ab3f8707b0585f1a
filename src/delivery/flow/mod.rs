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
//! - **A pause for an outage**, which [`TRIP`] transient failures in a row begin.
//!
//! A pause ends by a probe: one request, which leaves when the pause is over. If it is accepted,
//! requests resume. If not, the pause goes on for twice as long as before.
//!
//! Everything here depends on the standard library alone: `tests/storm.rs` includes these files.

mod budget;
mod curve;
#[cfg(unix)]
mod stored;
mod taken;

use std::time::Duration;

pub(crate) use budget::Budget;
#[cfg(unix)]
pub(crate) use stored::WORDS;
pub(crate) use taken::LastSecond;

use curve::Curve;

/// A time on the caller's clock, since its zero.
pub(crate) type Moment = Duration;

/// So many transient failures in a row are an outage.
const TRIP: u32 = 8;

/// In seconds: the first pause for an outage, and the longest. A longer one would save probes, and a
/// server that is back would wait for its requests.
const FIRST_OUTAGE: f64 = 0.5;
const LONGEST_OUTAGE: f64 = 4.0;

/// In seconds: the pause after a 429, at first and at a known pace. Each is stretched at random by up
/// to the half and the whole of it.
const FIRST_THROTTLED: f64 = 1.0;
const KNOWN_PACE: f64 = 0.05;
const LONGEST_THROTTLED: f64 = 6.0;

/// However long a server asks for, a probe an hour finds out whether it still means it.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The most that is added to what a server asks for.
const LONGEST_STRETCH: Duration = Duration::from_secs(3);

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

/// The shortest stretch, in seconds, over which the accepted requests tell a rate.
const MEASURABLE: f64 = 0.3;

/// So many requests tell a rate.
const MANY: f64 = 5.0;

/// Why requests are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Throttled,
    Outage,
}

/// What a request that would leave now is told.
#[derive(Debug)]
pub(crate) enum Turn {
    Go(Ticket),
    /// Not before this moment.
    Wait(Moment),
    /// A probe is out. It is given up at this moment, unless its outcome comes before.
    Probing(Moment),
}

/// A place in the sequence of departures, kept from one time of asking to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    at: Moment,
    version: u64,
    /// The rate at which it was given, if there was one.
    rate: Option<f64>,
}

/// Leave to send one request. Its outcome is to be reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    epoch: u64,
    left: Moment,
    rate: Option<f64>,
    probe: Option<Probe>,
}

/// What is special about a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Whether it needs a connection of its own.
    pub(crate) fresh: bool,
}

impl Ticket {
    pub(crate) fn probe(&self) -> Option<Probe> {
        self.probe
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Any answer but a throttling or a failing one. With `exhausted`, the server's headers say that
    /// it accepts no more for so long.
    Accepted { exhausted: Option<Duration> },
    /// A 429: how long the server asks to wait, and the rate that its headers name.
    Throttled { asked: Option<Duration>, policy: Option<f64> },
    /// A transient failure.
    Failed { asked: Option<Duration>, timed_out: bool },
    /// Nothing that says anything about the server: cancelled, or stopped by the call's own deadline.
    Nothing,
}

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
    dice: u64,
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
            dice: seed | 1,
        }
    }

    /// Has the rate grow from a low one for the first seconds, as after an outage: for senders that do not
    /// know of each other's requests in flight.
    pub(crate) fn ramp(mut self, now: Moment) -> Self {
        self.ramp = Some(now);
        self
    }

    /// Forgets the probe and the slots of a parent, whose threads a forked child does not have.
    pub(crate) fn orphan(&mut self) {
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

    /// Reports what came of a request.
    pub(crate) fn report(&mut self, now: Moment, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Accepted { exhausted } => self.accepted(now, ticket, exhausted),
            Outcome::Throttled { asked, policy } => self.throttled(now, ticket, asked, policy),
            Outcome::Failed { asked, timed_out } => self.failed(now, ticket, asked, timed_out),
            Outcome::Nothing => self.abandon(ticket),
        }
    }

    /// Takes note that a request came to nothing. A probe leaves its place to the next.
    fn abandon(&mut self, ticket: Ticket) {
        if let Some(pause) = self.pause.as_mut().filter(|_| ticket.probe.is_some() && ticket.epoch == self.epoch) {
            pause.probe = None;
        }
    }

    fn accepted(&mut self, now: Moment, ticket: Ticket, exhausted: Option<Duration>) {
        self.taken.add(now);
        self.refused_since = None;
        (self.failures, self.lost_probes) = (0, 0);
        let latency = now.saturating_sub(ticket.left);
        self.slowest = latency.max(self.slowest - self.slowest / 16);
        match self.pause {
            Some(pause) if ticket.probe.is_some() && ticket.epoch == self.epoch => self.resume(now, pause),
            // Of a request that had left before, or a probe that was given up: the server is there.
            Some(pause) if pause.why == Why::Outage => self.resume(now, pause),
            _ => {}
        }
        if let Some(time) = exhausted.filter(|time| !time.is_zero() && self.pause.is_none()) {
            let until = now + self.stretched(time);
            self.pause(now, Pause { why: Why::Throttled, until, length: KNOWN_PACE, probe: None });
        }
    }

    fn throttled(&mut self, now: Moment, ticket: Ticket, asked: Option<Duration>, policy: Option<f64>) {
        self.refused_since.get_or_insert(now);
        let known = self.curve.is_some();
        let news = ticket.epoch == self.epoch;
        if news || self.pause.is_some_and(|pause| pause.why == Why::Outage) {
            (self.failures, self.lost_probes) = (0, 0);
        }
        let length = match self.pause {
            None if !news => return,
            None => {
                self.learn(now, ticket, policy);
                match known {
                    // At a slow pace, until another request has a chance.
                    true => self.interval().max(KNOWN_PACE) * (1.0 + self.random()),
                    false => FIRST_THROTTLED * (1.0 + 0.5 * self.random()),
                }
            }
            Some(pause) if news && ticket.probe.is_some() => {
                if !known {
                    self.learn(now, ticket, policy);
                }
                (pause.length * 2.0).max(KNOWN_PACE)
            }
            Some(pause) => {
                // Requests that had left before come back with a 429 each: the same news.
                if let Some(asked) = asked.filter(|_| pause.probe.is_none()) {
                    let until = pause.until.max(now + self.stretched(asked));
                    self.pause = Some(Pause { until, ..pause });
                }
                return;
            }
        };
        let longest = LONGEST_THROTTLED.max(self.interval());
        let length = length.min(longest * (0.8 + 0.2 * self.random()));
        let asked = asked.map(|asked| self.stretched(asked)).unwrap_or_default();
        let until = now + asked.max(Duration::from_secs_f64(length));
        self.pause(now, Pause { why: Why::Throttled, until, length, probe: None });
    }

    fn failed(&mut self, now: Moment, ticket: Ticket, asked: Option<Duration>, timed_out: bool) {
        if ticket.epoch != self.epoch {
            return;
        }
        if self.failures == 0 {
            self.failing_since = now;
        }
        self.failures = self.failures.saturating_add(1);
        let is_outage = self.failures >= TRIP;
        let (why, length) = match self.pause {
            None if is_outage => (Why::Outage, FIRST_OUTAGE),
            None => return,
            Some(_) if ticket.probe.is_none() => return,
            Some(pause) => {
                self.lost_probes = if timed_out { self.lost_probes.saturating_add(1) } else { 0 };
                let why = if is_outage { Why::Outage } else { pause.why };
                (why, (pause.length * 2.0).max(FIRST_OUTAGE))
            }
        };
        let length = length.min(LONGEST_OUTAGE);
        let asked = asked.map(|asked| self.stretched(asked)).unwrap_or_default();
        let until = now + asked.max(Duration::from_secs_f64(length * (0.8 + 0.2 * self.random())));
        self.pause(now, Pause { why, until, length, probe: None });
    }

    /// Pauses requests, or goes on pausing them.
    fn pause(&mut self, now: Moment, pause: Pause) {
        if self.pause.is_none() {
            self.paused_at = now;
        }
        self.epoch += 1;
        self.version += 1;
        self.pause = Some(pause);
    }

    fn resume(&mut self, now: Moment, pause: Pause) {
        self.epoch += 1;
        self.version += 1;
        self.pause = None;
        self.resumed = now;
        if pause.why == Why::Outage {
            self.ramp = Some(now);
        }
        if let Some(curve) = &mut self.curve {
            curve.since = now;
        }
        // The probe was the first to leave.
        self.next = self.rate(now).map_or(now, |rate| now + Duration::from_secs_f64(1.0 / rate));
    }

    /// Learns from a 429 that came while requests were not paused, or to the first probe of all.
    fn learn(&mut self, now: Moment, ticket: Ticket, policy: Option<f64>) {
        let taken = self.taken.sum(now);
        let curve = match self.curve {
            None => Curve::first(taken, policy, now),
            Some(curve) => {
                let rate = ticket.rate.unwrap_or_else(|| curve.rate(ticket.left));
                // Of the last second, without the pause.
                let second_ago = now.saturating_sub(Duration::from_secs(1));
                let pause = self.resumed.saturating_sub(self.paused_at.max(second_ago));
                let covered = 1.0 - pause.as_secs_f64();
                let measured = (covered >= MEASURABLE && rate * covered >= MANY).then(|| taken / covered);
                curve.next(rate, measured, ticket.left)
            }
        };
        // If the caller's own limit was lower, that is what the server did not accept.
        let ceiling = if self.limit > 0.0 { curve.ceiling.min(self.limit) } else { curve.ceiling };
        self.curve = Some(Curve { ceiling, ..curve });
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

    /// What a server asks for, and up to a tenth more, so that its clients do not all come back at once.
    fn stretched(&mut self, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_ASKED);
        (asked + asked.mul_f64(0.1 * self.random()).min(LONGEST_STRETCH)).min(LONGEST_ASKED)
    }

    /// From 0 up to 1, by xorshift: good enough to spread waits.
    fn random(&mut self) -> f64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        f64::from(u32::try_from(self.dice >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }
}
