//! The gate that all calls of a client pass: shut by a 429, reopened by one probe, paced at a rate that it learns.
//!
//! The server throttles without saying how much. Its first 429 tells: what it had taken in the second before is about
//! what it takes. From then on calls leave evenly spaced, at a rate that starts a little below where the last 429 came,
//! flattens out just under it, and only then grows beyond, slowly first (the cubic curve of TCP CUBIC, in place of a
//! straight line: most of the time is spent close below the limit, and 429s are rare; and a limit that is many times
//! higher is found in seconds). The rule stays increase by addition, decrease by multiplication: each 429 that comes
//! soon after another one cuts deeper.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::last_second::LastSecond;
use crate::delivery::retry::with_jitter;
use crate::failpoint;
use crate::fork;

/// A 429 that does not say how long shuts the gate this long; each probe that fails doubles it.
const FIRST_SHUT: Duration = Duration::from_secs(1);
const LONGEST_BARE_SHUT: Duration = Duration::from_secs(30);

/// However long a server asks for, one probe an hour finds out whether it still means it.
const LONGEST_SHUT: Duration = Duration::from_secs(3600);

const ONE_SECOND: Duration = Duration::from_secs(1);

/// How often calls look whether the probe is back.
const PROBE_LOOK: Duration = Duration::from_millis(10);

/// What is left of the rate after a 429, by how many came in quick succession.
const CUTS: [f64; 5] = [0.96, 0.92, 0.85, 0.7, 0.5];

/// A 429 within this time after the gate reopened is one in quick succession.
const QUICK: Duration = Duration::from_secs(10);

/// How long the rate takes back to where the last 429 came. The first one is a rough measure: a burst is over before
/// it tells a rate, which may be many times higher; so it is tried soon. So is one that came to less than this share
/// of the rate, for then that was not what calls waited for.
const QUICK_RECOVERY: Duration = Duration::from_secs(3);
const RECOVERY: Duration = Duration::from_secs(60);
const ROUGH: f64 = 0.7;

/// How much the rate has grown beyond where the last 429 came, after twice the time of recovery.
const GROWTH: f64 = 0.15;

/// The lowest rate, in requests a second; and the least that the server must have taken before a 429 tells a rate.
const SLOWEST: f64 = 0.1;
const LEAST_TAKEN: f64 = 2.0;

pub(crate) struct Gate {
    state: Mutex<State>,
}

struct State {
    /// `max_requests_per_second`, where there is one.
    limit: Option<f64>,
    /// What the server lets through, once it was heard.
    pace: Option<Pace>,
    /// When the next call may leave, where there is a rate: the end of the line.
    next: Option<Instant>,
    /// Places before the end whose calls do not wait any more, the earliest first.
    given_back: BinaryHeap<Reverse<Instant>>,
    shut: Option<Shut>,
    /// How often the gate was shut; tells a 429 to a call that left before from a new one.
    times_shut: u64,
    accepted: LastSecond,
    /// The process whose threads probe and stand in the line.
    generation: u32,
}

struct Shut {
    until: Instant,
    /// How long for, had the server not said.
    bare: Duration,
    probing: bool,
}

#[derive(Clone, Copy)]
struct Pace {
    /// The rate at which the last 429 came.
    ceiling: f64,
    /// How much of it was left then.
    cut: f64,
    /// How many came in quick succession.
    strikes: usize,
    /// When the gate reopened.
    since: Instant,
    recovery: Duration,
}

impl Pace {
    fn rate(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64() / self.recovery.as_secs_f64();
        let bend = if passed < 1.0 { 1.0 - self.cut } else { GROWTH };
        (self.ceiling * (1.0 + bend * (passed - 1.0).powi(3))).max(SLOWEST)
    }
}

/// What the gate says to a call.
pub(crate) enum Passage<'a> {
    Go(Ticket<'a>),
    /// Ask again then.
    Wait(Instant),
    /// Its turn comes so late that the call's deadline passes first.
    TooLate {
        wait: Duration,
        throttled: bool,
    },
}

