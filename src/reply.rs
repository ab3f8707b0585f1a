//! The reply envelope: `{"status", "description", "response_time", "data": {"Id"}}`.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::delivery::advice::Advice;
use crate::error::{excerpt, Answer, Delivery, Error, ErrorKind, Result};
use crate::failpoint;
use crate::json;
use crate::transport::Reply;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The server's reply to an update that it confirmed. It dereferences to the text of the reply.
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
/// println!("updated after {} attempts", reply.attempts());
/// # Ok::<(), commbox::Error>(())
/// ```
#[derive(Clone)]
pub struct UpdateReply {
    json: String,
    http_status: u16,
    request_id: Option<String>,
    attempts: u32,
    elapsed: Duration,
}

impl UpdateReply {
    pub(crate) fn with_effort(self, attempts: u32, elapsed: Duration) -> Self {
        Self { attempts, elapsed, ..self }
    }

    /// Returns the reply as it was received, a JSON object.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert!(reply.as_json().starts_with(r#"{"status":200"#));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// Returns the reply as it was received, without copying it.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// let json: String = reply.into_json();
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn into_json(self) -> String {
        self.json
    }

    /// Returns the HTTP status: 200 to 299.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert_eq!(reply.http_status(), 200);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.http_status
    }

    /// Returns the server's id of the request: the response header `X-Request-Id`, `Request-Id` or
    /// `X-Correlation-Id`, or the one that
    /// [`Options::request_id_header`](crate::Options::request_id_header) names.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert_eq!(reply.request_id(), Some("7f3a"));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the number of attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// assert_eq!(reply.attempts(), 1);
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the duration of the call. For an update of a batch, it starts when the update is
    /// dispatched.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
    /// println!("updated in {} ms", reply.elapsed().as_millis());
    /// # Ok::<(), commbox::Error>(())
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl Deref for UpdateReply {
    type Target = str;

    fn deref(&self) -> &str {
        &self.json
    }
}

impl<T: AsRef<str>> PartialEq<T> for UpdateReply {
    fn eq(&self, json: &T) -> bool {
        self.json == json.as_ref()
    }
}

impl From<UpdateReply> for String {
    fn from(reply: UpdateReply) -> Self {
        reply.json
    }
}

impl fmt::Display for UpdateReply {
    /// The unchanged reply.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

impl fmt::Debug for UpdateReply {
    /// Omits the text of the server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateReply")
            .field("http_status", &self.http_status)
            .field("request_id", &self.request_id)
            .field("attempts", &self.attempts)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

/// Parses the `status` of a reply. The vendor documents a string, but shows a number in examples.
fn status(value: &str) -> Option<u16> {
    let text = json::text(value);
    let digits = text.as_deref().unwrap_or(value).trim();
    // A number may be written with a fraction of zeros.
    let digits = if text.is_none() {
        digits.trim_end_matches('0').strip_suffix('.').unwrap_or(digits)
    } else {
        digits
    };
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Returns the server's reply if it confirms the update, or else the corresponding error.
pub(crate) fn interpret(reply: Reply) -> Result<UpdateReply> {
    failpoint::reach("interpret");
    let Reply {
        status: http_status,
        advice: Advice { retry_after, .. },
        encoding,
        request_id,
        body,
        complete,
    } = reply;
    let text = match complete {
        _ if encoding.is_some() => Err(("is encoded, although identity was requested", body)),
        true => String::from_utf8(body).map_err(|error| ("is not UTF-8", error.into_bytes())),
        false => Err(("is larger than 1 MiB", body)),
    };
    let member = |name| match &text {
        // Some servers put a byte order mark before the JSON, which JSON parsers reject.
        Ok(text) => json::member(text.trim_start_matches(BYTE_ORDER_MARK), name),
        Err((why, _)) => Err((*why).to_owned()),
    };

    let (kind, message) = match (http_status, member("status").map(|value| value.and_then(status))) {
        (200..=299, Ok(Some(200..=299))) => {
            let text = text.unwrap_or_default();
            let json = match text.strip_prefix(BYTE_ORDER_MARK) {
                Some(rest) => rest.to_owned(),
                None => text,
            };
            return Ok(UpdateReply { json, http_status, request_id, attempts: 0, elapsed: Duration::ZERO });
        }
        (200..=299, Ok(Some(status @ 100..=599))) => (
            ErrorKind::Http(status),
            format!("the server answered HTTP {http_status}, but its reply says status {status}{}", advice(status)),
        ),
        (200..=299, Ok(_)) => (
            ErrorKind::BadResponse,
            format!("the server answered HTTP {http_status}, but its reply has no known status"),
        ),
        (200..=299, _) if encoding.is_some() => (
            ErrorKind::BadResponse,
            format!(
                "the server answered HTTP {http_status}, but its reply is encoded ({}), although identity was requested",
                encoding.unwrap_or_default()
            ),
        ),
        (200..=299, Err(why)) => (
            ErrorKind::BadResponse,
            format!("the server answered HTTP {http_status}, but its reply {why}; a proxy may have written it"),
        ),
        (status, _) => (ErrorKind::Http(status), format!("the server answered HTTP {status}{}", advice(status))),
    };
    let words = |name| member(name).ok().flatten().and_then(json::text).map(Into::into);
    Err(Error::new(kind, message).with_delivery(Delivery::Answered).with_answer(Answer {
        http_status: Some(http_status),
        description: words("description"),
        response_time: words("response_time"),
        retry_after,
        request_id,
        response: excerpt(text.as_ref().map_or_else(|(_, body)| body.as_slice(), String::as_bytes)),
    }))
}

/// Explains a status of this API, and what to do about it.
fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => {
            " (a redirect): redirects are not followed, since the key and personal data go to the configured host \
             only; set the base URL to where the API is"
        }
        400 => " (bad request): it did not accept the fields or their values; its message is in the description",
        401 => " (unauthorized): the API key is wrong, expired or not allowed to update users",
        403 => " (forbidden): the API key may not do this, or a proxy in between refused it",
        404 => " (not found): no user has this id, or the base URL is not where the API is",
        407 => " (proxy authentication required): put the proxy's user and password into the proxy option",
        429 => " (rate limited): too many requests in a short time; wait before the next one",
        500 => " (server error): the server failed; the update may be sent again",
        501 => " (not implemented): the server does not support this call",
        502..=504 => {
            " (unavailable): the server or a proxy before it is overloaded or down; the update may be sent again"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            advice: Advice::default(),
            encoding: None,
            request_id: None,
            body: body.into(),
            complete: true,
        }
    }

