//! Many updates at once: a queue with workers in front of one client, and a queue of what came of them behind.

mod options;
mod queue;
mod stats;

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::delivery::watch::{Canceller, Stop};
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::options::object::FromObject;
use crate::thread;

pub use options::BatchOptions;
pub use stats::BatchStats;

use queue::{Job, Queue};

/// The longest wait that is asked for: longer ones mean as long as it takes.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Many updates at once, over one client: submitted on one side, taken back finished on the other, each exactly once.
///
/// Updates of the same user are sent in the order in which they were submitted, never two at a time. Memory is bounded
/// by the options, not by the job: [`submit`](Self::submit) waits while the queue, or the queue of what has finished, is
/// full. Dropping a batch ends it: what was not sent is dropped, what is under way is cancelled.
pub struct Batch {
    shared: Arc<Shared>,
    /// The process whose threads the workers are.
    generation: u32,
}

/// An update that was taken back.
pub struct Finished {
    /// What it was submitted with.
    pub tag: u64,
    /// The server's reply, or why there is none.
    pub outcome: Result<String>,
}

/// What the batch and its workers share.
struct Shared {
    client: Arc<Client>,
    options: BatchOptions,
    queue: Mutex<Queue>,
    /// There is something to send, or nothing more will come.
    work: Condvar,
    /// There is room in the queues.
    room: Condvar,
    /// Something has finished, or nothing more will.
    finished: Condvar,
    /// Stops what waits for its turn, and lets finish what is under way.
    gentle: Canceller,
    /// What a worker does first, on its thread.
    on_start: fn(),
}

/// Why a wait came to nothing.
enum Stopped {
    By(Error),
    Cancelled,
    /// After so many milliseconds.
    Late(u128),
}

impl Batch {
    /// A batch in front of `client`. Workers start as they are needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOptions`] for options out of bounds.
    pub fn new(client: Arc<Client>, options: &BatchOptions) -> Result<Self> {
        Self::with_start(client, options, || {})
    }

    pub(crate) fn with_start(client: Arc<Client>, options: &BatchOptions, on_start: fn()) -> Result<Self> {
        options.check()?;
        let shared = Shared {
            client,
            options: options.clone(),
            queue: Mutex::new(Queue::new(options.queue_limit)),
            work: Condvar::new(),
            room: Condvar::new(),
            finished: Condvar::new(),
            gentle: Canceller::default(),
            on_start,
        };
        Ok(Self { shared: Arc::new(shared), generation: fork::generation() })
    }

    /// Submits an update; `tag` comes back with what came of it. Waits while there is no room, at most `timeout`, or
    /// as long as it takes where that is `None`. The user is checked when its turn comes.
    ///
    /// # Errors
    ///
    /// Of these, the update was not accepted: [`ErrorKind::Timeout`] where there was no room in time,
    /// [`ErrorKind::InvalidArgument`] where the batch is closed, [`ErrorKind::Cancelled`] where it was cancelled or
    /// stopped, or the client's calls were cancelled meanwhile, [`ErrorKind::Internal`] where the system has no thread to
    /// send from.
    pub fn submit(&self, tag: u64, user_id: i64, user_json: String, timeout: Option<Duration>) -> Result<()> {
        self.check_process()?;
        let mut job = Some(Job::new(tag, user_id, user_json));
        let look = |queue: &mut Queue| {
            queue.check_open()?;
            if !queue.has_room() {
                return Ok(None);
            }
            self.start_worker(queue)?;
            Ok(job.take().map(|job| queue.add(job)))
        };
        self.wait(&self.shared.room, timeout, look).map_err(|stop| match stop {
            Stopped::By(error) => error,
            Stopped::Cancelled => Error::new(ErrorKind::Cancelled, "waiting for room in the batch was cancelled"),
            Stopped::Late(millis) => Error::new(
                ErrorKind::Timeout,
                format!("there was no room in the batch within {millis} ms; take back what has finished"),
            ),
        })?;
        self.shared.work.notify_one();
        Ok(())
    }

