//! The client: its settings, its statistics, and what its calls share.

mod call;
mod deliver;
mod events;
mod held;
mod update;

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
use crate::log::{Log, LogCallback, LogLevel};
use crate::options::object::FromObject;
use crate::options::{self, Options};
use crate::secret::ApiKey;
use crate::stats::{ClientStats, Stats};
use crate::transport::{Address, Limits, Transport};
use crate::user::Rules;

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
