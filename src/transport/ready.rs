//! Checks which sockets can be read or written, and blocks until one can, with `poll()`, which
//! Windows calls `WSAPoll()`.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

/// Returns which sockets can be written or have failed. Blocks until one has, for at most `limit`.
///
/// Before Windows 10 version 2004, `WSAPoll()` does not report a socket that failed to connect. So
/// the caller asks each socket for its error afterwards.
pub(super) fn writable<'a>(
    sockets: impl Iterator<Item = &'a TcpStream>,
    limit: Duration,
) -> io::Result<Vec<bool>> {
    let mut entries: Vec<_> = sockets.map(|socket| system::entry(socket, system::ROOM)).collect();
    system::wait(&mut entries, limit)?;
    Ok(entries.iter().map(|entry| entry.revents != 0).collect())
}

/// What can be read.
#[cfg(windows)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    None,
    /// There are bytes, or the end.
    Some,
    /// There are bytes or the end, and the connection has failed.
    Failed,
}

/// Blocks until the socket has input, is closed or has failed, for at most `limit`.
#[cfg(windows)]
pub(super) fn input(socket: &TcpStream, limit: Duration) -> io::Result<Input> {
    let mut entry = [system::entry(socket, system::INPUT)];
    system::wait(&mut entry, limit)?;
    let [entry] = entry;
    Ok(match entry.revents {
        0 => Input::None,
        events if events & system::FAILED != 0 => Input::Failed,
        _ => Input::Some,
    })
}

/// Returns whether the error means that a nonblocking socket has begun to connect.
pub(super) fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(system::UNDER_WAY)
}

/// Returns the timeout for the system, in milliseconds. It is at least 1 unless the limit is zero,
/// because 0 would not block.
fn millis(limit: Duration) -> i32 {
    match limit.is_zero() {
        true => 0,
        false => i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1),
    }
}

#[cfg(unix)]
mod system {
    use std::io;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    pub(super) const ROOM: libc::c_short = libc::POLLOUT;
    pub(super) const UNDER_WAY: i32 = libc::EINPROGRESS;

    pub(super) fn entry(socket: &TcpStream, events: libc::c_short) -> libc::pollfd {
        libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 }
    }

    pub(super) fn wait(entries: &mut [libc::pollfd], limit: Duration) -> io::Result<()> {
        // SAFETY: the pointer and the length describe a slice that lives during the call.
        let result = unsafe {
            libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, super::millis(limit))
        };
        match (result, io::Error::last_os_error()) {
            (-1, error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use std::net::TcpStream;
    use std::os::windows::io::AsRawSocket;
    use std::time::Duration;

    use windows_sys::Win32::Networking::WinSock::{
        WSAGetLastError, WSAPoll, POLLERR, POLLRDNORM, POLLWRNORM, SOCKET, SOCKET_ERROR,
        WSAEWOULDBLOCK, WSAPOLLFD,
    };

    pub(super) const INPUT: i16 = POLLRDNORM;
    pub(super) const ROOM: i16 = POLLWRNORM;
    pub(super) const FAILED: i16 = POLLERR;
    pub(super) const UNDER_WAY: i32 = WSAEWOULDBLOCK;

    pub(super) fn entry(socket: &TcpStream, events: i16) -> WSAPOLLFD {
        WSAPOLLFD { fd: socket.as_raw_socket() as SOCKET, events, revents: 0 }
    }

    pub(super) fn wait(entries: &mut [WSAPOLLFD], limit: Duration) -> io::Result<()> {
        let count = u32::try_from(entries.len()).map_err(io::Error::other)?;
        // SAFETY: the pointer and the length describe a slice that lives during the call.
        let result = unsafe { WSAPoll(entries.as_mut_ptr(), count, super::millis(limit)) };
        if result == SOCKET_ERROR {
            // SAFETY: the function takes no argument and reads the error of the own thread.
            return Err(io::Error::from_raw_os_error(unsafe { WSAGetLastError() }));
        }
        Ok(())
    }
}
