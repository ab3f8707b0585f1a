//! The line: a client-wide queue that decides when each request may leave.
//!
//! Every request of a client, from direct calls and batches alike, leaves by [`Line::depart`], and what
//! came of it comes back by [`Departure::report`]. The decisions are those of a [`Flow`]; the line has
//! the calls wait for them.
//!
//! - **First come, first served.** A call gets a number when it is made. Calls that wait stand in the
//!   order of their numbers, each blocked on a [`Parker`] of its own. Only the first one watches the
//!   clock. When it leaves, it wakes the next. Nothing is polled.
//! - **Order per user.** A call for a user that has another one in flight or waiting stands behind it,
//!   until that has returned with all its retries. Other users notice nothing. An update of a batch that
//!   stands behind its user occupies no thread: the batch is told when its turn comes ([`Ready`]).
//! - **Nobody waits in vain.** A call whose deadline passes before it could leave fails at once: when it
//!   comes, and when a pause begins that is longer than its deadline.
//! - **Callbacks.** While a call invokes its callback it steps aside, since that may take long, and may
//!   make a call of its own.
//!
//! With `rate_group`, the [`Flow`] is that of all processes of the [`Group`].

mod clock;
mod events;
mod group;
mod state;
mod turns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::flow::{Flow, Moment, Outcome, Probe, Ticket, Why};
use crate::delivery::watch::{Stop, Wake, Watch};
use crate::error::Result;
use crate::failpoint;
use crate::fork;
use crate::log::Log;

use clock::{seed, Clock};
use group::Group;
use state::{State, Step, Waiter};

pub(crate) use turns::{Place, Ready, Successor};

/// As good as forever.
const FAR: Duration = Duration::from_secs(86_400);

pub(crate) struct Line {
    state: Mutex<State>,
    clock: Clock,
    ordered: bool,
    log: Arc<Log>,
}

/// How long an update of a batch waits for the server: without one accepted request while it throttles,
/// and through an outage. Its deadline is extended meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) throttled: Duration,
    pub(crate) outage: Duration,
}

/// Why a call may not leave before its deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Held {
    Stopped(Stop),
    /// The server throttles; in this time the call could leave.
    Throttled {
        wait: Duration,
    },
    /// `max_requests_per_second`.
    Limited {
        wait: Duration,
    },
    /// The server has not answered for so long; the next probe is due in `wait`.
    Outage {
        lasts: Duration,
        failures: u32,
        wait: Duration,
    },
}

/// Leave to send one request, whose outcome is to be reported. Dropped without, it says nothing about
/// the server.
pub(crate) struct Departure<'a> {
    line: &'a Line,
    ticket: Option<Ticket>,
}

impl Line {
    /// `limit` is `max_requests_per_second`, `ordered` is `order_per_user`, and `group` the name of the
    /// `rate_group`, if there is one.
    pub(crate) fn new(limit: f64, ordered: bool, group: Option<&str>, log: Arc<Log>) -> Result<Self> {
        let clock = Clock::start();
        let flow = Flow::new(limit, seed());
        let (flow, group) = match group {
            // The processes of a group do not know of each other's first requests.
            Some(name) => (flow.ramp(clock.now()), Some(Group::join(name)?)),
            None => (flow, None),
        };
        let state = State::new(flow, group);
        Ok(Self { state: Mutex::new(state), clock, ordered, log })
    }

