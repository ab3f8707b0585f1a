//! Blocks a thread until another thread or a cancel wakes it.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fork;

/// Blocks one thread until another wakes it. A wake-up that comes early is kept.
///
/// `std::thread::park` is not used: for a thread that the library did not start, it allocates a
/// handle that is never freed.
#[derive(Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    change: Condvar,
}

impl Parker {
    /// Blocks until the thread is woken or the time has elapsed. Returns whether it was woken.
    pub(crate) fn park(&self, time: Option<Duration>) -> bool {
        let woken = self.lock();
        let mut woken = match time {
            Some(time) => {
                let waited = self.change.wait_timeout_while(woken, time, |woken| !*woken);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self
                .change
                .wait_while(woken, |woken| !*woken)
                .unwrap_or_else(PoisonError::into_inner),
        };
        mem::take(&mut *woken)
    }

    pub(crate) fn unpark(&self) {
        let was_woken = mem::replace(&mut *self.lock(), true);
        // Notify after the lock is released, because the woken thread needs it.
        if !was_woken {
            self.change.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels every call that is in progress. Calls that begin later are not affected.
#[derive(Clone, Default)]
pub(crate) struct Canceller(Arc<Cancels>);

#[derive(Default)]
struct Cancels {
    count: AtomicU64,
    blocked: Mutex<Blocked>,
}

/// The threads to wake.
#[derive(Default)]
struct Blocked {
    parkers: Vec<Option<Arc<Parker>>>,
    /// The indexes of free places in `parkers`.
    free: Vec<usize>,
    /// The process that the threads belong to.
    generation: u32,
}

impl Canceller {
    pub(crate) fn cancel(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        // A call that registers after this point sees the new count.
        let mut parkers = Vec::new();
        self.blocked(&mut |blocked| parkers.extend(blocked.parkers.iter().flatten().cloned()));
        for parker in parkers {
            parker.unpark();
        }
    }

    /// Returns whether `cancel` has ever been called.
    pub(crate) fn has_cancelled(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) > 0
    }

    /// Watches for cancels from now on.
    pub(crate) fn watched(self) -> Watched {
        let before = self.0.count.load(Ordering::SeqCst);
        Watched { canceller: self, before, place: Cell::new(None) }
    }

    /// Watches for cancels since the canceller was created.
    pub(crate) fn watched_from_start(&self) -> Watched {
        Watched { canceller: self.clone(), before: 0, place: Cell::new(None) }
    }

    fn blocked(&self, section: &mut dyn FnMut(&mut Blocked)) {
        fork::held(|| {
            let mut blocked = self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner);
            let generation = fork::generation();
            if blocked.generation != generation {
                // A forked child does not have the threads of its parent.
                *blocked = Blocked { generation, ..Blocked::default() };
            }
            section(&mut blocked);
        });
    }
}

/// The view that one call has of a canceller.
pub(crate) struct Watched {
    canceller: Canceller,
    before: u64,
    /// The index of the call's parker among those to wake, and the process to which it belongs.
    place: Cell<Option<(u32, usize)>>,
}

impl Watched {
    pub(crate) fn has_cancelled(&self) -> bool {
        self.canceller.0.count.load(Ordering::SeqCst) != self.before
    }

    /// Makes a cancel wake this thread too.
    pub(crate) fn register(&self, parker: &Arc<Parker>) {
        self.canceller.blocked(&mut |blocked| {
            let free = blocked.free.pop();
            let place = free.unwrap_or(blocked.parkers.len());
            match blocked.parkers.get_mut(place) {
                Some(free) => *free = Some(parker.clone()),
                None => blocked.parkers.push(Some(parker.clone())),
            }
            self.place.set(Some((blocked.generation, place)));
        });
    }

    pub(crate) fn deregister(&self) {
        let Some((generation, place)) = self.place.take() else {
            return;
        };
        let mut parker = None;
        self.canceller.blocked(&mut |blocked| {
            let is_here = blocked.generation == generation;
            if let Some(taken) = blocked.parkers.get_mut(place).filter(|_| is_here) {
                parker = taken.take();
                blocked.free.push(place);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn an_unpark_before_park_is_kept_and_consumed_once() {
        let parker = Parker::default();
        parker.unpark();
        parker.unpark();
        parker.park(None);
        let began = Instant::now();
        parker.park(Some(Duration::from_millis(20)));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    fn blocked(canceller: &Canceller) -> usize {
        canceller.0.blocked.lock().unwrap().parkers.iter().flatten().count()
    }

    #[test]
    fn a_cancel_wakes_blocked_threads() {
        let canceller = Canceller::default();
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let (parker, watched) =
                        (Arc::new(Parker::default()), canceller.clone().watched());
                    watched.register(&parker);
                    while !watched.has_cancelled() {
                        parker.park(None);
                    }
                    watched.deregister();
                });
            }
            while blocked(&canceller) < 10 {
                thread::yield_now();
            }
            canceller.cancel();
        });
        assert_eq!(blocked(&canceller), 0);
    }
}
