//! A TCP socket. It blocks only for short slices, so that a call notices its deadline, a cancel or
//! its callback within 100 ms, and it makes as few system calls as possible.

use std::io::{self, Read, Write};
#[cfg(windows)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::delivery::watch::SLICE;
use crate::failpoint;
use crate::fork;
use crate::transport::attempt::Attempt;
#[cfg(windows)]
use crate::transport::ready;
use crate::transport::stream::Wire;
use crate::transport::wire_error::WireError;

/// One TCP connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: fork::Socket,
    /// The present timeout of the socket.
    #[cfg(not(windows))]
    slice: Duration,
    /// Whether the system has reported that the connection failed. It does so only once.
    #[cfg(windows)]
    has_failed: AtomicBool,
}

impl Socket {
    /// Takes over a connected socket.
    #[cfg(not(windows))]
    pub(super) fn new(stream: fork::Socket) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Self { stream, slice: SLICE })
    }

    /// Takes over a connected socket and makes it nonblocking. On Windows, a socket whose timeout
    /// expired may have lost the bytes that arrived at that moment, so only `WSAPoll()` blocks.
    #[cfg(windows)]
    pub(super) fn new(stream: fork::Socket) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, has_failed: AtomicBool::new(false) })
    }

    /// Sets the timeout of the socket. The slice nearly always stays the same, so this is rarely a
    /// system call.
    #[cfg(not(windows))]
    fn set_slice(&mut self, slice: Duration) -> io::Result<()> {
        // The system's clock for timeouts is coarse, and 0 would mean no timeout.
        let slice = slice.max(Duration::from_millis(1));
        if slice != self.slice {
            self.stream.set_read_timeout(Some(slice))?;
            self.stream.set_write_timeout(Some(slice))?;
            self.slice = slice;
        }
        Ok(())
    }

    /// Reads what arrives within a slice. 0 means the end.
    #[cfg(not(windows))]
    fn read_for(&mut self, buffer: &mut [u8], slice: Duration) -> io::Result<usize> {
        self.set_slice(slice)?;
        (&*self.stream).read(buffer)
    }

    #[cfg(windows)]
    fn read_for(&mut self, buffer: &mut [u8], slice: Duration) -> io::Result<usize> {
        self.input(slice)?;
        match (&*self.stream).read(buffer) {
            Ok(0) if self.has_failed.load(Ordering::Relaxed) => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            read => read,
        }
    }

    /// Waits for input, and records a failure. Bytes that arrived before it must still be read.
    #[cfg(windows)]
    fn input(&self, limit: Duration) -> io::Result<ready::Input> {
        let found = ready::input(&self.stream, limit)?;
        self.has_failed.fetch_or(found == ready::Input::Failed, Ordering::Relaxed);
        Ok(found)
    }

    /// Sends some of `bytes` within a slice.
    #[cfg(not(windows))]
    fn write_for(&mut self, bytes: &[u8], slice: Duration) -> io::Result<usize> {
        self.set_slice(slice)?;
        (&*self.stream).write(bytes)
    }

    #[cfg(windows)]
    fn write_for(&mut self, bytes: &[u8], slice: Duration) -> io::Result<usize> {
        match (&*self.stream).write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready::writable(std::iter::once(&*self.stream), slice)?;
                (&*self.stream).write(bytes)
            }
            written => written,
        }
    }
}

impl Wire for Socket {
    fn read(&mut self, buffer: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        failpoint::reach("receive");
        loop {
            match self.read_for(buffer, attempt.slice()?) {
                Err(error) if is_a_slice(&error) => {}
                read => return Ok(read?),
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), WireError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = self.write(rest, attempt)?;
            rest = rest.get(sent..).unwrap_or_default();
            // A server that accepts nothing may have replied already.
            if sent == 0 && self.has_input() {
                return Err(WireError::AnsweredEarly);
            }
        }
        Ok(())
    }

    /// Blocks for at most a slice.
    fn write(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        failpoint::reach("send");
        match self.write_for(bytes, attempt.slice()?) {
            Ok(sent) => {
                attempt.bytes_left();
                Ok(sent)
            }
            Err(error) if is_a_slice(&error) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks for at most a slice, if no bytes have arrived.
    fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(windows)]
        return self.read_for(buffer, SLICE);
        #[cfg(not(windows))]
        (&*self.stream).read(buffer)
    }

    #[cfg(unix)]
    fn has_input(&self) -> bool {
        use std::os::fd::AsRawFd;

        let mut byte = 0_u8;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: `byte` has room for the one byte that is requested.
        let result =
            unsafe { libc::recv(self.stream.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
        !(result < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock)
    }

    #[cfg(windows)]
    fn has_input(&self) -> bool {
        // If the check fails, the connection has failed.
        self.input(Duration::ZERO).map_or(true, |found| found != ready::Input::None)
    }

    fn is_usable(&mut self) -> bool {
        !self.has_input()
    }

    fn tls_version(&self) -> Option<&'static str> {
        None
    }
}

/// Returns whether the error only means that a slice has elapsed or that a signal interrupted the
/// call.
fn is_a_slice(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
