//! Delivers one update: sends the attempts, interprets each outcome, and decides what to do next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::call::{Call, Ended, SoFar};
use crate::client::held::{held_back, reason};
use crate::client::{events, Client};
use crate::delivery::advice::Advice;
use crate::delivery::flow::Outcome;
use crate::delivery::line::{Departure, Held, Place};
use crate::delivery::retry::is_transient;
use crate::delivery::watch::{Stop, Watch};
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::log::LogLevel;
use crate::reply::{self, UpdateReply};
use crate::secret::ApiKey;
use crate::transport::{Attempt, Limits};

/// Long enough to count as forever.
const A_DAY: Duration = Duration::from_secs(86_400);

impl Client {
    pub(super) fn deliver(
        &self,
        user_id: i64,
        body: &str,
        place: &mut Place,
        call: &mut Call<'_>,
    ) -> Result<UpdateReply, Ended> {
        loop {
            let departure = match self.line.depart(
                place,
                &call.watch,
                call.batch.map(|batch| batch.patience),
            ) {
                Ok(departure) => departure,
                Err(Held::Stopped(Stop::Cancelled)) => {
                    return Err(call.stopped(Stop::Cancelled).into())
                }
                // If an attempt has failed, its error is more helpful than that of the line.
                Err(held) => {
                    let last = call.so_far.last.take();
                    return Err(last
                        .map_or_else(|| held_back(held), |last| last.with_note(&reason(held)))
                        .into());
                }
            };
            let (reply, api_key) = self.attempt(user_id, body, departure, place, call);
            let error = match reply {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.delivery() == Delivery::NotSent && error.kind() == ErrorKind::Cancelled {
                // The transport does not know about earlier attempts, so build the error here.
                return Err(call.stopped(Stop::Cancelled).into());
            }
            if error.kind() == ErrorKind::Http(401)
                && !call.so_far.rekeyed
                && !self.is_current(&api_key)
            {
                call.so_far.rekeyed = true;
            } else if error.kind() == ErrorKind::Http(429) {
                // The line delays the next attempt. A 429 does not count as a retry.
                call.so_far.effort.throttled += 1;
            } else if !is_transient(&error) {
                return Err(error.into());
            } else if call.batch.is_some() && self.line.is_outage() && !self.fails_alone(call) {
                // Requests of a batch are paused during an outage. Use another update as the next
                // probe, because this update may itself be the cause of the failure.
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
                    None => self
                        .retries
                        .longest()
                        .max(error.retry_after().unwrap_or_default().min(A_DAY)),
                };
                call.so_far.retries += 1;
                call.emit(LogLevel::Info, || events::retry(&error, call.so_far.retries, wait));
                if !call.sleep(wait)? {
                    return Err(error.into());
                }
            }
            call.so_far.last = Some(Box::new(error));
        }
    }

    /// Sends one request, and reports the outcome to the line. If the request fails on a stale
    /// connection, it is retried at once, because the server did not process it.
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
        let limits = Limits {
            attempt: probe.map_or(attempt, |probe| attempt.min(probe.limit)),
            ..self.limits
        };
        let mut fresh = call.fresh || probe.is_some_and(|probe| probe.fresh);
        loop {
            let api_key = self.read(|current| current.api_key.clone());
            let headers = call.headers.as_ref().unwrap_or(&self.header_bytes);
            let attempt = Attempt::new(&call.watch, user_id, &api_key, headers, limits)
                .with_trace(call.trace);
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
                // What closed one idle connection may have closed others. A connection that
                // returned a reply is good.
                call.fresh |= attempt.reused_connection() && error.delivery() != Delivery::Answered;
                if error.kind() == ErrorKind::Connection && attempt.met_a_stale_connection() {
                    fresh = true;
                    continue;
                }
            }
            call.emit(LogLevel::Debug, || {
                events::attempt(&reply, call, attempt.reused_connection())
            });
            if self.log.is_on()
                && reply.as_ref().err().is_none_or(|error| error.delivery() == Delivery::Answered)
            {
                let rejected =
                    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Http(401));
                if !rejected || self.is_current(&api_key) {
                    self.log.key_is(rejected);
                }
            }
            // An update of a batch keeps its place until the batch has recorded the outcome.
            let leaves = (reply.is_ok() && call.batch.is_none()).then_some(place);
            call.ended = attempt.ended();
            departure.report(
                call.ended,
                outcome(&reply, advice, &call.watch),
                reply.is_ok(),
                leaves,
            );
            return (reply, api_key);
        }
    }

    /// Returns the wait before the next retry, or `None` if there is none.
    fn backoff(&self, error: &Error, call: &Call<'_>) -> Option<Duration> {
        let wait = self
            .retries
            .with_max_retries(call.options.max_retries)
            .wait(error, call.so_far.retries)?;
        if self.line.take_retry(error.kind() == ErrorKind::Timeout) {
            return Some(wait);
        }
        // The retry budget is exhausted. A direct call fails. A batch must not lose updates, so it
        // continues with the longest backoff.
        call.batch.map(|_| wait.max(self.retries.longest()))
    }

    /// Returns whether an update of a batch, which failed despite retries, may have failed because
    /// of an outage. That is so if the server has accepted no other request in the meantime.
    fn may_be_outage(&self, error: &Error, call: &Call<'_>) -> bool {
        let SoFar { effort, retries, .. } = call.so_far;
        call.batch.is_some()
            && retries > 0
            && error.kind() != ErrorKind::Http(500)
            && self.line.failures() >= effort.attempts - effort.throttled
            && !self.fails_alone(call)
    }

    /// Returns whether other updates have succeeded since this update was first suspected.
    fn fails_alone(&self, call: &Call<'_>) -> bool {
        call.so_far.accepted.is_some_and(|accepted| self.line.accepted() > accepted)
    }

    /// Returns whether a failing update is put back so that another one is sent first. Records how
    /// many requests had been accepted when it was first suspected.
    fn puts_back(&self, call: &mut Call<'_>) -> bool {
        call.so_far.accepted.get_or_insert_with(|| self.line.accepted());
        call.batch.is_some_and(|batch| (batch.others)())
    }
}

/// Returns what the outcome of an attempt shows about the server.
fn outcome(reply: &Result<UpdateReply>, advice: Advice, watch: &Watch) -> Outcome {
    let error = match reply {
        Ok(_) => return Outcome::Accepted { exhausted: advice.exhausted },
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::Http(429) => Outcome::Throttled { asked: advice.asked(), policy: advice.policy },
        // The attempt was cut short by the call's deadline, which shows nothing about the server.
        ErrorKind::Timeout if Instant::now() >= watch.deadline() => Outcome::Nothing,
        kind if is_transient(error) => {
            Outcome::Failed { asked: advice.asked(), timed_out: kind == ErrorKind::Timeout }
        }
        _ if error.delivery() == Delivery::Answered => {
            Outcome::Accepted { exhausted: advice.exhausted }
        }
        _ => Outcome::Nothing,
    }
}