    /// Waits until a request of the call in this place may leave.
    pub(crate) fn depart(
        &self,
        place: &mut Place,
        watch: &Watch,
        patience: Option<Patience>,
    ) -> Result<Departure<'_>, Held> {
        watch.check_graceful_cancel().map_err(Held::Stopped)?;
        let number = place.number();
        let mut at_once = place.ticket.take();
        if at_once.is_none() {
            self.locked(&mut |state, now| {
                failpoint::reach("pass");
                at_once = state.leave_at_once(number, now);
            });
        }
        self.emit();
        if at_once.is_some() {
            return Ok(Departure { line: self, ticket: at_once });
        }
        let began = Instant::now();
        let outcome = self.wait(number, watch, patience);
        if patience.is_some() {
            watch.extend(began.elapsed());
        }
        outcome
    }

    fn wait(&self, number: u64, watch: &Watch, patience: Option<Patience>) -> Result<Departure<'_>, Held> {
        /// Steps aside, however the waiting ends.
        struct Standing<'a>(&'a Line, u64);
        impl Drop for Standing<'_> {
            fn drop(&mut self) {
                self.0.step_aside(self.1);
            }
        }

        let deadline = if patience.is_some() { watch.overall() } else { Some(watch.deadline()) };
        let deadline = deadline.map(|deadline| self.clock.moment(deadline));
        let waiter = Arc::new(Waiter { number, parker: watch.parker().clone(), deadline, patience });
        let _standing = Standing(self, number);
        loop {
            let mut step = Step::Park(None);
            self.locked(&mut |state, now| step = state.step(&waiter, now));
            self.emit();
            match step {
                Step::Leave(ticket) => return Ok(Departure { line: self, ticket: Some(ticket) }),
                Step::Fail(held) => return Err(held),
                Step::Park(at) => {
                    let until = at.into_iter().chain(deadline).min().map(|until| self.clock.instant(until));
                    if watch.park(until).map_err(Held::Stopped)? == Wake::InvokeCallback {
                        self.step_aside(number);
                        watch.invoke_callback().map_err(Held::Stopped)?;
                    }
                }
            }
        }
    }

    /// Gives leave to send back, for another call.
    fn give_back(&self, ticket: Ticket) {
        drop(Departure { line: self, ticket: Some(ticket) });
    }

    fn step_aside(&self, number: u64) {
        self.locked(&mut |state, _| state.remove(number));
    }

    /// Why a request that would stand behind `ahead` others cannot leave before this deadline.
    pub(crate) fn too_late(&self, deadline: Instant, ahead: usize) -> Option<Held> {
        let deadline = self.clock.moment(deadline);
        let mut held = None;
        self.locked(&mut |state, now| {
            let ahead = state.waiting.len() + ahead;
            if state.flow.earliest(now, ahead, deadline).is_none() {
                held = Some(state.held(now, ahead));
            }
        });
        held
    }

    /// Takes the tokens of a retry, unless the budget has too few.
    pub(crate) fn take_retry(&self, after_timeout: bool) -> bool {
        self.held(|state| state.budget.take(after_timeout))
    }

    /// Whether requests are paused for an outage.
    pub(crate) fn is_outage(&self) -> bool {
        self.held(|state| state.flow.paused().is_some_and(|(why, _)| why == Why::Outage))
    }

    /// How many requests of this process were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.held(|state| state.accepted)
    }

    /// How many transient failures the client has had in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.held(|state| state.flow.failing().1)
    }

    /// The rate that was learned, in requests a second.
    pub(crate) fn learned(&self) -> Option<f64> {
        let mut learned = None;
        self.locked(&mut |state, now| learned = state.flow.learned(now));
        learned
    }

    /// Sets `max_requests_per_second`; 0 for none.
    pub(crate) fn set_limit(&self, limit: f64) {
        self.locked(&mut |state, now| {
            state.flow.set_limit(now, limit);
            state.wakes_first = true;
        });
    }

    /// Runs a critical section on what the line knows of the server, and wakes whom that concerns.
    fn locked(&self, section: &mut dyn FnMut(&mut State, Moment)) {
        self.locked_at(self.clock.now(), section);
    }

    fn locked_at(&self, now: Moment, section: &mut dyn FnMut(&mut State, Moment)) {
        let woken = fork::held(|| {
            let mut state = self.lock();
            state.synchronized(now, section);
            state.woken()
        });
        if let Some(parker) = woken {
            parker.unpark();
        }
    }

    /// Runs a critical section on what is this process's own.
    fn held<T>(&self, section: impl FnOnce(&mut State) -> T) -> T {
        fork::held(|| section(&mut self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reset_after_fork();
        state
    }
}

impl Departure<'_> {
    pub(crate) fn probe(&self) -> Option<Probe> {
        self.ticket.and_then(|ticket| ticket.probe())
    }

    /// Reports what came at `ended` of the request, and whether the update was confirmed. The call `leaves` its place
    /// then.
    pub(crate) fn report(mut self, ended: Instant, outcome: Outcome, confirmed: bool, leaves: Option<&mut Place>) {
        self.end(ended, outcome, confirmed, leaves);
    }

    fn end(&mut self, ended: Instant, outcome: Outcome, confirmed: bool, mut leaves: Option<&mut Place>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut successor = None;
        self.line.locked_at(self.line.clock.moment(ended), &mut |state, now| {
            failpoint::reach("report");
            if confirmed {
                state.budget.success();
            }
            state.accepted += u64::from(matches!(outcome, Outcome::Accepted { .. }));
            state.flow.report(now, ticket, outcome);
            state.wakes_first |= ticket.probe().is_some();
            let turn = leaves.as_mut().and_then(|place| place.take_turn());
            successor = turn.and_then(|turn| state.turns.leave(&turn));
        });
        if let Some(successor) = successor {
            successor.begin();
        }
        self.line.emit();
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        self.end(Instant::now(), Outcome::Nothing, false, None);
    }
}

#[cfg(test)]
mod tests;
