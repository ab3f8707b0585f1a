//! What keeps handles working on both sides of a `fork()`.
//!
//! A fork copies memory and open sockets, but only the thread that called it. So three things are seen to:
//!
//! - No lock of this library is held by a thread that the child does not have: short critical sections run inside
//!   [`held`], and a fork waits for them.
//! - The child does not write to the parent's connections: [`generation`] tells a client that its transport is the
//!   parent's, and it makes one of its own.
//! - The child does not keep the parent's connections open: the sockets noted by [`Socket`] are let go in the child.
//!
//! Elsewhere than on Unix there is no `fork()`, and all of this is nothing.

#[cfg(unix)]
pub(crate) use unix::{generation, held, Socket};

#[cfg(not(unix))]
pub(crate) use elsewhere::{generation, held, Socket};

#[cfg(unix)]
mod unix {
    use std::cell::RefCell;
    use std::mem::ManuallyDrop;
    use std::os::fd::RawFd;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
    use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

    static GENERATION: AtomicU32 = AtomicU32::new(0);
    static SECTIONS: RwLock<()> = RwLock::new(());
    static HOOKED: AtomicBool = AtomicBool::new(false);

    thread_local! {
        /// Empty but during a fork, so its destructor has nothing to do; with one it would be gone by the time that
        /// exit handlers fork.
        static FORKING: ManuallyDrop<RefCell<Option<RwLockWriteGuard<'static, ()>>>> =
            const { ManuallyDrop::new(RefCell::new(None)) };
    }

    /// Runs a critical section: short, without I/O, without another one inside.
    pub(crate) fn held<T>(section: impl FnOnce() -> T) -> T {
        hook();
        let _no_fork = SECTIONS.read().unwrap_or_else(PoisonError::into_inner);
        section()
    }

    /// How many forks lie between the first process and this one.
    pub(crate) fn generation() -> u32 {
        hook();
        GENERATION.load(Ordering::Relaxed)
    }

    /// Has forks heed this library from its first use on.
    fn hook() {
        // Not a Once: a fork in the middle of one would leave it unfinished in the child for ever.
        if !HOOKED.load(Ordering::Relaxed) && !HOOKED.swap(true, Ordering::Relaxed) {
            // SAFETY: the handlers are functions of this library, which glibc takes out again where it is unloaded.
            // Where there is no memory for them, forks go on as without this library.
            unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        }
    }

    extern "C" fn before() {
        let guard = SECTIONS.write().unwrap_or_else(PoisonError::into_inner);
        // Where thread-locals are not native and the thread is ending, the guard is dropped, and the fork not waited for.
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

    /// Notes an open socket as long as it lives.
    #[derive(Debug)]
    pub(crate) struct Socket(&'static AtomicI32);

    impl Socket {
        pub(crate) fn note(fd: RawFd) -> Self {
            Self(sockets::note(fd))
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            self.0.store(sockets::NONE, Ordering::Release);
        }
    }

    /// The open sockets of all clients: a list that only grows, by blocks, and is read without a lock, for a child may
    /// not wait for one.
    mod sockets {
        use super::{ptr, AtomicI32, AtomicPtr, Ordering, RawFd};

        pub(super) const NONE: RawFd = -1;

        struct Block {
            fds: [AtomicI32; 64],
            next: *const Block,
        }

        static BLOCKS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

        struct Blocks(*const Block);

        impl Iterator for Blocks {
            type Item = &'static Block;

            fn next(&mut self) -> Option<&'static Block> {
                // SAFETY: NULL or a block, and blocks are never freed nor changed but for their atomics.
                let block = unsafe { self.0.as_ref() }?;
                self.0 = block.next;
                Some(block)
            }
        }

        fn all() -> impl Iterator<Item = &'static AtomicI32> {
            Blocks(BLOCKS.load(Ordering::Acquire)).flat_map(|block| &block.fds)
        }

        pub(super) fn note(fd: RawFd) -> &'static AtomicI32 {
            loop {
                let taken =
                    all().find(|slot| slot.compare_exchange(NONE, fd, Ordering::AcqRel, Ordering::Relaxed).is_ok());
                if let Some(slot) = taken {
                    return slot;
                }
                grow();
            }
        }

        fn grow() {
            let next = BLOCKS.load(Ordering::Acquire);
            let fds = [const { AtomicI32::new(NONE) }; 64];
            let block = Box::into_raw(Box::new(Block { fds, next }));
            if BLOCKS.compare_exchange(next, block, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: from Box::into_raw above, and another thread's block was put in its place.
                drop(unsafe { Box::from_raw(block) });
            }
        }

        /// Puts an unconnected socket in the place of each: the numbers stay taken, for objects that other threads of
        /// the parent were using still name them, and the connections are the parent's alone.
        pub(super) fn let_go() {
            // SAFETY: socket, dup2 and close may be called in a forked child, and touch no memory of ours.
            unsafe {
                let nothing = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
                if nothing < 0 {
                    return;
                }
                libc::fcntl(nothing, libc::F_SETFD, libc::FD_CLOEXEC);
                for fd in all().map(|slot| slot.load(Ordering::Acquire)).filter(|fd| *fd != NONE) {
                    libc::dup2(nothing, fd);
                    libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
                }
                libc::close(nothing);
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    /// A critical section.
    pub(crate) fn held<T>(section: impl FnOnce() -> T) -> T {
        section()
    }

    /// There is one process.
    pub(crate) fn generation() -> u32 {
        0
    }

    /// Nothing to note.
    #[derive(Debug)]
    pub(crate) struct Socket;
}
