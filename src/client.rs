//! The client: the life of one call, from the caller's text to the server's answer.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::delivery::gate::{Gate, Outcome, Passage, Ticket};
use crate::delivery::retry::Policy;
use crate::delivery::watch::{Canceller, Interrupt, Stop, Watch};
use crate::error::{Answer, Delivery, Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::options::object::FromObject;
use crate::options::Options;
use crate::reply;
use crate::secret::ApiKey;
use crate::transport::{cancelled, Address, Attempt, Limits, Transport};
use crate::user;

/// A connection to CommBox: one API key, one set of options, connections kept open between calls.
///
/// Calls may be made from many threads at once; one client for a whole program is best, for its threads then share
/// connections and wait together where the server throttles. It stays good on both sides of a `fork()`.
pub struct Client {
    /// What may be replaced while calls run.
    current: RwLock<Current>,
    transport: Transport,
    gate: Gate,
    canceller: Canceller,
    validate: bool,
    retries: Policy,
    limits: Limits,
    total_timeout: Duration,
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
        Ok(Self {
            current: RwLock::new(Current { api_key: Arc::new(ApiKey::new(api_key)?), interrupt: None }),
            transport: Transport::new(options, users)?,
            gate: Gate::new(options.max_requests_per_second),
            canceller: Canceller::default(),
            validate: options.validate,
            retries: Policy::new(options),
            limits: Limits { attempt: options.attempt_timeout, connect: options.connect_timeout },
            total_timeout: options.total_timeout,
        })
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
        Ok(())
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

    /// Updates one user and returns the server's reply as it came.
    ///
    /// `user_json` is the user's fields, `{"FirstName": …}`, or the whole body, `{"data": {…}}`. It is sent as it is
    /// written. Failures that may pass are tried again, as the options say.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a user id below 1; [`ErrorKind::InvalidUser`] with every problem of
    /// `user_json`; then whatever comes of sending it. [`Error::delivery`] tells whether it reached the server.
    pub fn update_user_json(&self, user_id: i64, user_json: &str) -> Result<String> {
        let watch = self.watch(self.total_timeout);
        self.run(user_id, user_json, &Call::new(watch))
    }

    /// Makes a call for a batch. Its time begins when it may be sent: how long it waits for its turn is the batch's
    /// affair. Returns how often it was tried, too.
    pub(crate) fn update_patiently(
        &self,
        (user_id, user_json): (i64, &str),
        own: &Canceller,
        gentle: &Canceller,
    ) -> (Result<String>, u32) {
        let watch = Watch::new(self.total_timeout, self.canceller.clone(), None).heeding(own, gentle);
        let call = Call { patient: true, ..Call::new(watch) };
        let outcome = self.run(user_id, user_json, &call);
        (outcome, call.attempts.get())
    }

    /// A watch for waiting on behalf of a caller of this client.
    pub(crate) fn watch(&self, limit: Duration) -> Watch {
        Watch::new(limit, self.canceller.clone(), self.read(|current| current.interrupt.clone()))
    }

    fn run(&self, user_id: i64, user_json: &str, call: &Call) -> Result<String> {
        self.deliver(user_id, user_json, call).map_err(|error| {
            error.with_effort(call.attempts.get(), call.watch.elapsed()).with_delivery(call.delivery.get())
        })
    }

    fn deliver(&self, user_id: i64, user_json: &str, call: &Call) -> Result<String> {
        if user_id < 1 {
            return Err(Error::new(ErrorKind::InvalidArgument, "user_id must be 1 or more"));
        }
        let body = user::body(user_json, self.validate)?;
        let (mut retries, mut fresh, mut rekeyed) = (0, false, false);
        let mut last: Option<Error> = None;
        loop {
            // An error that an attempt had says more than that there is no time for another.
            let ticket = match self.pass_gate(call) {
                Err(error) if error.kind() == ErrorKind::Timeout => return Err(last.unwrap_or(error)),
                passed => passed?,
            };
            let api_key = self.read(|current| current.api_key.clone());
            let attempt = Attempt::new(&call.watch, &api_key, self.limits);
            call.attempts.set(call.attempts.get() + 1);
            let reply = self.transport.post(user_id, &body, &attempt, fresh);
            let outcome = reply.and_then(reply::interpret);
            ticket.report(attempt.ended(), &news(&outcome));
            let error = match outcome {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            if error.delivery() != Delivery::NotSent {
                call.delivery.set(error.delivery());
            } else if error.kind() == ErrorKind::Cancelled {
                // Of an attempt before, the transport knows nothing.
                return Err(call.stopped(Stop::Cancelled));
            }

            let was_stale = error.kind() == ErrorKind::Connection && attempt.met_a_stale_connection();
            // What happened to one idle connection may have happened to others; one that brought an answer is good.
            fresh |= attempt.reused_connection() && error.delivery() != Delivery::Answered;
            if was_stale {
                // The server closed it while it was idle; that it is not there any more is no failure of this call.
            } else if error.kind() == ErrorKind::Http(401) && !rekeyed && !self.is_current(&api_key) {
                rekeyed = true;
            } else {
                let Some(wait) = self.retries.wait(&error, retries) else {
                    return Err(error);
                };
                retries += 1;
                if !call.sleep(wait)? {
                    return Err(error);
                }
            }
            last = Some(error);
        }
    }

    /// Waits until the client may send.
    fn pass_gate(&self, call: &Call) -> Result<Ticket<'_>> {
        call.watch.check_gentle().map_err(|stop| call.stopped(stop))?;
        let mut place = None;
        loop {
            let now = Instant::now();
            let deadline = if call.patient { now + PATIENCE } else { call.watch.deadline() };
            let until = match self.gate.pass(now, deadline, &mut place) {
                Passage::Go(ticket) => return Ok(ticket),
                Passage::Wait(until) => until,
                Passage::TooLate { wait, throttled } => return Err(too_late(wait, throttled)),
            };
            if call.patient {
                call.watch.extend(until.saturating_duration_since(now));
            }
            if let Err(stop) = call.watch.sleep(until) {
                self.gate.give_back(place);
                return Err(call.stopped(stop));
            }
        }
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

/// How long a patient call waits for its turn: a year, as good as for ever.
const PATIENCE: Duration = Duration::from_secs(365 * 86_400);

/// A call on its way.
struct Call {
    watch: Watch,
    /// Whether waiting for its turn costs it none of its time.
    patient: bool,
    attempts: Cell<u32>,
    /// What became of the last attempt that sent anything.
    delivery: Cell<Delivery>,
}

impl Call {
    fn new(watch: Watch) -> Self {
        Self { watch, patient: false, attempts: Cell::new(0), delivery: Cell::new(Delivery::NotSent) }
    }

    /// Waits before the next attempt; false where the wait would pass the deadline.
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
            Stop::Cancelled => cancelled(self.delivery.get() != Delivery::NotSent),
            Stop::Late => {
                Error::new(ErrorKind::Timeout, "the time allowed passed before it was this call's turn to send")
            }
        }
    }
}

fn news(outcome: &Result<String>) -> Outcome {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Http(429) => Outcome::Throttled(error.retry_after()),
        Err(error) if error.delivery() != Delivery::Answered => Outcome::Failed,
        _ => Outcome::Passed,
    }
}

fn too_late(wait: Duration, throttled: bool) -> Error {
    let millis = wait.as_millis();
    if throttled {
        let why = format!(
            "the server throttles this client, which may send again in {millis} ms: after this call's time is over"
        );
        return Error::new(ErrorKind::Timeout, why)
            .with_answer(Answer { retry_after: Some(wait), ..Answer::default() });
    }
    let why = format!("max_requests_per_second lets this call send in {millis} ms: after its time is over");
    Error::new(ErrorKind::Timeout, why)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("users", &self.transport.users().to_string()).finish_non_exhaustive()
    }
}
