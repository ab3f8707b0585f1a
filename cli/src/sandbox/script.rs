//! Scripted answers, which replace the sandbox's own answers to the next calls.

use std::collections::HashMap;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderValue, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::payload::Payload;
use super::rules;

/// One scripted answer, as it is written in the script.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    status: Option<u16>,
    body: Option<String>,
    body_repeat: Option<usize>,
    headers: HashMap<String, String>,
    delay_ms: u64,
    chunked: bool,
    cut: Option<usize>,
    close: bool,
    reset: bool,
    own: bool,
}

/// One answer, ready to be sent.
#[derive(Default)]
pub struct Answer {
    /// Status and body; `None` if the sandbox's own rules determine them.
    canned: Option<(StatusCode, Option<String>)>,
    headers: HeaderMap,
    delay: Duration,
    chunked: bool,
    cut: Option<usize>,
    close: bool,
    reset: bool,
}

/// Parses a script, a JSON array of answers. The error says what is wrong with it.
pub fn read(text: &[u8]) -> Result<Vec<Answer>, String> {
    let entries: Vec<Entry> =
        serde_json::from_slice(text).map_err(|error| format!("the script is refused: {error}"))?;
    let numbered = entries.into_iter().enumerate();
    let answers = numbered.map(|(index, entry)| {
        Answer::try_from(entry)
            .map_err(|why| format!("the script is refused: answer {} {why}", index + 1))
    });
    answers.collect()
}

impl TryFrom<Entry> for Answer {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let status = entry.status.unwrap_or(200);
        let canned = entry.status.is_some() || entry.body.is_some();
        if canned && entry.own {
            return Err("has \"own\" beside \"status\" or \"body\"; leave one out".into());
        }
        if entry.body_repeat.is_some() && entry.body.is_none() {
            return Err("has \"body_repeat\" without \"body\"".into());
        }
        let status = match StatusCode::from_u16(status) {
            Ok(code) if (200..600).contains(&status) => code,
            _ => return Err("has a \"status\" that is not from 200 to 599".into()),
        };
        let body = entry.body.map(|body| body.repeat(entry.body_repeat.unwrap_or(1)));
        Ok(Self {
            canned: canned.then_some((status, body)),
            headers: HeaderMap::try_from(&entry.headers)
                .map_err(|error| format!("has bad \"headers\": {error}"))?,
            delay: Duration::from_millis(entry.delay_ms),
            chunked: entry.chunked,
            cut: entry.cut,
            close: entry.close,
            reset: entry.reset,
        })
    }
}

impl Answer {
    /// Returns a 429 with this many seconds in `Retry-After`.
    pub fn throttled(seconds: u64) -> Self {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds))]);
        Self { canned: Some((StatusCode::TOO_MANY_REQUESTS, None)), headers, ..Self::default() }
    }

    /// Returns the time to wait before answering.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns whether to reset the connection instead of answering.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// Returns the answer to a call for `user_id`; `own` applies the sandbox's own rules.
    pub fn respond(
        self,
        user_id: Option<i64>,
        own: impl FnOnce() -> (StatusCode, String),
    ) -> Response<Payload> {
        let (status, body) = match self.canned {
            None => own(),
            Some((status, Some(body))) => (status, body),
            Some((status, None)) => (status, rules::envelope(status, user_id)),
        };
        let has_body = !body.is_empty();
        let mut response = Response::new(Payload::new(Bytes::from(body), self.chunked, self.cut));
        *response.status_mut() = status;
        if has_body {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if self.close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.headers_mut().extend(self.headers);
        response
    }
}
