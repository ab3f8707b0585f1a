//! What the outcome of a request changes: it pauses requests, resumes them, or teaches a rate.

use std::time::Duration;

use super::curve::Curve;
use super::{Flow, Moment, Outcome, Pause, Ticket, Why};

/// So many transient failures in a row are an outage.
const TRIP: u32 = 8;

/// In seconds: the first pause for an outage, and the longest. A longer one would save probes, and a
/// server that is back would wait for its requests.
const FIRST_OUTAGE: f64 = 0.5;
const LONGEST_OUTAGE: f64 = 4.0;

/// In seconds: the pause after a 429, at first and at a known pace. Each is with_jitter at random by up
/// to the half and the whole of it.
const FIRST_THROTTLED: f64 = 1.0;
const KNOWN_PACE: f64 = 0.05;
const LONGEST_THROTTLED: f64 = 6.0;

/// However long a server asks for, a probe an hour finds out whether it still means it.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The most that is added to what a server asks for.
const LONGEST_STRETCH: Duration = Duration::from_secs(3);

/// The shortest stretch, in seconds, over which the accepted requests tell a rate.
const MEASURABLE: f64 = 0.3;

/// So many requests tell a rate.
const MANY: f64 = 5.0;

impl Flow {
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
            let until = now + self.with_jitter(time);
            self.pause(now, Pause { why: Why::Throttled, until, length: KNOWN_PACE, probe: None });
        }
    }

    fn throttled(&mut self, now: Moment, ticket: Ticket, asked: Option<Duration>, policy: Option<f64>) {
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
                    // At a slow pace, until another request has a chance.
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
                // Requests that had left before come back with a 429 each, which says nothing new.
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

    /// What a server asks for, and up to a tenth more, so that its clients do not all come back at once.
    fn with_jitter(&mut self, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_ASKED);
        (asked + asked.mul_f64(0.1 * self.random()).min(LONGEST_STRETCH)).min(LONGEST_ASKED)
    }
}
