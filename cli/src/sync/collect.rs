//! The collecting side of a run: collects the outcomes of rows and records them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use commbox::{Batch, Client, Delivery, Error, ErrorKind, Finished};
use serde_json::json;

use super::feed::{lock, LeftOut, Pending, Place, Wrong};
use super::progress::{self, Progress};
use crate::failure::{is_unreachable, Exit, Failure, Result};
use crate::input::Original;
use crate::journal::{Became, Failed, Journal, Outcome, Run};
use crate::rejects::{Front, Rejects};
use crate::stop::Signals;
use crate::ui::Ui;
use crate::units::{counted, MaxErrors};

/// Outcomes are written after this many rows or this much time.
const ROWS: usize = 256;
const PAUSE: Duration = Duration::from_millis(20);

/// Number of consecutive rows that end a run if they fail for the same reason.
const SAME: u64 = 100;

/// The input of the collecting side.
pub struct Given<'a> {
    pub client: &'a Client,
    pub batch: &'a Batch,
    pub run: &'a Run,
    pub journal: &'a Mutex<&'a mut Journal>,
    pub pending: &'a Mutex<HashMap<u64, Pending>>,
    pub wrong: Receiver<Wrong>,
    pub left_out: &'a LeftOut,
    pub stop: &'a AtomicBool,
    pub signals: &'a Signals,
    pub max_errors: Option<MaxErrors>,
    pub ui: Ui,
}

/// The number of rows by outcome.
#[derive(Default)]
pub struct Counts {
    pub confirmed: u64,
    /// Rows that failed in this session, including those that were confirmed later.
    pub failed: u64,
    /// Failed rows without an answer of the server.
    pub unreachable: u64,
    /// Rows that were submitted but not sent.
    pub unsent: u64,
    pub earlier: u64,
    pub unchanged: u64,
    pub outdated: u64,
    pub superseded: u64,
    pub empty: u64,
}

/// Why a run stops early.
pub enum Stop {
    Signal(Exit),
    KeyRejected,
    Unreachable(String),
    Errors(String),
}

/// How a run ended.
pub struct Ended {
    pub stop: Option<Stop>,
    /// The error if something could not be read or written.
    pub failure: Option<Failure>,
    pub elapsed: Duration,
}

/// A failed row that is not written yet.
struct Reject {
    file: usize,
    original: Original,
    description: Option<String>,
}

pub struct Collect<'a> {
    given: Given<'a>,
    rejects: &'a mut [Rejects],
    progress: Progress,
    counts: Counts,
    outcomes: Vec<Outcome>,
    rejected: Vec<Option<Reject>>,
    /// When the oldest of the outcomes was collected.
    since: Option<Instant>,
    /// The code of the latest consecutive failures, and their number.
    same: (i32, u64),
    stamp: u64,
    stop: Option<Stop>,
    failure: Option<Failure>,
}