    /// Takes back the next finished update. Waits for one, at most `timeout`, or as long as it takes where that is
    /// `None`; there is none more, and `None` is returned, once the batch is closed and everything was taken back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] where none finished in time, [`ErrorKind::Cancelled`] where the client's calls were
    /// cancelled meanwhile.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Option<Finished>> {
        self.check_process()?;
        let look = |queue: &mut Queue| {
            queue.check_not_ended()?;
            let finished = queue.take_finished();
            Ok(if finished.is_some() || queue.is_done() { Some(finished) } else { None })
        };
        let finished = self.wait(&self.shared.finished, timeout, look).map_err(|stop| match stop {
            Stopped::By(error) => error,
            Stopped::Cancelled => Error::new(ErrorKind::Cancelled, "waiting for a finished update was cancelled"),
            Stopped::Late(millis) => Error::new(ErrorKind::Timeout, format!("no update finished within {millis} ms")),
        })?;
        self.shared.room.notify_one();
        Ok(finished)
    }

    /// Takes no more updates; what was submitted is still sent.
    ///
    /// # Errors
    ///
    /// Only in a forked child.
    pub fn close(&self) -> Result<()> {
        self.check_process()?;
        self.shared.lock().close();
        self.shared.wake_all();
        Ok(())
    }

    /// Closes the batch, and has everything that was not sent come back as cancelled, also what waits for its turn or
    /// between attempts. What is under way finishes, and comes back with its outcome.
    ///
    /// # Errors
    ///
    /// Only in a forked child.
    pub fn cancel(&self) -> Result<()> {
        self.check_process()?;
        self.shared.lock().stop("the batch was cancelled");
        self.shared.gentle.cancel();
        self.shared.wake_all();
        Ok(())
    }

    /// Cancels the updates with this tag: those that were not sent, and those under way, within 100 ms. They come
    /// back as cancelled, unless they had finished.
    ///
    /// # Errors
    ///
    /// Only in a forked child.
    pub fn cancel_tag(&self, tag: u64) -> Result<()> {
        self.check_process()?;
        self.shared.lock().cancel_tag(tag);
        self.shared.wake_all();
        Ok(())
    }

    /// Where the batch stands.
    ///
    /// # Errors
    ///
    /// Only in a forked child.
    pub fn stats(&self) -> Result<BatchStats> {
        self.check_process()?;
        Ok(self.shared.lock().stats(Instant::now()))
    }

    /// Ends it without waiting: what was not sent is dropped, what is under way is cancelled, and those that wait on
    /// it are told.
    pub(crate) fn end(&self) {
        // In a forked child the workers are not there, and the lock may be held for ever.
        if self.check_process().is_ok() {
            self.shared.lock().end();
            self.shared.wake_all();
        }
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        let why = "batch was made before fork(), and its workers are the parent's; make another one in the child";
        Err(Error::new(ErrorKind::InvalidHandle, why))
    }

    /// Waits for a change after which `look` finds what it looks for, a slice at a time: between them, and without the
    /// lock, the caller's interrupt is asked.
    fn wait<T>(
        &self,
        change: &Condvar,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut Queue) -> Result<Option<T>>,
    ) -> Result<T, Stopped> {
        let watch = self.shared.client.watch(timeout.map_or(LONGEST, |timeout| timeout.min(LONGEST)));
        loop {
            let slice = watch.slice(watch.deadline());
            let mut queue = self.shared.lock();
            if let Some(found) = look(&mut queue).map_err(Stopped::By)? {
                return Ok(found);
            }
            match slice {
                Ok(slice) => drop(change.wait_timeout(queue, slice)),
                Err(Stop::Cancelled) => return Err(Stopped::Cancelled),
                Err(Stop::Late) => return Err(Stopped::Late(timeout.unwrap_or(LONGEST).as_millis())),
            }
        }
    }

    /// Starts a worker where all are busy and there may be more.
    fn start_worker(&self, queue: &mut Queue) -> Result<()> {
        if queue.has_idle_worker() || queue.workers() >= self.shared.options.concurrency {
            return Ok(());
        }
        let shared = self.shared.clone();
        match thread::spawn("commbox-batch", move || shared.work()) {
            Ok(_) => queue.worker_started(),
            Err(_) if queue.workers() > 0 => {}
            Err(_) => return Err(Error::new(ErrorKind::Internal, "the system gives the batch no thread to send from")),
        }
        Ok(())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.work.notify_all();
        self.room.notify_all();
        self.finished.notify_all();
    }

    /// The life of a worker.
    fn work(&self) {
        (self.on_start)();
        while let Some(job) = self.next_job() {
            let user = (job.user_id, job.user_json.as_str());
            let call = || self.client.update_patiently(user, &job.canceller, &self.gentle);
            let (outcome, attempts) =
                panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| (Err(Error::bug()), 1));
            self.finish(&job, outcome, attempts);
        }
    }

    /// The next update to send; none where the worker is no longer needed.
    fn next_job(&self) -> Option<Job> {
        let mut queue = self.lock();
        queue.worker_idles(true);
        let job = loop {
            if let Some(job) = queue.take_ready() {
                break Some(job);
            }
            if queue.needs_no_worker() {
                break None;
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        };
        queue.worker_idles(false);
        drop(queue);
        self.room.notify_one();
        job
    }

    fn finish(&self, job: &Job, outcome: Result<String>, attempts: u32) {
        let refused = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Http(401));
        let mut queue = self.lock();
        queue.finish(job, outcome, attempts, Instant::now());
        if refused && self.options.stop_on_unauthorized {
            queue.stop("the server refused the API key (401) for an earlier update of the batch");
            self.gentle.cancel();
        }
        let is_open = queue.is_open();
        drop(queue);
        if is_open {
            // What this update let follow, this worker takes next.
            self.finished.notify_one();
        } else {
            // The last one tells all that it is over.
            self.wake_all();
        }
    }
}
