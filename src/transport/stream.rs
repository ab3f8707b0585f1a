//! A connection, as bytes: over TCP, TLS, or TLS within TLS.

use std::fmt::Debug;
use std::io;

use crate::transport::attempt::Attempt;
use crate::transport::wire_error::WireError;

pub(super) type Stream = Box<dyn Wire>;

pub(super) trait Wire: Debug + Send + Sync {
    /// Reads what comes, and waits for it. 0 is the end.
    fn read(&mut self, buffer: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError>;

    /// Sends all of `bytes`, unless the answer comes first.
    fn write_all(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), WireError>;

    /// Sends some of `bytes`; 0 if nothing was taken for a moment.
    fn write(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<usize, WireError>;

    /// Whether something came in, or the other side closed.
    fn has_input(&self) -> bool;

    /// Whether an idle connection still serves: it is open, and nothing was said that is not asked for.
    fn is_usable(&mut self) -> bool;

    /// The version of TLS, if it is under TLS.
    fn tls_version(&self) -> Option<&'static str>;

    /// Reads what has come in, without waiting.
    fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}
