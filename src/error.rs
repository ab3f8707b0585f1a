//! Errors: a kind with a stable code, a message, and all details as JSON.

use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How much of a server's body an error contains, in bytes.
const RESPONSE_LIMIT: usize = 4096;

/// The result of this crate's functions.
///
/// # Examples
///
/// ```
/// fn connect() -> commbox::Result<commbox::Client> {
///     commbox::Client::new("my-api-key", &commbox::Options::default())
/// }
/// # connect().unwrap();
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`]. New kinds may be added; their codes are the same in every language.
///
/// # Examples
///
/// ```
/// use commbox::ErrorKind;
///
/// fn advice(kind: ErrorKind) -> &'static str {
///     match kind {
///         ErrorKind::Http(401) => "check the API key",
///         ErrorKind::InvalidUser => "correct the user",
///         kind if kind.is_transient() => "try again later",
///         _ => "look at the message",
///     }
/// }
/// # assert_eq!(advice(ErrorKind::Timeout), "try again later");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is invalid, such as a user id below 1 or an API key that contains blanks.
    InvalidArgument,
    /// A handle of the C interface is invalid: already freed, or not returned by this library. Also
    /// a batch in a forked child.
    InvalidHandle,
    /// The options are not a JSON object, or contain an unknown key or an out-of-range value.
    InvalidOptions,
    /// The user does not satisfy the API's rules. Nothing was sent.
    InvalidUser,
    /// The DNS lookup, the connection or the proxy failed, or the connection broke.
    Connection,
    /// The server's certificate is not trusted, or the TLS handshake failed.
    Tls,
    /// The deadline was exceeded.
    Timeout,
    /// The call was cancelled, by a function or by a callback.
    Cancelled,
    /// The response is not the documented JSON, or is larger than 1 MiB.
    BadResponse,
    /// A bug of this library was caught, or the system could not start a thread for a batch. The
    /// client remains usable.
    Internal,
    /// The server's rate limit delays the call past its deadline. Nothing was sent.
    Throttled,
    /// The server answered with this HTTP status, or with a reply that contains this status.
    Http(u16),
}

impl ErrorKind {
    /// Returns the code of the C interface: negative if the client failed, or the HTTP status.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(commbox::ErrorKind::Timeout.code(), -7);
    /// assert_eq!(commbox::ErrorKind::Http(404).code(), 404);
    /// ```
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::InvalidArgument => -1,
            Self::InvalidHandle => -2,
            Self::InvalidOptions => -3,
            Self::InvalidUser => -4,
            Self::Connection => -5,
            Self::Tls => -6,
            Self::Timeout => -7,
            Self::Cancelled => -8,
            Self::BadResponse => -9,
            Self::Internal => -10,
            Self::Throttled => -11,
            Self::Http(status) => status as i32,
        }
    }

    /// Returns the kind for a code of the C interface, or `None` for the codes of success and for
    /// unknown ones.
    pub(crate) fn of_code(code: i32) -> Option<Self> {
        let own = [
            Self::InvalidArgument,
            Self::InvalidHandle,
            Self::InvalidOptions,
            Self::InvalidUser,
            Self::Connection,
            Self::Tls,
            Self::Timeout,
            Self::Cancelled,
            Self::BadResponse,
            Self::Internal,
            Self::Throttled,
        ];
        let status = u16::try_from(code).ok().filter(|status| (100..600).contains(status));
        own.into_iter().find(|kind| kind.code() == code).or(status.map(Self::Http))
    }

    /// Returns the name of the kind, as in the JSON object of the error.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(commbox::ErrorKind::Http(429).name(), "rate_limited");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        // All names are ASCII.
        self.c_name().to_str().unwrap_or_default()
    }

    pub(crate) fn c_name(self) -> &'static CStr {
        match self {
            Self::InvalidArgument => c"invalid_argument",
            Self::InvalidHandle => c"invalid_handle",
            Self::InvalidOptions => c"invalid_options",
            Self::InvalidUser => c"invalid_user",
            Self::Connection => c"connection",
            Self::Tls => c"tls",
            Self::Timeout => c"timeout",
            Self::Cancelled => c"cancelled",
            Self::BadResponse => c"bad_response",
            Self::Internal => c"internal",
            Self::Throttled => c"throttled",
            Self::Http(400) => c"bad_request",
            Self::Http(401) => c"unauthorized",
            Self::Http(403) => c"forbidden",
            Self::Http(404) => c"not_found",
            Self::Http(429) => c"rate_limited",
            Self::Http(501) => c"not_implemented",
            Self::Http(300..=399) => c"redirect",
            Self::Http(400..=499) => c"client_error",
            Self::Http(_) => c"server_error",
        }
    }

    /// Returns whether the same call may succeed later: [`Connection`](Self::Connection),
    /// [`Timeout`](Self::Timeout), [`Throttled`](Self::Throttled), and the HTTP statuses 429, 500,
    /// 502, 503 and 504.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(commbox::ErrorKind::Http(503).is_transient());
    /// assert!(!commbox::ErrorKind::Http(404).is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Timeout
                | Self::Throttled
                | Self::Http(429 | 500 | 502 | 503 | 504)
        )
    }
}

