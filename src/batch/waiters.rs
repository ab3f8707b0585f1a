//! The threads that wait for a change of the queue.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::delivery::park::Parker;

/// The threads that wait for a change. The one that has waited longest is first.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Arc<Parker>>);

impl Waiters {
    /// Adds a parker to those that the next change wakes, unless it is there already.
    pub(super) fn add(&mut self, parker: &Arc<Parker>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, parker)) {
            self.0.push_back(parker.clone());
        }
    }

    /// Removes a parker. Returns false if it has been woken.
    pub(super) fn remove(&mut self, parker: &Arc<Parker>) -> bool {
        let before = self.0.len();
        self.0.retain(|known| !Arc::ptr_eq(known, parker));
        self.0.len() < before
    }

    /// Removes the parker that has waited longest.
    pub(super) fn take(&mut self) -> Option<Arc<Parker>> {
        self.0.pop_front()
    }

    pub(super) fn wake_one(&mut self) {
        if let Some(parker) = self.take() {
            parker.unpark();
        }
    }

    pub(super) fn wake_all(&mut self) {
        for parker in self.0.drain(..) {
            parker.unpark();
        }
    }
}
