//! The kind of an error, with its code and name.

use std::ffi::CStr;

/// The kind of an [`Error`](crate::Error). New kinds may be added; their codes are the same in every language.
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