/// Whether the update reached the server.
///
/// # Examples
///
/// ```
/// use commbox::Delivery;
///
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// let error = client.update_user_json(0, "{}").unwrap_err();
/// assert_eq!(error.delivery(), Delivery::NotSent);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No byte of the request was sent.
    #[default]
    NotSent,
    /// The server may have processed the update: the request may have reached it, but no complete
    /// response was received.
    Unknown,
    /// The server answered.
    Answered,
}

impl Delivery {
    /// Returns the name in the error JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
        }
    }
}

/// What the server's reply adds to an error.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) http_status: Option<u16>,
    pub(crate) description: Option<String>,
    pub(crate) response_time: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
    pub(crate) response: Option<String>,
}

/// A failed call: why it failed, and what is known about it.
///
/// The message contains names of fields and lengths, but never the API key or a value of the user.
/// The server's own text is only in [`description`](Self::description) and
/// [`response`](Self::response), which the `Debug` output does not contain.
///
/// # Examples
///
/// ```
/// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
/// # let client = fake::client();
/// match client.update_user_json(404, r#"{"FirstName": "John"}"#) {
///     Ok(_) => println!("updated"),
///     Err(error) => eprintln!("{error} ({})", error.kind().name()),
/// }
/// ```
#[derive(thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    delivery: Delivery,
    attempts: u32,
    elapsed: Duration,
    permanent: bool,
    problems: Vec<Problem>,
    answer: Box<Answer>,
}

