//! A TCP socket: written and read in slices, so that a call sees its deadline, a cancel or an interrupt within 100 ms;
//! and with as few system calls as can be.

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
    /// The time-out that the socket has now.
    #[cfg(not(windows))]
    slice: Duration,
    /// The system has reported that the connection failed, which it does once.
    #[cfg(windows)]
    has_failed: AtomicBool,
}

impl Socket {
    /// Takes a connected socket.
    #[cfg(not(windows))]
    pub(super) fn new(stream: fork::Socket) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Self { stream, slice: SLICE })
    }

    /// Takes a connected socket. It does not block: on Windows a socket whose time-out has passed may have lost what
    /// came in at that moment, so that waiting is for `WSAPoll()` alone.
    #[cfg(windows)]
    pub(super) fn new(stream: fork::Socket) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, has_failed: AtomicBool::new(false) })
    }

    /// The slice is nearly always the same, so this is nearly never a system call.
    #[cfg(not(windows))]
    fn set_slice(&mut self, slice: Duration) -> io::Result<()> {
        // The system's clock for time-outs is coarse, and 0 would mean none.
        let slice = slice.max(Duration::from_millis(1));
        if slice != self.slice {
            self.stream.set_read_timeout(Some(slice))?;
            self.stream.set_write_timeout(Some(slice))?;
            self.slice = slice;
        }
        Ok(())
    }

    /// Reads what comes within a slice. 0 is the end.
    #[cfg(not(windows))]
    fn read_for(&mut self, buffer: &mut [u8], slice: Duration) -> io::Result<usize> {
        self.set_slice(slice)?;
        (&*self.stream).read(buffer)
    }

    #[cfg(windows)]
    fn read_for(&mut self, buffer: &mut [u8], slice: Duration) -> io::Result<usize> {
        self.input(slice)?;
        match (&*self.stream).read(buffer) {
            Ok(0) if self.has_failed.load(Ordering::Relaxed) => Err(io::ErrorKind::ConnectionReset.into()),
            read => read,
        }
    }

    /// Waits for input, and notes a failure: what came before it is still to be read.
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
            // A server that takes nothing may have answered already.
            if sent == 0 && self.has_input() {
                return Err(WireError::AnsweredEarly);
            }
        }
        Ok(())
    }

    /// Waits a slice at most.
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

    /// Waits a slice at most, if nothing has come in.
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
        // SAFETY: room for the one byte that is asked for.
        let result = unsafe { libc::recv(self.stream.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
        !(result < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock)
    }

    #[cfg(windows)]
    fn has_input(&self) -> bool {
        // One that cannot be asked has failed.
        self.input(Duration::ZERO).map_or(true, |found| found != ready::Input::None)
    }

    fn is_usable(&mut self) -> bool {
        !self.has_input()
    }

    fn tls_version(&self) -> Option<&'static str> {
        None
    }
}

/// Whether nothing went wrong but that a slice, or a signal's interruption, is over.
fn is_a_slice(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
