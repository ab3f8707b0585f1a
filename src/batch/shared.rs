//! The state that a batch and its workers share, its lock, and its deadlines.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::batch::job::Released;
use crate::batch::options::BatchOptions;
use crate::batch::queue::Queue;
use crate::batch::signal::Wake;
use crate::client::{held_back, Client};
use crate::delivery::line::{Held, Ready};
use crate::delivery::park::Canceller;
use crate::error::{Error, ErrorKind};

/// The state that the batch and its workers share.
pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    pub(super) options: BatchOptions,
    queue: Mutex<Queue>,
    /// Is notified when the first deadline changes, or when no update is queued any more.
    pub(super) deadlines: Condvar,
    /// Cancels updates that wait for their turn. Requests in flight are completed.
    pub(super) graceful: Canceller,
    /// Each worker calls this first, on its thread.
    pub(super) on_start: fn(),
}

impl Shared {
    pub(super) fn new(client: Arc<Client>, options: BatchOptions, on_start: fn()) -> Self {
        Self {
            client,
            queue: Mutex::new(Queue::new(options.queue_limit)),
            options,
            deadlines: Condvar::new(),
            graceful: Canceller::default(),
            on_start,
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { queue: self.raw_lock(), wake: Wake::default() }
    }

    pub(super) fn raw_lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_all(&self) {
        self.deadlines.notify_all();
        let mut queue = self.lock();
        queue.wake_workers();
        queue.for_room.wake_all();
        queue.for_finished.wake_all();
    }

    /// Fails the queued updates whose deadline has passed.
    pub(super) fn expire(&self, queue: &mut Queue) -> Released {
        let now = Instant::now();
        queue.expire(now, || match self.client.line().too_late(now, 0) {
            None | Some(Held::Stopped(_)) => {
                let millis = self.options.overall_timeout.unwrap_or_default().as_millis();
                let why = format!(
                    "deadline exceeded: the update was queued for its overall timeout, {millis} ms"
                );
                Error::new(ErrorKind::Timeout, why)
            }
            Some(held) => held_back(held),
        })
    }

    /// Fails queued updates at their deadlines, even if no thread is blocked on the batch.
    pub(super) fn watch_deadlines(self: &Arc<Self>) {
        let mut queue = self.raw_lock();
        while !queue.is_over() {
            let now = Instant::now();
            queue = match queue.next_deadline() {
                None => self.deadlines.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) if deadline > now => {
                    let waited = self.deadlines.wait_timeout(queue, deadline - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(queue);
                    let mut held = self.lock();
                    let released = self.expire(&mut held);
                    drop(held);
                    drop(released);
                    self.raw_lock()
                }
            };
        }
    }
}

/// The locked queues. When the lock has been released, collectors are woken.
pub(super) struct Locked<'a> {
    queue: MutexGuard<'a, Queue>,
    /// Is dropped after `queue`, so that it wakes threads without the lock.
    wake: Wake,
}

impl Locked<'_> {
    /// Releases the lock. The caller wakes the collectors by dropping the result.
    pub(super) fn release(mut self) -> Wake {
        let wake = self.queue.notify();
        drop(self);
        wake
    }
}

impl Deref for Locked<'_> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.wake = self.queue.notify();
    }
}

impl Ready for Shared {
    fn ready(&self, number: u64) {
        let worker = {
            let mut queue = self.lock();
            queue.make_ready(number);
            queue.call_worker()
        };
        if let Some(worker) = worker {
            worker.unpark();
        }
    }
}
