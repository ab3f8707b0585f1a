//! Keeps handles usable in both processes after a `fork()`.
//!
//! A fork copies memory and open sockets, but only the thread that called it. So this module
//! ensures three things:
//!
//! - No lock of this library is held by a thread that does not exist in the child: short critical
//!   sections run inside [`held`], and a fork waits for them.
//! - The child does not write to the parent's connections: [`generation`] identifies the process
//!   that opened a connection.
//! - The child does not keep the parent's connections open: in the child, each [`Socket`] of the
//!   parent is replaced by an unconnected one.
//!
//! Some programs close file descriptors that they do not own (for example with `closefrom(3)` in a
//! daemon), and the system then gives the same numbers to other files. So a number alone does not
//! identify a socket: a socket is replaced or closed only if its device and inode show that it is
//! still the one that was created here.
//!
//! Systems other than Unix have no `fork()`, and there this module does nothing.

#[cfg(unix)]
pub(crate) use unix::{generation, held, Socket};

#[cfg(not(unix))]
pub(crate) use elsewhere::{generation, held, Socket};

#[cfg(unix)]
mod unix {
    use std::cell::RefCell;
    use std::mem::ManuallyDrop;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

    pub(crate) use sockets::Socket;

    static GENERATION: AtomicU32 = AtomicU32::new(0);
    static SECTIONS: RwLock<()> = RwLock::new(());
    static HOOKED: AtomicBool = AtomicBool::new(false);

    thread_local! {
        /// Is empty except during a fork, so it needs no destructor. With a destructor, it would
        /// already be gone when exit handlers fork.
        static FORKING: ManuallyDrop<RefCell<Option<RwLockWriteGuard<'static, ()>>>> =
            const { ManuallyDrop::new(RefCell::new(None)) };
    }

    /// Runs a critical section, which must be short, must not block, and must not contain another
    /// one.
    pub(crate) fn held<T>(section: impl FnOnce() -> T) -> T {
        hook();
        let _no_fork = SECTIONS.read().unwrap_or_else(PoisonError::into_inner);
        section()
    }

    /// Returns how many forks have happened between the first process and this one.
    pub(crate) fn generation() -> u32 {
        hook();
        GENERATION.load(Ordering::Relaxed)
    }

    /// Registers the fork handlers when this library is first used.
    fn hook() {
        // A `Once` is not used: a fork during its initialization would leave it unfinished in the
        // child forever.
        if !HOOKED.load(Ordering::Relaxed) && !HOOKED.swap(true, Ordering::Relaxed) {
            // SAFETY: the handlers are functions of this library, which is never unloaded. If there
            // is no memory for them, forks work as they do without this library.
            unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        }
    }

    extern "C" fn before() {
        let guard = SECTIONS.write().unwrap_or_else(PoisonError::into_inner);
        // If thread-locals are not native and the thread is ending, the guard is dropped, and the
        // fork does not wait.
        let _ = FORKING.try_with(|forking| forking.replace(Some(guard)));
    }

