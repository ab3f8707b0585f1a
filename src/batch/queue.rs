//! The queues of a batch: what is to be sent, in which order, and what has finished. It never waits; the batch does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use crate::batch::{BatchStats, Finished};
use crate::delivery::last_second::LastSecond;
use crate::delivery::watch::Canceller;
use crate::error::{Error, ErrorKind, Result};

/// An update that was submitted.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) tag: u64,
    pub(super) user_id: i64,
    pub(super) user_json: String,
    /// Cancels it while it is under way.
    pub(super) canceller: Canceller,
}

impl Job {
    pub(super) fn new(tag: u64, user_id: i64, user_json: String) -> Self {
        Self { tag, user_id, user_json, canceller: Canceller::default() }
    }
}

pub(super) struct Queue {
    limit: usize,
    /// What may be sent now: of each user one at most.
    ready: VecDeque<Job>,
    /// The users of whom an update is ready or under way, and what is to follow it, in order.
    behind: HashMap<i64, VecDeque<Job>>,
    /// How many are ready or behind.
    queued: usize,
    in_flight: Vec<(u64, Canceller)>,
    finished: VecDeque<Finished>,
    workers: u32,
    idle: u32,
    state: State,
    counts: Counts,
}

enum State {
    Open,
    Closed,
    /// Closed, and what was not sent is cancelled, for this reason.
    Stopped(&'static str),
    /// Freed.
    Ended,
}

#[derive(Default)]
struct Counts {
    began: Option<Instant>,
    succeeded: u64,
    failed: u64,
    failed_by_code: BTreeMap<i32, u64>,
    retried: u64,
    requests: u64,
    last_second: LastSecond,
}

impl Queue {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            ready: VecDeque::new(),
            behind: HashMap::new(),
            queued: 0,
            in_flight: Vec::new(),
            finished: VecDeque::new(),
            workers: 0,
            idle: 0,
            state: State::Open,
            counts: Counts::default(),
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
        self.queued < self.limit && self.finished.len() < self.limit
    }

    pub(super) fn add(&mut self, job: Job) {
        self.counts.began.get_or_insert_with(Instant::now);
        self.queued += 1;
        match self.behind.get_mut(&job.user_id) {
            Some(behind) => behind.push_back(job),
            None => {
                self.behind.insert(job.user_id, VecDeque::new());
                self.ready.push_back(job);
            }
        }
    }

    // The workers' side.

    pub(super) fn workers(&self) -> u32 {
        self.workers
    }

    pub(super) fn worker_started(&mut self) {
        self.workers += 1;
    }

    /// Whether a worker waits for more than what is ready.
    pub(super) fn has_idle_worker(&self) -> bool {
        usize::try_from(self.idle).unwrap_or(usize::MAX) > self.ready.len()
    }

    pub(super) fn worker_idles(&mut self, idles: bool) {
        if idles {
            self.idle += 1;
        } else {
            self.idle = self.idle.saturating_sub(1);
        }
    }

    pub(super) fn needs_no_worker(&self) -> bool {
        !self.is_open() && self.queued == 0
    }

    pub(super) fn take_ready(&mut self) -> Option<Job> {
        let job = self.ready.pop_front()?;
        self.queued -= 1;
        self.in_flight.push((job.tag, job.canceller.clone()));
        Some(job)
    }

    pub(super) fn finish(&mut self, job: &Job, outcome: Result<String>, attempts: u32, now: Instant) {
        if let Some(at) = self.in_flight.iter().position(|(_, canceller)| canceller.is(&job.canceller)) {
            self.in_flight.swap_remove(at);
        }
        for _ in 0..attempts {
            self.counts.last_second.add(now);
        }
        self.counts.requests += u64::from(attempts);
        self.counts.retried += u64::from(attempts.saturating_sub(1));
        self.give_back(job.tag, outcome);
        self.let_follow(job.user_id);
    }

    /// The next update of a user becomes ready.
    fn let_follow(&mut self, user_id: i64) {
        match self.behind.get_mut(&user_id).and_then(VecDeque::pop_front) {
            Some(next) => self.ready.push_back(next),
            None => {
                self.behind.remove(&user_id);
            }
        }
    }

    fn give_back(&mut self, tag: u64, outcome: Result<String>) {
        match &outcome {
            Ok(_) => self.counts.succeeded += 1,
            Err(error) => {
                self.counts.failed += 1;
                *self.counts.failed_by_code.entry(error.kind().code()).or_default() += 1;
            }
        }
        if !matches!(self.state, State::Ended) {
            self.finished.push_back(Finished { tag, outcome });
        }
    }

    // The taker's side.

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
        !self.is_open() && self.queued == 0 && self.in_flight.is_empty() && self.finished.is_empty()
    }

    // The end.

    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.state = State::Closed;
        }
    }

    /// Closes it, and gives back what was not sent.
    pub(super) fn stop(&mut self, why: &'static str) {
        if matches!(self.state, State::Open | State::Closed) {
            self.state = State::Stopped(why);
        }
        for job in self.take_queued() {
            self.give_back(job.tag, Err(not_sent(why)));
        }
    }

    pub(super) fn cancel_tag(&mut self, tag: u64) {
        for (_, canceller) in self.in_flight.iter().filter(|(in_flight, _)| *in_flight == tag) {
            canceller.cancel();
        }
        let (taken, kept): (Vec<_>, Vec<_>) = self.ready.drain(..).partition(|job| job.tag == tag);
        self.ready.extend(kept);
        let mut cancelled = taken.len();
        for behind in self.behind.values_mut() {
            let before = behind.len();
            behind.retain(|job| job.tag != tag);
            cancelled += before - behind.len();
        }
        self.queued -= cancelled;
        for job in taken {
            self.let_follow(job.user_id);
        }
        for _ in 0..cancelled {
            self.give_back(tag, Err(not_sent("it was cancelled")));
        }
    }

    /// Frees it: nobody takes anything back any more.
    pub(super) fn end(&mut self) {
        self.state = State::Ended;
        self.take_queued();
        self.finished.clear();
        for (_, canceller) in &self.in_flight {
            canceller.cancel();
        }
    }

    /// Takes everything that was not sent.
    fn take_queued(&mut self) -> Vec<Job> {
        let mut taken: Vec<_> = self.ready.drain(..).collect();
        for behind in self.behind.values_mut() {
            taken.extend(behind.drain(..));
        }
        self.queued = 0;
        taken
    }

    pub(super) fn stats(&mut self, now: Instant) -> BatchStats {
        let elapsed = self.counts.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default();
        let seconds = elapsed.as_secs_f64();
        BatchStats {
            queued: self.queued,
            in_flight: self.in_flight.len(),
            finished: self.finished.len(),
            succeeded: self.counts.succeeded,
            failed: self.counts.failed,
            failed_by_code: self.counts.failed_by_code.clone(),
            retried: self.counts.retried,
            requests_per_second: self.counts.last_second.count(now),
            average_requests_per_second: if seconds > 0.0 { self.counts.requests as f64 / seconds } else { 0.0 },
            elapsed,
        }
    }
}

fn not_sent(why: &str) -> Error {
    Error::new(ErrorKind::Cancelled, format!("this update was not sent: {why}"))
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidHandle, "batch was freed while this call waited on it")
}
