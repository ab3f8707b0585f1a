//! A connection as a byte stream: over TCP, TLS, or TLS within TLS.

use std::fmt::Debug;
use std::io;

use crate::transport::attempt::Attempt;
use crate::transport::wire_error::WireError;

pub(super) type Stream = Box<dyn Wire>;

pub(super) trait Wire: Debug + Send + Sync {
    /// Reads bytes, and blocks until some arrive. 0 means the end.
    fn read(&mut self, buffer: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError>;

    /// Sends all of `bytes`, unless the reply arrives first.
    fn write_all(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), WireError>;

    /// Sends some of `bytes`. Returns 0 if nothing could be sent for a moment.
    fn write(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<usize, WireError>;

    /// Returns whether bytes have arrived or the peer has closed the connection.
    fn has_input(&self) -> bool;

    /// Returns whether an idle connection can be reused: it is open, and no unexpected bytes have
    /// arrived.
    fn is_usable(&mut self) -> bool;

    /// Returns the version of TLS, if the connection uses TLS.
    fn tls_version(&self) -> Option<&'static str>;

    /// Reads the bytes that have arrived, without blocking.
    fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}
