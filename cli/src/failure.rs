//! The reason why the command ends early, and the corresponding exit code.

use std::fmt;
use std::process::ExitCode;

use commbox::{Error, ErrorKind};

/// The exit codes, which docs/command.md documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was confirmed.
    Done = 0,
    /// Some rows, or the one update, failed.
    Failed = 1,
    /// The command line, an option or a file is invalid, and nothing was sent because of it.
    Usage = 2,
    /// The server rejects the API key.
    KeyRejected = 3,
    /// The server could not be reached.
    Unreachable = 4,
    /// Stopped gracefully after Ctrl-C.
    Interrupted = 130,
    /// Stopped gracefully after SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Returns the exit code for the error of one update.
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument | ErrorKind::InvalidOptions | ErrorKind::InvalidUser => {
                Self::Usage
            }
            ErrorKind::Http(401) => Self::KeyRejected,
            ErrorKind::Cancelled => Self::Interrupted,
            kind if is_unreachable(kind) => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

/// Returns whether this kind of error means that the server did not answer.
pub fn is_unreachable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Connection | ErrorKind::Tls | ErrorKind::Timeout)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The reason why the command ends, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line, an option or a file is invalid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::of(error.kind()), error.to_string())
    }
}

/// A result, or the reason why the command ends.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Adds the failed action to an error of the system.
pub trait Doing<T> {
    /// `doing` completes the sentence "cannot …".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::usage(format!("cannot {}: {error}", doing())))
    }
}
