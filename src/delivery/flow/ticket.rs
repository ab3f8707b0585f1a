//! What passes between a flow and those who send: leave to send a request, and its outcome.

use std::time::Duration;

/// A time on the caller's clock, since its zero.
pub(crate) type Moment = Duration;

/// Why requests are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Throttled,
    Outage,
}

/// What a request that would leave now is told.
#[derive(Debug)]
pub(crate) enum Turn {
    Go(Ticket),
    /// Not before this moment.
    Wait(Moment),
    /// A probe is out. It is given up at this moment, unless its outcome comes before.
    Probing(Moment),
}

/// A place in the sequence of departures, kept from one time of asking to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(super) at: Moment,
    pub(super) version: u64,
    /// The rate at which it was given, if there was one.
    pub(super) rate: Option<f64>,
}

/// Leave to send one request. Its outcome is to be reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(super) epoch: u64,
    pub(super) left: Moment,
    pub(super) rate: Option<f64>,
    pub(super) probe: Option<Probe>,
}

/// What is special about a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Whether it needs a connection of its own.
    pub(crate) fresh: bool,
}

impl Ticket {
    pub(crate) fn probe(&self) -> Option<Probe> {
        self.probe
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Any answer but a throttling or a failing one. With `exhausted`, the server's headers say that
    /// it accepts no more for so long.
    Accepted { exhausted: Option<Duration> },
    /// A 429: how long the server asks to wait, and the rate that its headers name.
    Throttled { asked: Option<Duration>, policy: Option<f64> },
    /// A transient failure.
    Failed { asked: Option<Duration>, timed_out: bool },
    /// Nothing that says anything about the server: cancelled, or stopped by the call's own deadline.
    Nothing,
}
