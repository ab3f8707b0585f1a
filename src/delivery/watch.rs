//! The conditions that end a blocked call: its deadline, cancels from other threads, and its
//! callback.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delivery::park::{Parker, Watched};

pub(crate) use crate::delivery::park::Canceller;

/// The longest time between two invocations of the callback. It is half of the promised 100 ms, so
/// that the promise holds on a busy machine too.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Why a call stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Late,
}

/// What to do after `park` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Check again: the thread was woken, or the time has elapsed.
    Look,
    /// Invoke the callback, with [`Watch::invoke_callback`].
    InvokeCallback,
}

/// Is invoked while a call blocks, on the call's thread. If it returns true, the call is cancelled.
pub(crate) type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// The watch of one call. It begins when the call begins.
pub(crate) struct Watch {
    began: Instant,
    deadline: Cell<Instant>,
    /// The final deadline, which nothing extends.
    overall: Option<Instant>,
    canceller: Watched,
    /// Cancels this call alone.
    own: Option<Watched>,
    /// Cancels this call only while none of its requests is in flight.
    graceful: Option<Watched>,
    interrupt: Option<Interrupt>,
    last_invoked: Cell<Instant>,
    /// Created when the call first blocks.
    parker: OnceCell<Arc<Parker>>,
}

impl Watch {
    pub(crate) fn new(limit: Duration, canceller: Canceller, interrupt: Option<Interrupt>) -> Self {
        let began = Instant::now();
        Self {
            began,
            deadline: Cell::new(began + limit),
            overall: None,
            canceller: canceller.watched(),
            own: None,
            graceful: None,
            interrupt,
            last_invoked: Cell::new(began),
            parker: OnceCell::new(),
        }
    }

    /// Adds `own`, and `graceful`, which applies while the call waits in the line or between
    /// attempts.
    pub(crate) fn with_cancellers(mut self, own: &Canceller, graceful: &Canceller) -> Self {
        // These cancellers may have been triggered before the call began, and must still apply.
        self.own = Some(own.watched_from_start());
        self.graceful = Some(graceful.watched_from_start());
        self
    }

