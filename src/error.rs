//! Errors: a kind with a stable code, a message, and what is known about the failed call.

mod answer;
mod delivery;
mod kind;
mod problem;
mod problems;
mod report;

use std::fmt;
use std::time::Duration;

pub use delivery::Delivery;
pub use kind::ErrorKind;
pub use problem::Problem;

pub(crate) use answer::{excerpt, Answer};
pub(crate) use problem::shown;
pub(crate) use problems::Problems;
pub(crate) use report::millis;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_display_omit_the_text_of_the_server() {
        let error = Error::new(ErrorKind::Http(400), "refused").with_answer(Answer {
            http_status: Some(400),
            description: Some("canary".into()),
            response: Some("canary".into()),
            ..Answer::default()
        });
        assert!(!format!("{error:?}{error}").contains("canary"));
        assert!(error.to_json().contains("canary"));
    }
}