/// A call's place in the line.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    at: Instant,
    times_shut: u64,
}

/// What came of a request, for the gate.
pub(crate) enum Outcome {
    /// A 429, and how long the server asked to wait.
    Throttled(Option<Duration>),
    /// Any other answer.
    Passed,
    /// No answer.
    Failed,
}

/// Leave to send one request. What came of it is to be reported.
pub(crate) struct Ticket<'a> {
    gate: &'a Gate,
    probe: bool,
    times_shut: u64,
}

impl Gate {
    /// `limit` is in requests a second; 0 is none.
    pub(crate) fn new(limit: f64) -> Self {
        let limit = (limit > 0.0).then_some(limit);
        let state = State {
            limit,
            pace: None,
            next: None,
            given_back: BinaryHeap::new(),
            shut: None,
            times_shut: 0,
            accepted: LastSecond::default(),
            generation: fork::generation(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Asks to pass. `place` is the caller's place in the line, kept from one time it asks to the next.
    pub(crate) fn pass(&self, now: Instant, deadline: Instant, place: &mut Option<Place>) -> Passage<'_> {
        fork::held(|| {
            let mut state = self.lock();
            state.leave_parent_behind();
            let times_shut = state.times_shut;
            failpoint::reach("pass");
            if let Some(shut) = &mut state.shut {
                *place = None;
                if now < shut.until {
                    return match shut.until < deadline {
                        true => Passage::Wait(shut.until),
                        false => Passage::TooLate { wait: shut.until - now, throttled: true },
                    };
                }
                if shut.probing {
                    return Passage::Wait(now + PROBE_LOOK);
                }
                shut.probing = true;
                return Passage::Go(Ticket { gate: self, probe: true, times_shut });
            }
            let at = match place {
                Some(place) if place.times_shut == times_shut => place.at,
                _ => match state.take_place(now, deadline) {
                    Ok(at) => at,
                    Err(passage) => return passage,
                },
            };
            if at > now {
                *place = Some(Place { at, times_shut });
                return Passage::Wait(at);
            }
            Passage::Go(Ticket { gate: self, probe: false, times_shut })
        })
    }

    /// Gives a place in the line back, for another call to take, since this one does not wait any more.
    pub(crate) fn give_back(&self, place: Option<Place>) {
        fork::held(|| {
            let mut state = self.lock();
            if let Some(place) = place.filter(|place| place.times_shut == state.times_shut) {
                state.given_back.push(Reverse(place.at));
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the call may leave: at once where there is no rate, else at a place that was given back or at the end of
    /// the line.
    fn take_place(&mut self, now: Instant, deadline: Instant) -> Result<Instant, Passage<'static>> {
        let Some(interval) = self.interval(now) else {
            return Ok(now);
        };
        while self.given_back.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.given_back.pop();
        }
        let given_back = self.given_back.peek().map(|Reverse(at)| *at);
        let at = given_back.unwrap_or_else(|| self.next.map_or(now, |next| next.max(now)));
        if at >= deadline {
            return Err(Passage::TooLate { wait: at - now, throttled: self.pace.is_some() });
        }
        match given_back {
            Some(_) => drop(self.given_back.pop()),
            None => self.next = Some(at + interval),
        }
        Ok(at)
    }

    /// Between one call and the next, where there is a rate.
    fn interval(&self, now: Instant) -> Option<Duration> {
        let pace = self.pace.map(|pace| pace.rate(now));
        let rate = self.limit.into_iter().chain(pace).reduce(f64::min)?;
        Some(Duration::from_secs_f64(1.0 / rate))
    }

    /// A forked child does not have the threads that probe and stand in the line.
    fn leave_parent_behind(&mut self) {
        let generation = fork::generation();
        if self.generation != generation {
            self.generation = generation;
            self.next = None;
            self.given_back.clear();
            self.probe_lost();
        }
    }

    fn throttled(&mut self, now: Instant, ticket: &Ticket<'_>, asked: Option<Duration>) {
        // Calls that had left before the gate shut come back with a 429 each: the same news.
        let news = ticket.probe || ticket.times_shut == self.times_shut;
        let bare = match &self.shut {
            Some(shut) if ticket.probe => (shut.bare * 2).min(LONGEST_BARE_SHUT),
            Some(shut) => shut.bare,
            None => FIRST_SHUT,
        };
        if news {
            self.times_shut += 1;
            if !ticket.probe {
                self.slow_down(now);
            }
        } else if asked.is_none() || self.shut.is_none() {
            return;
        }
        let until = now + asked.map_or(bare, with_jitter).min(LONGEST_SHUT);
        // Late news shut it for longer, and do not end a probe that is out.
        let before = self.shut.as_ref().filter(|_| !ticket.probe);
        let probing = before.is_some_and(|shut| shut.probing);
        let until = before.map_or(until, |shut| shut.until.max(until));
        self.shut = Some(Shut { until, bare, probing });
    }

    fn slow_down(&mut self, now: Instant) {
        let taken = Some(self.accepted.count(now)).filter(|taken| *taken >= LEAST_TAKEN);
        let (ceiling, strikes, recovery) = match (self.pace, taken) {
            (Some(pace), taken) => {
                let open = now.saturating_duration_since(pace.since);
                // In a quiet time the rate grows far beyond what was ever sent.
                let tried = if open > ONE_SECOND { taken.unwrap_or(pace.ceiling) } else { pace.ceiling };
                let rate = pace.rate(now);
                // Where the rate was only being found, this is how it is found.
                let again = open < QUICK && pace.recovery == RECOVERY;
                let strikes = if again { pace.strikes + 1 } else { 0 };
                let recovery = if tried < rate * ROUGH { QUICK_RECOVERY } else { RECOVERY };
                (rate.min(tried), strikes, recovery)
            }
            (None, Some(taken)) => (taken, 0, QUICK_RECOVERY),
            (None, None) => return,
        };
        // Where the caller's own limit was the slower one, that is what the server did not take.
        let ceiling = self.limit.map_or(ceiling, |limit| limit.min(ceiling)).max(SLOWEST);
        let cut = CUTS.get(strikes).or(CUTS.last()).copied().unwrap_or(0.5);
        self.pace = Some(Pace { ceiling, cut, strikes, since: now, recovery });
    }

    fn passed(&mut self, now: Instant, ticket: &Ticket<'_>) {
        self.accepted.add(now);
        if ticket.probe {
            self.reopen(now);
        }
    }

    fn reopen(&mut self, now: Instant) {
        self.shut = None;
        if let Some(pace) = &mut self.pace {
            pace.since = now;
        }
        // The probe was the first of a new line.
        self.next = self.interval(now).map(|interval| now + interval);
        self.given_back.clear();
    }

    fn probe_lost(&mut self) {
        if let Some(shut) = &mut self.shut {
            shut.probing = false;
        }
    }
}

impl Ticket<'_> {
    pub(crate) fn report(self, now: Instant, outcome: &Outcome) {
        fork::held(|| {
            let mut state = self.gate.lock();
            failpoint::reach("report");
            match outcome {
                Outcome::Throttled(asked) => state.throttled(now, &self, *asked),
                Outcome::Passed => state.passed(now, &self),
                Outcome::Failed => {}
            }
        });
    }
}

impl Drop for Ticket<'_> {
    /// A probe that brought no news, for its call failed or was cancelled, leaves its place to the next.
    fn drop(&mut self) {
        if self.probe {
            fork::held(|| {
                let mut state = self.gate.lock();
                if state.times_shut == self.times_shut {
                    state.probe_lost();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
