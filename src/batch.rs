//! Sends many updates: workers take pending updates from a queue, send them through one client, and
//! put the results into a second queue.

mod job;
mod options;
mod queue;
mod signal;
mod stats;
mod worker;

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::{held_back, Client};
use crate::delivery::line::{Held, Ready};
use crate::delivery::park::{Canceller, Parker};
use crate::delivery::watch;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::options::object::FromObject;
use crate::options::CallOptions;
use crate::reply::UpdateReply;
use crate::thread;

pub use options::BatchOptions;
pub use stats::BatchStats;

use job::{Job, Released};
use queue::{Queue, Waiters};
use signal::{Signal, Wake};

/// The longest wait. Longer timeouts mean forever.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Sends many updates through one client: any thread may submit updates, and any thread may collect
/// the results, each exactly once.
///
/// Updates of one user are sent one at a time, in the order in which they were submitted. The
/// options bound the memory of a batch, however many updates there are: [`submit`](Self::submit)
/// blocks while the queue or the completion queue is full. Dropping a batch drops pending updates,
/// and cancels those in flight.
///
/// # Examples
///
/// ```
/// use commbox::{Batch, BatchOptions};
/// use std::sync::Arc;
///
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let batch = Batch::new(Arc::new(client), &BatchOptions::default())?;
/// for (tag, user_id) in [(1, 94_382_332), (2, 404)] {
///     batch.submit(tag, user_id, r#"{"FirstName": "John"}"#.into(), None)?;
/// }
/// batch.close()?;
/// while let Some(finished) = batch.next(None)? {
///     match finished.outcome {
///         Ok(reply) => println!("row {}: {}", finished.tag, reply.http_status()),
///         Err(error) => println!("row {}: {error}", finished.tag),
///     }
/// }
/// # Ok::<(), commbox::Error>(())
/// ```
pub struct Batch {
    shared: Arc<Shared>,
    /// The process to which the worker threads belong.
    generation: u32,
}

/// The result of an update of a [`Batch`].
///
/// # Examples
///
/// ```
/// use commbox::Finished;
///
/// /// The tag of an update that failed.
/// fn failed(finished: &Finished) -> Option<u64> {
///     finished.outcome.is_err().then_some(finished.tag)
/// }
/// ```
pub struct Finished {
    /// The tag that the update was submitted with.
    pub tag: u64,
    /// The server's reply, or the error of the update.
    pub outcome: Result<UpdateReply>,
}

/// The state that the batch and its workers share.
struct Shared {
    client: Arc<Client>,
    options: BatchOptions,
    queue: Mutex<Queue>,
    /// Is notified when the first deadline changes, or when no update is queued any more.
    deadlines: Condvar,
    /// Cancels updates that wait for their turn. Requests in flight are completed.
    graceful: Canceller,
    /// Each worker calls this first, on its thread.
    on_start: fn(),
}

/// The work that remains, without the lock, after an update was queued.
struct Added {
    released: Released,
    /// The worker to wake for the update.
    worker: Option<Arc<Parker>>,
}

/// Why a wait failed.
enum Stopped {
    By(Error),
    Cancelled,
    /// The timeout, in milliseconds, expired.
    Late(u128),
}

