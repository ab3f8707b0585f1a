//! The idle lanes of a client: a stack, of which the lane used last is taken first, so that the others can age.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fork;
use crate::transport::lane::Lane;

/// Idle lanes, the one used last at the back.
pub(super) struct Pool {
    idle: Mutex<VecDeque<Lane>>,
    most: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(most: usize, idle_timeout: Duration) -> Self {
        // Without time to be idle, none is kept.
        let most = if idle_timeout.is_zero() { 0 } else { most };
        Self { idle: Mutex::default(), most, idle_timeout }
    }

    /// The lane that was used last, and how many others were closed.
    pub(super) fn take(&self, now: Instant) -> (Option<Lane>, usize) {
        let (lane, closed) = self.held(|idle| {
            let closed = self.aged(idle, now);
            (idle.pop_back(), closed)
        });
        (lane, closed.len())
    }

    /// Gives a lane back, for the next call. Returns how many lanes were closed.
    pub(super) fn put(&self, lane: Lane) -> usize {
        let now = lane.used();
        let closed = self.held(|idle| {
            let mut closed = self.aged(idle, now);
            idle.push_back(lane);
            while idle.len() > self.most {
                closed.extend(idle.pop_front());
            }
            closed
        });
        closed.len()
    }

    /// How long a lane is kept that no call uses.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Closes the lanes that no call used for this long. Returns how many there were.
    pub(super) fn close_aged(&self, now: Instant) -> usize {
        let closed = self.held(|idle| self.aged(idle, now));
        closed.len()
    }

    /// Closes the lanes that were last used at this time or before: the same fault of the network holds for them. Returns
    /// how many there were.
    pub(super) fn close_older(&self, used: Instant) -> usize {
        let closed = self.held(|idle| {
            let count = idle.iter().take_while(|lane| lane.used() <= used).count();
            idle.drain(..count).collect::<Vec<_>>()
        });
        closed.len()
    }

    /// Takes out what is too old, and in a forked child what is the parent's; to be dropped without the lock, for
    /// closing takes time.
    fn aged(&self, idle: &mut VecDeque<Lane>, now: Instant) -> Vec<Lane> {
        let is_old =
            |lane: &Lane| now.saturating_duration_since(lane.used()) >= self.idle_timeout || lane.is_inherited();
        let mut closed = Vec::new();
        while idle.front().is_some_and(is_old) {
            closed.extend(idle.pop_front());
        }
        closed
    }

    fn held<T>(&self, section: impl FnOnce(&mut VecDeque<Lane>) -> T) -> T {
        fork::held(|| section(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
