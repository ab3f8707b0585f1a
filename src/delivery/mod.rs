//! Decides when a request may be sent, how long a call may block, and what is retried.

pub(crate) mod advice;
pub(crate) mod flow;
pub(crate) mod line;
pub(crate) mod park;
pub(crate) mod retry;
pub(crate) mod watch;