impl Batch {
    /// Creates a batch that sends updates through `client`. Worker threads start as they are
    /// needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOptions`]: an option is out of range.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::{Batch, BatchOptions};
    /// use std::sync::Arc;
    ///
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let mut options = BatchOptions::default();
    /// options.concurrency = 16;
    /// let batch = Batch::new(Arc::new(client), &options)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn new(client: Arc<Client>, options: &BatchOptions) -> Result<Self> {
        Self::with_start(client, options, || {})
    }

    pub(crate) fn with_start(
        client: Arc<Client>,
        options: &BatchOptions,
        on_start: fn(),
    ) -> Result<Self> {
        options.check()?;
        let shared = Shared {
            client,
            options: options.clone(),
            queue: Mutex::new(Queue::new(options.queue_limit)),
            deadlines: Condvar::new(),
            graceful: Canceller::default(),
            on_start,
        };
        Ok(Self { shared: Arc::new(shared), generation: fork::generation() })
    }

    /// Submits an update; `tag` is returned with its result. Blocks while the batch is full, for at
    /// most `timeout`, or without a limit if that is `None`. The user is checked when the update is
    /// dispatched. A thread that both submits and collects must pass a timeout and collect on
    /// [`ErrorKind::Timeout`], or it deadlocks.
    ///
    /// # Errors
    ///
    /// The update was not accepted:
    ///
    /// - [`ErrorKind::Timeout`]: the batch was full until the timeout.
    /// - [`ErrorKind::InvalidArgument`]: the batch is closed.
    /// - [`ErrorKind::Cancelled`]: the batch was cancelled or stopped, or the calls of the client
    ///   were cancelled.
    /// - [`ErrorKind::Internal`]: the system could not start a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// batch.submit(1, 94_382_332, r#"{"FirstName": "John"}"#.into(), None)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn submit(
        &self,
        tag: u64,
        user_id: i64,
        user_json: String,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.submit_with(tag, user_id, user_json, CallOptions::default(), timeout)
    }

    /// Submits an update like [`submit`](Self::submit), with options for this update. They replace
    /// those of the client.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit), and [`ErrorKind::InvalidOptions`] if an option is out of
    /// range.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions, CallOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// let mut options = CallOptions::default();
    /// options.max_retries = Some(5);
    /// batch.submit_with(1, 94_382_332, r#"{"FirstName": "John"}"#.into(), options, None)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn submit_with(
        &self,
        tag: u64,
        user_id: i64,
        user_json: String,
        options: CallOptions,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.check_process()?;
        options.check()?;
        let mut update = Some((user_json, options));
        let look = |queue: &mut Queue| {
            queue.check_open()?;
            if !queue.has_room() {
                return Ok(None);
            }
            self.start_worker(queue)?;
            Ok(update
                .take()
                .map(|(text, options)| self.shared.add(queue, tag, user_id, text, options)))
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

    /// Collects the result of the next update that has finished. Blocks until there is one, for at
    /// most `timeout`, or without a limit if that is `None`. Returns `None` if the batch is closed
    /// and all results were collected.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Timeout`]: no update finished before the timeout.
    /// - [`ErrorKind::Cancelled`]: the calls of the client were cancelled meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// batch.submit(7, 94_382_332, r#"{"FirstName": "John"}"#.into(), None)?;
    /// let finished = batch.next(None)?.expect("the batch is open");
    /// assert_eq!(finished.tag, 7);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn next(&self, timeout: Option<Duration>) -> Result<Option<Finished>> {
        self.check_process()?;
        let look = |queue: &mut Queue| {
            queue.check_not_ended()?;
            let finished = queue.take_finished();
            if finished.is_some() {
                queue.for_room.wake_one();
            }
            Ok(if finished.is_some() || queue.is_done() { Some(finished) } else { None })
        };
        self.wait(|queue| &mut queue.for_finished, timeout, look).map_err(|stop| match stop {
            Stopped::By(error) => error,
            Stopped::Cancelled => {
                Error::new(ErrorKind::Cancelled, "waiting for a finished update was cancelled")
            }
            Stopped::Late(millis) => {
                Error::new(ErrorKind::Timeout, format!("no update finished within {millis} ms"))
            }
        })
    }

    /// Returns a file descriptor (on Windows, a socket) that an event loop can watch. It is
    /// readable while [`next`](Self::next) would not block: while results can be collected, and
    /// when the batch is closed and all results were collected. Never read, write or close it: it
    /// is closed when the batch is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`]: the system could not create a descriptor, or could not start the
    /// thread that watches deadlines, which [`BatchOptions::overall_timeout`] needs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// let descriptor = batch.notify_fd()?;
    /// assert_eq!(batch.notify_fd()?, descriptor);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn notify_fd(&self) -> Result<i64> {
        self.check_process()?;
        let mut queue = self.shared.lock();
        queue.check_not_ended()?;
        if let Some(number) = queue.notify_number() {
            return Ok(number);
        }
        let shortage =
            |what: &str| Error::new(ErrorKind::Internal, format!("could not create {what}"));
        let signal = Signal::new().map_err(|_| shortage("the file descriptor of notifications"))?;
        if self.shared.options.overall_timeout.is_some() {
            let shared = self.shared.clone();
            let watch = move || shared.watch_deadlines();
            thread::spawn("commbox-deadline", watch)
                .map_err(|_| shortage("the thread that watches deadlines"))?;
        }
        Ok(queue.notify_by(signal))
    }

    /// Closes the batch. It accepts no more updates. Updates that were submitted are still sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHandle`] in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// batch.close()?;
    /// assert!(batch.next(None)?.is_none());
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.check_process()?;
        self.shared.lock().close();
        self.shared.wake_all();
        Ok(())
    }

    /// Closes the batch and cancels the updates that are not in flight: those that are queued or in
    /// backoff. Updates in flight finish, and have their own results.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHandle`] in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// batch.submit(1, 94_382_332, r#"{"FirstName": "John"}"#.into(), None)?;
    /// batch.cancel()?;
    /// while let Some(finished) = batch.next(None)? {
    ///     println!("row {}: sent: {}", finished.tag, finished.outcome.is_ok());
    /// }
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn cancel(&self) -> Result<()> {
        self.check_process()?;
        let _released = self.shared.lock().stop("the batch was cancelled");
        self.shared.graceful.cancel();
        self.shared.wake_all();
        Ok(())
    }

    /// Cancels the updates that were submitted with a tag, including those in flight, within 100
    /// ms. Their results are [`ErrorKind::Cancelled`], unless they had already finished. The batch
    /// stays open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHandle`] in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// batch.submit(7, 94_382_332, r#"{"FirstName": "John"}"#.into(), None)?;
    /// batch.cancel_tag(7)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn cancel_tag(&self, tag: u64) -> Result<()> {
        self.check_process()?;
        let _released = self.shared.lock().cancel_tag(tag);
        self.shared.lock().for_room.wake_one();
        Ok(())
    }

    /// Returns the progress of the batch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHandle`] in a forked child.
    ///
    /// # Examples
    ///
    /// ```
    /// # use commbox::{Batch, BatchOptions};
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let batch = Batch::new(std::sync::Arc::new(fake::client()), &BatchOptions::default())?;
    /// assert_eq!(batch.stats()?.queued, 0);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn stats(&self) -> Result<BatchStats> {
        self.check_process()?;
        let learned = self.shared.client.line().learned();
        Ok(self.shared.lock().stats(Instant::now(), learned))
    }

    /// Ends the batch without blocking: drops the pending updates, cancels those in flight, and
    /// wakes all threads that wait on the batch.
    pub(crate) fn end(&self) {
        // In a forked child, the workers do not exist, and the lock may be held forever.
        if self.check_process().is_ok() {
            let _released = self.shared.lock().end();
            self.shared.wake_all();
        }
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        let why = "batch was created before fork(), and its worker threads belong to the parent; create another batch in the child";
        Err(Error::new(ErrorKind::InvalidHandle, why))
    }

    /// Blocks until `look` returns a value. Calls it again after each change.
    fn wait<T>(
        &self,
        waiters: impl Fn(&mut Queue) -> &mut Waiters,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut Queue) -> Result<Option<T>>,
    ) -> Result<T, Stopped> {
        let watch =
            self.shared.client.watch(timeout.map_or(LONGEST, |timeout| timeout.min(LONGEST)));
        // Only a thread that was among the waiters can have taken a wake-up, which it must then
        // pass on.
        let mut waited = false;
        let outcome = loop {
            let mut until = watch.deadline();
            let released;
            {
                let mut queue = self.shared.lock();
                released = self.shared.expire(&mut queue);
                match look(&mut queue) {
                    Err(error) => break Err(Stopped::By(error)),
                    Ok(Some(found)) => break Ok(found),
                    Ok(None) => {}
                }
                if Instant::now() >= until {
                    break Err(Stopped::Late(timeout.unwrap_or(LONGEST).as_millis()));
                }
                until = queue.next_deadline().map_or(until, |deadline| deadline.min(until));
                waiters(&mut queue).add(watch.parker());
                waited = true;
            }
            drop(released);
            let woken = watch.park(Some(until)).and_then(|wake| {
                if wake == watch::Wake::InvokeCallback {
                    watch.invoke_callback()
                } else {
                    Ok(())
                }
            });
            if woken.is_err() {
                break Err(Stopped::Cancelled);
            }
        };
        if waited {
            let mut queue = self.shared.lock();
            if !waiters(&mut queue).remove(watch.parker()) && outcome.is_err() {
                waiters(&mut queue).wake_one();
            }
        }
        outcome
    }

    /// Starts a worker if all are busy and `concurrency` allows another one.
    fn start_worker(&self, queue: &mut Queue) -> Result<()> {
        if queue.has_idle_worker() || queue.workers() >= self.shared.options.concurrency {
            return Ok(());
        }
        let shared = self.shared.clone();
        match thread::spawn("commbox-batch", move || shared.work()) {
            Ok(_) => queue.worker_started(),
            Err(_) if queue.workers() > 0 => {}
            Err(_) => {
                return Err(Error::new(ErrorKind::Internal, "could not start a worker thread"))
            }
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
    fn lock(&self) -> Locked<'_> {
        Locked { queue: self.raw_lock(), wake: Wake::default() }
    }

    fn raw_lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.deadlines.notify_all();
        let mut queue = self.lock();
        queue.wake_workers();
        queue.for_room.wake_all();
        queue.for_finished.wake_all();
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

    /// Fails the queued updates whose deadline has passed.
    fn expire(&self, queue: &mut Queue) -> Released {
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
    fn watch_deadlines(self: &Arc<Self>) {
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
struct Locked<'a> {
    queue: MutexGuard<'a, Queue>,
    /// Is dropped after `queue`, so that it wakes threads without the lock.
    wake: Wake,
}

impl Locked<'_> {
    /// Releases the lock. The caller wakes the collectors by dropping the result.
    fn release(mut self) -> Wake {
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
