//! The client: runs each call from the caller's text to the server's reply.

mod call;
mod deliver;
mod events;
mod held;

use std::borrow::Cow;
use std::env;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::delivery::line::Line;
use crate::delivery::park::Canceller;
use crate::delivery::retry::Policy;
use crate::delivery::watch::{Interrupt, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::headers::{HeaderBytes, Headers};
use crate::log::{Event, Log, LogCallback, LogLevel};
use crate::options::object::FromObject;
use crate::options::{self, CallOptions, Options};
use crate::reply::UpdateReply;
use crate::secret::ApiKey;
use crate::stats::{ClientStats, Stats};
use crate::transport::{Address, Limits, Transport};
use crate::user::{self, Rules};

use call::{Call, Ended, InBatch};

pub(crate) use call::{Effort, SoFar, Update};
pub(crate) use held::held_back;

/// A client of CommBox: one API key, one set of options and a connection pool.
///
/// Any number of threads may use a client at once. Create one client for a whole program, so that
/// all threads share its connection pool and its rate limit. A client remains usable in both
/// processes after `fork()`.
///
/// # Examples
///
/// ```
/// use commbox::{Client, Options};
///
/// let options = Options::default();
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let options = fake::options();
/// let client = Client::new("my-api-key", &options)?;
/// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
/// assert_eq!(reply.http_status(), 200);
/// # Ok::<(), commbox::Error>(())
/// ```
pub struct Client {
    /// The fields that can be replaced while calls run.
    current: RwLock<Current>,
    transport: Transport,
    line: Arc<Line>,
    log: Arc<Log>,
    canceller: Canceller,
    rules: Rules,
    retries: Policy,
    limits: Limits,
    total_timeout: Duration,
    headers: Headers,
    header_bytes: HeaderBytes,
    stats: Stats,
}

struct Current {
    api_key: Arc<ApiKey>,
    interrupt: Option<Interrupt>,
}

impl Client {
    /// Creates a client with this API key. It makes no connection and sends nothing before the
    /// first call.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: the API key is empty, or contains blanks or control
    ///   characters.
    /// - [`ErrorKind::InvalidOptions`]: an option is out of range, or a file that an option names
    ///   cannot be used.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::{Client, Options};
    /// use std::time::Duration;
    ///
    /// let mut options = Options::default();
    /// options.total_timeout = Duration::from_secs(10);
    /// let client = Client::new("my-api-key", &options)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn new(api_key: &str, options: &Options) -> Result<Self> {
        options.check()?;
        let users = Address::new(&options.base_url)?;
        let (stats, log) = (Stats::new(), Arc::new(Log::default()));
        Ok(Self {
            current: RwLock::new(Current {
                api_key: Arc::new(ApiKey::new(api_key)?),
                interrupt: None,
            }),
            transport: Transport::new(options, users, &stats.connections)?,
            line: Arc::new(Line::new(
                options.max_requests_per_second,
                options.order_per_user,
                options.rate_group.as_deref(),
                log.clone(),
            )?),
            log,
            canceller: Canceller::default(),
            rules: Rules::new(options),
            retries: Policy::new(options),
            limits: Limits { attempt: options.attempt_timeout, connect: options.connect_timeout },
            total_timeout: options.total_timeout,
            headers: options.headers.clone(),
            header_bytes: options.headers.to_bytes(&Headers::new()),
            stats,
        })
    }

    /// Creates a client with the API key in the environment variable `COMMBOX_API_KEY`.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), and [`ErrorKind::InvalidArgument`] if the variable is not set.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::{Client, Options};
    ///
    /// # std::env::set_var("COMMBOX_API_KEY", "my-api-key");
    /// let client = Client::from_env(&Options::default())?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn from_env(options: &Options) -> Result<Self> {
        let api_key = env::var("COMMBOX_API_KEY").map(Zeroizing::new).unwrap_or_default();
        if api_key.is_empty() {
            let why = "api_key is missing: pass one, or set COMMBOX_API_KEY in the environment";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        Self::new(&api_key, options)
            .map_err(|error| error.with_note("it comes from COMMBOX_API_KEY"))
    }

    /// Replaces the API key. Every attempt that starts afterwards uses the new key. If the server
    /// rejects the former key with 401, the attempt is retried once with the new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`]: the API key is malformed. The client keeps its present key.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// client.set_api_key("my-new-api-key")?;
    /// assert!(client.set_api_key("not a key").is_err());
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn set_api_key(&self, api_key: &str) -> Result<()> {
        let api_key = Arc::new(ApiKey::new(api_key)?);
        let _former = self.write(|current| mem::replace(&mut current.api_key, api_key));
        self.log.key_is(false);
        Ok(())
    }

    /// Sets a callback that is invoked for each event up to a level; `None` removes it. The
    /// callback receives the level of the event, the event as a JSON object, and the event as a
    /// sentence. It runs on the thread where the event happens. It may use the client; the events
    /// of such calls are not reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::LogLevel;
    /// use std::sync::Arc;
    ///
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// client.set_log(Some((
    ///     LogLevel::Info,
    ///     Arc::new(|_level, _json, sentence| eprintln!("{sentence}")),
    /// )));
    /// client.set_log(None);
    /// ```
    pub fn set_log(&self, log: Option<(LogLevel, LogCallback)>) {
        self.log.set(log);
        self.log.emit(LogLevel::Debug, || self.transport.proxy_event());
    }

    /// Cancels every call that is in flight, on any thread: each fails with
    /// [`ErrorKind::Cancelled`] within 100 ms. Calls that begin later are not affected.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#));
    ///     client.cancel();
    /// });
    /// ```
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// Sets a callback that is invoked at least every 100 ms while a call blocks, on the thread
    /// that made the call; `None` removes it. If it returns true, that call fails with
    /// [`ErrorKind::Cancelled`]. The callback applies to calls that begin afterwards.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::sync::Arc;
    ///
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let stopped = Arc::new(AtomicBool::new(false)); // a signal handler sets it
    /// let flag = stopped.clone();
    /// client.set_interrupt(Some(Arc::new(move || flag.load(Ordering::Relaxed))));
    /// ```
    pub fn set_interrupt(&self, interrupt: Option<Arc<dyn Fn() -> bool + Send + Sync>>) {
        let _former = self.write(|current| mem::replace(&mut current.interrupt, interrupt));
    }

    /// Sets the option [`max_requests_per_second`](Options::max_requests_per_second). It applies to
    /// every request from now on, including those of pending calls. 0 removes the limit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`]: the rate is out of range. The client keeps its present
    /// limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// client.set_max_requests_per_second(2.5)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn set_max_requests_per_second(&self, rate: f64) -> Result<()> {
        if !options::is_rate(rate) {
            let why = format!("must be {}", options::RATES);
            return Err(Error::problem(ErrorKind::InvalidArgument, "max_requests_per_second", why));
        }
        self.line.set_limit(rate);
        Ok(())
    }

    /// Returns the statistics of the client.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert_eq!(client.stats().succeeded, 1);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.stats.read(self.line.stats())
    }

    /// Checks the path from this machine to the server, and returns the result as the JSON object
    /// that `commbox_client_diagnose_json()` documents. It sends no update and no API key, and
    /// blocks for at most [`total_timeout`](Options::total_timeout).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`]: the call was cancelled. A step that fails is part of the result.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// println!("{}", client.diagnose_json()?);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn diagnose_json(&self) -> Result<String> {
        self.transport.diagnose(&self.watch(self.total_timeout), self.limits)
    }

    /// Updates one user and returns the server's reply. Blocks for at most
    /// [`total_timeout`](Options::total_timeout).
    ///
    /// `user_json` is the user's fields, `{"FirstName": …}`, or the whole body, `{"data": {…}}`. It
    /// is sent as it is written. Transient failures are retried, as the options say. Calls for one
    /// user are sent in the order in which they were made, unless [`Options::order_per_user`] is
    /// false.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: the user id is below 1.
    /// - [`ErrorKind::InvalidUser`]: the user is invalid; the error contains all problems.
    /// - [`ErrorKind::Http`]: the server did not confirm the update.
    /// - [`ErrorKind::Throttled`]: the server's rate limit delays the call past its deadline.
    /// - [`ErrorKind::Connection`], [`ErrorKind::Tls`], [`ErrorKind::Timeout`],
    ///   [`ErrorKind::Cancelled`] and [`ErrorKind::BadResponse`]: the request failed, or was
    ///   cancelled.
    ///
    /// [`Error::delivery`] shows whether the server may have processed the update.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert_eq!(reply.attempts(), 1);
    ///
    /// let error = client.update_user_json(404, r#"{"FirstName": "John"}"#).unwrap_err();
    /// assert_eq!(error.kind(), commbox::ErrorKind::Http(404));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn update_user_json(&self, user_id: i64, user_json: &str) -> Result<UpdateReply> {
        self.update(user_id, user_json, &CallOptions::default())
    }

    /// Updates one user like [`update_user_json`](Self::update_user_json), with options for this
    /// call. They replace those of the client.
    ///
    /// # Errors
    ///
    /// Those of [`update_user_json`](Self::update_user_json), and [`ErrorKind::InvalidOptions`] if
    /// an option is out of range.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::CallOptions;
    ///
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let mut options = CallOptions::default();
    /// options.max_retries = Some(0);
    /// client.update_user_json_with(94_382_332, r#"{"FirstName": "John"}"#, &options)?;
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn update_user_json_with(
        &self,
        user_id: i64,
        user_json: &str,
        options: &CallOptions,
    ) -> Result<UpdateReply> {
        options.check()?;
        self.update(user_id, user_json, options)
    }

    fn update(&self, user_id: i64, user_json: &str, options: &CallOptions) -> Result<UpdateReply> {
        let watch = self.watch(options.total_timeout.unwrap_or(self.total_timeout));
        let mut call = Call::new(self, watch, options, None, SoFar::default());
        self.explained(&mut call, |client, call| {
            let body = client.body(user_id, user_json)?;
            let mut place = client.line.enter(user_id, &call.watch);
            client
                .line
                .wait_for_turn(&place, &call.watch)
                .map_err(|stop| call.stopped_behind_user(stop))?;
            client.deliver(user_id, &body, &mut place, call)
        })
        .map_err(|(Ended::Failed(error) | Ended::PutBack(error))| error)
    }

    /// Checks an update like [`update_user_json`](Self::update_user_json) does before it sends
    /// anything. It sends nothing and does not block. If [`Options::validate`] is false, it checks
    /// little.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidArgument`]: the user id is below 1.
    /// - [`ErrorKind::InvalidUser`]: the user is invalid; the error contains all problems.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.validate_user_json(94_382_332, r#"{"firstname": "John"}"#).unwrap_err();
    /// assert_eq!(error.problems()[0].path(), "firstname");
    /// ```
    pub fn validate_user_json(&self, user_id: i64, user_json: &str) -> Result<()> {
        self.body(user_id, user_json).map(drop)
    }

    /// Sends an update of a batch whose turn has come. While the server throttles or is down, the
    /// deadline is extended. Returns `None` if the update must be put back because another update
    /// is the better probe of the server.
    pub(crate) fn update_patiently(
        &self,
        update: Update<'_>,
        graceful: &Canceller,
    ) -> Option<Result<UpdateReply>> {
        let limit = update.options.total_timeout.unwrap_or(self.total_timeout);
        let watch = Watch::new(limit, self.canceller.clone(), None)
            .with_cancellers(update.canceller, graceful)
            .with_overall(update.overall);
        let batch = InBatch { patience: update.patience, others: update.others };
        let mut call =
            Call::new(self, watch, update.options, Some(batch), mem::take(update.so_far));
        let outcome = self.explained(&mut call, |client, call| {
            let body = client.body(update.user_id, update.user_json)?;
            client.deliver(update.user_id, &body, update.place, call)
        });
        *update.so_far = call.so_far;
        match outcome {
            Ok(reply) => Some(Ok(reply)),
            Err(Ended::Failed(error)) => Some(Err(error)),
            Err(Ended::PutBack(error)) => {
                update.so_far.last = Some(Box::new(error));
                None
            }
        }
    }

    /// Creates a watch for a call that blocks on this client.
    pub(crate) fn watch(&self, limit: Duration) -> Watch {
        Watch::new(limit, self.canceller.clone(), self.read(|current| current.interrupt.clone()))
    }

    /// Returns how long an idle connection is kept.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.transport.idle_timeout()
    }

    /// Closes the connections that have been idle for longer than `idle_timeout`.
    pub(crate) fn close_aged_connections(&self) {
        if let Some(event) = self.transport.close_aged() {
            self.log.emit(LogLevel::Debug, || event);
        }
    }

    /// Returns the line through which all requests of this client are sent.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Runs `body`. If it fails, adds the number of attempts, the time and the delivery to the
    /// error.
    fn explained(
        &self,
        call: &mut Call<'_>,
        body: impl FnOnce(&Self, &mut Call<'_>) -> Result<UpdateReply, Ended>,
    ) -> Result<UpdateReply, Ended> {
        let _running = self.stats.call_begins();
        let began = *call.so_far.began.get_or_insert(call.watch.began());
        if call.so_far.effort.attempts == 0 {
            call.emit(LogLevel::Debug, || Event::new("call_began", "began"));
        }
        match body(self, call) {
            // The call ended when its last attempt ended.
            Ok(reply) => {
                let elapsed = call.ended.saturating_duration_since(began);
                self.stats.call_succeeded(call.ended, elapsed);
                let reply = reply.with_effort(call.so_far.effort.attempts, elapsed);
                call.emit(LogLevel::Debug, || self.success_event(&reply, call));
                Ok(reply)
            }
            Err(Ended::Failed(error)) => {
                let error = call.so_far.explain(error);
                let elapsed = error.elapsed();
                self.stats.call_failed(error.kind(), error.attempts(), began + elapsed, elapsed);
                call.emit(LogLevel::Warning, || self.failure_event(&error, call));
                Err(error.into())
            }
            put_back => put_back,
        }
    }

    fn body<'a>(&self, user_id: i64, user_json: &'a str) -> Result<Cow<'a, str>> {
        if user_id < 1 {
            return Err(Error::new(ErrorKind::InvalidArgument, "user_id must be 1 or more"));
        }
        user::body(user_json, &self.rules)
    }

    fn is_current(&self, api_key: &Arc<ApiKey>) -> bool {
        self.read(|current| Arc::ptr_eq(&current.api_key, api_key))
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> T {
        failpoint::reach("current");
        fork::held(|| read(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Current) -> T) -> T {
        fork::held(|| write(&mut self.current.write().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("users", &self.transport.users().to_string())
            .finish_non_exhaustive()
    }
}
