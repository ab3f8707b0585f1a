//! The queues of a batch: what is to be sent, in which order, and what has finished. It never blocks; the
//! batch does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::job::{Job, Jobs, Released};
use crate::batch::signal::{Signal, Wake};
use crate::batch::stats::Counts;
use crate::batch::{BatchStats, Finished};
use crate::delivery::park::{Canceller, Parker};
use crate::error::{Error, ErrorKind, Result};
use crate::reply::UpdateReply;

pub(super) struct Queue {
    limit: usize,
    /// What may be sent now.
    ready: Jobs,
    /// What stands behind an earlier update or call of its user.
    behind: Jobs,
    /// The deadlines of what is queued, the first one first: those of a batch come in the order of the updates. Those of
    /// updates that are queued no more are among them.
    deadlines: VecDeque<(Instant, u64)>,
    in_flight: Vec<(u64, u64, Canceller)>,
    finished: VecDeque<Finished>,
    workers: u32,
    /// The workers that have nothing to do, the one that is idle for the shortest time at the back.
    idle: Vec<Arc<Parker>>,
    state: State,
    counts: Counts,
    /// Those who wait for room, and for what finishes.
    pub(super) for_room: Waiters,
    pub(super) for_finished: Waiters,
    /// One of them, to be woken when the lock is released.
    collector: Option<Arc<Parker>>,
    /// Shows an event loop that there is something to collect.
    signal: Option<Signal>,
}

/// Threads that wait for a change, the longest first.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Arc<Parker>>);

