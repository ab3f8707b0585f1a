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

mod group;
mod told;
mod turns;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::flow::{Budget, Flow, Moment, Outcome, Probe, Slot, Ticket, Turn, Why};
use crate::delivery::park::Parker;
use crate::delivery::watch::{Stop, Wake, Watch};
use crate::error::Result;
use crate::failpoint;
use crate::fork;
use crate::log::Log;

use group::Group;
use turns::Turns;

pub(crate) use turns::{Place, Ready, Successor};

/// How often the first in line looks whether the probe of another process is back.
const GROUP_LOOK: Duration = Duration::from_millis(20);

/// As good as forever.
const FAR: Duration = Duration::from_secs(86_400);

pub(crate) struct Line {
    state: Mutex<State>,
    clock: Clock,
    ordered: bool,
    log: Arc<Log>,
}

struct State {
    flow: Flow,
    group: Option<Group>,
    /// The slot of the first in line.
    slot: Option<Slot>,
    /// Those who wait to leave, in the order of their numbers.
    waiting: VecDeque<Arc<Waiter>>,
    turns: Turns,
    next_number: u64,
    budget: Budget,
    /// How many requests were accepted.
    accepted: u64,
    /// The epoch of the flow that those who wait know of.
    epoch: u64,
    /// Whether the first in line is to look again.
    wakes_first: bool,
    /// The process whose threads wait.
    generation: u32,
    /// The pause that the log was told of, and when it began.
    told: Option<(Why, Moment)>,
}

/// A call that waits to leave.
struct Waiter {
    number: u64,
    parker: Arc<Parker>,
    /// Its deadline, if it has one while it waits.
    deadline: Option<Moment>,
    patience: Option<Patience>,
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

enum Step {
    Leave(Ticket),
    Fail(Held),
    /// Until this moment, or until it is woken.
    Park(Option<Moment>),
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
        let state = State {
            flow,
            group,
            slot: None,
            waiting: VecDeque::new(),
            turns: Turns::default(),
            next_number: 0,
            budget: Budget::default(),
            accepted: 0,
            epoch: 0,
            wakes_first: false,
            generation: fork::generation(),
            told: None,
        };
        Ok(Self { state: Mutex::new(state), clock, ordered, log })
    }

