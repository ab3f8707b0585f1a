//! Handles the outcome of a request: pauses requests, resumes them, or learns a rate.

use std::time::Duration;

use super::curve::Curve;
use super::{Flow, Moment, Outcome, Pause, Ticket, Why};

/// This many consecutive transient failures are an outage.
const TRIP: u32 = 8;

/// The first and the longest pause for an outage, in seconds. A longer one would save probes, but
/// would delay requests after the server has recovered.
const FIRST_OUTAGE: f64 = 0.5;
const LONGEST_OUTAGE: f64 = 4.0;

/// The pause after the first 429, the pause at a learned rate, and the longest one, in seconds. The
/// first two get up to 50 % and up to 100 % of random jitter.
const FIRST_THROTTLED: f64 = 1.0;
const KNOWN_PACE: f64 = 0.05;
const LONGEST_THROTTLED: f64 = 6.0;

/// Even if a server asks for a longer pause, a probe is sent every hour.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The most jitter that is added to the pause that a server asks for.
const LONGEST_STRETCH: Duration = Duration::from_secs(3);

/// The shortest time, in seconds, over which the accepted requests give a rate.
const MEASURABLE: f64 = 0.3;

/// The number of requests from which a rate can be measured.
const MANY: f64 = 5.0;

impl Flow {
    /// Handles the outcome of a request.
    pub(crate) fn report(&mut self, now: Moment, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Accepted { exhausted } => self.accepted(now, ticket, exhausted),
            Outcome::Throttled { asked, policy } => self.throttled(now, ticket, asked, policy),
            Outcome::Failed { asked, timed_out } => self.failed(now, ticket, asked, timed_out),
            Outcome::Nothing => self.abandon(ticket),
        }
    }

    /// Handles a request without an outcome. If it was a probe, another one may be sent.
    fn abandon(&mut self, ticket: Ticket) {
        if let Some(pause) =
            self.pause.as_mut().filter(|_| ticket.probe.is_some() && ticket.epoch == self.epoch)
        {
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
            Some(pause) if ticket.probe.is_some() && ticket.epoch == self.epoch => {
                self.resume(now, pause)
            }
            // The request was sent before the pause, or was a probe that was given up. Its success
            // shows that the server is up.
            Some(pause) if pause.why == Why::Outage => self.resume(now, pause),
            _ => {}
        }
        if let Some(time) = exhausted.filter(|time| !time.is_zero() && self.pause.is_none()) {
            let until = now + self.with_jitter(time);
            self.pause(now, Pause { why: Why::Throttled, until, length: KNOWN_PACE, probe: None });
        }
    }

    fn throttled(
        &mut self,
        now: Moment,
        ticket: Ticket,
        asked: Option<Duration>,
        policy: Option<f64>,
    ) {
        self.refused_since.get_or_insert(now);
        let known = self.curve.is_some();
        let is_current = ticket.epoch == self.epoch;
        if is_current || self.pause.is_some_and(|pause| pause.why == Why::Outage) {
            (self.failures, self.lost_probes) = (0, 0);
        }
        let length = match self.pause {
            None if !is_current => return,
            None => {
                self.learn(now, ticket, policy);
                match known {
                    // At a low rate, wait until the server can be expected to accept another
                    // request.
                    true => self.interval().max(KNOWN_PACE) * (1.0 + self.random()),
                    false => FIRST_THROTTLED * (1.0 + 0.5 * self.random()),
                }
            }
            Some(pause) if is_current && ticket.probe.is_some() => {
                if !known {
                    self.learn(now, ticket, policy);
                }
                (pause.length * 2.0).max(KNOWN_PACE)
            }
            Some(pause) => {
                // Requests that were in flight when the pause began also get a 429, which is not
                // new.
                if let Some(asked) = asked.filter(|_| pause.probe.is_none()) {
                    let until = pause.until.max(now + self.with_jitter(asked));
                    self.pause = Some(Pause { until, ..pause });
                }
                return;
            }
        };
        let longest = LONGEST_THROTTLED.max(self.interval());
        let length = length.min(longest * (0.8 + 0.2 * self.random()));
        let asked = asked.map(|asked| self.with_jitter(asked)).unwrap_or_default();
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
        let asked = asked.map(|asked| self.with_jitter(asked)).unwrap_or_default();
        let until = now + asked.max(Duration::from_secs_f64(length * (0.8 + 0.2 * self.random())));
        self.pause(now, Pause { why, until, length, probe: None });
    }

    /// Begins a pause, or continues it.
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
        // The probe was the first request at this rate.
        self.next = self.rate(now).map_or(now, |rate| now + Duration::from_secs_f64(1.0 / rate));
    }

    /// Learns from a 429 that came while requests were not paused, or to the very first probe.
    fn learn(&mut self, now: Moment, ticket: Ticket, policy: Option<f64>) {
        let taken = self.taken.sum(now);
        let curve = match self.curve {
            None => Curve::first(taken, policy, now),
            Some(curve) => {
                let rate = ticket.rate.unwrap_or_else(|| curve.rate(ticket.left));
                // The part of the last second in which requests were not paused.
                let second_ago = now.saturating_sub(Duration::from_secs(1));
                let pause = self.resumed.saturating_sub(self.paused_at.max(second_ago));
                let covered = 1.0 - pause.as_secs_f64();
                let measured =
                    (covered >= MEASURABLE && rate * covered >= MANY).then(|| taken / covered);
                curve.next(rate, measured, ticket.left)
            }
        };
        // If the caller's own limit was lower, the server refused that rate.
        let ceiling = if self.limit > 0.0 { curve.ceiling.min(self.limit) } else { curve.ceiling };
        self.curve = Some(Curve { ceiling, ..curve });
    }

    /// Adds up to 10 % of jitter to the time that a server asks for, so that its clients do not all
    /// return at once.
    fn with_jitter(&mut self, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_ASKED);
        (asked + asked.mul_f64(0.1 * self.random()).min(LONGEST_STRETCH)).min(LONGEST_ASKED)
    }
}
