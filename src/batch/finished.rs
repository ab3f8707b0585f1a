//! The result of an update.

use crate::error::Result;
use crate::reply::UpdateReply;

/// The result of an update of a [`Batch`](crate::Batch).
///
/// # Examples
///
/// ```
/// use commbox::Finished;
///
/// /// The tag of an update that failed.
/// fn failed(finished: &Finished) -> Option<u64> {
///     finished.outcome.is_err().then_some(finished.tag)
/// }
/// ```
pub struct Finished {
    /// The tag that the update was submitted with.
    pub tag: u64,
    /// The server's reply, or the error of the update.
    pub outcome: Result<UpdateReply>,
}
