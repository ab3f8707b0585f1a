//! The errors of calls that cannot be sent before their deadline.

use crate::delivery::line::Held;
use crate::error::{Answer, Error, ErrorKind};

/// Returns the error of a call that the line holds back past its deadline.
pub(crate) fn held_back(held: Held) -> Error {
    let (kind, wait) = match held {
        Held::Stopped(_) => (ErrorKind::Timeout, None),
        Held::Throttled { wait } => (ErrorKind::Throttled, Some(wait)),
        Held::Limited { wait } => (ErrorKind::Timeout, Some(wait)),
        Held::Outage { wait, .. } => (ErrorKind::Connection, Some(wait)),
    };
    Error::new(kind, reason(held)).with_answer(Answer { retry_after: wait, ..Answer::default() })
}

/// Returns the reason why the line holds a call back.
pub(super) fn reason(held: Held) -> String {
    match held {
        Held::Stopped(_) => "deadline exceeded before the request could leave".into(),
        Held::Throttled { wait } => format!(
            "rate limit: the server throttles this client, and the next slot, in {} ms, is past this call's deadline",
            wait.as_millis()
        ),
        Held::Limited { wait } => format!(
            "the client's own rate limit: the next slot, in {} ms, is past this call's deadline",
            wait.as_millis()
        ),
        Held::Outage { lasts, failures, wait } => format!(
            "outage: the last {failures} requests failed, since {} ms ago, and the next probe request, in {} ms, is past \
             this call's deadline",
            lasts.as_millis(),
            wait.as_millis()
        ),
    }
}
