//! The state of one attempt for the layers below the HTTP agent: when to stop, and how far the
//! request has come.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::delivery::watch::{Stop, Watch};
use crate::log::{Event, LogLevel, Trace};
use crate::secret::ApiKey;
use crate::transport::head::{Framing, Head};
use crate::transport::wire_error::WireError;

/// The timeouts of an attempt and of its connection.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) attempt: Duration,
    pub(crate) connect: Duration,
}

/// The limits and the progress of an attempt.
pub(crate) struct Attempt<'a> {
    watch: &'a Watch,
    user_id: i64,
    api_key: &'a ApiKey,
    headers: &'a [u8],
    trace: Option<Trace<'a>>,
    began: Instant,
    ended: Cell<Instant>,
    deadline: Instant,
    connect_deadline: Instant,
    stop: Cell<Option<Stop>>,
    progress: Cell<Progress>,
    reused: Cell<bool>,
    tunnelled: Cell<bool>,
    kept: Cell<bool>,
    head: RefCell<Option<Head>>,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// The address of the server or of its proxy is not known yet.
    LookingUp,
    Connecting,
    /// The request was passed to a connection. Bytes sent from now on belong to it.
    Handed,
    /// The system has accepted bytes of the request.
    Sent,
    /// Bytes of the reply have been received.
    Answered,
}

impl<'a> Attempt<'a> {
    /// `headers` are the additional headers, in the form of [`Headers::to_bytes`](crate::Headers).
    pub(crate) fn new(
        watch: &'a Watch,
        user_id: i64,
        api_key: &'a ApiKey,
        headers: &'a [u8],
        limits: Limits,
    ) -> Self {
        let now = Instant::now();
        let deadline = now + limits.attempt;
        Self {
            watch,
            user_id,
            api_key,
            headers,
            trace: None,
            began: now,
            ended: Cell::new(now),
            deadline,
            connect_deadline: deadline.min(now + limits.connect),
            stop: Cell::new(None),
            progress: Cell::new(Progress::Connecting),
            reused: Cell::new(false),
            tunnelled: Cell::new(false),
            kept: Cell::new(false),
            head: RefCell::new(None),
        }
    }

    /// Sets where to log the events of the attempt.
    pub(crate) fn with_trace(self, trace: Option<Trace<'a>>) -> Self {
        Self { trace, ..self }
    }

    /// Logs an event, if a log is set.
    pub(super) fn emit(&self, level: LogLevel, event: impl FnOnce() -> Event) {
        if let Some(trace) = self.trace {
            trace.emit(level, event);
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Records the end of the attempt, and returns it.
    pub(super) fn ends(&self) -> Instant {
        self.ended.set(Instant::now());
        self.ended.get()
    }

    pub(crate) fn ended(&self) -> Instant {
        self.ended.get()
    }

    /// Returns how long to block before checking again. Once the attempt is stopped, it remains so:
    /// TLS drops a send error and continues, and a callback may report the cancellation only once.
    pub(super) fn slice(&self) -> Result<Duration, WireError> {
        let slice = match self.stop.get() {
            Some(stop) => Err(stop),
            None => self.watch.slice(self.until()),
        };
        slice.map_err(|stop| {
            self.stop.set(Some(stop));
            WireError::Stopped
        })
    }

    /// Returns the time that is left for connecting.
    pub(super) fn connect_time(&self) -> Duration {
        self.connect_deadline.saturating_duration_since(Instant::now())
    }

    /// Records that a lookup begins, or, if `over`, has ended.
    pub(super) fn looks_up(&self, over: bool) {
        self.progress.set(if over { Progress::Connecting } else { Progress::LookingUp });
    }

    /// Records that the request is passed to a connection. Returns false if that has happened
    /// before.
    pub(super) fn begin_request(&self, reused: bool) -> bool {
        let begins = self.is_connecting();
        if begins {
            self.progress.set(Progress::Handed);
            self.reused.set(reused);
        }
        begins
    }

    /// Returns the id of the user that the request updates.
    pub(super) fn user_id(&self) -> i64 {
        self.user_id
    }

    pub(super) fn api_key(&self) -> &ApiKey {
        self.api_key
    }

    /// Returns the additional headers.
    pub(super) fn headers(&self) -> &[u8] {
        self.headers
    }

    /// Records that the proxy has opened a tunnel. From now on, the peer is the server.
    pub(super) fn enters_tunnel(&self) {
        self.tunnelled.set(true);
    }

    /// Returns whether the attempt is still connecting and no tunnel is open.
    pub(super) fn is_before_tunnel(&self) -> bool {
        self.is_connecting() && !self.tunnelled.get()
    }

    /// Records that the system has accepted bytes for a connection.
    pub(super) fn bytes_left(&self) {
        if self.progress.get() == Progress::Handed {
            self.progress.set(Progress::Sent);
        }
    }

    /// Records that bytes of a reply were received. Bytes of the TLS protocol itself do not count.
    pub(super) fn bytes_came(&self) {
        if self.progress.get() == Progress::Sent {
            self.progress.set(Progress::Answered);
        }
    }

    /// Stores the head of the reply.
    pub(super) fn head_came(&self, head: Head) {
        self.head.replace(Some(head));
    }

    /// Returns the length of the body, if the head contains it.
    pub(super) fn body_length(&self) -> Option<u64> {
        match self.head.borrow().as_ref()?.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        }
    }

    pub(super) fn take_head(&self) -> Option<Head> {
        self.head.take()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.head.borrow().as_ref().map(|head| head.status)
    }

    /// Records that the connection can be reused.
    pub(super) fn keeps_connection(&self) {
        self.kept.set(true);
    }

    pub(super) fn kept_connection(&self) -> bool {
        self.kept.get()
    }

    /// Returns why the attempt was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stop.get()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// Returns the timeout that applies to the attempt now, in milliseconds.
    pub(super) fn limit_ms(&self) -> u128 {
        let limit = self.until().min(self.watch.deadline()).saturating_duration_since(self.began);
        // Round, because the call began a little before its first attempt.
        (limit + Duration::from_micros(500)).as_millis()
    }

    fn until(&self) -> Instant {
        if self.is_connecting() {
            self.connect_deadline
        } else {
            self.deadline
        }
    }

    /// Returns whether no connection is available for the request yet.
    pub(super) fn is_connecting(&self) -> bool {
        self.progress.get() < Progress::Handed
    }

    /// Returns whether the system has accepted bytes of the request.
    pub(crate) fn was_sent(&self) -> bool {
        self.progress.get() >= Progress::Sent
    }

    /// Returns whether the request was sent on a reused connection.
    pub(crate) fn reused_connection(&self) -> bool {
        self.reused.get()
    }

    /// Returns whether a reused connection refused the request, or accepted it and returned no
    /// byte, as a connection does that the server has closed.
    pub(crate) fn met_a_stale_connection(&self) -> bool {
        self.reused.get() && self.progress.get() <= Progress::Sent && self.stopped().is_none()
    }
}
