//! A `rate_group`: the processes of one user on one machine that share the state of one line.
//!
//! The state is in a file that only the user can read and write, in a directory that only the user
//! can change. Each decision locks the file, reads it, and writes it back: four system calls. When
//! a process ends, for whatever reason, the system releases its lock. If the lock is held for long,
//! for example by a stopped process, the others continue with their own state.
//!
//! The file is read and written, not mapped: if another process truncates a mapped file, the system
//! kills a process that accesses the mapping. The content of the file is never trusted: invalid
//! content is ignored.

use crate::delivery::flow::{Flow, Moment};
use crate::error::{Error, ErrorKind, Result};

#[cfg(unix)]
pub(super) use unix::{machine_time, Group};

#[cfg(not(unix))]
pub(super) use elsewhere::{machine_time, Group};

fn refused(why: impl std::fmt::Display) -> Error {
    Error::problem(ErrorKind::InvalidOptions, "rate_group", why.to_string())
}

#[cfg(unix)]
mod unix {
    use std::env;
    use std::ffi::CString;
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::mem;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{refused, Flow, Moment, Result};
    use crate::delivery::flow::WORDS;

    /// The first bytes of a file of this layout.
    const MARK: u64 = u64::from_le_bytes(*b"commbox\x01");

    /// The mark, the words, and a checksum of both.
    const BYTES: usize = (WORDS + 2) * 8;

    /// How often and at which interval to try to lock the file, and how long to continue without
    /// the lock if that fails.
    const TRIES: u32 = 50;
    const BETWEEN_TRIES: Duration = Duration::from_micros(200);
    const WITHOUT: Duration = Duration::from_secs(1);

    const OLD: Duration = Duration::from_secs(60);

    /// How often to check that the file has not been removed.
    const LOOK: Duration = Duration::from_secs(1);

    pub(in super::super) struct Group {
        path: PathBuf,
        file: Option<File>,
        looked: Instant,
        /// The time before which no attempt to lock the file is made.
        without: Option<Instant>,
        /// Whether the state was last written so long ago that it is ignored unless requests are
        /// paused.
        is_old: bool,
    }

    impl Group {
        pub(in super::super) fn join(name: &str) -> Result<Self> {
            let directory = directory().map_err(refused)?;
            let path = directory.join(format!("{name}.rate"));
            let file = open(&path)
                .map_err(|error| refused(format!("cannot use {}: {error}", path.display())))?;
            let age = file.metadata().ok().and_then(|about| about.modified().ok()?.elapsed().ok());
            let is_old = age.is_some_and(|age| age > OLD);
            Ok(Self { path, file: Some(file), looked: Instant::now(), without: None, is_old })
        }

        /// Locks the file and reads the state into `flow`. Returns false if that is not possible
        /// now.
        pub(in super::super) fn lock(&mut self, flow: &mut Flow, now: Moment) -> bool {
            let at = Instant::now();
            if self.without.is_some_and(|until| at < until) {
                return false;
            }
            self.without = None;
            if at.duration_since(self.looked) >= LOOK {
                self.looked = at;
                // Programs that remove old temporary files may remove it. The other processes then
                // create a new one.
                if !self
                    .file
                    .as_ref()
                    .is_some_and(|file| file.metadata().is_ok_and(|file| file.nlink() > 0))
                {
                    self.file = None;
                }
            }
            if self.file.is_none() {
                self.file = open(&self.path).ok();
            }
            let Some(file) = self.file.as_ref().filter(|file| lock(file)) else {
                self.without = Some(at + WITHOUT);
                return false;
            };
            if let Some(words) = read(file) {
                let own = flow.clone();
                flow.take_words(&words, now);
                if mem::take(&mut self.is_old) && flow.paused().is_none() {
                    *flow = own;
                }
            }
            true
        }

        /// Writes the state and unlocks the file.
        pub(in super::super) fn unlock(&mut self, flow: &Flow) {
            if let Some(file) = &self.file {
                // If the write fails, the former state remains in the file, which is valid too.
                let _ = file.write_all_at(&bytes(&flow.to_words()), 0);
                // SAFETY: the file is open.
                unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
            }
        }

