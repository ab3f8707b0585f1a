//! The client: the life of one call, from the caller's text to the server's answer.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;
use crate::reply;
use crate::secret::ApiKey;
use crate::transport::Transport;
use crate::user;

/// A connection to CommBox: one API key, one set of options, connections kept open between calls.
///
/// Calls may be made from many threads at once; one client for a whole program is best.
pub struct Client {
    api_key: RwLock<Arc<ApiKey>>,
    transport: Transport,
    /// The address of the users, to which a user id is appended.
    users_url: String,
    validate: bool,
    attempt_timeout: Duration,
    total_timeout: Duration,
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
        Ok(Self {
            api_key: RwLock::new(Arc::new(ApiKey::new(api_key)?)),
            transport: Transport::new(options)?,
            users_url: format!("{}/users/", options.base_url.trim_end_matches('/')),
            validate: options.validate,
            attempt_timeout: options.attempt_timeout,
            total_timeout: options.total_timeout,
        })
    }

    /// Puts another API key in the place of the present one, for every attempt from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a key that no header may carry; the present key then stays.
    pub fn set_api_key(&self, api_key: &str) -> Result<()> {
        let api_key = Arc::new(ApiKey::new(api_key)?);
        *self.api_key.write().unwrap_or_else(PoisonError::into_inner) = api_key;
        Ok(())
    }

    /// Updates one user and returns the server's reply as it came.
    ///
    /// `user_json` is the user's fields, `{"FirstName": …}`, or the whole body, `{"data": {…}}`. It is sent as it is
    /// written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a user id below 1; [`ErrorKind::InvalidUser`] with every problem of
    /// `user_json`; then whatever comes of sending it. [`Error::delivery`] tells whether it reached the server.
    pub fn update_user_json(&self, user_id: i64, user_json: &str) -> Result<String> {
        let started = Instant::now();
        let mut attempts = 0;
        self.deliver(user_id, user_json, started, &mut attempts)
            .map_err(|error| error.with_effort(attempts, started.elapsed()))
    }

    fn deliver(&self, user_id: i64, user_json: &str, started: Instant, attempts: &mut u32) -> Result<String> {
        if user_id < 1 {
            return Err(Error::new(ErrorKind::InvalidArgument, "user_id must be 1 or more"));
        }
        let body = user::body(user_json, self.validate)?;
        let url = format!("{}{user_id}", self.users_url);
        let authorization = self.api_key.read().unwrap_or_else(PoisonError::into_inner).authorization()?;
        let left = self.total_timeout.saturating_sub(started.elapsed());
        *attempts += 1;
        let answer = self.transport.post(&url, authorization, &body, self.attempt_timeout.min(left))?;
        reply::interpret(answer)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("users_url", &self.users_url).finish_non_exhaustive()
    }
}
