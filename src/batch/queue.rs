//! The queues of a batch: what is to be sent, in which order, and what has finished. It never blocks; the
//! batch does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::batch::signal::{Signal, Wake};
use crate::batch::{BatchStats, Finished};
use crate::client::SoFar;
use crate::delivery::flow::{LastSecond, Moment};
use crate::delivery::line::Place;
use crate::delivery::park::{Canceller, Parker};
use crate::error::{Error, ErrorKind, Result};
use crate::options::CallOptions;
use crate::reply::UpdateReply;

/// An update that was submitted.
pub(super) struct Job {
    pub(super) tag: u64,
    pub(super) user_id: i64,
    pub(super) user_json: String,
    pub(super) options: CallOptions,
    /// When it is to have finished.
    pub(super) deadline: Option<Instant>,
    /// Cancels it while it is in flight.
    pub(super) canceller: Canceller,
    pub(super) place: Place,
    pub(super) so_far: SoFar,
    number: u64,
}

impl Job {
    pub(super) fn new(
        tag: u64,
        user_id: i64,
        user_json: String,
        options: CallOptions,
        deadline: Option<Instant>,
        place: Place,
    ) -> Box<Self> {
        let number = place.number();
        let (canceller, so_far) = (Canceller::default(), SoFar::default());
        Box::new(Self { tag, user_id, user_json, options, deadline, canceller, place, so_far, number })
    }
}

impl Job {
    /// The error of an update that is not to be sent, or not again.
    fn cancelled(&self, why: &str) -> Error {
        let what = if self.so_far.is_sent() { "this update was not sent again" } else { "this update was not sent" };
        self.so_far.explain(Error::new(ErrorKind::Cancelled, format!("{what}: {why}")))
    }
}

/// Places of updates that finished. They are to be dropped without the lock of the queue: that tells the
/// next ones of their users, which may be of this batch.
#[must_use]
#[derive(Default)]
pub(super) struct Released(VecDeque<Box<Job>>);

/// Updates in the order of their numbers: in the order in which they were submitted.
#[derive(Default)]
struct Jobs(VecDeque<Box<Job>>);

impl Jobs {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |job| job.number)
    }

    fn has(&self, number: u64) -> bool {
        self.place(number).is_ok()
    }

    fn add(&mut self, job: Box<Job>) {
        let (Ok(place) | Err(place)) = self.place(job.number);
        self.0.insert(place, job);
    }

    fn take(&mut self, number: u64) -> Option<Box<Job>> {
        self.place(number).ok().and_then(|place| self.0.remove(place))
    }

    /// Moves those with this tag to `taken`.
    fn take_tag(&mut self, tag: u64, taken: &mut VecDeque<Box<Job>>) {
        let mut place = 0;
        while let Some(job) = self.0.get(place) {
            if job.tag == tag {
                taken.extend(self.0.remove(place));
            } else {
                place += 1;
            }
        }
    }
}

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

struct Counts {
    origin: Instant,
    began: Option<Instant>,
    succeeded: u64,
    failed: u64,
    failed_by_code: BTreeMap<i32, u64>,
    retried: u64,
    throttled: u64,
    requests: u64,
    last_second: LastSecond,
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
            counts: Counts {
                origin: Instant::now(),
                began: None,
                succeeded: 0,
                failed: 0,
                failed_by_code: BTreeMap::new(),
                retried: 0,
                throttled: 0,
                requests: 0,
                last_second: LastSecond::default(),
            },
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
                "batch is closed: it takes no more updates; make another one",
            )),
            State::Stopped(why) => Err(Error::new(ErrorKind::Cancelled, format!("batch takes no more updates: {why}"))),
            State::Ended => Err(ended()),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued() < self.limit && self.finished.len() < self.limit
    }

    /// Puts an update in, which may be sent now if it `is_ready`. Returns whether its deadline is the first one.
    pub(super) fn add(&mut self, job: Box<Job>, is_ready: bool) -> bool {
        self.counts.began.get_or_insert_with(Instant::now);
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
        self.counts.began.get_or_insert_with(Instant::now);
        self.put_finished(&job, Err(error), Instant::now());
        Released([job].into())
    }

    /// The turn of an update has come that stood behind its user.
    pub(super) fn turn_comes(&mut self, number: u64) {
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
        let job = self.ready.0.pop_front()?;
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
        let counts = &mut self.counts;
        let (effort, moment) = (job.so_far.effort, counts.moment(now));
        for _ in 0..effort.attempts {
            counts.last_second.add(moment);
        }
        counts.requests += u64::from(effort.attempts);
        counts.retried += u64::from(effort.attempts.saturating_sub(1));
        counts.throttled += u64::from(effort.throttled);
        match &outcome {
            Ok(_) => counts.succeeded += 1,
            Err(error) => {
                counts.failed += 1;
                *counts.failed_by_code.entry(error.kind().code()).or_default() += 1;
            }
        }
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
        Released(self.ready.0.drain(..).chain(self.behind.0.drain(..)).collect())
    }

    pub(super) fn stats(&mut self, now: Instant, learned: Option<f64>) -> BatchStats {
        let queued = self.queued();
        let counts = &mut self.counts;
        let elapsed = counts.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default();
        let (seconds, moment) = (elapsed.as_secs_f64(), counts.moment(now));
        BatchStats {
            queued,
            in_flight: self.in_flight.len(),
            finished: self.finished.len(),
            succeeded: counts.succeeded,
            failed: counts.failed,
            failed_by_code: counts.failed_by_code.clone(),
            retried: counts.retried,
            throttled: counts.throttled,
            requests_per_second: counts.last_second.count(moment),
            average_requests_per_second: if seconds > 0.0 { counts.requests as f64 / seconds } else { 0.0 },
            learned_requests_per_second: learned,
            elapsed,
        }
    }
}

impl Counts {
    fn moment(&self, now: Instant) -> Moment {
        // The clock of what is counted does not begin with nothing.
        Moment::from_secs(10) + now.saturating_duration_since(self.origin)
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