    /// Adds a deadline that nothing extends.
    pub(crate) fn with_overall(mut self, overall: Option<Instant>) -> Self {
        self.overall = overall;
        self.extend(Duration::ZERO);
        self
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    pub(crate) fn overall(&self) -> Option<Instant> {
        self.overall
    }

    /// Extends the deadline, at most to the final one.
    pub(crate) fn extend(&self, time: Duration) {
        let deadline = self.deadline.get() + time;
        self.deadline.set(self.overall.map_or(deadline, |overall| overall.min(deadline)));
    }

    /// Returns how long the call may block on I/O before it must check again, at most until
    /// `until`.
    pub(crate) fn slice(&self, until: Instant) -> Result<Duration, Stop> {
        let now = Instant::now();
        if self.is_cancelled() || (self.is_callback_due(now) && self.invoke_callback().is_err()) {
            return Err(Stop::Cancelled);
        }
        let left = until.min(self.deadline.get()).saturating_duration_since(now);
        if left.is_zero() {
            return Err(Stop::Late);
        }
        Ok(left.min(SLICE))
    }

    /// Fails if a graceful cancel forbids the call to send anything more.
    pub(crate) fn check_graceful_cancel(&self) -> Result<(), Stop> {
        match self.graceful.as_ref().is_some_and(Watched::has_cancelled) {
            true => Err(Stop::Cancelled),
            false => Ok(()),
        }
    }

    /// Returns the parker that wakes the thread of this call when it blocks in
    /// [`park`](Self::park).
    pub(crate) fn parker(&self) -> &Arc<Parker> {
        self.parker.get_or_init(|| {
            let parker = Arc::new(Parker::default());
            for watched in self.cancellers() {
                watched.register(&parker);
            }
            parker
        })
    }

    /// Blocks until `until` (or forever, if it is `None`), or until the thread is woken. No request
    /// of the call may be in flight. The caller checks the deadline.
    pub(crate) fn park(&self, until: Option<Instant>) -> Result<Wake, Stop> {
        let parker = self.parker();
        // Check after the parker is registered: otherwise, a cancel in between would wake nobody.
        self.check_cancelled()?;
        let now = Instant::now();
        if self.is_callback_due(now) {
            return Ok(Wake::InvokeCallback);
        }
        let ask = self.interrupt.as_ref().map(|_| self.last_invoked.get() + SLICE);
        let until = until.into_iter().chain(ask).min();
        parker.park(until.map(|until| until.saturating_duration_since(now)));
        self.check_cancelled()?;
        Ok(Wake::Look)
    }

    pub(crate) fn invoke_callback(&self) -> Result<(), Stop> {
        let interrupted = self.interrupt.as_ref().is_some_and(|interrupt| interrupt());
        // The callback may have taken a long time.
        self.last_invoked.set(Instant::now());
        if interrupted {
            return Err(Stop::Cancelled);
        }
        Ok(())
    }

    /// Blocks until `until`, or until the call must stop.
    pub(crate) fn sleep(&self, until: Instant) -> Result<(), Stop> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline.get();
            if now >= until.min(deadline) {
                self.check_graceful_cancel()?;
                return if until < deadline { Ok(()) } else { Err(Stop::Late) };
            }
            if self.park(Some(until.min(deadline)))? == Wake::InvokeCallback {
                self.invoke_callback()?;
            }
        }
    }

    /// Fails if the call is cancelled. Only valid while none of its requests is in flight.
    fn check_cancelled(&self) -> Result<(), Stop> {
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        self.check_graceful_cancel()
    }

    fn is_cancelled(&self) -> bool {
        self.canceller.has_cancelled() || self.own.as_ref().is_some_and(Watched::has_cancelled)
    }

    /// Returns whether the callback is due. It is invoked once per `SLICE`, however short the waits
    /// are.
    fn is_callback_due(&self, now: Instant) -> bool {
        self.interrupt.is_some() && now.saturating_duration_since(self.last_invoked.get()) >= SLICE
    }

    fn cancellers(&self) -> impl Iterator<Item = &Watched> {
        [&self.own, &self.graceful].into_iter().flatten().chain([&self.canceller])
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.parker.get().is_some() {
            for watched in self.cancellers() {
                watched.deregister();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    fn watch(millis: u64, interrupt: Option<Interrupt>) -> (Watch, Canceller) {
        let canceller = Canceller::default();
        (Watch::new(Duration::from_millis(millis), canceller.clone(), interrupt), canceller)
    }

    fn soon(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn sleep_ends_at_the_given_time_or_at_the_deadline() {
        let (watch, _) = watch(150, None);
        assert_eq!(watch.sleep(soon(70)), Ok(()));
        assert!(watch.began.elapsed() >= Duration::from_millis(70));
        assert_eq!(watch.sleep(soon(1000)), Err(Stop::Late));
        assert!((150..900).contains(&watch.began.elapsed().as_millis()));
    }

    #[test]
    fn a_cancel_stops_running_calls_but_not_later_ones() {
        let (running, canceller) = watch(1000, None);
        canceller.cancel();
        assert_eq!(running.sleep(soon(500)), Err(Stop::Cancelled));
        let later = Watch::new(Duration::from_secs(1), canceller.clone(), None);
        assert_eq!(later.sleep(soon(1)), Ok(()));
    }

    #[test]
    fn a_cancel_wakes_a_sleeping_call() {
        let (watch, canceller) = watch(60_000, None);
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                canceller.cancel();
            });
            assert_eq!(watch.sleep(soon(30_000)), Err(Stop::Cancelled));
        });
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn an_own_cancel_before_the_call_began_stops_it() {
        let (own, graceful) = (Canceller::default(), Canceller::default());
        own.cancel();
        let with = |own| watch(1000, None).0.with_cancellers(own, &graceful);
        assert_eq!(with(&own).sleep(soon(1)), Err(Stop::Cancelled));
        let fresh = Canceller::default();
        let other = with(&fresh);
        assert_eq!(other.check_graceful_cancel(), Ok(()));
        assert_eq!(other.sleep(soon(1)), Ok(()));
        graceful.cancel();
        for other in [other, with(&fresh)] {
            assert!(other.slice(soon(100)).is_ok());
            assert_eq!(other.check_graceful_cancel(), Err(Stop::Cancelled));
            assert_eq!(other.sleep(soon(100)), Err(Stop::Cancelled));
        }
    }

    #[test]
    fn nothing_extends_the_overall_deadline() {
        let (watch, _) = watch(1000, None);
        let overall = soon(2000);
        let watch = watch.with_overall(Some(overall));
        assert!(watch.deadline() < overall);
        watch.extend(Duration::from_secs(60));
        assert_eq!(watch.deadline(), overall);
    }

    #[test]
    fn the_callback_is_invoked_after_each_slice() {
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let (watch, _) =
            watch(10_000, Some(Arc::new(move || counter.fetch_add(1, Ordering::SeqCst) == 1)));
        assert!(watch.slice(soon(1000)).is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        assert_eq!(watch.sleep(soon(5000)), Err(Stop::Cancelled));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(watch.began.elapsed() < Duration::from_millis(200));
    }
}