    /// Waits until a request of the call in this place may leave.
    pub(crate) fn depart(
        &self,
        place: &mut Place,
        watch: &Watch,
        patience: Option<Patience>,
    ) -> Result<Departure<'_>, Held> {
        watch.check_gentle().map_err(Held::Stopped)?;
        let number = place.number();
        let mut at_once = place.ticket.take();
        if at_once.is_none() {
            self.locked(&mut |state, now| {
                failpoint::reach("pass");
                at_once = state.leave_at_once(number, now);
            });
        }
        self.tell();
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
            self.tell();
            match step {
                Step::Leave(ticket) => return Ok(Departure { line: self, ticket: Some(ticket) }),
                Step::Fail(held) => return Err(held),
                Step::Park(at) => {
                    let until = at.into_iter().chain(deadline).min().map(|until| self.clock.instant(until));
                    if watch.park(until).map_err(Held::Stopped)? == Wake::Ask {
                        self.step_aside(number);
                        watch.ask().map_err(Held::Stopped)?;
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
        state.leave_parent_behind();
        state
    }
}

impl State {
    fn is_first(&self, number: u64) -> bool {
        self.waiting.front().is_none_or(|first| first.number >= number)
    }

    /// How many stand before this one.
    fn ahead_of(&self, number: u64) -> usize {
        self.waiting.partition_point(|waiter| waiter.number < number)
    }

    /// Leave to send for a call that does not have to wait.
    fn leave_at_once(&mut self, number: u64, now: Moment) -> Option<Ticket> {
        if !self.is_first(number) {
            return None;
        }
        match self.ask(now) {
            Turn::Go(ticket) => Some(ticket),
            _ => None,
        }
    }

    fn ask(&mut self, now: Moment) -> Turn {
        match self.flow.ask(now, &mut self.slot) {
            // Nobody wakes this process when the probe of another one is back.
            Turn::Probing(end) if self.group.is_some() => Turn::Probing(end.min(now + GROUP_LOOK)),
            turn => turn,
        }
    }

    /// What a call that waits does next.
    fn step(&mut self, waiter: &Arc<Waiter>, now: Moment) -> Step {
        let number = waiter.number;
        let first = self.is_first(number);
        // When it may leave, and when it looks again.
        let (mut leaves, mut at) = (None, None);
        if first {
            match self.ask(now) {
                Turn::Go(ticket) => {
                    self.remove(number);
                    // Whether it was counted among them or not, another one is the first now.
                    self.wakes_first = true;
                    return Step::Leave(ticket);
                }
                Turn::Wait(moment) => (leaves, at) = (Some(moment), Some(moment)),
                // It may leave at any time, once the outcome is there.
                Turn::Probing(moment) => (leaves, at) = (Some(now), Some(moment)),
            }
        }
        let ahead = if first { 0 } else { self.ahead_of(number) };
        let late = waiter.deadline.is_some_and(|deadline| match leaves {
            Some(moment) => moment >= deadline,
            // The first in line has its slot already.
            None => self.flow.earliest(now, ahead.saturating_sub(1), deadline).is_none(),
        });
        if late || self.is_out_of_patience(waiter) {
            self.remove(number);
            return Step::Fail(self.held(now, ahead));
        }
        if self.waiting.get(ahead).is_none_or(|there| there.number != number) {
            self.waiting.insert(ahead, waiter.clone());
        }
        Step::Park(at)
    }

    /// Whether the pause is longer than an update of a batch waits.
    fn is_out_of_patience(&self, waiter: &Waiter) -> bool {
        let end = waiter.patience.and_then(|patience| self.flow.patience(patience.throttled, patience.outage));
        let until = self.flow.paused().map(|(_, until)| until);
        end.zip(until).is_some_and(|(end, until)| until > end)
    }

    /// Takes a call out of the line.
    fn remove(&mut self, number: u64) {
        let place = self.ahead_of(number);
        if self.waiting.get(place).is_some_and(|waiter| waiter.number == number) {
            self.waiting.remove(place);
            self.wakes_first |= place == 0;
        }
    }

    /// What holds back a call behind `ahead` others.
    fn held(&self, now: Moment, ahead: usize) -> Held {
        let earliest = self.flow.earliest(now, ahead, now + FAR).unwrap_or(now + FAR);
        let wait = earliest.saturating_sub(now);
        match self.flow.paused() {
            Some((Why::Outage, _)) => {
                let (since, failures) = self.flow.failing();
                Held::Outage { lasts: now.saturating_sub(since), failures, wait }
            }
            _ if self.flow.is_throttled(now) => Held::Throttled { wait },
            _ if wait.is_zero() => Held::Stopped(Stop::Late),
            _ => Held::Limited { wait },
        }
    }

    /// Runs a section on the state of the group, if there is one.
    fn synchronized(&mut self, now: Moment, section: &mut dyn FnMut(&mut Self, Moment)) {
        let Some(mut group) = self.group.take() else {
            return section(self, now);
        };
        let lease = group.lock(&mut self.flow, now);
        section(self, now);
        if lease {
            group.unlock(&self.flow);
        }
        self.group = Some(group);
    }

    /// The one who is to look again.
    fn woken(&mut self) -> Option<Arc<Parker>> {
        if self.epoch != self.flow.epoch() {
            self.epoch = self.flow.epoch();
            self.wakes_first = true;
            self.wake_late();
        }
        let first = std::mem::take(&mut self.wakes_first).then(|| self.waiting.front()).flatten();
        first.map(|first| first.parker.clone())
    }

    /// Wakes those whom a pause makes too late.
    fn wake_late(&self) {
        let Some((_, until)) = self.flow.paused() else {
            return;
        };
        for waiter in &self.waiting {
            if waiter.deadline.is_some_and(|deadline| until >= deadline) || self.is_out_of_patience(waiter) {
                waiter.parker.unpark();
            }
        }
    }

    /// A forked child does not have the threads that wait and probe.
    fn leave_parent_behind(&mut self) {
        let generation = fork::generation();
        if self.generation != generation {
            self.generation = generation;
            self.waiting.clear();
            self.turns = Turns::default();
            self.slot = None;
            match &mut self.group {
                Some(group) => group.leave_parent_behind(),
                None => self.flow.orphan(),
            }
        }
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
        self.line.tell();
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        self.end(Instant::now(), Outcome::Nothing, false, None);
    }
}

/// The clock of flows: the system's monotonic one, which all processes of a machine share.
struct Clock {
    origin: Instant,
    at_origin: Moment,
}

impl Clock {
    fn start() -> Self {
        Self { origin: Instant::now(), at_origin: group::machine_time() }
    }

    fn now(&self) -> Moment {
        self.at_origin + self.origin.elapsed()
    }

    fn moment(&self, instant: Instant) -> Moment {
        match instant.checked_duration_since(self.origin) {
            Some(since) => self.at_origin.saturating_add(since),
            None => self.at_origin.saturating_sub(self.origin.saturating_duration_since(instant)),
        }
    }

    fn instant(&self, moment: Moment) -> Instant {
        let since = moment.saturating_sub(self.at_origin);
        // Later than the clock can tell is as good as a day.
        self.origin.checked_add(since).unwrap_or(self.origin + FAR)
    }
}

/// Another number in every process and client.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests;
