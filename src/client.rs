//! The client: the life of one call, from the caller's text to the server's answer.

mod events;

use std::borrow::Cow;
use std::env;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::delivery::advice::Advice;
use crate::delivery::flow::Outcome;
use crate::delivery::line::{Departure, Held, Line, Patience, Place};
use crate::delivery::park::Canceller;
use crate::delivery::retry::{is_transient, Policy};
use crate::delivery::watch::{Interrupt, Stop, Watch};
use crate::error::{Answer, Delivery, Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::headers::{HeaderBytes, Headers};
use crate::log::{Event, Log, LogCallback, LogLevel, Trace};
use crate::options::object::FromObject;
use crate::options::{self, CallOptions, Options};
use crate::reply::{self, UpdateReply};
use crate::secret::ApiKey;
use crate::stats::{ClientStats, Stats};
use crate::transport::{cancelled, Address, Attempt, Limits, Transport};
use crate::user::{self, Rules};

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
    /// What may be replaced while calls run.
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
            current: RwLock::new(Current { api_key: Arc::new(ApiKey::new(api_key)?), interrupt: None }),
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
            let why = "there is no api_key: give one, or set COMMBOX_API_KEY in the environment";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        Self::new(&api_key, options).map_err(|error| error.with_note("it comes from COMMBOX_API_KEY"))
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
        self.log.tell(LogLevel::Debug, || self.transport.proxy_event());
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
    pub fn update_user_json_with(&self, user_id: i64, user_json: &str, options: &CallOptions) -> Result<UpdateReply> {
        options.check()?;
        self.update(user_id, user_json, options)
    }

    fn update(&self, user_id: i64, user_json: &str, options: &CallOptions) -> Result<UpdateReply> {
        let watch = self.watch(options.total_timeout.unwrap_or(self.total_timeout));
        let mut call = Call::new(self, watch, options, None, SoFar::default());
        self.explained(&mut call, |client, call| {
            let body = client.body(user_id, user_json)?;
            let mut place = client.line.enter(user_id, &call.watch);
            client.line.wait_for_turn(&place, &call.watch).map_err(|stop| call.stopped_behind_user(stop))?;
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

    /// Makes a call for an update of a batch whose turn has come. Its deadline is extended while the server holds it
    /// back. Returns `None` if it is to be put back, since another update tells better whether the server is there.
    pub(crate) fn update_patiently(&self, update: Update<'_>, gentle: &Canceller) -> Option<Result<UpdateReply>> {
        let limit = update.options.total_timeout.unwrap_or(self.total_timeout);
        let watch = Watch::new(limit, self.canceller.clone(), None)
            .with_cancellers(update.canceller, gentle)
            .with_overall(update.overall);
        let batch = InBatch { patience: update.patience, others: update.others };
        let mut call = Call::new(self, watch, update.options, Some(batch), mem::take(update.so_far));
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

    /// A watch for waiting on behalf of a caller of this client.
    pub(crate) fn watch(&self, limit: Duration) -> Watch {
        Watch::new(limit, self.canceller.clone(), self.read(|current| current.interrupt.clone()))
    }

    /// The line that all requests of this client leave by.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Runs `body`, and completes its error with what is known of the call.
    fn explained(
        &self,
        call: &mut Call<'_>,
        body: impl FnOnce(&Self, &mut Call<'_>) -> Result<UpdateReply, Ended>,
    ) -> Result<UpdateReply, Ended> {
        let _running = self.stats.call_begins();
        let began = *call.so_far.began.get_or_insert(call.watch.began());
        if call.so_far.effort.attempts == 0 {
            call.tell(LogLevel::Debug, || Event::new("call_began", "began"));
        }
        match body(self, call) {
            // It ended when its last attempt did.
            Ok(reply) => {
                let elapsed = call.ended.saturating_duration_since(began);
                self.stats.call_succeeded(call.ended, elapsed);
                let reply = reply.with_effort(call.so_far.effort.attempts, elapsed);
                call.tell(LogLevel::Debug, || self.success_event(&reply, call));
                Ok(reply)
            }
            Err(Ended::Failed(error)) => {
                let error = call.so_far.explain(error);
                let elapsed = error.elapsed();
                self.stats.call_failed(error.kind(), error.attempts(), began + elapsed, elapsed);
                call.tell(LogLevel::Warning, || self.failure_event(&error, call));
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

    fn deliver(&self, user_id: i64, body: &str, place: &mut Place, call: &mut Call<'_>) -> Result<UpdateReply, Ended> {
        loop {
            let departure = match self.line.depart(place, &call.watch, call.batch.map(|batch| batch.patience)) {
                Ok(departure) => departure,
                Err(Held::Stopped(Stop::Cancelled)) => return Err(call.stopped(Stop::Cancelled).into()),
                // An error that an attempt had says more.
                Err(held) => {
                    let last = call.so_far.last.take();
                    return Err(last.map_or_else(|| held_back(held), |last| last.with_note(&reason(held))).into());
                }
            };
            let (reply, api_key) = self.attempt(user_id, body, departure, place, call);
            let error = match reply {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.delivery() == Delivery::NotSent && error.kind() == ErrorKind::Cancelled {
                // Of an attempt before, the transport knows nothing.
                return Err(call.stopped(Stop::Cancelled).into());
            }
            if error.kind() == ErrorKind::Http(401) && !call.so_far.rekeyed && !self.is_current(&api_key) {
                call.so_far.rekeyed = true;
            } else if error.kind() == ErrorKind::Http(429) {
                // The line waits it out. It costs no retry.
                call.so_far.effort.throttled += 1;
            } else if !is_transient(&error) {
                return Err(error.into());
            } else if call.batch.is_some() && self.line.is_outage() && !self.fails_alone(call) {
                // A batch pauses in an outage. Another update is the next probe: this one may be what fails.
                if self.puts_back(call) {
                    return Err(Ended::PutBack(error));
                }
                place.move_to_end();
            } else {
                let wait = match self.backoff(&error, call) {
                    Some(wait) => wait,
                    None if !self.may_be_outage(&error, call) => return Err(error.into()),
                    None if error.retry_after().is_none() && self.puts_back(call) => {
                        return Err(Ended::PutBack(error));
                    }
                    None => self.retries.longest().max(error.retry_after().unwrap_or_default().min(A_DAY)),
                };
                call.so_far.retries += 1;
                call.tell(LogLevel::Info, || events::retry(&error, call.so_far.retries, wait));
                if !call.sleep(wait)? {
                    return Err(error.into());
                }
            }
            call.so_far.last = Some(Box::new(error));
        }
    }

    /// Sends one request, and reports to the line what came of it. One that meets a stale connection is sent again at
    /// once: the server did not see it.
    fn attempt(
        &self,
        user_id: i64,
        body: &str,
        departure: Departure<'_>,
        place: &mut Place,
        call: &mut Call<'_>,
    ) -> (Result<UpdateReply>, Arc<ApiKey>) {
        let probe = departure.probe();
        let attempt = call.options.attempt_timeout.unwrap_or(self.limits.attempt);
        let limits = Limits { attempt: probe.map_or(attempt, |probe| attempt.min(probe.limit)), ..self.limits };
        let mut fresh = call.fresh || probe.is_some_and(|probe| probe.fresh);
        loop {
            let api_key = self.read(|current| current.api_key.clone());
            let headers = call.headers.as_ref().unwrap_or(&self.header_bytes);
            let attempt = Attempt::new(&call.watch, user_id, &api_key, headers, limits).with_trace(call.trace);
            call.so_far.effort.attempts += 1;
            let in_flight = self.stats.attempt_begins(call.so_far.effort.attempts == 1);
            let reply = self.transport.post(body, &attempt, fresh);
            let advice = reply.as_ref().map(|reply| reply.advice).unwrap_or_default();
            drop(in_flight);
            let reply = reply.map(|reply| reply.without_echo(&api_key)).and_then(reply::interpret);
            if let Err(error) = &reply {
                if let Some(status) = error.http_status() {
                    self.stats.answered(status);
                }
                if error.delivery() != Delivery::NotSent {
                    call.so_far.delivery = error.delivery();
                }
                // What happened to one idle connection may have happened to others; one that brought an answer is good.
                call.fresh |= attempt.reused_connection() && error.delivery() != Delivery::Answered;
                if error.kind() == ErrorKind::Connection && attempt.met_a_stale_connection() {
                    fresh = true;
                    continue;
                }
            }
            call.tell(LogLevel::Debug, || events::attempt(&reply, call, attempt.reused_connection()));
            if self.log.is_on() && reply.as_ref().err().is_none_or(|error| error.delivery() == Delivery::Answered) {
                let rejected = reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Http(401));
                if !rejected || self.is_current(&api_key) {
                    self.log.key_is(rejected);
                }
            }
            // A batch leaves when it has noted what came of it.
            let leaves = (reply.is_ok() && call.batch.is_none()).then_some(place);
            call.ended = attempt.ended();
            departure.report(call.ended, outcome(&reply, advice, &call.watch), reply.is_ok(), leaves);
            return (reply, api_key);
        }
    }

    /// How long to wait before the next retry, if there is one.
    fn backoff(&self, error: &Error, call: &Call<'_>) -> Option<Duration> {
        let wait = self.retries.with_max_retries(call.options.max_retries).wait(error, call.so_far.retries)?;
        if self.line.take_retry(error.kind() == ErrorKind::Timeout) {
            return Some(wait);
        }
        // The budget is used up: a call fails, and a batch, which is to lose nothing, goes slowly.
        call.batch.map(|_| wait.max(self.retries.longest()))
    }

    /// Whether an outage may be why an update of a batch has failed, retries included: its server has answered nothing
    /// else meanwhile.
    fn may_be_outage(&self, error: &Error, call: &Call<'_>) -> bool {
        let SoFar { effort, retries, .. } = call.so_far;
        call.batch.is_some()
            && retries > 0
            && error.kind() != ErrorKind::Http(500)
            && self.line.failures() >= effort.attempts - effort.throttled
            && !self.fails_alone(call)
    }

    /// Whether others have succeeded since this update was found to fail.
    fn fails_alone(&self, call: &Call<'_>) -> bool {
        call.so_far.accepted.is_some_and(|accepted| self.line.accepted() > accepted)
    }

    /// Whether an update that fails is put back, for another to be sent. Notes that it was found to fail.
    fn puts_back(&self, call: &mut Call<'_>) -> bool {
        call.so_far.accepted.get_or_insert_with(|| self.line.accepted());
        call.batch.is_some_and(|batch| (batch.others)())
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

/// An update of a batch, for [`Client::update_patiently`].
pub(crate) struct Update<'a> {
    pub(crate) user_id: i64,
    pub(crate) user_json: &'a str,
    pub(crate) place: &'a mut Place,
    /// Cancels it while it is in flight, too.
    pub(crate) canceller: &'a Canceller,
    /// When it is to end, whatever extends its deadline.
    pub(crate) overall: Option<Instant>,
    pub(crate) patience: Patience,
    pub(crate) options: &'a CallOptions,
    /// Whether the batch has others that may be sent now.
    pub(crate) others: &'a dyn Fn() -> bool,
    pub(crate) so_far: &'a mut SoFar,
}

/// What a call took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Effort {
    pub(crate) attempts: u32,
    /// How many of them were answered by a 429.
    pub(crate) throttled: u32,
}

/// What a call has been through. An update of a batch that is put back keeps it.
#[derive(Default)]
pub(crate) struct SoFar {
    pub(crate) effort: Effort,
    /// Its number in the log.
    number: Option<u64>,
    retries: u32,
    /// Whether it was sent again with another key.
    rekeyed: bool,
    began: Option<Instant>,
    /// What became of the last attempt that sent anything.
    delivery: Delivery,
    /// Why the last attempt failed.
    last: Option<Box<Error>>,
    /// How many requests of the client were accepted before an outage was found to be the reason.
    accepted: Option<u64>,
}

impl SoFar {
    /// Completes an error with what is known of the call.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        error.with_effort(self.effort.attempts, elapsed).with_delivery(self.delivery)
    }

    /// Whether anything of it was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.delivery != Delivery::NotSent
    }
}

/// Why a call ended without a reply.
enum Ended {
    Failed(Error),
    /// Others of its batch are to be sent before, which one alone has none of.
    PutBack(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is special about a call for an update of a batch.
#[derive(Clone, Copy)]
struct InBatch<'a> {
    /// How long the server may hold it back beyond its deadline.
    patience: Patience,
    others: &'a dyn Fn() -> bool,
}

/// A call on its way.
struct Call<'a> {
    watch: Watch,
    /// Where the log is told what it does.
    trace: Option<Trace<'a>>,
    batch: Option<InBatch<'a>>,
    options: &'a CallOptions,
    /// Where they are not those of the client.
    headers: Option<HeaderBytes>,
    /// When the last attempt ended.
    ended: Instant,
    /// Whether to make a connection for the next attempt.
    fresh: bool,
    so_far: SoFar,
}

impl<'a> Call<'a> {
    fn new(
        client: &'a Client,
        watch: Watch,
        options: &'a CallOptions,
        batch: Option<InBatch<'a>>,
        so_far: SoFar,
    ) -> Self {
        let trace = client.log.call(so_far.number);
        Self {
            batch,
            options,
            headers: (!options.headers.is_empty()).then(|| options.headers.to_bytes(&client.headers)),
            ended: watch.began(),
            watch,
            trace,
            fresh: false,
            so_far: SoFar { number: trace.map(Trace::number), ..so_far },
        }
    }

    fn tell(&self, level: LogLevel, event: impl FnOnce() -> Event) {
        if let Some(trace) = self.trace {
            trace.tell(level, event);
        }
    }

    /// Waits before the next attempt; false if the wait would pass the deadline.
    fn sleep(&self, wait: Duration) -> Result<bool> {
        let until = Instant::now() + wait;
        if until >= self.watch.deadline() {
            return Ok(false);
        }
        match self.watch.sleep(until) {
            Ok(()) => Ok(true),
            Err(Stop::Late) => Ok(false),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Cancelled => cancelled(self.so_far.is_sent()),
            Stop::Late => held_back(Held::Stopped(stop)),
        }
    }

    fn stopped_behind_user(&self, stop: Stop) -> Error {
        match stop {
            Stop::Cancelled => self.stopped(stop),
            Stop::Late => Error::new(
                ErrorKind::Timeout,
                "deadline exceeded while an earlier call for the same user was in flight",
            ),
        }
    }
}

/// As good as forever.
const A_DAY: Duration = Duration::from_secs(86_400);

/// What an attempt tells of the server.
fn outcome(reply: &Result<UpdateReply>, advice: Advice, watch: &Watch) -> Outcome {
    let error = match reply {
        Ok(_) => return Outcome::Accepted { exhausted: advice.exhausted },
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::Http(429) => Outcome::Throttled { asked: advice.asked(), policy: advice.policy },
        // The call had little time left, which says nothing.
        ErrorKind::Timeout if Instant::now() >= watch.deadline() => Outcome::Nothing,
        kind if is_transient(error) => Outcome::Failed { asked: advice.asked(), timed_out: kind == ErrorKind::Timeout },
        _ if error.delivery() == Delivery::Answered => Outcome::Accepted { exhausted: advice.exhausted },
        _ => Outcome::Nothing,
    }
}

/// The error of a call that the line holds back past its deadline.
pub(crate) fn held_back(held: Held) -> Error {
    let (kind, wait) = match held {
        Held::Stopped(_) => (ErrorKind::Timeout, None),
        Held::Throttled { wait } => (ErrorKind::Throttled, Some(wait)),
        Held::Limited { wait } => (ErrorKind::Timeout, Some(wait)),
        Held::Outage { wait, .. } => (ErrorKind::Connection, Some(wait)),
    };
    Error::new(kind, reason(held)).with_answer(Answer { retry_after: wait, ..Answer::default() })
}

/// Why the line holds a call back.
fn reason(held: Held) -> String {
    match held {
        Held::Stopped(_) => "deadline exceeded before the request could leave".into(),
        Held::Throttled { wait } => format!(
            "rate limit: the server throttles this client, and the next slot, in {} ms, is past this call's deadline",
            wait.as_millis()
        ),
        Held::Limited { wait } => format!(
            "the client's own rate limit: the next slot, in {} ms, is past this call's deadline",
            wait.as_millis()
        ),
        Held::Outage { lasts, failures, wait } => format!(
            "outage: the last {failures} requests failed, since {} ms ago, and the next probe request, in {} ms, is past \
             this call's deadline",
            lasts.as_millis(),
            wait.as_millis()
        ),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("users", &self.transport.users().to_string()).finish_non_exhaustive()
    }
}
