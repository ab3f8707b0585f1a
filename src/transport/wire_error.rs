//! Errors below HTTP.

use std::io;

/// Why an exchange failed. The error passes through the HTTP agent inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the attempt was stopped")]
    Stopped,
    #[error("the name is not known")]
    NameNotFound,
    #[error("none of the addresses answered")]
    NoAddressAnswered,
    #[error("the system has no thread to give")]
    NoThread,
    #[error("the trust store cannot be used: {0}")]
    Trust(String),
    #[error("the proxy answered HTTP {status}")]
    ProxyRefused {
        status: u16,
        /// The authentication schemes that the proxy accepts, separated by commas.
        schemes: String,
    },
    #[error("the proxy refused: {0}")]
    Socks(&'static str),
    #[error("not HTTP/1.1")]
    NotHttp,
    #[error("the head of the answer is too long")]
    HeadTooLong,
    #[error("the connection closed without an answer")]
    Closed,
    #[error("the connection ended within the answer")]
    Cut,
    /// The reply began while the request was still being sent.
    #[error("the server takes no more of the request")]
    AnsweredEarly,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        // The kind is always Other, because the agent interprets some other kinds as the end of the
        // reply.
        io::Error::other(error)
    }
}

impl From<WireError> for ureq::Error {
    fn from(error: WireError) -> Self {
        Self::Io(error.into())
    }
}

impl WireError {
    /// Returns the error inside of one that passed through the agent or through TLS.
    pub(super) fn of(error: ureq::Error) -> Self {
        Self::within(error.into_io())
    }

    pub(super) fn within(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(Self::Io(error)) => Self::within(error),
            Ok(error) => error,
            Err(error) => Self::Io(error),
        }
    }
}
