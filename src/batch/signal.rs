//! The signal for event loops: a file descriptor that is readable while results can be collected.

use std::io;
use std::sync::Arc;

use crate::delivery::park::Parker;

/// A file descriptor (a socket on Windows) that is readable while it is raised. It may become
/// readable once more after it was cleared.
pub(super) struct Signal {
    channel: Arc<Channel>,
    is_raised: bool,
    /// How often the signal was raised, and how many of these events were read. They may differ
    /// after a clear, while a [`Wake`] has not been dropped yet.
    raised: u64,
    read: u64,
}

/// Wakes collectors when it is dropped. A woken collector needs the queue, so release the lock of
/// the queue first.
#[must_use]
#[derive(Default)]
pub(super) struct Wake {
    /// The channel to raise, which an event loop watches.
    pub(super) channel: Option<Arc<Channel>>,
    /// A blocked thread to wake.
    pub(super) collector: Option<Arc<Parker>>,
}

impl Signal {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { channel: Arc::new(Channel::new()?), is_raised: false, raised: 0, read: 0 })
    }

    /// Returns the file descriptor or the socket.
    pub(super) fn number(&self) -> i64 {
        self.channel.number()
    }

    /// Raises or clears the signal. Returns the channel if the caller must raise it.
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
            // This cannot fail: the channel has room for more events than there are threads.
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

    /// An eventfd, which needs one file descriptor.
    pub(in crate::batch) struct Channel(File);

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            // SAFETY: the function takes only numbers.
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the file descriptor has just been created, and nothing else owns it.
            Ok(Self(unsafe { File::from_raw_fd(fd) }))
        }

        pub(super) fn number(&self) -> i64 {
            self.0.as_raw_fd().into()
        }

        pub(super) fn raise(&self) -> io::Result<()> {
            (&self.0).write_all(&1_u64.to_ne_bytes())
        }

        /// Returns how often the channel was raised since it was last cleared.
        pub(super) fn clear(&self) -> u64 {
            let mut count = [0; 8];
            // The read fails if the channel was not raised.
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

    /// Two connected sockets. A byte sent on one makes the other readable.
    pub(in crate::batch) struct Channel {
        read: Socket,
        write: Socket,
    }

    impl Channel {
        pub(super) fn new() -> io::Result<Self> {
            #[cfg(unix)]
            let (read, write) = Socket::pair()?;
            // Connected to each other, the sockets do not receive from others.
            #[cfg(windows)]
            let (read, write) = {
                let (read, write) = (
                    Socket::bind((Ipv4Addr::LOCALHOST, 0))?,
                    Socket::bind((Ipv4Addr::LOCALHOST, 0))?,
                );
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
            // Handles on Windows fit into 32 bits.
            i64::try_from(self.read.as_raw_socket()).unwrap_or(-1)
        }

        pub(super) fn raise(&self) -> io::Result<()> {
            self.write.send(&[1]).map(drop)
        }

        /// Returns how often the channel was raised since it was last cleared.
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
    fn a_signal_can_be_raised_and_cleared_repeatedly() {
        let mut signal = Signal::new().unwrap();
        assert!(signal.number() >= 0);
        for raised in [false, true, true, false, false, true, false] {
            drop(wake(&mut signal, raised));
            // Each event can be read once.
            let found = signal.channel.clear();
            assert_eq!(found, u64::from(raised));
            if found > 0 {
                signal.channel.raise().unwrap();
            }
        }
    }

    #[test]
    fn a_late_raise_is_cleared_too() {
        let mut signal = Signal::new().unwrap();
        let first = wake(&mut signal, true);
        drop(wake(&mut signal, false));
        let second = wake(&mut signal, true);
        drop(first);
        drop(wake(&mut signal, false));
        drop(second);
        // The event loop wakes once more without a result.
        drop(wake(&mut signal, false));
        assert_eq!(signal.channel.clear(), 0);
        drop(wake(&mut signal, true));
        assert_eq!(signal.channel.clear(), 1);
    }
}
