//! The clock of a line, and the random seed of a line.

use std::time::Instant;

use crate::delivery::flow::Moment;
use crate::delivery::line::{group, FAR};

/// The clock of flows: the system's monotonic clock, which all processes of a machine share.
pub(super) struct Clock {
    origin: Instant,
    at_origin: Moment,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now(), at_origin: group::machine_time() }
    }

    pub(super) fn now(&self) -> Moment {
        self.at_origin + self.origin.elapsed()
    }

    pub(super) fn moment(&self, instant: Instant) -> Moment {
        match instant.checked_duration_since(self.origin) {
            Some(since) => self.at_origin.saturating_add(since),
            None => self.at_origin.saturating_sub(self.origin.saturating_duration_since(instant)),
        }
    }

    pub(super) fn instant(&self, moment: Moment) -> Instant {
        let since = moment.saturating_sub(self.at_origin);
        // If the clock cannot represent the moment, a day from the origin is far enough.
        self.origin.checked_add(since).unwrap_or(self.origin + FAR)
    }
}

/// Returns a number that differs between processes and between clients.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
