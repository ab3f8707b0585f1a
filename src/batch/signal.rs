//! What an event loop watches: a file descriptor that is readable while results can be collected.

use std::io;

/// A file descriptor, on Windows a socket, that is readable while it is raised.
pub(super) struct Signal {
    channel: Channel,
    is_raised: bool,
}

impl Signal {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { channel: Channel::new()?, is_raised: false })
    }

    /// The number that the system has for it.
    pub(super) fn number(&self) -> i64 {
        self.channel.number()
    }

    pub(super) fn set(&mut self, raised: bool) {
        if self.is_raised != raised {
            self.is_raised = raised;
            // It has room for one, and holds one if it was raised: neither can fail.
            let _ = if raised { self.channel.raise() } else { self.channel.clear() };
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux::Channel;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd};

    /// An eventfd, which costs one file descriptor.
    pub(super) struct Channel(File);

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            // SAFETY: it takes numbers only.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: it was just made, and nobody else has it.
            Ok(Self(unsafe { File::from_raw_fd(fd) }))
        }

        pub(super) fn number(&self) -> i64 {
            self.0.as_raw_fd().into()
        }

        pub(super) fn raise(&mut self) -> io::Result<()> {
            self.0.write_all(&1_u64.to_ne_bytes())
        }

        pub(super) fn clear(&mut self) -> io::Result<()> {
            self.0.read_exact(&mut [0; 8])
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use elsewhere::Channel;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use std::io;
    #[cfg(windows)]
    use std::net::{Ipv4Addr, UdpSocket as Socket};
    #[cfg(unix)]
    use std::os::fd::AsRawFd;
    #[cfg(unix)]
    use std::os::unix::net::UnixDatagram as Socket;
    #[cfg(windows)]
    use std::os::windows::io::AsRawSocket;

    /// Two sockets that are connected; what is sent on one makes the other readable.
    pub(super) struct Channel {
        read: Socket,
        write: Socket,
    }

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            #[cfg(unix)]
            let (read, write) = Socket::pair()?;
            // Connected to each other, they take nothing from others.
            #[cfg(windows)]
            let (read, write) = {
                let (read, write) = (Socket::bind((Ipv4Addr::LOCALHOST, 0))?, Socket::bind((Ipv4Addr::LOCALHOST, 0))?);
                read.connect(write.local_addr()?)?;
                write.connect(read.local_addr()?)?;
                (read, write)
            };
            read.set_nonblocking(true)?;
            write.set_nonblocking(true)?;
            Ok(Self { read, write })
        }

        #[cfg(unix)]
        pub(super) fn number(&self) -> i64 {
            self.read.as_raw_fd().into()
        }

        #[cfg(windows)]
        pub(super) fn number(&self) -> i64 {
            // Handles of Windows fit into 32 bits.
            i64::try_from(self.read.as_raw_socket()).unwrap_or(-1)
        }

        pub(super) fn raise(&mut self) -> io::Result<()> {
            self.write.send(&[1]).map(drop)
        }

        pub(super) fn clear(&mut self) -> io::Result<()> {
            self.read.recv(&mut [0; 8]).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_and_cleared_as_often_as_one_likes() {
        let mut signal = Signal::new().unwrap();
        assert!(signal.number() >= 0);
        for raised in [false, true, true, false, false, true, false] {
            signal.set(raised);
            // What is there can be taken, once.
            let found = signal.channel.clear().is_ok();
            assert_eq!(found, raised);
            if found {
                signal.channel.raise().unwrap();
            }
        }
    }
}
