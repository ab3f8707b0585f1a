//! Sends many updates: workers take pending updates from a queue, send them through one client, and
//! put the results into a second queue.

mod finished;
mod job;
mod options;
mod queue;
mod shared;
mod signal;
mod stats;
mod submit;
mod wait;
mod waiters;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::options::object::FromObject;
use crate::options::CallOptions;
use crate::thread;

pub use finished::Finished;
pub use options::BatchOptions;
pub use stats::BatchStats;

use queue::Queue;
use shared::Shared;
use signal::Signal;
use wait::Stopped;

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
        let shared = Shared::new(client, options.clone(), on_start);
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
        self.shared.submit(tag, user_id, user_json, options, timeout)
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
        self.shared.wait(|queue| &mut queue.for_finished, timeout, look).map_err(
            |stop| match stop {
                Stopped::By(error) => error,
                Stopped::Cancelled => {
                    Error::new(ErrorKind::Cancelled, "waiting for a finished update was cancelled")
                }
                Stopped::Late(millis) => {
                    Error::new(ErrorKind::Timeout, format!("no update finished within {millis} ms"))
                }
            },
        )
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
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.end();
    }
}
