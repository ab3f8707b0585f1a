//! Updates one user: checks the update, waits for its turn, delivers it, and explains a failure.

use std::borrow::Cow;
use std::mem;

use crate::client::call::{Call, Ended, InBatch, SoFar, Update};
use crate::client::Client;
use crate::delivery::park::Canceller;
use crate::delivery::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Event, LogLevel};
use crate::options::object::FromObject;
use crate::options::CallOptions;
use crate::reply::UpdateReply;
use crate::user;

impl Client {
    /// Updates one user and returns the server's reply. Blocks for at most
    /// [`total_timeout`](crate::Options::total_timeout).
    ///
    /// `user_json` is the user's fields, `{"FirstName": …}`, or the whole body, `{"data": {…}}`. It
    /// is sent as it is written. Transient failures are retried, as the options say. Calls for one
    /// user are sent in the order in which they were made, unless
    /// [`Options::order_per_user`](crate::Options::order_per_user) is false.
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
    /// anything. It sends nothing and does not block. If
    /// [`Options::validate`](crate::Options::validate) is false, it checks little.
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
}