    fn kind(status: u16, body: &str) -> ErrorKind {
        interpret(reply(status, body)).unwrap_err().kind()
    }

    #[test]
    fn a_success_returns_the_body_unchanged() {
        for body in [
            r#"{"status":200}"#,
            r#"{ "status" : "200", "data":{"Id":1.0} }"#,
            r#"{"status":200.0}"#,
            r#"{"status":201}"#,
        ] {
            assert_eq!(interpret(reply(200, body)).unwrap().as_json(), body);
        }
        assert_eq!(
            interpret(reply(200, "\u{feff}{\"status\":200}")).unwrap().as_json(),
            r#"{"status":200}"#
        );
    }

    #[test]
    fn the_status_in_the_body_overrides_a_200() {
        assert_eq!(kind(200, r#"{"status":401}"#), ErrorKind::Http(401));
        assert_eq!(kind(200, r#"{"status":"429"}"#), ErrorKind::Http(429));
        for body in [
            "",
            "null",
            "{}",
            r#"{"status":0}"#,
            r#"{"status":"ok"}"#,
            r#"{"status":"+200"}"#,
            r#"{"status":2.5}"#,
            "<html>",
            r#"{"status":200"#,
        ] {
            assert_eq!(kind(200, body), ErrorKind::BadResponse, "{body}");
        }
    }

    #[test]
    fn an_error_status_does_not_require_json() {
        for body in ["", "<html>gateway</html>", r#"{"status":200}"#] {
            assert_eq!(kind(502, body), ErrorKind::Http(502));
        }
        let error =
            interpret(reply(400, r#"{"status":400,"description":"Bad","response_time":"t"}"#))
                .unwrap_err();
        assert_eq!((error.description(), error.response_time()), (Some("Bad"), Some("t")));
        assert_eq!(error.delivery(), Delivery::Answered);
        assert!(!error.to_string().contains("Bad"));
    }

    #[test]
    fn an_incomplete_reply_is_never_a_success() {
        let reply = |status| Reply {
            status,
            advice: Advice::default(),
            encoding: None,
            request_id: None,
            body: vec![b' '; 100],
            complete: false,
        };
        assert_eq!(interpret(reply(200)).unwrap_err().kind(), ErrorKind::BadResponse);
        assert_eq!(interpret(reply(500)).unwrap_err().kind(), ErrorKind::Http(500));
    }
}
