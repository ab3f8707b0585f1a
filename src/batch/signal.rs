//! What an event loop watches: a file descriptor that is readable while results can be collected.

use std::io;
use std::sync::Arc;

use crate::delivery::park::Parker;

/// A file descriptor, on Windows a socket, that is readable while it is raised. It may be readable once
/// more after it was cleared.
pub(super) struct Signal {
    channel: Arc<Channel>,
    is_raised: bool,
    /// How often it was raised, and how many of these were read. A [`Wake`] may still be on its way.
    raised: u64,
    read: u64,
}

/// Wakes those who collect, as soon as this is dropped. They need the queue, so whoever has the queue
/// locked releases it first.
#[must_use]
#[derive(Default)]
pub(super) struct Wake {
    /// What an event loop watches, and is to be raised.
    pub(super) channel: Option<Arc<Channel>>,
    /// A thread that is blocked.
    pub(super) collector: Option<Arc<Parker>>,
}

impl Signal {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { channel: Arc::new(Channel::new()?), is_raised: false, raised: 0, read: 0 })
    }

    /// The number that the system has for it.
    pub(super) fn number(&self) -> i64 {
        self.channel.number()
    }

    /// Returns what is to be raised.
    pub(super) fn set(&mut self, raised: bool) -> Option<Arc<Channel>> {
        let rises = raised && !self.is_raised;
        self.is_raised = raised;
        if rises {
            self.raised += 1;
            return Some(self.channel.clone());
        }
        if !raised && self.read < self.raised {
            self.read += self.channel.clear();
        }
        None
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            // It has room for more than there are threads: this cannot fail.
            let _ = channel.raise();
        }
        if let Some(collector) = self.collector.take() {
            collector.unpark();
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::Channel;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd};

    /// An eventfd, which costs one file descriptor.
    pub(in crate::batch) struct Channel(File);

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

        pub(super) fn raise(&self) -> io::Result<()> {
            (&self.0).write_all(&1_u64.to_ne_bytes())
        }

        /// How often it was raised since it was last cleared.
        pub(super) fn clear(&self) -> u64 {
            let mut count = [0; 8];
            // There is nothing to read if it was not raised.
            (&self.0).read_exact(&mut count).map_or(0, |()| u64::from_ne_bytes(count))
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use elsewhere::Channel;

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
    pub(in crate::batch) struct Channel {
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

        pub(super) fn raise(&self) -> io::Result<()> {
            self.write.send(&[1]).map(drop)
        }

        /// How often it was raised since it was last cleared.
        pub(super) fn clear(&self) -> u64 {
            let mut count = 0;
            while self.read.recv(&mut [0; 8]).is_ok() {
                count += 1;
            }
            count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(signal: &mut Signal, raised: bool) -> Wake {
        Wake { channel: signal.set(raised), collector: None }
    }

    #[test]
    fn it_is_raised_and_cleared_as_often_as_one_likes() {
        let mut signal = Signal::new().unwrap();
        assert!(signal.number() >= 0);
        for raised in [false, true, true, false, false, true, false] {
            drop(wake(&mut signal, raised));
            // What is there can be taken, once.
            let found = signal.channel.clear();
            assert_eq!(found, u64::from(raised));
            if found > 0 {
                signal.channel.raise().unwrap();
            }
        }
    }

    #[test]
    fn a_raise_that_comes_late_is_cleared_too() {
        let mut signal = Signal::new().unwrap();
        let first = wake(&mut signal, true);
        drop(wake(&mut signal, false));
        let second = wake(&mut signal, true);
        drop(first);
        drop(wake(&mut signal, false));
        drop(second);
        // The event loop looks once more, in vain.
        drop(wake(&mut signal, false));
        assert_eq!(signal.channel.clear(), 0);
        drop(wake(&mut signal, true));
        assert_eq!(signal.channel.clear(), 1);
    }
}
