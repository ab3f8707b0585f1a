//! One attempt as the layers under the HTTP agent see it: when to stop, and how far the request came.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::delivery::watch::{Stop, Watch};
use crate::log::{Event, LogLevel, Trace};
use crate::secret::ApiKey;
use crate::transport::head::{Framing, Head};
use crate::transport::wire_error::WireError;

/// How long an attempt and its connecting may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) attempt: Duration,
    pub(crate) connect: Duration,
}

/// What an attempt may take, and what became of it.
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

/// How far a request came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// The address of the server, or of its proxy, is not known yet.
    LookingUp,
    Connecting,
    /// The request was handed down; what is sent from now on belongs to it.
    Handed,
    /// The system took bytes of it.
    Sent,
    /// Bytes of the answer came.
    Answered,
}

impl<'a> Attempt<'a> {
    /// `headers` are further ones, as [`Headers::to_bytes`](crate::Headers) makes them.
    pub(crate) fn new(watch: &'a Watch, user_id: i64, api_key: &'a ApiKey, headers: &'a [u8], limits: Limits) -> Self {
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

    /// Tells the log what it does.
    pub(crate) fn with_trace(self, trace: Option<Trace<'a>>) -> Self {
        Self { trace, ..self }
    }

    /// Tells the log, if one is set.
    pub(super) fn emit(&self, level: LogLevel, event: impl FnOnce() -> Event) {
        if let Some(trace) = self.trace {
            trace.emit(level, event);
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// It ends now.
    pub(super) fn ends(&self) -> Instant {
        self.ended.set(Instant::now());
        self.ended.get()
    }

    pub(crate) fn ended(&self) -> Instant {
        self.ended.get()
    }

    /// How long to wait now before asking again. Once stopped it stays so: TLS drops an error of sending and goes on,
    /// and an interrupt may say only once that it is one.
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

    /// The time that connecting may still take.
    pub(super) fn connect_time(&self) -> Duration {
        self.connect_deadline.saturating_duration_since(Instant::now())
    }

    /// A lookup begins or, when `over`, has ended.
    pub(super) fn looks_up(&self, over: bool) {
        self.progress.set(if over { Progress::Connecting } else { Progress::LookingUp });
    }

    /// The request is handed down to a connection; false if it was before.
    pub(super) fn begin_request(&self, reused: bool) -> bool {
        let begins = self.is_connecting();
        if begins {
            self.progress.set(Progress::Handed);
            self.reused.set(reused);
        }
        begins
    }

    /// Whom it updates.
    pub(super) fn user_id(&self) -> i64 {
        self.user_id
    }

    pub(super) fn api_key(&self) -> &ApiKey {
        self.api_key
    }

    /// The headers that the program adds.
    pub(super) fn headers(&self) -> &[u8] {
        self.headers
    }

    /// The proxy opened a tunnel: from here on the API is spoken to.
    pub(super) fn enters_tunnel(&self) {
        self.tunnelled.set(true);
    }

    /// Whether the proxy, if there is one, has not opened a tunnel yet.
    pub(super) fn is_before_tunnel(&self) -> bool {
        self.is_connecting() && !self.tunnelled.get()
    }

    /// The system took bytes from a connection.
    pub(super) fn bytes_left(&self) {
        if self.progress.get() == Progress::Handed {
            self.progress.set(Progress::Sent);
        }
    }

    /// Bytes of an answer came in on a connection; what TLS says for itself is none.
    pub(super) fn bytes_came(&self) {
        if self.progress.get() == Progress::Sent {
            self.progress.set(Progress::Answered);
        }
    }

    /// The head of the answer has come.
    pub(super) fn head_came(&self, head: Head) {
        self.head.replace(Some(head));
    }

    /// The length of its body, if the head has it.
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

    /// The connection serves another request.
    pub(super) fn keeps_connection(&self) {
        self.kept.set(true);
    }

    pub(super) fn kept_connection(&self) -> bool {
        self.kept.get()
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stop.get()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// The time that it has now, in milliseconds.
    pub(super) fn limit_ms(&self) -> u128 {
        let limit = self.until().min(self.watch.deadline()).saturating_duration_since(self.began);
        // The call had begun a little before its first attempt.
        (limit + Duration::from_micros(500)).as_millis()
    }

    fn until(&self) -> Instant {
        if self.is_connecting() {
            self.connect_deadline
        } else {
            self.deadline
        }
    }

    /// Whether no connection is there to hand the request to.
    pub(super) fn is_connecting(&self) -> bool {
        self.progress.get() < Progress::Handed
    }

    /// Whether the system took bytes of the request.
    pub(crate) fn was_sent(&self) -> bool {
        self.progress.get() >= Progress::Sent
    }

    /// Whether it went out on a connection that had served a request before.
    pub(crate) fn reused_connection(&self) -> bool {
        self.reused.get()
    }

    /// Whether a reused connection refused the request, or took it and gave not one byte back: as one that the server
    /// had closed does.
    pub(crate) fn met_a_stale_connection(&self) -> bool {
        self.reused.get() && self.progress.get() <= Progress::Sent && self.stopped().is_none()
    }
}
