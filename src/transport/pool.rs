//! The idle lanes of a client. The lane that was used last is taken first, so that the others can
//! age.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fork;
use crate::transport::lane::Lane;

/// Idle lanes. The one that was used last is at the back.
pub(super) struct Pool {
    idle: Mutex<VecDeque<Lane>>,
    most: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(most: usize, idle_timeout: Duration) -> Self {
        // If connections may not be idle, none is kept.
        let most = if idle_timeout.is_zero() { 0 } else { most };
        Self { idle: Mutex::default(), most, idle_timeout }
    }

    /// Takes the lane that was used last. Also returns how many other lanes were closed.
    pub(super) fn take(&self, now: Instant) -> (Option<Lane>, usize) {
        let (lane, closed) = self.held(|idle| {
            let closed = self.aged(idle, now);
            (idle.pop_back(), closed)
        });
        (lane, closed.len())
    }

    /// Returns a lane to the pool. Returns how many lanes were closed.
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

    /// Returns how long an idle lane is kept.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Closes the lanes that have been idle for longer than `idle_timeout`. Returns how many there
    /// were.
    pub(super) fn close_aged(&self, now: Instant) -> usize {
        let closed = self.held(|idle| self.aged(idle, now));
        closed.len()
    }

    /// Closes the lanes that were last used at or before this time, because the same network fault
    /// affects them. Returns how many there were.
    pub(super) fn close_older(&self, used: Instant) -> usize {
        let closed = self.held(|idle| {
            let count = idle.iter().take_while(|lane| lane.used() <= used).count();
            idle.drain(..count).collect::<Vec<_>>()
        });
        closed.len()
    }

    /// Removes lanes that are too old and, in a forked child, those of the parent. The caller drops
    /// them without the lock, because closing takes time.
    fn aged(&self, idle: &mut VecDeque<Lane>, now: Instant) -> Vec<Lane> {
        let is_old = |lane: &Lane| {
            now.saturating_duration_since(lane.used()) >= self.idle_timeout || lane.is_inherited()
        };
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