impl Error {
    /// Returns an error that happened in this library, before anything was sent.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            delivery: Delivery::NotSent,
            attempts: 0,
            elapsed: Duration::ZERO,
            permanent: false,
            problems: Vec::new(),
            answer: Box::default(),
        }
    }

    /// Returns the error of an invalid option or field.
    pub(crate) fn problem(kind: ErrorKind, path: &str, message: impl Into<String>) -> Self {
        let mut problems = Problems::default();
        problems.add(path, message);
        problems.into_error(kind)
    }

    /// Returns the error of a caught panic.
    pub(crate) fn bug() -> Self {
        let message =
            "a bug in commbox was caught; the client stays usable. Please report what was called";
        Self::new(ErrorKind::Internal, message).with_delivery(Delivery::Unknown)
    }

    /// Appends a note to the message.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.message = format!("{}; {note}", self.message);
        self
    }

    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Marks the error as not worth retrying, although its kind would allow it.
    pub(crate) fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    pub(crate) fn is_permanent(&self) -> bool {
        self.permanent
    }

    pub(crate) fn with_answer(mut self, answer: Answer) -> Self {
        self.answer = Box::new(answer);
        self
    }

    pub(crate) fn with_effort(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.attempts = attempts;
        self.elapsed = elapsed;
        self
    }

    /// Returns the kind of the failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::{Client, ErrorKind, Options};
    ///
    /// let error = Client::new("", &Options::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the HTTP status of the response, if a status line was received.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert_eq!(error.http_status(), Some(404));
    /// ```
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.answer.http_status
    }

    /// Returns the server's message: the `description` of its reply.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert_eq!(error.description(), Some("User not found"));
    /// ```
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.answer.description.as_deref()
    }

    /// Returns the `response_time` of the server's reply, as it was received.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert_eq!(error.response_time(), Some("1/1/2026 10:00:00 AM"));
    /// ```
    #[must_use]
    pub fn response_time(&self) -> Option<&str> {
        self.answer.response_time.as_deref()
    }

    /// Returns how long to wait before the next request: the time that the server asks for
    /// (`Retry-After`), or, if the call was delayed past its deadline, the time until it could have
    /// been sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// if let Some(wait) = error.retry_after() {
    ///     println!("try again in {} s", wait.as_secs());
    /// }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer.retry_after
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
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert_eq!(error.request_id(), Some("7f3a"));
    /// ```
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.answer.request_id.as_deref()
    }

    /// Returns the body of the response, truncated to 4 KiB. It may repeat values that were sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert!(error.response().unwrap().starts_with(r#"{"status":404"#));
    /// ```
    #[must_use]
    pub fn response(&self) -> Option<&str> {
        self.answer.response.as_deref()
    }

    /// Returns the problem of each option or field, if that is why the call failed. There are at
    /// most 21: the first 20, and one that says how many more there are. The message of the error
    /// contains them all in one text.
    ///
    /// # Examples
    ///
    /// ```
    /// use commbox::Options;
    ///
    /// let error = Options::from_json(r#"{"max_retries": 101}"#).err().unwrap();
    /// assert_eq!(error.problems()[0].path(), "max_retries");
    /// ```
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns whether the update reached the server.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert_eq!(error.delivery(), commbox::Delivery::Answered);
    /// ```
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Returns the number of attempts; 0 if no request was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// assert_eq!(client.update_user_json(404, "{}").unwrap_err().attempts(), 1);
    /// assert_eq!(client.update_user_json(0, "{}").unwrap_err().attempts(), 0);
    /// ```
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the duration of the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// println!("failed after {} ms", error.elapsed().as_millis());
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns all details as the JSON object that `commbox_last_error_json()` documents.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
    /// # let client = fake::client();
    /// let error = client.update_user_json(404, "{}").unwrap_err();
    /// assert!(error.to_json().starts_with(r#"{"code":404,"name":"not_found","#));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let report = Report {
            code: self.kind.code(),
            name: self.kind.name(),
            message: &self.message,
            http_status: self.http_status(),
            description: self.description(),
            response_time: self.response_time(),
            request_id: self.request_id(),
            retry_after_ms: self.retry_after().map(millis),
            attempts: self.attempts,
            elapsed_ms: millis(self.elapsed),
            delivery: self.delivery,
            response: self.response(),
            problems: &self.problems,
        };
        // The fields are only strings and numbers, so this cannot fail.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("http_status", &self.answer.http_status)
            .field("delivery", &self.delivery)
            .field("attempts", &self.attempts)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    code: i32,
    name: &'a str,
    message: &'a str,
    http_status: Option<u16>,
    description: Option<&'a str>,
    response_time: Option<&'a str>,
    request_id: Option<&'a str>,
    retry_after_ms: Option<u64>,
    attempts: u32,
    elapsed_ms: u64,
    delivery: Delivery,
    response: Option<&'a str>,
    problems: &'a [Problem],
}

/// Returns a name for messages: at most `most` characters, with invisible ones escaped.
pub(crate) fn shown(name: &str, most: usize) -> String {
    name.chars().take(most).flat_map(char::escape_debug).collect()
}

/// Returns whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A problem of one option or field. Its text is the path followed by the message.
///
/// # Examples
///
/// ```
/// use commbox::Options;
///
/// let error = Options::from_json(r#"{"max_retries": 101}"#).err().unwrap();
/// assert_eq!(error.problems()[0].to_string(), "max_retries must be from 0 to 100");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    path: String,
    message: String,
}

