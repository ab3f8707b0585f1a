//! The queues of a batch: the pending updates in their order, and the results. This code never
//! blocks; the batch does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::finished::Finished;
use crate::batch::job::{Job, Jobs, Released};
use crate::batch::signal::{Signal, Wake};
use crate::batch::stats::{BatchStats, Counts};
use crate::batch::waiters::Waiters;
use crate::delivery::park::{Canceller, Parker};
use crate::error::{Error, ErrorKind, Result};
use crate::reply::UpdateReply;

pub(super) struct Queue {
    limit: usize,
    /// The updates that can be sent now.
    ready: Jobs,
    /// The updates that wait for an earlier update or call for the same user.
    behind: Jobs,
    /// The deadlines of the queued updates, earliest first. Deadlines of updates that have left the
    /// queue are removed later.
    deadlines: VecDeque<(Instant, u64)>,
    in_flight: Vec<(u64, u64, Canceller)>,
    finished: VecDeque<Finished>,
    workers: u32,
    /// The idle workers. The one that became idle last is at the back.
    idle: Vec<Arc<Parker>>,
    state: State,
    counts: Counts,
    /// The threads that wait for room, and those that wait for results.
    pub(super) for_room: Waiters,
    pub(super) for_finished: Waiters,
    /// A thread from `for_finished`, which is woken when the lock is released.
    collector: Option<Arc<Parker>>,
    /// Notifies an event loop that results can be collected.
    signal: Option<Signal>,
}

enum State {
    Open,
    Closed,
    /// Closed, and the pending updates were cancelled for this reason.
    Stopped(&'static str),
    /// The batch was freed.
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

    // For the submitter.

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
            State::Stopped(why) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("batch accepts no more updates: {why}"),
            )),
            State::Ended => Err(ended()),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued() < self.limit && self.finished.len() < self.limit
    }

    /// Queues an update. `is_ready` means that it can be sent now. Returns whether its deadline is
    /// the earliest one.
    pub(super) fn add(&mut self, job: Box<Job>, is_ready: bool) -> bool {
        self.counts.begin();
        let is_first = self.add_deadline(&job);
        let queue = if is_ready { &mut self.ready } else { &mut self.behind };
        queue.add(job);
        is_first
    }

    /// Stores the deadline of a queued update. Returns whether it is the earliest one.
    fn add_deadline(&mut self, job: &Job) -> bool {
        let Some(deadline) = job.deadline else {
            return false;
        };
        if self.deadlines.len() > 2 * self.queued() + 64 {
            let (ready, behind) = (&self.ready, &self.behind);
            self.deadlines.retain(|(_, number)| ready.has(*number) || behind.has(*number));
        }
        // This is the last position, unless the update was put back.
        let place = self.deadlines.partition_point(|(other, _)| *other <= deadline);
        self.deadlines.insert(place, (deadline, job.number));
        let is_first = place == 0;
        if is_first {
            // The threads that wait for results also watch the deadlines.
            self.for_finished.wake_all();
        }
        is_first
    }

    /// Fails an update that cannot meet its deadline.
    pub(super) fn refuse(&mut self, job: Box<Job>, error: Error) -> Released {
        self.counts.begin();
        self.put_finished(&job, Err(error), Instant::now());
        Released([job].into())
    }

    /// Marks a waiting update as ready, because its turn has come.
    pub(super) fn make_ready(&mut self, number: u64) {
        // The update is no longer there if it was cancelled. It ends its turn when it is dropped.
        if let Some(job) = self.behind.take(number) {
            self.ready.add(job);
        }
    }

    // For the workers.

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

    /// Adds a worker to the idle ones, until [`call_worker`](Self::call_worker) or
    /// [`leave_idle`](Self::leave_idle) removes it.
    pub(super) fn become_idle(&mut self, worker: &Arc<Parker>) {
        self.idle.push(worker.clone());
    }

    /// Removes an idle worker, for an update that is ready now. The caller wakes it without the
    /// lock. The other workers stay idle, and end after a time.
    pub(super) fn call_worker(&mut self) -> Option<Arc<Parker>> {
        self.idle.pop()
    }

    /// Removes this worker from the idle ones. Returns false if it has been called.
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

    /// Returns whether an update can be sent now.
    pub(super) fn has_ready(&self) -> bool {
        self.ready.len() > 0
    }

    /// Queues an update again that was in flight, behind those that are ready. Returns whether its
    /// deadline is the earliest one. If the update must not be sent again, returns it with its
    /// error.
    pub(super) fn put_back(&mut self, mut job: Box<Job>) -> Result<bool, (Box<Job>, Error)> {
        let why = match self.state {
            State::Stopped(why) => Some(why),
            State::Ended => Some("the batch was freed"),
            State::Open | State::Closed => {
                job.canceller.has_cancelled().then_some("it was cancelled")
            }
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

    /// Counts an update and its requests, and queues its result.
    fn put_finished(&mut self, job: &Job, outcome: Result<UpdateReply>, now: Instant) {
        self.counts.add(&job.so_far.effort, &outcome, now);
        if !matches!(self.state, State::Ended) {
            self.finished.push_back(Finished { tag: job.tag, outcome });
            if let Some(earlier) =
                self.for_finished.take().and_then(|next| self.collector.replace(next))
            {
                earlier.unpark();
            }
        }
    }

    /// Removes an update from the queue, if it is there.
    fn take(&mut self, number: u64) -> Option<Box<Job>> {
        self.ready.take(number).or_else(|| self.behind.take(number))
    }

    // For the collector.

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
        !self.is_open()
            && self.queued() == 0
            && self.in_flight.is_empty()
            && self.finished.is_empty()
    }

    /// Returns the file descriptor of the signal that [`notify_by`](Self::notify_by) stored.
    pub(super) fn notify_number(&self) -> Option<i64> {
        self.signal.as_ref().map(Signal::number)
    }

    /// Stores the signal that shows whether results can be collected. Returns its file descriptor.
    pub(super) fn notify_by(&mut self, signal: Signal) -> i64 {
        self.signal.insert(signal).number()
    }

    /// Updates the signal, which shows whether there are results or the batch is done. Dropping the
    /// returned value wakes the collectors.
    pub(super) fn notify(&mut self) -> Wake {
        let raised = self.signal.is_some() && (!self.finished.is_empty() || self.is_done());
        let channel = self.signal.as_mut().and_then(|signal| signal.set(raised));
        Wake { channel, collector: self.collector.take() }
    }

    /// Returns whether no queued update remains and none can be added.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended) || (!self.is_open() && self.queued() == 0)
    }

    /// Returns the earliest deadline of the queued updates.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Fails the queued updates whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, why: impl Fn() -> Error) -> Released {
        let mut released = Released::default();
        while let Some((_, number)) =
            self.deadlines.front().copied().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.pop_front();
            if let Some(job) = self.take(number) {
                self.put_finished(&job, Err(job.so_far.explain(why())), now);
                released.0.push_back(job);
            }
        }
        released
    }

    // For the end of the batch.

    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.state = State::Closed;
        }
    }

    /// Closes the batch, and cancels the pending updates.
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

    /// Frees the queues. Results are no longer collected.
    pub(super) fn end(&mut self) -> Released {
        self.state = State::Ended;
        self.finished.clear();
        self.signal = None;
        for (_, _, canceller) in &self.in_flight {
            canceller.cancel();
        }
        self.take_queued()
    }

    /// Removes all pending updates.
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

fn ended() -> Error {
    Error::new(ErrorKind::InvalidHandle, "batch was freed while this call waited on it")
}
