//! What goes wrong below HTTP, and a connection's bytes: over TCP, TLS, or TLS within TLS.

use std::io;

use crate::transport::attempt::Attempt;
use crate::transport::socket::Socket;
use crate::transport::tls::TlsStream;

/// Why an exchange failed. It passes through the HTTP agent inside an [`io::Error`].
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
        /// The authentication schemes that it asks for, with commas.
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
    /// The answer began while the request was still being sent.
    #[error("the server takes no more of the request")]
    AnsweredEarly,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        // As the kind Other always: the agent takes some other kinds for the end of the answer.
        io::Error::other(error)
    }
}

impl From<WireError> for ureq::Error {
    fn from(error: WireError) -> Self {
        Self::Io(error.into())
    }
}

impl WireError {
    /// The error that is inside of one which passed through the agent or through TLS.
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

/// A connection, as bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads what comes, and waits for it. 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        match self {
            Self::Plain(socket) => socket.read(buffer, attempt),
            Self::Tls(stream) => stream.read(buffer, attempt),
        }
    }

    /// Sends all of `bytes`, unless the answer comes first.
    pub(super) fn write_all(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), WireError> {
        match self {
            Self::Plain(socket) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let sent = socket.write(rest, attempt)?;
                    rest = rest.get(sent..).unwrap_or_default();
                    // A server that takes nothing may have answered already.
                    if sent == 0 && socket.has_input() {
                        return Err(WireError::AnsweredEarly);
                    }
                }
                Ok(())
            }
            Self::Tls(stream) => stream.write_all(bytes, attempt),
        }
    }

    /// Sends some of `bytes`; 0 if nothing was taken for a moment.
    pub(super) fn write(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        match self {
            Self::Plain(socket) => socket.write(bytes, attempt),
            Self::Tls(stream) => stream.write_all(bytes, attempt).map(|()| bytes.len()),
        }
    }

    /// Whether something came in, or the other side closed.
    pub(super) fn has_input(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.has_input(),
            Self::Tls(stream) => stream.has_input(),
        }
    }

    /// Whether an idle connection still serves: it is open, and nothing was said that is not asked for.
    pub(super) fn is_usable(&mut self) -> bool {
        match self {
            Self::Plain(socket) => !socket.has_input(),
            Self::Tls(stream) => stream.is_usable(),
        }
    }

    /// The version of TLS, if it is under TLS.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream.version()),
        }
    }

    /// Reads what has come in, without waiting.
    pub(super) fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read_waiting(buffer),
            Self::Tls(stream) => stream.read_waiting(buffer),
        }
    }
}
