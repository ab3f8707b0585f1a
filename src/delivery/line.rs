//! The line: a client-wide queue that decides when each request may be sent.
//!
//! Every request of a client, from direct calls and batches alike, is sent after [`Line::depart`]
//! returns, and its outcome is reported with [`Departure::report`]. A [`Flow`] makes the decisions;
//! the line blocks the calls until they may send.
//!
//! - **First come, first served.** A call gets a number when it is made. Waiting calls are queued
//!   in the order of their numbers, each blocked on its own [`Parker`]. Only the first one watches
//!   the clock. When it is sent, it wakes the next. Nothing is polled.
//! - **Order per user.** If another call for the same user is in flight or waiting, a call waits
//!   until that one has returned, including all its retries. Calls for other users are not
//!   affected. An update of a batch that waits for its user does not occupy a thread: the batch is
//!   notified when the update's turn comes ([`Ready`]).
//! - **Calls fail early.** A call that cannot be sent before its deadline fails at once: when it is
//!   made, or when a pause begins that exceeds its deadline.
//! - **Callbacks.** While a call invokes its callback, it leaves the queue, because the callback
//!   may take long and may make a call itself.
//!
//! With `rate_group`, all processes of the [`Group`] share the [`Flow`].

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

/// Long enough to count as forever.
const FAR: Duration = Duration::from_secs(86_400);

pub(crate) struct Line {
    state: Mutex<State>,
    clock: Clock,
    ordered: bool,
    log: Arc<Log>,
}

/// How long an update of a batch waits for the server: while the server throttles and accepts
/// nothing, and during an outage. The update's deadline is extended meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) throttled: Duration,
    pub(crate) outage: Duration,
}

/// Why a call cannot be sent before its deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Held {
    Stopped(Stop),
    /// The server throttles. The call could be sent after `wait`.
    Throttled {
        wait: Duration,
    },
    /// `max_requests_per_second` delays the call for `wait`.
    Limited {
        wait: Duration,
    },
    /// The server has been down for `lasts`. The next probe is due after `wait`.
    Outage {
        lasts: Duration,
        failures: u32,
        wait: Duration,
    },
}

/// The permission to send one request, whose outcome must be reported. If it is dropped without a
/// report, nothing is learned about the server.
pub(crate) struct Departure<'a> {
    line: &'a Line,
    ticket: Option<Ticket>,
}

impl Line {
    /// `limit` is `max_requests_per_second`, `ordered` is `order_per_user`, and `group` is the name
    /// of the `rate_group`, if any.
    pub(crate) fn new(
        limit: f64,
        ordered: bool,
        group: Option<&str>,
        log: Arc<Log>,
    ) -> Result<Self> {
        let clock = Clock::start();
        let flow = Flow::new(limit, seed());
        let (flow, group) = match group {
            // The processes of a group do not know about each other's first requests, so start
            // slowly.
            Some(name) => (flow.ramp(clock.now()), Some(Group::join(name)?)),
            None => (flow, None),
        };
        let state = State::new(flow, group);
        Ok(Self { state: Mutex::new(state), clock, ordered, log })
    }

    /// Blocks until the call in this place may send a request.
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

    fn wait(
        &self,
        number: u64,
        watch: &Watch,
        patience: Option<Patience>,
    ) -> Result<Departure<'_>, Held> {
        /// Removes the call from the queue, however the wait ends.
        struct Standing<'a>(&'a Line, u64);
        impl Drop for Standing<'_> {
            fn drop(&mut self) {
                self.0.step_aside(self.1);
            }
        }

        let deadline = if patience.is_some() { watch.overall() } else { Some(watch.deadline()) };
        let deadline = deadline.map(|deadline| self.clock.moment(deadline));
        let waiter =
            Arc::new(Waiter { number, parker: watch.parker().clone(), deadline, patience });
        let _standing = Standing(self, number);
        loop {
            let mut step = Step::Park(None);
            self.locked(&mut |state, now| step = state.step(&waiter, now));
            self.emit();
            match step {
                Step::Leave(ticket) => return Ok(Departure { line: self, ticket: Some(ticket) }),
                Step::Fail(held) => return Err(held),
                Step::Park(at) => {
                    let until =
                        at.into_iter().chain(deadline).min().map(|until| self.clock.instant(until));
                    if watch.park(until).map_err(Held::Stopped)? == Wake::InvokeCallback {
                        self.step_aside(number);
                        watch.invoke_callback().map_err(Held::Stopped)?;
                    }
                }
            }
        }
    }

    /// Returns an unused permission to send, so that another call can use it.
    fn give_back(&self, ticket: Ticket) {
        drop(Departure { line: self, ticket: Some(ticket) });
    }

    fn step_aside(&self, number: u64) {
        self.locked(&mut |state, _| state.remove(number));
    }

    /// Returns why a request behind `ahead` others cannot be sent before this deadline, or `None`
    /// if it can.
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

    /// Takes the tokens for a retry. Returns false if the budget has too few.
    pub(crate) fn take_retry(&self, after_timeout: bool) -> bool {
        self.held(|state| state.budget.take(after_timeout))
    }

    /// Returns whether requests are paused because of an outage.
    pub(crate) fn is_outage(&self) -> bool {
        self.held(|state| state.flow.paused().is_some_and(|(why, _)| why == Why::Outage))
    }

    /// Returns how many requests of this process were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.held(|state| state.accepted)
    }

    /// Returns how many consecutive transient failures the client has had.
    pub(crate) fn failures(&self) -> u32 {
        self.held(|state| state.flow.failing().1)
    }

    /// Returns the learned rate, in requests per second.
    pub(crate) fn learned(&self) -> Option<f64> {
        let mut learned = None;
        self.locked(&mut |state, now| learned = state.flow.learned(now));
        learned
    }

    /// Sets `max_requests_per_second`; 0 removes the limit.
    pub(crate) fn set_limit(&self, limit: f64) {
        self.locked(&mut |state, now| {
            state.flow.set_limit(now, limit);
            state.wakes_first = true;
        });
    }

    /// Runs a critical section on the shared state of the server, then wakes the waiting call that
    /// must check again.
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

    /// Runs a critical section on the state that belongs to this process alone.
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

    /// Reports the outcome of the request that ended at `ended`, and whether the update was
    /// confirmed. The call then leaves the place `leaves`, if any.
    pub(crate) fn report(
        mut self,
        ended: Instant,
        outcome: Outcome,
        confirmed: bool,
        leaves: Option<&mut Place>,
    ) {
        self.end(ended, outcome, confirmed, leaves);
    }

    fn end(
        &mut self,
        ended: Instant,
        outcome: Outcome,
        confirmed: bool,
        mut leaves: Option<&mut Place>,
    ) {
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
