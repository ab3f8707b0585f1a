//! One call on its way: its options, its deadline, and what it has been through.

use std::time::{Duration, Instant};

use crate::client::held::held_back;
use crate::client::Client;
use crate::delivery::line::{Held, Patience, Place};
use crate::delivery::park::Canceller;
use crate::delivery::watch::{Stop, Watch};
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::headers::HeaderBytes;
use crate::log::{Event, LogLevel, Trace};
use crate::options::CallOptions;
use crate::transport::cancelled;

/// An update of a batch, for [`Client::update_patiently`].
pub(crate) struct Update<'a> {
    pub(crate) user_id: i64,
    pub(crate) user_json: &'a str,
    pub(crate) place: &'a mut Place,
    /// Cancels it while it is in flight, too.
    pub(crate) canceller: &'a Canceller,
    /// When it is to end, whatever extends its deadline.
    pub(crate) overall: Option<Instant>,
    pub(crate) patience: Patience,
    pub(crate) options: &'a CallOptions,
    /// Whether the batch has others that may be sent now.
    pub(crate) others: &'a dyn Fn() -> bool,
    pub(crate) so_far: &'a mut SoFar,
}

/// What a call took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Effort {
    pub(crate) attempts: u32,
    /// How many of them were answered by a 429.
    pub(crate) throttled: u32,
}

/// What a call has been through. An update of a batch that is put back keeps it.
#[derive(Default)]
pub(crate) struct SoFar {
    pub(crate) effort: Effort,
    /// Its number in the log.
    pub(super) number: Option<u64>,
    pub(super) retries: u32,
    /// Whether it was sent again with another key.
    pub(super) rekeyed: bool,
    pub(super) began: Option<Instant>,
    /// What became of the last attempt that sent anything.
    pub(super) delivery: Delivery,
    /// Why the last attempt failed.
    pub(super) last: Option<Box<Error>>,
    /// How many requests of the client were accepted before an outage was found to be the reason.
    pub(super) accepted: Option<u64>,
}

impl SoFar {
    /// Completes an error with what is known of the call.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        error.with_effort(self.effort.attempts, elapsed).with_delivery(self.delivery)
    }

    /// Whether anything of it was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.delivery != Delivery::NotSent
    }
}

/// Why a call ended without a reply.
pub(super) enum Ended {
    Failed(Error),
    /// Others of its batch are to be sent before, which one alone has none of.
    PutBack(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is special about a call for an update of a batch.
#[derive(Clone, Copy)]
pub(super) struct InBatch<'a> {
    /// How long the server may hold it back beyond its deadline.
    pub(super) patience: Patience,
    pub(super) others: &'a dyn Fn() -> bool,
}

/// A call on its way.
pub(super) struct Call<'a> {
    pub(super) watch: Watch,
    /// Where the log is told what it does.
    pub(super) trace: Option<Trace<'a>>,
    pub(super) batch: Option<InBatch<'a>>,
    pub(super) options: &'a CallOptions,
    /// Where they are not those of the client.
    pub(super) headers: Option<HeaderBytes>,
    /// When the last attempt ended.
    pub(super) ended: Instant,
    /// Whether to make a connection for the next attempt.
    pub(super) fresh: bool,
    pub(super) so_far: SoFar,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        client: &'a Client,
        watch: Watch,
        options: &'a CallOptions,
        batch: Option<InBatch<'a>>,
        so_far: SoFar,
    ) -> Self {
        let trace = client.log.call(so_far.number);
        Self {
            batch,
            options,
            headers: (!options.headers.is_empty()).then(|| options.headers.to_bytes(&client.headers)),
            ended: watch.began(),
            watch,
            trace,
            fresh: false,
            so_far: SoFar { number: trace.map(Trace::number), ..so_far },
        }
    }

    pub(super) fn emit(&self, level: LogLevel, event: impl FnOnce() -> Event) {
        if let Some(trace) = self.trace {
            trace.emit(level, event);
        }
    }

    /// Waits before the next attempt; false if the wait would pass the deadline.
    pub(super) fn sleep(&self, wait: Duration) -> Result<bool> {
        let until = Instant::now() + wait;
        if until >= self.watch.deadline() {
            return Ok(false);
        }
        match self.watch.sleep(until) {
            Ok(()) => Ok(true),
            Err(Stop::Late) => Ok(false),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    pub(super) fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Cancelled => cancelled(self.so_far.is_sent()),
            Stop::Late => held_back(Held::Stopped(stop)),
        }
    }

    pub(super) fn stopped_behind_user(&self, stop: Stop) -> Error {
        match stop {
            Stop::Cancelled => self.stopped(stop),
            Stop::Late => Error::new(
                ErrorKind::Timeout,
                "deadline exceeded while an earlier call for the same user was in flight",
            ),
        }
    }
}
