//! The log events of a call.

use std::time::Duration;

use crate::client::call::Call;
use crate::client::Client;
use crate::error::{millis, Error, Result};
use crate::log::Event;
use crate::reply::UpdateReply;
use crate::secret;

impl Client {
    pub(super) fn success_event(&self, reply: &UpdateReply, call: &Call<'_>) -> Event {
        let (attempts, elapsed) = (reply.attempts(), reply.elapsed());
        let sentence =
            format!("succeeded after {} ms ({})", elapsed.as_millis(), requests(attempts));
        let event = Event::new("call_succeeded", sentence).with("http_status", reply.http_status());
        self.ended(event, attempts, elapsed, reply.request_id(), call)
    }

    pub(super) fn failure_event(&self, error: &Error, call: &Call<'_>) -> Event {
        let (attempts, elapsed) = (error.attempts(), error.elapsed());
        let sentence =
            format!("failed after {} ms ({}): {error}", elapsed.as_millis(), requests(attempts));
        let event = Event::new("call_failed", sentence)
            .with("code", error.kind().code())
            .with("name", error.kind().name())
            .with("message", error.to_string())
            .with("http_status", error.http_status())
            .with("delivery", error.delivery().name())
            .with("retry_after_ms", error.retry_after().map(millis));
        self.ended(event, attempts, elapsed, error.request_id(), call)
    }

    /// Adds the fields that every event for the end of a call contains.
    fn ended(
        &self,
        event: Event,
        attempts: u32,
        elapsed: Duration,
        id: Option<&str>,
        call: &Call<'_>,
    ) -> Event {
        // Servers and gateways often echo a header of the caller, which may be secret.
        let sent = call.headers.as_ref().unwrap_or(&self.header_bytes);
        event
            .with("attempts", attempts)
            .with("elapsed_ms", millis(elapsed))
            .with("request_id", id.filter(|id| !echoes(id, sent)))
    }
}

/// Returns the event for a retry that is about to start.
pub(super) fn retry(error: &Error, retries: u32, wait: Duration) -> Event {
    let sentence = format!("retries in {} ms, after: {error}", wait.as_millis());
    Event::new("retry", sentence)
        .with("retry", retries)
        .with("wait_ms", millis(wait))
        .with("after", error.kind().name())
}

/// Returns whether the server may have copied `id` from one of these request headers.
fn echoes(id: &str, headers: &[u8]) -> bool {
    let mut lines = headers.split(|byte| *byte == b'\n');
    lines.any(|line| {
        line.splitn(2, |byte| *byte == b':').nth(1).is_some_and(|value| secret::reveals(id, value))
    })
}

fn requests(count: u32) -> String {
    format!("{count} request{}", if count == 1 { "" } else { "s" })
}

/// Returns the event for the end of an attempt.
pub(super) fn attempt(reply: &Result<UpdateReply>, call: &Call<'_>, reused: bool) -> Event {
    let attempts = call.so_far.effort.attempts;
    let (name, status, sentence) = match reply {
        Ok(reply) => ("ok", Some(reply.http_status()), format!("request {attempts} was answered")),
        Err(error) => (
            error.kind().name(),
            error.http_status(),
            format!("request {attempts} failed: {error}"),
        ),
    };
    Event::new("attempt", sentence)
        .with("attempt", attempts)
        .with("outcome", name)
        .with("http_status", status)
        .with("reused_connection", reused)
}