enum State {
    Open,
    Closed,
    /// Closed, and what was not sent is cancelled, for this reason.
    Stopped(&'static str),
    /// Freed.
    Ended,
}

impl Queue {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            ready: Jobs::default(),
            behind: Jobs::default(),
            deadlines: VecDeque::new(),
            in_flight: Vec::new(),
            finished: VecDeque::new(),
            workers: 0,
            idle: Vec::new(),
            state: State::Open,
            counts: Counts::new(),
            for_room: Waiters::default(),
            for_finished: Waiters::default(),
            collector: None,
            signal: None,
        }
    }

    // The submitter's side.

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Closed => Err(Error::new(
                ErrorKind::InvalidArgument,
                "batch is closed and accepts no more updates; create another batch",
            )),
            State::Stopped(why) => {
                Err(Error::new(ErrorKind::Cancelled, format!("batch accepts no more updates: {why}")))
            }
            State::Ended => Err(ended()),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued() < self.limit && self.finished.len() < self.limit
    }

    /// Puts an update in, which may be sent now if it `is_ready`. Returns whether its deadline is the first one.
    pub(super) fn add(&mut self, job: Box<Job>, is_ready: bool) -> bool {
        self.counts.begin();
        let is_first = self.add_deadline(&job);
        let queue = if is_ready { &mut self.ready } else { &mut self.behind };
        queue.add(job);
        is_first
    }

    /// Notes the deadline of an update that is queued. Returns whether it is the first one.
    fn add_deadline(&mut self, job: &Job) -> bool {
        let Some(deadline) = job.deadline else {
            return false;
        };
        if self.deadlines.len() > 2 * self.queued() + 64 {
            let (ready, behind) = (&self.ready, &self.behind);
            self.deadlines.retain(|(_, number)| ready.has(*number) || behind.has(*number));
        }
        // Behind all others, unless the update was put back.
        let place = self.deadlines.partition_point(|(other, _)| *other <= deadline);
        self.deadlines.insert(place, (deadline, job.number));
        let is_first = place == 0;
        if is_first {
            // Who waits for what finishes watches the deadlines.
            self.for_finished.wake_all();
        }
        is_first
    }

    /// Finishes an update at once that cannot meet its deadline.
    pub(super) fn refuse(&mut self, job: Box<Job>, error: Error) -> Released {
        self.counts.begin();
        self.put_finished(&job, Err(error), Instant::now());
        Released([job].into())
    }

    /// The turn of an update has come that stood behind its user.
    pub(super) fn make_ready(&mut self, number: u64) {
        // One that was cancelled meanwhile leaves its turn as soon as it is dropped.
        if let Some(job) = self.behind.take(number) {
            self.ready.add(job);
        }
    }

    // The workers' side.

    pub(super) fn workers(&self) -> u32 {
        self.workers
    }

    pub(super) fn worker_started(&mut self) {
        self.workers += 1;
    }

    pub(super) fn worker_ended(&mut self) {
        self.workers = self.workers.saturating_sub(1);
    }

    pub(super) fn has_idle_worker(&self) -> bool {
        !self.idle.is_empty()
    }

    /// The worker becomes idle, until [`call_worker`](Self::call_worker) or
    /// [`leave_idle`](Self::leave_idle) takes it out.
    pub(super) fn become_idle(&mut self, worker: &Arc<Parker>) {
        self.idle.push(worker.clone());
    }

    /// Takes an idle worker out, for what is ready now. It is to be woken without the lock. The others
    /// stay idle, and end some time.
    pub(super) fn call_worker(&mut self) -> Option<Arc<Parker>> {
        self.idle.pop()
    }

    /// Takes this worker out; false if it was called.
    pub(super) fn leave_idle(&mut self, worker: &Arc<Parker>) -> bool {
        let place = self.idle.iter().rposition(|idle| Arc::ptr_eq(idle, worker));
        place.map(|place| self.idle.remove(place)).is_some()
    }

    pub(super) fn wake_workers(&mut self) {
        for worker in self.idle.drain(..) {
            worker.unpark();
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.ready.len() + self.behind.len()
    }

    pub(super) fn take_ready(&mut self) -> Option<Box<Job>> {
        let job = self.ready.take_first()?;
        self.in_flight.push((job.tag, job.number, job.canceller.clone()));
        Some(job)
    }

    /// Whether there is more that may be sent now.
    pub(super) fn has_ready(&self) -> bool {
        self.ready.len() > 0
    }

    /// Takes an update back that was in flight, behind those that are ready. Returns whether its deadline is the first one,
    /// or the update with its error if it is not to be sent any more.
    pub(super) fn put_back(&mut self, mut job: Box<Job>) -> Result<bool, (Box<Job>, Error)> {
        let why = match self.state {
            State::Stopped(why) => Some(why),
            State::Ended => Some("the batch was freed"),
            State::Open | State::Closed => job.canceller.has_cancelled().then_some("it was cancelled"),
        };
        if let Some(why) = why {
            let error = job.cancelled(why);
            return Err((job, error));
        }
        self.in_flight.retain(|(_, number, _)| *number != job.number);
        job.place.move_to_end();
        job.number = job.place.number();
        let is_first = self.add_deadline(&job);
        self.ready.add(job);
        Ok(is_first)
    }

    pub(super) fn finish(&mut self, job: &Job, outcome: Result<UpdateReply>, now: Instant) {
        self.in_flight.retain(|(_, number, _)| *number != job.number);
        self.put_finished(job, outcome, now);
    }

    /// Counts what came of an update and the requests that were made for it, and hands it to the collector.
    fn put_finished(&mut self, job: &Job, outcome: Result<UpdateReply>, now: Instant) {
        self.counts.add(&job.so_far.effort, &outcome, now);
        if !matches!(self.state, State::Ended) {
            self.finished.push_back(Finished { tag: job.tag, outcome });
            if let Some(earlier) = self.for_finished.take().and_then(|next| self.collector.replace(next)) {
                earlier.unpark();
            }
        }
    }

    /// Takes an update out of the queue, if it is there.
    fn take(&mut self, number: u64) -> Option<Box<Job>> {
        self.ready.take(number).or_else(|| self.behind.take(number))
    }

    // The collector's side.

    pub(super) fn check_not_ended(&self) -> Result<()> {
        match self.state {
            State::Ended => Err(ended()),
            _ => Ok(()),
        }
    }

    pub(super) fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    pub(super) fn is_done(&self) -> bool {
        !self.is_open() && self.queued() == 0 && self.in_flight.is_empty() && self.finished.is_empty()
    }

    /// The number of what [`notify_by`](Self::notify_by) took.
    pub(super) fn notify_number(&self) -> Option<i64> {
        self.signal.as_ref().map(Signal::number)
    }

    /// Shows by this from now on that there is something to collect. Returns its number.
    pub(super) fn notify_by(&mut self, signal: Signal) -> i64 {
        self.signal.insert(signal).number()
    }

    /// Shows whether there is something to collect, or all is done, as soon as what this returns is
    /// dropped.
    pub(super) fn notify(&mut self) -> Wake {
        let raised = self.signal.is_some() && (!self.finished.is_empty() || self.is_done());
        let channel = self.signal.as_mut().and_then(|signal| signal.set(raised));
        Wake { channel, collector: self.collector.take() }
    }

    /// Whether nothing more finishes.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended) || (!self.is_open() && self.queued() == 0)
    }

    /// The first deadline of what is queued.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Finishes what is queued past its deadline.
    pub(super) fn expire(&mut self, now: Instant, why: impl Fn() -> Error) -> Released {
        let mut released = Released::default();
        while let Some((_, number)) = self.deadlines.front().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_front();
            if let Some(job) = self.take(number) {
                self.put_finished(&job, Err(job.so_far.explain(why())), now);
                released.0.push_back(job);
            }
        }
        released
    }

    // The end.

    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.state = State::Closed;
        }
    }

    /// Closes it, and finishes what was not sent.
    pub(super) fn stop(&mut self, why: &'static str) -> Released {
        if matches!(self.state, State::Open | State::Closed) {
            self.state = State::Stopped(why);
        }
        let (released, now) = (self.take_queued(), Instant::now());
        for job in &released.0 {
            self.put_finished(job, Err(job.cancelled(why)), now);
        }
        released
    }

    pub(super) fn cancel_tag(&mut self, tag: u64) -> Released {
        for (_, _, canceller) in self.in_flight.iter().filter(|(its, ..)| *its == tag) {
            canceller.cancel();
        }
        let (mut released, now) = (Released::default(), Instant::now());
        self.ready.take_tag(tag, &mut released.0);
        self.behind.take_tag(tag, &mut released.0);
        for job in &released.0 {
            self.put_finished(job, Err(job.cancelled("it was cancelled")), now);
        }
        released
    }

    /// Frees it: nobody collects anything any more.
    pub(super) fn end(&mut self) -> Released {
        self.state = State::Ended;
        self.finished.clear();
        self.signal = None;
        for (_, _, canceller) in &self.in_flight {
            canceller.cancel();
        }
        self.take_queued()
    }

    /// Takes everything that was not sent.
    fn take_queued(&mut self) -> Released {
        self.deadlines.clear();
        Released(self.ready.take_all().chain(self.behind.take_all()).collect())
    }

    pub(super) fn stats(&mut self, now: Instant, learned: Option<f64>) -> BatchStats {
        let mut stats = self.counts.stats(now);
        stats.queued = self.queued();
        stats.in_flight = self.in_flight.len();
        stats.finished = self.finished.len();
        stats.learned_requests_per_second = learned;
        stats
    }
}

impl Waiters {
    /// Has the parker woken at the next change, if it is not to be already.
    pub(super) fn add(&mut self, parker: &Arc<Parker>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, parker)) {
            self.0.push_back(parker.clone());
        }
    }

    /// Takes a parker out; false if it was woken.
    pub(super) fn remove(&mut self, parker: &Arc<Parker>) -> bool {
        let before = self.0.len();
        self.0.retain(|known| !Arc::ptr_eq(known, parker));
        self.0.len() < before
    }

    /// Takes the one out that waits for the longest time.
    fn take(&mut self) -> Option<Arc<Parker>> {
        self.0.pop_front()
    }

    pub(super) fn wake_one(&mut self) {
        if let Some(parker) = self.take() {
            parker.unpark();
        }
    }

    pub(super) fn wake_all(&mut self) {
        for parker in self.0.drain(..) {
            parker.unpark();
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidHandle, "batch was freed while this call waited on it")
}