        /// A child inherits the open file, and the parent's lock belongs to both. So open the file
        /// anew.
        pub(in super::super) fn reset_after_fork(&mut self) {
            self.file = None;
            self.without = None;
        }
    }

    fn lock(file: &File) -> bool {
        for _ in 0..TRIES {
            // SAFETY: the file is open.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return true;
            }
            thread::sleep(BETWEEN_TRIES);
        }
        false
    }

    fn read(file: &File) -> Option<[u64; WORDS]> {
        let mut bytes = [0; BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let mut words =
            bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
        if words.next()? != MARK {
            return None;
        }
        let mut state = [0; WORDS];
        for word in &mut state {
            *word = words.next()?;
        }
        (words.next()? == checksum(&state)).then_some(state)
    }

    fn bytes(state: &[u64; WORDS]) -> Vec<u8> {
        let words = [MARK].into_iter().chain(*state).chain([checksum(state)]);
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// Detects a state that was written only in part.
    fn checksum(state: &[u64; WORDS]) -> u64 {
        state
            .iter()
            .fold(MARK, |sum, word| (sum.rotate_left(5) ^ word).wrapping_mul(0x0100_0000_01b3))
    }

    fn open(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.uid() != user() || about.mode() & 0o077 != 0 {
            return Err(io::Error::other(
                "it is not a file that this user alone can read and write",
            ));
        }
        Ok(file)
    }

    /// Returns the directory for the files: below the user's runtime directory, or else below the
    /// directory for temporary files.
    fn directory() -> Result<PathBuf, String> {
        let session =
            env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let session = session.filter(|path| is_private(path));
        let directory = match session {
            Some(session) => session.join("commbox"),
            None => env::temp_dir().join(format!("commbox-{}", user())),
        };
        let name = CString::new(directory.as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: the name ends with a NUL. If the directory exists or cannot be created, the check
        // below finds out.
        unsafe { libc::mkdir(name.as_ptr(), 0o700) };
        match is_private(&directory) {
            true => Ok(directory),
            false => Err(format!(
                "cannot use {}: it is not a directory that this user alone can change",
                directory.display()
            )),
        }
    }

    fn is_private(path: &Path) -> bool {
        let about = fs::symlink_metadata(path);
        about
            .is_ok_and(|about| about.is_dir() && about.uid() == user() && about.mode() & 0o077 == 0)
    }

    fn user() -> u32 {
        // SAFETY: the function takes no argument and cannot fail.
        unsafe { libc::geteuid() }
    }

    /// Returns the time on a clock that all processes of this machine share.
    pub(in super::super) fn machine_time() -> Moment {
        // SAFETY: all zeros are a valid time.
        let mut time: libc::timespec = unsafe { mem::zeroed() };
        // Use the clock that `Instant` uses.
        #[cfg(target_vendor = "apple")]
        let clock = libc::CLOCK_UPTIME_RAW;
        #[cfg(not(target_vendor = "apple"))]
        let clock = libc::CLOCK_MONOTONIC;
        // SAFETY: `time` is valid for writes.
        unsafe { libc::clock_gettime(clock, &mut time) };
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{refused, Flow, Moment, Result};

    /// Groups are not supported on this system.
    pub(in super::super) enum Group {}

    impl Group {
        pub(in super::super) fn join(_: &str) -> Result<Self> {
            Err(refused(
                "is not supported on this system; set {max_requests_per_second} for each process",
            ))
        }

        pub(in super::super) fn lock(&mut self, _: &mut Flow, _: Moment) -> bool {
            match *self {}
        }

        pub(in super::super) fn unlock(&mut self, _: &Flow) {
            match *self {}
        }

        pub(in super::super) fn reset_after_fork(&mut self) {
            match *self {}
        }
    }

    pub(in super::super) fn machine_time() -> Moment {
        Moment::from_secs(3600)
    }
}
