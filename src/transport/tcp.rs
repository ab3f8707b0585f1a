//! TCP connections: connected, written and read in slices, so that a call sees its deadline, a cancel or an interrupt
//! within 100 ms; and with as few system calls as can be.

use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::time::Duration;

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::Error;

use crate::delivery::watch::SLICE;
use crate::failpoint;
use crate::fork;
use crate::secret;
use crate::transport::attempt::Attempt;
use crate::transport::resolver::Names;

/// Held back until the answer is waited for, a request leaves in one piece; a longer one leaves in pieces of this size.
const HELD_BACK: usize = 64 << 10;

/// The buffers of a connection under TLS, which has its own for what is read and written. These only pass it on.
const UNDER_TLS: (usize, usize) = (8 << 10, 4 << 10);

/// A socket, and before it, so that it goes first, the note of its number.
type Noted = (fork::Socket, TcpStream);

/// Opens connections.
#[derive(Debug)]
pub(crate) struct TcpConnector {
    names: Names,
}

impl TcpConnector {
    pub(crate) fn new(names: Names) -> Self {
        Self { names }
    }

    /// Tries one address after the other, each with its share of the time that is left.
    fn open(&self, host: &str, port: u16, attempt: &Attempt) -> Result<Noted, Error> {
        failpoint::reach("connect");
        let addresses = self.names.look_up(host, port, attempt)?;
        let mut failure = Error::ConnectionFailed;
        for (tried, address) in addresses.iter().enumerate() {
            let share = u32::try_from(addresses.len() - tried).unwrap_or(1);
            match system::connect(address, attempt.connect_time() / share, attempt) {
                Ok(stream) => {
                    if tried > 0 {
                        self.names.prefer(host, port, address);
                    }
                    return Ok(stream);
                }
                Err(error) if attempt.stopped().is_some() => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(tunnel) = chained {
            Attempt::current()?.is_let_through();
            return Ok(Some(Either::A(tunnel)));
        }
        let host = details.uri.host().unwrap_or_default();
        let port = details.uri.port_u16().unwrap_or(if details.needs_tls() { 443 } else { 80 });
        let attempt = Attempt::current()?;
        let socket = self.open(host, port, &attempt).inspect_err(|_| self.names.forget(host, port))?;
        let config = details.config;
        let (input, output) = match details.needs_tls() {
            true => UNDER_TLS,
            false => (config.input_buffer_size(), config.output_buffer_size()),
        };
        let buffers = LazyBuffers::new(input, output);
        Ok(Some(Either::B(TcpTransport::new(socket, buffers, details.needs_tls())?)))
    }
}

/// One connection.
pub(crate) struct TcpTransport {
    socket: Noted,
    buffers: LazyBuffers,
    held_back: Vec<u8>,
    /// The time-out that the socket has now.
    slice: Duration,
    requests: u32,
    /// Whether a request was sent since the connection was last looked at.
    busy: bool,
    under_tls: bool,
    /// Why the server takes no more of the request. What is left of that is dropped, for the answer may be there.
    refusal: Option<io::Error>,
}

impl TcpTransport {
    fn new(socket: Noted, buffers: LazyBuffers, under_tls: bool) -> io::Result<Self> {
        let (_, stream) = &socket;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        let held_back = Vec::new();
        Ok(Self { socket, buffers, held_back, slice: SLICE, requests: 0, busy: false, under_tls, refusal: None })
    }

    /// The slice is nearly always the same, so this is nearly never a system call.
    fn set_slice(&mut self, slice: Duration) -> io::Result<()> {
        // The system's clock for time-outs is coarse, and 0 would mean none.
        let slice = slice.max(Duration::from_millis(1));
        if slice != self.slice {
            self.socket.1.set_read_timeout(Some(slice))?;
            self.socket.1.set_write_timeout(Some(slice))?;
            self.slice = slice;
        }
        Ok(())
    }

    fn send_held_back(&mut self, attempt: &Attempt) -> Result<(), Error> {
        failpoint::reach("send");
        let reused = self.requests > 0;
        if attempt.sends_on(reused) && reused && !system::is_silent(&self.socket.1) {
            attempt.finds_it_closed();
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        let mut sent = 0;
        while sent < self.held_back.len() && self.refusal.is_none() {
            self.set_slice(attempt.slice()?)?;
            match self.socket.1.write(self.held_back.get(sent..).unwrap_or_default()) {
                Ok(amount) => {
                    sent += amount;
                    attempt.bytes_left();
                }
                Err(error) if is_a_slice(&error) => {
                    // Under TLS there may be more to read than an answer.
                    if !self.under_tls && !system::is_silent(&self.socket.1) {
                        self.refusal = Some(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => self.refusal = Some(error),
            }
        }
        self.forget_held_back();
        Ok(())
    }

    fn hold_back(&mut self, amount: usize) {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let length = self.held_back.len() + output.len();
        if length > self.held_back.capacity() {
            // Grown by hand, since a vector that grows leaves behind what it held, the API key among it.
            let mut larger = Vec::with_capacity(length.next_power_of_two());
            larger.extend_from_slice(&self.held_back);
            secret::wipe(&mut self.held_back);
            self.held_back = larger;
        }
        self.held_back.extend_from_slice(output);
    }

    fn forget_held_back(&mut self) {
        secret::wipe(&mut self.held_back);
        self.held_back.clear();
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.forget_held_back();
    }
}

/// Whether nothing went wrong but that a slice, or a signal's interruption, is over.
fn is_a_slice(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.busy = true;
        self.hold_back(amount);
        if self.held_back.len() >= HELD_BACK {
            let attempt = Attempt::current()?;
            self.send_held_back(&attempt)?;
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        failpoint::reach("receive");
        let attempt = Attempt::current()?;
        self.send_held_back(&attempt)?;
        loop {
            self.set_slice(attempt.slice()?)?;
            match self.socket.1.read(self.buffers.input_append_buf()) {
                Ok(amount) if amount > 0 => {
                    self.buffers.input_appended(amount);
                    return Ok(true);
                }
                Err(error) if is_a_slice(&error) => {}
                // Where no answer came, it is why nothing more was taken that tells.
                end => return self.refusal.take().map_or(end, Err).map(|_| false).map_err(Error::from),
            }
        }
    }

    /// The agent asks when it puts the connection back, and when it takes it out: then with all connections locked, so
    /// it is not before the connection sends that the system is asked.
    fn is_open(&mut self) -> bool {
        failpoint::reach("probe");
        let is_put_back = mem::take(&mut self.busy);
        self.requests += u32::from(is_put_back);
        self.refusal.is_none() && (is_put_back || !Attempt::current().is_ok_and(|attempt| attempt.wants_fresh()))
    }
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpTransport").field("requests", &self.requests).finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
mod system {
    //! What the standard library has no word for.

    use std::io;
    use std::mem::{size_of, zeroed};
    use std::net::{SocketAddr, TcpStream};
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::time::{Duration, Instant};

    use ureq::Error;

    use super::Noted;
    use crate::delivery::watch::SLICE;
    use crate::fork;
    use crate::transport::attempt::Attempt;

    /// Connects within `limit`, looking around once a slice.
    pub(super) fn connect(address: &SocketAddr, limit: Duration, attempt: &Attempt) -> Result<Noted, Error> {
        let until = Instant::now() + limit;
        let socket = begin_connect(address)?;
        let (_, stream) = &socket;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let slice = attempt.slice()?.min(left).min(SLICE);
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            if is_writable(stream, slice)? {
                break;
            }
        }
        match stream.take_error()? {
            Some(error) => Err(error.into()),
            None => {
                stream.set_nonblocking(false)?;
                Ok(socket)
            }
        }
    }

    fn begin_connect(address: &SocketAddr) -> io::Result<Noted> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // A fork finds it noted, or not there.
        let socket: Noted = fork::held(|| {
            // SAFETY: takes numbers only.
            let fd = unsafe { libc::socket(family, kind, 0) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a socket that was just made.
            Ok((fork::Socket::note(fd), unsafe { TcpStream::from_raw_fd(fd) }))
        })?;
        let result = match address {
            SocketAddr::V4(address) => {
                // SAFETY: zeros are a valid sockaddr_in.
                let mut raw: libc::sockaddr_in = unsafe { zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = address.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                connect_to(&socket.1, &raw)
            }
            SocketAddr::V6(address) => {
                // SAFETY: zeros are a valid sockaddr_in6.
                let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = address.port().to_be();
                raw.sin6_addr.s6_addr = address.ip().octets();
                raw.sin6_scope_id = address.scope_id();
                connect_to(&socket.1, &raw)
            }
        };
        match result {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket),
        }
    }

    fn connect_to<T>(socket: &TcpStream, address: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the address is a sockaddr of that length, and lives during the call.
        match unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), length) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn is_writable(stream: &TcpStream, limit: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        let millis = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX).max(1);
        // SAFETY: one pollfd, which lives during the call.
        match unsafe { libc::poll(&raw mut poll, 1, millis) } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                error => Err(error),
            },
            ready => Ok(ready > 0),
        }
    }

    /// Whether the connection is open and nothing waits on it: what a server sends unasked is its farewell.
    pub(super) fn is_silent(stream: &TcpStream) -> bool {
        let mut byte = 0_u8;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: room for the one byte that is asked for.
        let result = unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
        result < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! The same with the standard library alone: more system calls, and connecting sees a cancel only when it is over.

    use std::io;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use ureq::Error;

    use super::Noted;
    use crate::fork;
    use crate::transport::attempt::Attempt;

    #[cfg(unix)]
    fn note(stream: &TcpStream) -> fork::Socket {
        fork::Socket::note(std::os::fd::AsRawFd::as_raw_fd(stream))
    }

    #[cfg(not(unix))]
    fn note(_: &TcpStream) -> fork::Socket {
        fork::Socket
    }

    pub(super) fn connect(address: &SocketAddr, limit: Duration, attempt: &Attempt) -> Result<Noted, Error> {
        attempt.slice()?;
        let stream = TcpStream::connect_timeout(address, limit.max(Duration::from_millis(1)));
        attempt.slice()?;
        let stream = stream?;
        Ok((note(&stream), stream))
    }

    pub(super) fn is_silent(stream: &TcpStream) -> bool {
        let peek = || {
            stream.set_nonblocking(true)?;
            let peeked = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            peeked
        };
        matches!(peek(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
