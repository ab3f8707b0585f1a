//! One attempt as the layers under the HTTP agent see it: when to stop, and how far the request came.
//!
//! An attempt runs on its caller's thread from beginning to end, whichever connection it gets, so the layers find it
//! there: the agent has no other way to tell them.

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Error;

use crate::delivery::watch::{Stop, Watch};
use crate::secret::ApiKey;

thread_local! {
    /// Null outside of one. What has a destructor would be gone by the time that exit handlers make calls.
    static CURRENT: Cell<*const Attempt> = const { Cell::new(ptr::null()) };
}

/// How long an attempt and its connecting may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) attempt: Duration,
    pub(crate) connect: Duration,
}

/// What an attempt may take, and what became of it.
pub(crate) struct Attempt {
    watch: Rc<Watch>,
    api_key: Arc<ApiKey>,
    began: Instant,
    deadline: Instant,
    connect_deadline: Instant,
    fresh: bool,
    stop: Cell<Option<Stop>>,
    progress: Cell<Progress>,
    reused: Cell<bool>,
    found_closed: Cell<bool>,
    tunnelled: Cell<bool>,
}

/// How far a request came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Nothing,
    /// The request was handed down; what is sent from now on belongs to it.
    Handed,
    /// The system took bytes of it.
    Sent,
    /// Bytes of the answer came.
    Answered,
}

impl Attempt {
    /// `fresh` asks for a new connection in the place of one that was used before.
    pub(crate) fn new(watch: &Rc<Watch>, api_key: Arc<ApiKey>, limits: Limits, fresh: bool) -> Rc<Self> {
        let now = Instant::now();
        let deadline = now + limits.attempt;
        Rc::new(Self {
            watch: watch.clone(),
            api_key,
            began: now,
            deadline,
            connect_deadline: deadline.min(now + limits.connect),
            fresh,
            stop: Cell::new(None),
            progress: Cell::new(Progress::Nothing),
            reused: Cell::new(false),
            found_closed: Cell::new(false),
            tunnelled: Cell::new(false),
        })
    }

    /// Runs `body` as this attempt.
    pub(crate) fn run<T>(self: &Rc<Self>, body: impl FnOnce() -> T) -> T {
        // An interrupt may make a call of its own, so the one before comes back, whatever happens.
        struct Restore(*const Attempt);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(Rc::as_ptr(self)));
        body()
    }

    /// The attempt of this thread.
    pub(crate) fn current() -> Result<Rc<Self>, Error> {
        let attempt = CURRENT.get();
        if attempt.is_null() {
            // No I/O happens outside of one.
            return Err(Error::ConnectionFailed);
        }
        // SAFETY: of the Rc that `run` borrows, which sets it back before that borrow ends; and the thread is the same.
        unsafe {
            Rc::increment_strong_count(attempt);
            Ok(Rc::from_raw(attempt))
        }
    }

    /// How long to wait now before asking again. Once stopped it stays so: TLS drops an error of sending and goes on,
    /// and an interrupt may say only once that it is one.
    pub(crate) fn slice(&self) -> Result<Duration, Error> {
        let slice = match self.stop.get() {
            Some(stop) => Err(stop),
            None => self.watch.slice(self.until()),
        };
        slice.map_err(|stop| {
            self.stop.set(Some(stop));
            // Only ends the agent's work: the reason is read from here.
            Error::Timeout(ureq::Timeout::Global)
        })
    }

    /// What is left of the time to connect.
    pub(crate) fn connect_time(&self) -> Duration {
        self.connect_deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn wants_fresh(&self) -> bool {
        self.fresh
    }

    /// The request is handed down; false where it was before.
    pub(super) fn begin_request(&self) -> bool {
        let begins = self.progress.get() == Progress::Nothing;
        self.reaches(Progress::Handed);
        begins
    }

    pub(super) fn api_key(&self) -> &ApiKey {
        &self.api_key
    }

    /// The proxy made a tunnel: from here on it is the API that is spoken to.
    pub(crate) fn is_let_through(&self) {
        self.tunnelled.set(true);
    }

    /// Whether the proxy, if there is one, is still to make a tunnel.
    pub(crate) fn was_before_tunnel(&self) -> bool {
        self.was_connecting() && !self.tunnelled.get()
    }

    fn reaches(&self, progress: Progress) {
        if progress > self.progress.get() {
            self.progress.set(progress);
        }
    }

    /// A connection is about to send; whether it has nothing of the request yet.
    pub(crate) fn sends_on(&self, reused: bool) -> bool {
        let begins = self.progress.get() == Progress::Handed;
        if begins {
            self.reused.set(reused);
        }
        begins
    }

    /// The connection turned out to be closed before anything was sent on it.
    pub(crate) fn finds_it_closed(&self) {
        self.found_closed.set(true);
    }

    /// Begins again on another connection where this one was found closed; false where it was not.
    pub(super) fn starts_over(&self) -> bool {
        let found_closed = self.found_closed.replace(false);
        if found_closed {
            self.progress.set(Progress::Nothing);
            self.reused.set(false);
            self.tunnelled.set(false);
        }
        found_closed
    }

    /// The system took bytes from a connection.
    pub(crate) fn bytes_left(&self) {
        if self.progress.get() == Progress::Handed {
            self.reaches(Progress::Sent);
        }
    }

    /// Bytes of an answer came in on a connection; what TLS says for itself is none.
    pub(super) fn bytes_came(&self) {
        if self.progress.get() == Progress::Sent {
            self.reaches(Progress::Answered);
        }
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stop.get()
    }

    /// The time that it has now, in milliseconds.
    pub(crate) fn limit_ms(&self) -> u128 {
        let limit = self.until().min(self.watch.deadline()).saturating_duration_since(self.began);
        // The call had begun a little before its first attempt.
        (limit + Duration::from_micros(500)).as_millis()
    }

    fn until(&self) -> Instant {
        if self.was_connecting() {
            self.connect_deadline
        } else {
            self.deadline
        }
    }

    /// Whether no connection was there to hand the request to.
    pub(crate) fn was_connecting(&self) -> bool {
        self.progress.get() == Progress::Nothing
    }

    /// Whether the system took bytes of the request.
    pub(crate) fn was_sent(&self) -> bool {
        self.progress.get() >= Progress::Sent
    }

    /// Whether a used connection refused the request, or took it and gave not one byte back: as one that the server
    /// had closed does.
    pub(crate) fn met_a_stale_connection(&self) -> bool {
        self.reused.get() && self.progress.get() <= Progress::Sent && self.stopped().is_none()
    }
}
