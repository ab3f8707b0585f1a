//! The client: the life of one call, from the caller's text to the server's answer.

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

/// A connection to CommBox: one API key, one set of options, connections kept open between calls.
///
/// Calls may be made from many threads at once; one client for a whole program is best, for its threads then share
/// connections and wait together where the server throttles. It stays good on both sides of a `fork()`.
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
    /// A client for this API key. Nothing is sent, and no connection is made, before the first call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a key that no header may carry, [`ErrorKind::InvalidOptions`] for options
    /// out of bounds and for a `ca_file` that cannot be used.
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

    /// A client for the API key that `COMMBOX_API_KEY` holds in the environment.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and [`ErrorKind::InvalidArgument`] if the variable is not set.
    pub fn from_env(options: &Options) -> Result<Self> {
        let api_key = env::var("COMMBOX_API_KEY").map(Zeroizing::new).unwrap_or_default();
        if api_key.is_empty() {
            let why = "api_key is missing: pass one, or set COMMBOX_API_KEY in the environment";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        Self::new(&api_key, options).map_err(|error| error.with_note("it comes from COMMBOX_API_KEY"))
    }

    /// Puts another API key in the place of the present one, for every attempt from now on. A call that the server
    /// turns away (401) with the former key tries once more with the new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a key that no header may carry; the present key then stays.
    pub fn set_api_key(&self, api_key: &str) -> Result<()> {
        let api_key = Arc::new(ApiKey::new(api_key)?);
        let _former = self.write(|current| mem::replace(&mut current.api_key, api_key));
        self.log.key_is(false);
        Ok(())
    }

    /// Tells `log` what the client does, up to this level, from now on; `None` ends that. It gets the level of each event,
    /// the event as a JSON object, and the event as a sentence, on the thread where it happens. It may call the client,
    /// whose events on this thread it does not get meanwhile.
    pub fn set_log(&self, log: Option<(LogLevel, LogCallback)>) {
        self.log.set(log);
        self.log.emit(LogLevel::Debug, || self.transport.proxy_event());
    }

    /// Ends every call that is running now with [`ErrorKind::Cancelled`], wherever it waits. Later calls work.
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// Has calls ask `interrupt` at least every 100 ms while they wait, on the calling thread; true ends the call
    /// that asked with [`ErrorKind::Cancelled`]. It holds for calls that begin from now on.
    pub fn set_interrupt(&self, interrupt: Option<Arc<dyn Fn() -> bool + Send + Sync>>) {
        let _former = self.write(|current| mem::replace(&mut current.interrupt, interrupt));
    }

    /// Sets the option [`max_requests_per_second`](Options::max_requests_per_second) of the running client, for every
    /// request from now on; 0 removes the limit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a rate that is out of range; the present limit then stays.
    pub fn set_max_requests_per_second(&self, rate: f64) -> Result<()> {
        if !options::is_rate(rate) {
            let why = format!("must be {}", options::RATES);
            return Err(Error::problem(ErrorKind::InvalidArgument, "max_requests_per_second", why));
        }
        self.line.set_limit(rate);
        Ok(())
    }

    /// Where the client stands.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.stats.read(self.line.stats())
    }

    /// Looks at what stands between this machine and the server, and returns it as the JSON object of
    /// `commbox_client_diagnose_json`. It sends no update and no key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`]. What fails on the way is part of the result.
    pub fn diagnose_json(&self) -> Result<String> {
        self.transport.diagnose(&self.watch(self.total_timeout), self.limits)
    }

    /// Updates one user and returns the server's reply as it came.
    ///
    /// `user_json` is the user's fields, `{"FirstName": …}`, or the whole body, `{"data": {…}}`. It is sent as it is
    /// written. Transient failures are retried, as the options say. Calls for one user leave in the order in which they
    /// were made, unless [`Options::order_per_user`] is off.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a user id below 1; [`ErrorKind::InvalidUser`] with every problem of
    /// `user_json`; [`ErrorKind::Throttled`] if the server's rate limit holds the call back past its deadline; then
    /// whatever comes of sending it. [`Error::delivery`] tells whether it reached the server.
    pub fn update_user_json(&self, user_id: i64, user_json: &str) -> Result<UpdateReply> {
        self.update(user_id, user_json, &CallOptions::default())
    }

    /// The same with options of its own, which replace those of the client for this call.
    ///
    /// # Errors
    ///
    /// As for [`update_user_json`](Self::update_user_json), and [`ErrorKind::InvalidOptions`] for options out of bounds.
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

    /// Checks what [`update_user_json`](Self::update_user_json) checks before it sends anything, and sends nothing. With
    /// [`Options::validate`] off, that is little.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a user id below 1; [`ErrorKind::InvalidUser`] with every problem of `user_json`.
    pub fn validate_user_json(&self, user_id: i64, user_json: &str) -> Result<()> {
        self.body(user_id, user_json).map(drop)
    }

    /// Makes a call for an update of a batch whose turn has come. Its deadline is extended while the server holds it
    /// back. Returns `None` if it is to be put back, since another update tells better whether the server is there.
    pub(crate) fn update_patiently(&self, update: Update<'_>, graceful: &Canceller) -> Option<Result<UpdateReply>> {
        let limit = update.options.total_timeout.unwrap_or(self.total_timeout);
        let watch = Watch::new(limit, self.canceller.clone(), None)
            .with_cancellers(update.canceller, graceful)
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

    /// How long a connection is kept that no call uses.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.transport.idle_timeout()
    }

    /// Closes the connections that no call used for that long.
    pub(crate) fn close_aged_connections(&self) {
        if let Some(event) = self.transport.close_aged() {
            self.log.emit(LogLevel::Debug, || event);
        }
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
            call.emit(LogLevel::Debug, || Event::new("call_began", "began"));
        }
        match body(self, call) {
            // It ended when its last attempt did.
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
        f.debug_struct("Client").field("users", &self.transport.users().to_string()).finish_non_exhaustive()
    }
}
