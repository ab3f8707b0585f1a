//! What a waiting call watches: its deadline, a cancel from another thread, an interrupt of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait without a look around. Half of the 100 ms that are promised, so that a busy machine keeps them too.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Why a call stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Late,
}

/// Asked while a call waits, on its thread; true ends the call.
pub(crate) type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// Cancels every call that runs when it is told to, and none that begins later.
#[derive(Clone, Default)]
pub(crate) struct Canceller(Arc<AtomicU64>);

impl Canceller {
    pub(crate) fn cancel(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether this is the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn watched(&self) -> Watched {
        Watched { canceller: self.clone(), before: self.0.load(Ordering::SeqCst) }
    }
}

/// A canceller as a call looks at it.
struct Watched {
    canceller: Canceller,
    before: u64,
}

impl Watched {
    fn has_cancelled(&self) -> bool {
        self.canceller.0.load(Ordering::SeqCst) != self.before
    }
}

/// One call's watch. It begins when the call does.
pub(crate) struct Watch {
    began: Instant,
    deadline: Cell<Instant>,
    canceller: Watched,
    /// Cancels this call alone.
    own: Option<Watched>,
    /// Cancels it only while nothing of it is under way.
    gentle: Option<Watched>,
    interrupt: Option<Interrupt>,
    asked: Cell<Instant>,
}

impl Watch {
    pub(crate) fn new(limit: Duration, canceller: Canceller, interrupt: Option<Interrupt>) -> Self {
        let began = Instant::now();
        Self {
            began,
            deadline: Cell::new(began + limit),
            canceller: canceller.watched(),
            own: None,
            gentle: None,
            interrupt,
            asked: Cell::new(began),
        }
    }

    /// Heeds `own` too, and `gentle` while it waits for its turn or between attempts.
    pub(crate) fn heeding(mut self, own: &Canceller, gentle: &Canceller) -> Self {
        // They were made for this call and its like, which may have been cancelled before it came to look.
        self.own = Some(Watched { canceller: own.clone(), before: 0 });
        self.gentle = Some(Watched { canceller: gentle.clone(), before: 0 });
        self
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    /// Moves the deadline.
    pub(crate) fn extend(&self, time: Duration) {
        self.deadline.set(self.deadline.get() + time);
    }

    /// How long the call may wait before it looks around again, at most until `until`.
    pub(crate) fn slice(&self, until: Instant) -> Result<Duration, Stop> {
        let now = Instant::now();
        let own = self.own.as_ref().is_some_and(Watched::has_cancelled);
        if own || self.canceller.has_cancelled() || self.interrupted(now) {
            return Err(Stop::Cancelled);
        }
        let left = until.min(self.deadline.get()).saturating_duration_since(now);
        if left.is_zero() {
            return Err(Stop::Late);
        }
        Ok(left.min(SLICE))
    }

    /// Whether the call may begin something.
    pub(crate) fn check_gentle(&self) -> Result<(), Stop> {
        match self.gentle.as_ref().is_some_and(Watched::has_cancelled) {
            true => Err(Stop::Cancelled),
            false => Ok(()),
        }
    }

    /// Sleeps until `until`, or until the call is to stop.
    pub(crate) fn sleep(&self, until: Instant) -> Result<(), Stop> {
        loop {
            self.check_gentle()?;
            match self.slice(until) {
                // Not a sleep: the standard library takes one that a sandbox refuses for a bug. It may end early.
                Ok(slice) => thread::park_timeout(slice),
                Err(Stop::Late) if until < self.deadline.get() => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Asks the caller, once a slice however short the waits are.
    fn interrupted(&self, now: Instant) -> bool {
        let Some(interrupt) = &self.interrupt else {
            return false;
        };
        if now.saturating_duration_since(self.asked.get()) < SLICE {
            return false;
        }
        let interrupted = interrupt();
        // The caller may have taken its time to answer.
        self.asked.set(Instant::now());
        interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(millis: u64, interrupt: Option<Interrupt>) -> (Watch, Canceller) {
        let canceller = Canceller::default();
        (Watch::new(Duration::from_millis(millis), canceller.clone(), interrupt), canceller)
    }

    fn soon(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn sleeps_as_long_as_told_and_not_past_the_deadline() {
        let (watch, _) = watch(150, None);
        assert_eq!(watch.sleep(soon(70)), Ok(()));
        assert!(watch.elapsed() >= Duration::from_millis(70));
        assert_eq!(watch.sleep(soon(1000)), Err(Stop::Late));
        assert!((150..250).contains(&watch.elapsed().as_millis()));
    }

    #[test]
    fn a_cancel_stops_the_calls_of_its_moment_only() {
        let (running, canceller) = watch(1000, None);
        canceller.cancel();
        assert_eq!(running.sleep(soon(500)), Err(Stop::Cancelled));
        let later = Watch::new(Duration::from_secs(1), canceller, None);
        assert_eq!(later.sleep(soon(1)), Ok(()));
    }

    #[test]
    fn a_call_heeds_cancels_of_its_own_that_came_before_it_began() {
        let (own, gentle) = (Canceller::default(), Canceller::default());
        own.cancel();
        let heeding = |own| watch(1000, None).0.heeding(own, &gentle);
        assert_eq!(heeding(&own).sleep(soon(1)), Err(Stop::Cancelled));
        let fresh = Canceller::default();
        let other = heeding(&fresh);
        assert_eq!(other.check_gentle(), Ok(()));
        assert_eq!(other.sleep(soon(1)), Ok(()));
        gentle.cancel();
        for other in [other, heeding(&fresh)] {
            assert!(other.slice(soon(100)).is_ok());
            assert_eq!(other.check_gentle(), Err(Stop::Cancelled));
            assert_eq!(other.sleep(soon(100)), Err(Stop::Cancelled));
        }
    }

    #[test]
    fn the_interrupt_is_asked_every_slice_and_not_before() {
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let (watch, _) = watch(10_000, Some(Arc::new(move || counter.fetch_add(1, Ordering::SeqCst) == 1)));
        assert!(watch.slice(soon(1000)).is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        assert_eq!(watch.sleep(soon(5000)), Err(Stop::Cancelled));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(watch.elapsed() < Duration::from_millis(200));
    }
}
