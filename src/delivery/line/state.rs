//! The state of a line: which calls wait, in which order, and the next step of each. This code
//! neither blocks nor locks; the line does both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::flow::{Budget, Flow, Moment, Slot, Ticket, Turn, Why};
use crate::delivery::line::group::Group;
use crate::delivery::line::turns::Turns;
use crate::delivery::line::{Held, Patience, FAR};
use crate::delivery::park::Parker;
use crate::delivery::watch::Stop;
use crate::fork;

/// How often the first call in line checks for the outcome of another process's probe.
const GROUP_LOOK: Duration = Duration::from_millis(20);

pub(super) struct State {
    pub(super) flow: Flow,
    pub(super) group: Option<Group>,
    /// The slot of the first call in line.
    pub(super) slot: Option<Slot>,
    /// The calls that wait to be sent, in the order of their numbers.
    pub(super) waiting: VecDeque<Arc<Waiter>>,
    pub(super) turns: Turns,
    pub(super) next_number: u64,
    pub(super) budget: Budget,
    /// How many requests were accepted.
    pub(super) accepted: u64,
    /// The epoch of the flow that the waiting calls have seen.
    pub(super) epoch: u64,
    /// Whether the first call in line must check again.
    pub(super) wakes_first: bool,
    /// The process to which the waiting threads belong.
    pub(super) generation: u32,
    /// The pause that was logged last, and when it began.
    pub(super) told: Option<(Why, Moment)>,
}

/// A call that waits to be sent.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) parker: Arc<Parker>,
    /// The deadline of the call, if it has one while it waits.
    pub(super) deadline: Option<Moment>,
    pub(super) patience: Option<Patience>,
}

pub(super) enum Step {
    Leave(Ticket),
    Fail(Held),
    /// Wait until this moment, or until woken.
    Park(Option<Moment>),
}

impl State {
    pub(super) fn new(flow: Flow, group: Option<Group>) -> Self {
        Self {
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
        }
    }

    fn is_first(&self, number: u64) -> bool {
        self.waiting.front().is_none_or(|first| first.number >= number)
    }

    /// Returns how many calls are ahead of this one.
    fn ahead_of(&self, number: u64) -> usize {
        self.waiting.partition_point(|waiter| waiter.number < number)
    }

    /// Returns a permission to send if the call does not have to wait.
    pub(super) fn leave_at_once(&mut self, number: u64, now: Moment) -> Option<Ticket> {
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
            // The outcome of another process's probe does not wake this process, so check
            // regularly.
            Turn::Probing(end) if self.group.is_some() => Turn::Probing(end.min(now + GROUP_LOOK)),
            turn => turn,
        }
    }

    /// Returns what a waiting call must do next.
    pub(super) fn step(&mut self, waiter: &Arc<Waiter>, now: Moment) -> Step {
        let number = waiter.number;
        let first = self.is_first(number);
        // When the call may be sent, and when it must check again.
        let (mut leaves, mut at) = (None, None);
        if first {
            match self.ask(now) {
                Turn::Go(ticket) => {
                    self.remove(number);
                    // Another call is the first now, whether or not this one was in the queue.
                    self.wakes_first = true;
                    return Step::Leave(ticket);
                }
                Turn::Wait(moment) => (leaves, at) = (Some(moment), Some(moment)),
                // The call may be sent as soon as the outcome of the probe is known.
                Turn::Probing(moment) => (leaves, at) = (Some(now), Some(moment)),
            }
        }
        let ahead = if first { 0 } else { self.ahead_of(number) };
        let late = waiter.deadline.is_some_and(|deadline| match leaves {
            Some(moment) => moment >= deadline,
            // The slot of the first call in line is reserved already.
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

    /// Returns whether the pause is longer than this update of a batch waits.
    fn is_out_of_patience(&self, waiter: &Waiter) -> bool {
        let end = waiter
            .patience
            .and_then(|patience| self.flow.patience(patience.throttled, patience.outage));
        let until = self.flow.paused().map(|(_, until)| until);
        end.zip(until).is_some_and(|(end, until)| until > end)
    }

    /// Removes a call from the queue.
    pub(super) fn remove(&mut self, number: u64) {
        let place = self.ahead_of(number);
        if self.waiting.get(place).is_some_and(|waiter| waiter.number == number) {
            self.waiting.remove(place);
            self.wakes_first |= place == 0;
        }
    }

    /// Returns what holds back a call that is behind `ahead` others.
    pub(super) fn held(&self, now: Moment, ahead: usize) -> Held {
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

    /// Runs a section on the shared state of the group if there is one, or else on the own state.
    pub(super) fn synchronized(&mut self, now: Moment, section: &mut dyn FnMut(&mut Self, Moment)) {
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

    /// Returns the call that must check again, if any.
    pub(super) fn woken(&mut self) -> Option<Arc<Parker>> {
        if self.epoch != self.flow.epoch() {
            self.epoch = self.flow.epoch();
            self.wakes_first = true;
            self.wake_late();
        }
        let first = std::mem::take(&mut self.wakes_first).then(|| self.waiting.front()).flatten();
        first.map(|first| first.parker.clone())
    }

    /// Wakes the calls whose deadline or patience the pause exceeds.
    fn wake_late(&self) {
        let Some((_, until)) = self.flow.paused() else {
            return;
        };
        for waiter in &self.waiting {
            if waiter.deadline.is_some_and(|deadline| until >= deadline)
                || self.is_out_of_patience(waiter)
            {
                waiter.parker.unpark();
            }
        }
    }

    /// Forgets the threads that wait and probe: a forked child does not have them.
    pub(super) fn reset_after_fork(&mut self) {
        let generation = fork::generation();
        if self.generation != generation {
            self.generation = generation;
            self.waiting.clear();
            self.turns = Turns::default();
            self.slot = None;
            match &mut self.group {
                Some(group) => group.reset_after_fork(),
                None => self.flow.reset_after_fork(),
            }
        }
    }
}
