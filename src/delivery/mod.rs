//! When a call may send, how long it may wait, and what is tried again.

pub(crate) mod gate;
pub(crate) mod last_second;
pub(crate) mod retry;
pub(crate) mod watch;
