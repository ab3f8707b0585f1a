//! The state of one call: its options, its deadline, and its history so far.

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

/// An update of a batch, as passed to [`Client::update_patiently`].
pub(crate) struct Update<'a> {
    pub(crate) user_id: i64,
    pub(crate) user_json: &'a str,
    pub(crate) place: &'a mut Place,
    /// Cancels the update, even while it is in flight.
    pub(crate) canceller: &'a Canceller,
    /// The time at which the update must end. Nothing extends it.
    pub(crate) overall: Option<Instant>,
    pub(crate) patience: Patience,
    pub(crate) options: &'a CallOptions,
    /// Returns whether the batch has other updates that can be sent now.
    pub(crate) others: &'a dyn Fn() -> bool,
    pub(crate) so_far: &'a mut SoFar,
}

/// The attempts that a call has made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Effort {
    pub(crate) attempts: u32,
    /// How many attempts were answered with 429.
    pub(crate) throttled: u32,
}

/// The history of a call. An update of a batch that is put back keeps its history.
#[derive(Default)]
pub(crate) struct SoFar {
    pub(crate) effort: Effort,
    /// The call's number in the log.
    pub(super) number: Option<u64>,
    pub(super) retries: u32,
    /// Whether the update was retried with a new API key.
    pub(super) rekeyed: bool,
    pub(super) began: Option<Instant>,
    /// The delivery of the last attempt that sent anything.
    pub(super) delivery: Delivery,
    /// Why the last attempt failed.
    pub(super) last: Option<Box<Error>>,
    /// The number of requests of this client that had been accepted when this update was first
    /// suspected to fail because of an outage.
    pub(super) accepted: Option<u64>,
}

impl SoFar {
    /// Adds the number of attempts, the elapsed time and the delivery to an error.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        error.with_effort(self.effort.attempts, elapsed).with_delivery(self.delivery)
    }

    /// Returns whether any attempt has sent anything.
    pub(crate) fn is_sent(&self) -> bool {
        self.delivery != Delivery::NotSent
    }
}

/// Why a call ended without a reply.
pub(super) enum Ended {
    Failed(Error),
    /// The update goes back to its batch, so that other updates are sent first. Direct calls never
    /// return it.
    PutBack(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The additional state of a call for an update of a batch.
#[derive(Clone, Copy)]
pub(super) struct InBatch<'a> {
    /// How long throttling or an outage may extend the deadline.
    pub(super) patience: Patience,
    pub(super) others: &'a dyn Fn() -> bool,
}

/// A call that is in progress.
pub(super) struct Call<'a> {
    pub(super) watch: Watch,
    /// Emits the call's log events, if the client logs.
    pub(super) trace: Option<Trace<'a>>,
    pub(super) batch: Option<InBatch<'a>>,
    pub(super) options: &'a CallOptions,
    /// The headers of the call, if they differ from those of the client.
    pub(super) headers: Option<HeaderBytes>,
    /// When the last attempt ended.
    pub(super) ended: Instant,
    /// Whether the next attempt must open a new connection.
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
            headers: (!options.headers.is_empty())
                .then(|| options.headers.to_bytes(&client.headers)),
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

    /// Blocks before the next attempt. Returns false if the wait would exceed the deadline.
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
