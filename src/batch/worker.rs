//! The worker: sends one update after another, and ends after a long time without updates.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::job::{Job, Released};
use crate::batch::shared::Shared;
use crate::batch::signal::Wake;
use crate::client::Update;
use crate::delivery::line::{Patience, Successor};
use crate::delivery::park::Parker;
use crate::error::{Error, ErrorKind, Result};
use crate::reply::UpdateReply;

/// The shortest time for which a worker stays idle. It is cheaper to keep a thread than to start
/// one.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// The work that remains after an update. The worker does it together with taking the next update,
/// so that it locks the queue only once, and collectors find the queue unlocked when they wake.
#[derive(Default)]
struct Rest {
    /// The update of this batch whose turn comes because this one has finished.
    follows: Option<u64>,
    wake: Wake,
}

impl Shared {
    pub(super) fn work(self: &Arc<Self>) {
        (self.on_start)();
        let worker = Arc::new(Parker::default());
        let mut rest = Rest::default();
        while let Some(mut job) = self.next_job(&worker, rest) {
            let others = || self.raw_lock().has_ready();
            let call = || {
                let update = Update {
                    user_id: job.user_id,
                    user_json: &job.user_json,
                    place: &mut job.place,
                    canceller: &job.canceller,
                    overall: job.deadline,
                    patience: Patience {
                        throttled: self.options.throttle_timeout,
                        outage: self.options.outage_timeout,
                    },
                    options: &job.options,
                    others: &others,
                    so_far: &mut job.so_far,
                };
                self.client.update_patiently(update, &self.graceful)
            };
            rest = match panic::catch_unwind(AssertUnwindSafe(call)) {
                Ok(Some(outcome)) => self.finish(job, outcome),
                Ok(None) => self.put_back(job),
                Err(_) => {
                    job.so_far.effort.attempts = 1;
                    self.finish(job, Err(Error::bug()))
                }
            };
        }
    }

    /// Returns the next update to send. Blocks until there is one. Returns `None` if the worker
    /// must end.
    fn next_job(&self, worker: &Arc<Parker>, rest: Rest) -> Option<Box<Job>> {
        let Rest { mut follows, mut wake } = rest;
        let idle_time = self.client.idle_timeout().max(SHORTEST_REST);
        let mut was_woken = true;
        loop {
            let mut queue = self.lock();
            // A worker that was called is needed, even if its idle time ended before it was woken.
            let rested = queue.leave_idle(worker) && !was_woken;
            if let Some(number) = follows.take() {
                queue.make_ready(number);
            }
            if let Some(job) = queue.take_ready() {
                queue.for_room.wake_one();
                return Some(job);
            }
            if queue.is_over() || (rested && queue.queued() == 0) {
                queue.worker_ended();
                drop(queue);
                // The last worker to end sees the connections of all workers.
                self.client.close_aged_connections();
                return None;
            }
            queue.become_idle(worker);
            drop(queue);
            drop(std::mem::take(&mut wake));
            was_woken = worker.park(Some(idle_time));
        }
    }

    /// Puts an update back into the queue, behind the others.
    fn put_back(self: &Arc<Self>, job: Box<Job>) -> Rest {
        let mut queue = self.lock();
        match queue.put_back(job) {
            Ok(true) => self.deadlines.notify_all(),
            Ok(false) => {}
            Err((job, error)) => {
                drop(queue);
                return self.finish(job, Err(error));
            }
        }
        Rest::default()
    }

    fn finish(self: &Arc<Self>, job: Box<Job>, outcome: Result<UpdateReply>) -> Rest {
        let rejected = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Http(401));
        let mut queue = self.lock();
        queue.finish(&job, outcome, Instant::now());
        let mut released = Released::default();
        if rejected && self.options.stop_on_unauthorized {
            released = queue
                .stop("the server rejected the API key (401) for an earlier update of the batch");
            self.graceful.cancel();
        }
        let is_open = queue.is_open();
        let mut rest = Rest { follows: None, wake: queue.release() };
        drop(released);
        match job.place.release() {
            // If the next update for the same user belongs to this batch, this worker makes it
            // ready.
            Some(Successor::Update(ready, number))
                if std::ptr::addr_eq(Arc::as_ptr(&ready), Arc::as_ptr(self)) =>
            {
                rest.follows = Some(number);
            }
            Some(successor) => successor.begin(),
            None => {}
        }
        if !is_open {
            // This may have been the last update, so wake all waiting threads.
            self.wake_all();
        }
        rest
    }
}