impl Problem {
    /// Returns the key of the option or the name of the field; empty if the problem concerns the
    /// whole.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = commbox::Options::from_json(r#"{"proxi": ""}"#).err().unwrap();
    /// assert_eq!(error.problems()[0].path(), "proxi");
    /// ```
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong, in words that follow the path. The names of other options are in
    /// braces: `must be at least {retry_base_ms}`.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = commbox::Options::from_json(r#"{"max_retries": 101}"#).err().unwrap();
    /// assert_eq!(error.problems()[0].message(), "must be from 0 to 100");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{} ", self.path)?;
        }
        f.write_str(&self.message.replace(['{', '}'], ""))
    }
}

/// The first problems, and the number of further ones.
#[derive(Default)]
pub(crate) struct Problems {
    first: Vec<Problem>,
    more: usize,
}

impl Problems {
    const SHOWN: usize = 20;

    /// Adds a problem of an option or a field.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.first.len() < Self::SHOWN {
            self.first.push(Problem { path: path.to_owned(), message: message.into() });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Returns the first problems one by one.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Problem> {
        self.first.into_iter()
    }

    /// Returns an error that contains these problems, if there are any.
    pub(crate) fn check(self, kind: ErrorKind) -> Result<()> {
        match self.first.is_empty() {
            true => Ok(()),
            false => Err(self.into_error(kind)),
        }
    }

    fn into_error(mut self, kind: ErrorKind) -> Error {
        if self.more > 0 {
            let message = format!("and {} more", self.more);
            self.first.push(Problem { path: String::new(), message });
        }
        let texts: Vec<_> = self.first.iter().map(ToString::to_string).collect();
        Error { problems: self.first, ..Error::new(kind, texts.join("; ")) }
    }
}

/// Returns the part of a server's body that an error contains: text, at most 4 KiB, cut between
/// characters. Returns `None` if it is empty.
pub(crate) fn excerpt(body: &[u8]) -> Option<String> {
    let mut text =
        String::from_utf8_lossy(body.get(..RESPONSE_LIMIT + 4).unwrap_or(body)).into_owned();
    let mut end = RESPONSE_LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_every_member_and_null_for_what_is_absent() {
        let error = Error::new(ErrorKind::Timeout, "too late").with_delivery(Delivery::Unknown);
        assert_eq!(
            error.to_json(),
            r#"{"code":-7,"name":"timeout","message":"too late","http_status":null,"description":null,"response_time":null,"request_id":null,"retry_after_ms":null,"attempts":0,"elapsed_ms":0,"delivery":"unknown","response":null,"problems":[]}"#
        );
        let error = Error::problem(ErrorKind::InvalidOptions, "proxy", "is none");
        assert!(error
            .to_json()
            .ends_with(r#","problems":[{"path":"proxy","message":"is none"}]}"#));
    }

    #[test]
    fn debug_leaves_out_what_the_server_wrote() {
        let error = Error::new(ErrorKind::Http(400), "refused").with_answer(Answer {
            http_status: Some(400),
            description: Some("canary".into()),
            response: Some("canary".into()),
            ..Answer::default()
        });
        assert!(!format!("{error:?}{error}").contains("canary"));
        assert!(error.to_json().contains("canary"));
    }

    #[test]
    fn problems_come_in_one_message_of_bounded_length() {
        assert!(Problems::default().check(ErrorKind::InvalidUser).is_ok());
        let mut problems = Problems::default();
        for number in 0..1000 {
            problems.add("", number.to_string());
        }
        let error = problems.check(ErrorKind::InvalidUser).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("0; 1; ") && message.ends_with("; 19; and 980 more"),
            "{message}"
        );
        assert_eq!(error.problems().len(), 21);
    }

    #[test]
    fn excerpt_cuts_between_characters() {
        assert_eq!(excerpt(b""), None);
        let long = "é".repeat(4000);
        assert_eq!(excerpt(long.as_bytes()).map(|text| text.len()), Some(4096));
        let odd = format!("x{long}");
        assert_eq!(excerpt(odd.as_bytes()).map(|text| text.len()), Some(4095));
        assert_eq!(excerpt(&[b'a', 0xff]).as_deref(), Some("a\u{fffd}"));
    }
}