    extern "C" fn in_parent() {
        let _ = FORKING.try_with(|forking| forking.replace(None));
    }

    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        sockets::let_go();
        in_parent();
    }

    /// The open sockets of all clients.
    mod sockets {
        use std::io;
        use std::mem::{ManuallyDrop, MaybeUninit};
        use std::net::TcpStream;
        use std::ops::Deref;
        use std::os::fd::{AsRawFd, RawFd};
        use std::sync::{Mutex, PoisonError};

        use super::held;

        /// Is changed only inside [`held`], so a forked child finds it unlocked and consistent.
        static OPEN: Mutex<Open> = Mutex::new(Open { made: 0, notes: Vec::new() });

        struct Open {
            made: u64,
            notes: Vec<Note>,
        }

        /// An open socket. Each has a serial number, because a program may close its file
        /// descriptor, and the system may then reuse the number.
        struct Note {
            serial: u64,
            fd: RawFd,
            identity: Identity,
        }

        impl Note {
            /// Returns whether the file descriptor still refers to the socket.
            fn holds(&self) -> bool {
                Identity::of(self.fd) == Some(self.identity)
            }
        }

        /// Identifies what a file descriptor refers to, as long as it is open.
        #[derive(Clone, Copy, PartialEq, Eq)]
        struct Identity {
            device: libc::dev_t,
            inode: libc::ino_t,
        }

        impl Identity {
            /// Returns the identity of a socket, or `None` for anything else.
            fn of(fd: RawFd) -> Option<Self> {
                let mut status = MaybeUninit::<libc::stat>::uninit();
                // SAFETY: fstat fills `status` if it returns 0, and may be called in a forked
                // child.
                let status = unsafe {
                    if libc::fstat(fd, status.as_mut_ptr()) != 0 {
                        return None;
                    }
                    status.assume_init()
                };
                let is_socket = status.st_mode & libc::S_IFMT == libc::S_IFSOCK;
                is_socket.then_some(Self { device: status.st_dev, inode: status.st_ino })
            }
        }

        /// A TCP socket that a forked child does not keep open. It is closed only while its file
        /// descriptor still belongs to this library.
        #[derive(Debug)]
        pub(crate) struct Socket {
            stream: ManuallyDrop<TcpStream>,
            serial: u64,
        }

        impl Socket {
            /// Creates the socket with `open`, which must not block. A fork cannot happen before
            /// the socket is recorded.
            pub(crate) fn make(open: impl FnOnce() -> io::Result<TcpStream>) -> io::Result<Self> {
                held(|| {
                    let stream = open()?;
                    let fd = stream.as_raw_fd();
                    let identity = Identity::of(fd).ok_or_else(io::Error::last_os_error)?;
                    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
                    open.made += 1;
                    let serial = open.made;
                    open.notes.push(Note { serial, fd, identity });
                    Ok(Self { stream: ManuallyDrop::new(stream), serial })
                })
            }
        }

        impl Deref for Socket {
            type Target = TcpStream;

            fn deref(&self) -> &TcpStream {
                &self.stream
            }
        }

        impl Drop for Socket {
            fn drop(&mut self) {
                held(|| {
                    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
                    let place = open.notes.iter().position(|note| note.serial == self.serial);
                    if place.is_some_and(|place| open.notes.swap_remove(place).holds()) {
                        // SAFETY: nothing uses the stream after this drop.
                        unsafe { ManuallyDrop::drop(&mut self.stream) };
                    }
                });
            }
        }

        /// Replaces each socket by an unconnected one. The numbers remain in use, because objects
        /// that other threads of the parent were using still refer to them. The connections then
        /// belong to the parent alone.
        pub(super) fn let_go() {
            // The lock is held only if the fork did not wait. The content is then unreliable.
            let Ok(mut open) = OPEN.try_lock() else {
                return;
            };
            if open.notes.is_empty() {
                return;
            }
            // SAFETY: socket, fcntl, dup2 and close may be called in a forked child, and take only
            // numbers.
            unsafe {
                let nothing = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
                let Some(dead) = Identity::of(nothing) else {
                    return;
                };
                for note in open.notes.iter_mut().filter(|note| note.holds()) {
                    libc::dup2(nothing, note.fd);
                    libc::fcntl(note.fd, libc::F_SETFD, libc::FD_CLOEXEC);
                    note.identity = dead;
                }
                libc::close(nothing);
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::io;
    use std::net::TcpStream;
    use std::ops::Deref;

    /// Runs a critical section.
    pub(crate) fn held<T>(section: impl FnOnce() -> T) -> T {
        section()
    }

    /// There is only one process.
    pub(crate) fn generation() -> u32 {
        0
    }

    #[derive(Debug)]
    pub(crate) struct Socket(TcpStream);

    impl Socket {
        pub(crate) fn make(open: impl FnOnce() -> io::Result<TcpStream>) -> io::Result<Self> {
            open().map(Self)
        }
    }

    impl Deref for Socket {
        type Target = TcpStream;

        fn deref(&self) -> &TcpStream {
            &self.0
        }
    }
}
