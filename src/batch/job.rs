//! The updates of a batch, in the order of their submission.

use std::collections::VecDeque;
use std::time::Instant;

use crate::client::SoFar;
use crate::delivery::line::Place;
use crate::delivery::park::Canceller;
use crate::error::{Error, ErrorKind};
use crate::options::CallOptions;

/// A submitted update.
pub(super) struct Job {
    pub(super) tag: u64,
    pub(super) user_id: i64,
    pub(super) user_json: String,
    pub(super) options: CallOptions,
    /// The update's deadline.
    pub(super) deadline: Option<Instant>,
    /// Cancels the update while it is in flight.
    pub(super) canceller: Canceller,
    pub(super) place: Place,
    pub(super) so_far: SoFar,
    pub(super) number: u64,
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
        Box::new(Self {
            tag,
            user_id,
            user_json,
            options,
            deadline,
            canceller,
            place,
            so_far,
            number,
        })
    }

    /// Returns the error of an update that is cancelled before it is sent, or before it is retried.
    pub(super) fn cancelled(&self, why: &str) -> Error {
        let what = if self.so_far.is_sent() {
            "this update was not sent again"
        } else {
            "this update was not sent"
        };
        self.so_far.explain(Error::new(ErrorKind::Cancelled, format!("{what}: {why}")))
    }
}

/// Finished updates whose places must be dropped without the lock of the queue: dropping a place
/// notifies the next update for the same user, which may belong to this batch.
#[must_use]
#[derive(Default)]
pub(super) struct Released(pub(super) VecDeque<Box<Job>>);

/// Updates in the order of their numbers, which is the order of their submission.
#[derive(Default)]
pub(super) struct Jobs(VecDeque<Box<Job>>);

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |job| job.number)
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.place(number).is_ok()
    }

    pub(super) fn add(&mut self, job: Box<Job>) {
        let (Ok(place) | Err(place)) = self.place(job.number);
        self.0.insert(place, job);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Box<Job>> {
        self.place(number).ok().and_then(|place| self.0.remove(place))
    }

    /// Moves the updates with this tag to `taken`.
    pub(super) fn take_tag(&mut self, tag: u64, taken: &mut VecDeque<Box<Job>>) {
        let mut place = 0;
        while let Some(job) = self.0.get(place) {
            if job.tag == tag {
                taken.extend(self.0.remove(place));
            } else {
                place += 1;
            }
        }
    }

    pub(super) fn take_first(&mut self) -> Option<Box<Job>> {
        self.0.pop_front()
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Box<Job>> + '_ {
        self.0.drain(..)
    }
}