impl<'a> Collect<'a> {
    pub fn new(given: Given<'a>, rejects: &'a mut [Rejects], progress: Progress) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            given,
            rejects,
            progress,
            counts: Counts::default(),
            outcomes: Vec::new(),
            rejected: Vec::new(),
            since: None,
            same: (0, 0),
            stamp: u64::try_from(now.as_micros()).unwrap_or_default(),
            stop: None,
            failure: None,
        }
    }

    /// Collects until every submitted row has its outcome.
    pub fn run(mut self) -> (Counts, Ended) {
        loop {
            self.take_wrong();
            match self.given.batch.next(Some(PAUSE)) {
                Ok(Some(finished)) => self.finished(finished),
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                Err(error) => {
                    self.fail(error.into());
                    break;
                }
            }
            if self.outcomes.len() >= ROWS
                || self.since.is_some_and(|since| since.elapsed() >= PAUSE)
            {
                self.write();
            }
            if let (Some(exit), None) = (self.given.signals.came(), &self.stop) {
                let what = "Stopping: what is in flight is finished. Once more ends at once.";
                self.progress.line(what);
                self.end_for(Stop::Signal(exit));
            }
            let counts = self.progress_counts();
            self.progress.show(self.given.client, counts);
        }
        // The reading side closes the batch last, so it has ended.
        while let Ok(wrong) = self.given.wrong.recv() {
            self.wrong(wrong);
            if self.outcomes.len() >= ROWS {
                self.write();
            }
        }
        self.write();
        self.progress.end();
        let left = self.given.left_out;
        self.counts.earlier = left.confirmed.load(Relaxed);
        self.counts.unchanged = left.unchanged.load(Relaxed);
        self.counts.outdated = left.outdated.load(Relaxed);
        self.counts.superseded = left.superseded.load(Relaxed);
        self.counts.empty = left.empty.load(Relaxed);
        let elapsed = self.progress.elapsed();
        (self.counts, Ended { stop: self.stop, failure: self.failure, elapsed })
    }

    fn progress_counts(&self) -> progress::Counts {
        let left = self.given.left_out;
        let left_out = [&left.confirmed, &left.unchanged, &left.outdated];
        progress::Counts {
            confirmed: self.counts.confirmed,
            failed: self.counts.failed,
            left_out: left_out.iter().map(|count| count.load(Relaxed)).sum(),
        }
    }

    /// Stops the run gracefully.
    fn end_for(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
        self.given.stop.store(true, Relaxed);
        // This fails only in a forked child.
        let _ = self.given.batch.cancel();
    }

    fn finished(&mut self, finished: Finished) {
        let Some(pending) = lock(self.given.pending).remove(&finished.tag) else { return };
        match finished.outcome {
            Ok(_) => {
                self.counts.confirmed += 1;
                self.same = (0, 0);
                self.add(pending.place, pending.id, pending.hash, Became::Confirmed, None);
            }
            // The update was cancelled before it was sent.
            Err(error) if is_cancelled(&error) => {
                self.counts.unsent += 1;
                self.add(pending.place, pending.id, pending.hash, Became::Unsent, None);
            }
            Err(error) => self.failed(pending, &error),
        }
    }

    fn failed(&mut self, pending: Pending, error: &Error) {
        let kind = error.kind();
        let failed = Failed {
            code: kind.code(),
            message: error.to_string(),
            delivery: match error.delivery() {
                Delivery::NotSent => "not_sent",
                Delivery::Unknown => "unknown",
                Delivery::Answered => "answered",
            },
            attempts: error.attempts(),
            stamp: self.next_stamp(),
        };
        self.counts.failed += 1;
        self.counts.unreachable += u64::from(is_unreachable(kind));
        self.tell(pending.place, pending.id, &failed);
        self.same = (kind.code(), if self.same.0 == kind.code() { self.same.1 + 1 } else { 1 });
        let reject = Reject {
            file: pending.place.file,
            original: pending.original,
            description: error.description().map(str::to_owned),
        };
        let message = failed.message.clone();
        self.add(pending.place, pending.id, pending.hash, Became::Failed(failed), Some(reject));
        self.judge(kind, &message);
    }

    /// Stops the run if the failures show that continuing is pointless.
    fn judge(&mut self, kind: ErrorKind, message: &str) {
        if self.stop.is_some() {
            return;
        }
        let (failed, same) = (self.counts.failed, self.same.1);
        let finished = failed + self.counts.confirmed;
        let all_same = same >= SAME && (same == finished || is_unreachable(kind));
        let many = match self.given.max_errors {
            Some(MaxErrors::Count(most)) => failed >= most.max(1),
            Some(MaxErrors::Percent(most)) => {
                finished >= SAME && failed as f64 * 100.0 > most * finished as f64
            }
            None => false,
        };
        if kind == ErrorKind::Http(401) {
            self.end_for(Stop::KeyRejected);
        } else if is_unreachable(kind) && same >= SAME {
            self.end_for(Stop::Unreachable(message.to_owned()));
        } else if many {
            let rows = counted(failed, "row");
            self.end_for(Stop::Errors(format!("{rows} failed, which is what --max-errors allows")));
        } else if all_same && self.given.max_errors.is_none() {
            self.end_for(Stop::Errors(format!("all of the first {same} rows failed: {message}")));
        }
    }

    fn take_wrong(&mut self) {
        while let Ok(wrong) = self.given.wrong.try_recv() {
            self.wrong(wrong);
        }
    }

    fn wrong(&mut self, wrong: Wrong) {
        let Wrong { place, id, original, problem } = wrong;
        let failed = Failed {
            code: ErrorKind::InvalidUser.code(),
            message: problem.to_string(),
            delivery: "not_sent",
            attempts: 0,
            stamp: self.next_stamp(),
        };
        self.counts.failed += 1;
        self.tell(place, id, &failed);
        let reject = Reject { file: place.file, original, description: None };
        self.add(place, id, Default::default(), Became::Failed(failed), Some(reject));
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    fn tell(&self, place: Place, id: i64, failed: &Failed) {
        self.given.ui.event(&json!({
            "event": "failed", "line": place.line, "user_id": id, "code": failed.code,
            "message": failed.message, "delivery": failed.delivery, "attempts": failed.attempts,
        }));
    }

    fn add(
        &mut self,
        place: Place,
        id: i64,
        hash: crate::journal::Hash,
        became: Became,
        reject: Option<Reject>,
    ) {
        let sequence = self.given.run.sequence(place.row);
        self.outcomes.push(Outcome { sequence, id, hash, became });
        self.rejected.push(reject);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Writes the collected outcomes. Rejects are written first, so that the journal contains none
    /// that is missing from their file.
    fn write(&mut self) {
        self.since = None;
        if self.outcomes.is_empty() {
            return;
        }
        let written = self.write_rejects().and_then(|()| {
            let mut journal = lock(self.given.journal);
            journal.record(self.given.run, &self.outcomes)
        });
        self.outcomes.clear();
        self.rejected.clear();
        if let Err(failure) = written {
            self.fail(failure);
        }
    }

    /// Stops the run because something cannot be read or written.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.given.stop.store(true, Relaxed);
        // This fails only in a forked child.
        let _ = self.given.batch.cancel();
    }

    fn write_rejects(&mut self) -> Result<()> {
        let name = lock(self.given.journal).name().to_owned();
        for (outcome, reject) in self.outcomes.iter().zip(&self.rejected) {
            let (Became::Failed(failed), Some(reject)) = (&outcome.became, reject) else {
                continue;
            };
            let Some(rejects) = self.rejects.get_mut(reject.file) else { continue };
            let description = reject.description.as_deref();
            let front = Front { failed, description, sequence: outcome.sequence };
            rejects.add(&reject.original, &front, &name)?;
        }
        Ok(())
    }
}

/// Returns whether an update was cancelled before it was sent.
fn is_cancelled(error: &Error) -> bool {
    error.kind() == ErrorKind::Cancelled && error.delivery() == Delivery::NotSent
}
