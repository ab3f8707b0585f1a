//! The types that a flow exchanges with its callers: the permission to send, and the outcome.

use std::time::Duration;

/// A time on the caller's clock, since its zero.
pub(crate) type Moment = Duration;

/// Why requests are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Throttled,
    Outage,
}

/// The answer to a request for permission to send.
#[derive(Debug)]
pub(crate) enum Turn {
    Go(Ticket),
    /// Do not send before this moment.
    Wait(Moment),
    /// A probe is in flight. It is given up at this moment, unless its outcome is reported before.
    Probing(Moment),
}

/// A reserved time in the sequence of requests. The caller keeps it until it asks again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(super) at: Moment,
    pub(super) version: u64,
    /// The rate at which the slot was given, if there was one.
    pub(super) rate: Option<f64>,
}

/// The permission to send one request, whose outcome must be reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(super) epoch: u64,
    pub(super) left: Moment,
    pub(super) rate: Option<f64>,
    pub(super) probe: Option<Probe>,
}

/// How a probe differs from other requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// The timeout of the probe.
    pub(crate) limit: Duration,
    /// Whether the probe needs a new connection.
    pub(crate) fresh: bool,
}

impl Ticket {
    pub(crate) fn probe(&self) -> Option<Probe> {
        self.probe
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Any reply except a 429 or a transient failure. `exhausted` is the time for which the server
    /// accepts no more requests, according to its headers.
    Accepted { exhausted: Option<Duration> },
    /// A 429. `asked` is how long the server asks to wait; `policy` is the rate in its headers.
    Throttled { asked: Option<Duration>, policy: Option<f64> },
    /// A transient failure.
    Failed { asked: Option<Duration>, timed_out: bool },
    /// Nothing that shows anything about the server: the request was cancelled, or was cut short by
    /// the call's deadline.
    Nothing,
}
