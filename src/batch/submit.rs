//! Accepts updates into the queue of a batch, and starts workers for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::job::{Job, Released};
use crate::batch::queue::Queue;
use crate::batch::shared::Shared;
use crate::batch::wait::Stopped;
use crate::client::held_back;
use crate::delivery::line::Ready;
use crate::delivery::park::Parker;
use crate::error::{Error, ErrorKind, Result};
use crate::options::CallOptions;
use crate::thread;

/// The work that remains, without the lock, after an update was queued.
struct Added {
    released: Released,
    /// The worker to wake for the update.
    worker: Option<Arc<Parker>>,
}

impl Shared {
    /// Queues an update. Blocks while the batch is full, for at most `timeout`.
    pub(super) fn submit(
        self: &Arc<Self>,
        tag: u64,
        user_id: i64,
        user_json: String,
        options: CallOptions,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let mut update = Some((user_json, options));
        let look = |queue: &mut Queue| {
            queue.check_open()?;
            if !queue.has_room() {
                return Ok(None);
            }
            self.start_worker(queue)?;
            Ok(update.take().map(|(text, options)| self.add(queue, tag, user_id, text, options)))
        };
        let Added { released, worker } =
            self.wait(|queue| &mut queue.for_room, timeout, look).map_err(|stop| match stop {
                Stopped::By(error) => error,
                Stopped::Cancelled => {
                    Error::new(ErrorKind::Cancelled, "waiting for room in the batch was cancelled")
                }
                Stopped::Late(millis) => Error::new(
                    ErrorKind::Timeout,
                    format!("the batch's queue was full for {millis} ms; collect finished updates"),
                ),
            })?;
        if let Some(worker) = worker {
            worker.unpark();
        }
        drop(released);
        Ok(())
    }

    /// Starts a worker if all are busy and `concurrency` allows another one.
    fn start_worker(self: &Arc<Self>, queue: &mut Queue) -> Result<()> {
        if queue.has_idle_worker() || queue.workers() >= self.options.concurrency {
            return Ok(());
        }
        let shared = self.clone();
        match thread::spawn("commbox-batch", move || shared.work()) {
            Ok(_) => queue.worker_started(),
            Err(_) if queue.workers() > 0 => {}
            Err(_) => {
                return Err(Error::new(ErrorKind::Internal, "could not start a worker thread"))
            }
        }
        Ok(())
    }

    /// Queues an update, or fails it at once if it cannot meet its deadline.
    fn add(
        self: &Arc<Self>,
        queue: &mut Queue,
        tag: u64,
        user_id: i64,
        user_json: String,
        options: CallOptions,
    ) -> Added {
        let line = self.client.line();
        let deadline = self.options.overall_timeout.map(|timeout| Instant::now() + timeout);
        let shared: Arc<dyn Ready> = self.clone();
        let (place, is_ready) = line.enter_update(user_id, &Arc::downgrade(&shared));
        let job = Job::new(tag, user_id, user_json, options, deadline, place);
        match deadline.and_then(|deadline| line.too_late(deadline, 0)) {
            Some(held) => Added { released: queue.refuse(job, held_back(held)), worker: None },
            None => {
                if queue.add(job, is_ready) {
                    self.deadlines.notify_all();
                }
                let worker = if is_ready { queue.call_worker() } else { None };
                Added { released: Released::default(), worker }
            }
        }
    }
}
