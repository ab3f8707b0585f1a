//! The last error of each thread, and the figures of its last update.

use std::cell::RefCell;
use std::ffi::{c_char, CString};
use std::mem::{self, ManuallyDrop};
use std::time::Duration;

use crate::error::{Delivery, Error};
use crate::failpoint;
use crate::ffi::{
    accessor, text, COMMBOX_DELIVERY_ANSWERED, COMMBOX_DELIVERY_NOT_SENT, COMMBOX_DELIVERY_UNKNOWN,
    COMMBOX_INTERNAL, COMMBOX_OK,
};
use crate::reply::UpdateReply;

struct LastError {
    code: i32,
    message: CString,
    json: CString,
    text: String,
}

/// The figures of an update.
struct Facts {
    attempts: u32,
    elapsed: Duration,
    http_status: Option<u16>,
    delivery: Option<Delivery>,
    retry_after: Option<Duration>,
    request_id: Option<CString>,
}

impl Facts {
    const NONE: Self = Self {
        attempts: 0,
        elapsed: Duration::ZERO,
        http_status: None,
        delivery: None,
        retry_after: None,
        request_id: None,
    };

    fn of_error(error: &Error) -> Self {
        Self {
            attempts: error.attempts(),
            elapsed: error.elapsed(),
            http_status: error.http_status(),
            delivery: Some(error.delivery()),
            retry_after: error.retry_after(),
            request_id: error.request_id().map(text::c_string),
        }
    }

    fn of_reply(reply: &UpdateReply) -> Self {
        Self {
            attempts: reply.attempts(),
            elapsed: reply.elapsed(),
            http_status: Some(reply.http_status()),
            delivery: Some(Delivery::Answered),
            retry_after: None,
            request_id: reply.request_id().map(text::c_string),
        }
    }
}

struct Slot {
    /// The error of the last call, if it failed.
    last: Option<LastError>,
    /// The error of the call before the present one, while the present one runs.
    before: Option<LastError>,
    /// The figures of the last call.
    facts: Facts,
    /// The function that failed to create a handle, and the reason, for later calls that receive
    /// its NULL.
    cause: Option<(&'static str, String)>,
}

impl Slot {
    const EMPTY: Self = Self { last: None, before: None, facts: Facts::NONE, cause: None };
}

thread_local! {
    /// It has no destructor, because exit handlers and destructors of the program make calls after
    /// the destructors of this library have run.
    static SLOT: ManuallyDrop<RefCell<Slot>> = const { ManuallyDrop::new(RefCell::new(Slot::EMPTY)) };
    static EMPTIES: Empties = const { Empties };
}

/// Empties the slot when its thread ends. An error that is stored after that leaks with the thread:
/// a few hundred bytes.
struct Empties;

impl Drop for Empties {
    fn drop(&mut self) {
        take();
    }
}

/// Begins a call. It is not inlined, because it would take kilobytes in every function of the
/// header.
#[inline(never)]
pub(crate) fn clear() {
    with(|slot| {
        slot.before = slot.last.take();
        slot.facts = Facts::NONE;
    });
}

/// Ends a call that succeeded. It is not inlined either.
#[inline(never)]
pub(crate) fn forget() {
    with(|slot| slot.last = None);
}

/// Takes the error out of the slot, for [`restore`].
pub(crate) fn take() -> Aside {
    Aside(with(|slot| mem::replace(slot, Slot::EMPTY)).unwrap_or(Slot::EMPTY))
}

pub(crate) fn restore(aside: Aside) {
    with(|slot| *slot = aside.0);
}

/// An error that was taken out of the slot.
pub(crate) struct Aside(Slot);

/// Stores a fixed error, for a failure so severe that the error itself could not be stored.
#[cold]
pub(crate) fn keep_nothing_but_internal() {
    let message = c"a bug in commbox was caught; the client stays usable".to_owned();
    let json =
        c"{\"code\":-10,\"name\":\"internal\",\"message\":\"a bug in commbox was caught; the client stays usable\",\
        \"http_status\":null,\"description\":null,\"response_time\":null,\"request_id\":null,\"retry_after_ms\":null,\"attempts\":0,\
        \"elapsed_ms\":0,\"delivery\":\"unknown\",\"response\":null,\"problems\":[]}"
            .to_owned();
    put(LastError { code: COMMBOX_INTERNAL, message, json, text: String::new() }, Facts::NONE);
}

/// Stores the error of a call that failed.
pub(crate) fn keep(error: &Error) {
    keep_as(error, text::c_string(error.to_json()));
}

/// Stores the error of a call that failed, and its JSON.
pub(crate) fn keep_as(error: &Error, json: CString) {
    failpoint::reach("keep");
    let text = error.to_string();
    let message = text::c_string(&*text);
    put(LastError { code: error.kind().code(), message, json, text }, Facts::of_error(error));
}

/// Stores the figures of an update that succeeded.
pub(crate) fn keep_success(reply: &UpdateReply) {
    let facts = Facts::of_reply(reply);
    if facts.request_id.is_some() {
        let _ = EMPTIES.try_with(|_| ());
    }
    with(|slot| slot.facts = facts);
}

fn put(last: LastError, facts: Facts) {
    // The first access registers the destructor, unless it has already run.
    let _ = EMPTIES.try_with(|_| ());
    with(|slot| {
        slot.last = Some(last);
        slot.facts = facts;
    });
}

/// Ends `maker`, a function that creates handles. If it failed, its reason explains the NULL that
/// it returned.
pub(crate) fn explain_null(maker: &'static str) {
    with(|slot| slot.cause = slot.last.as_ref().map(|last| (maker, last.text.clone())));
}

/// Returns why a handle of `maker` is NULL, if the previous call of this thread was `maker` and
/// failed, or received the same NULL.
pub(crate) fn cause_of_null(maker: &str) -> Option<String> {
    let (failed, cause) = with(|slot| slot.before.as_ref().and(slot.cause.clone())).flatten()?;
    (failed == maker).then_some(cause)
}

/// Returns `None` if the slot is in use, or is gone, as at the end of a thread where thread-locals
/// are not native.
fn with<T>(body: impl FnOnce(&mut Slot) -> T) -> Option<T> {
    SLOT.try_with(|slot| slot.try_borrow_mut().ok().map(|mut slot| body(&mut slot))).ok().flatten()
}

fn pointer(of: impl FnOnce(&LastError) -> &CString) -> *const c_char {
    let found = with(|slot| slot.last.as_ref().map(|last| of(last).as_ptr())).flatten();
    found.unwrap_or(c"".as_ptr())
}

/// Returns the code of this thread's last failure. It explains why a function that returns a
/// pointer returned NULL. An accessor.
///
/// @return A negative code or an HTTP status; #COMMBOX_OK if the last call succeeded.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_error_code() -> i32 {
    accessor(COMMBOX_OK, || {
        with(|slot| slot.last.as_ref().map(|last| last.code)).flatten().unwrap_or(COMMBOX_OK)
    })
}

/// Returns a sentence about this thread's last failure: what is wrong, and what would be right. It
/// contains names of fields and lengths, but never the API key or a value of the user. An accessor.
///
/// @return The sentence; "" if the last call succeeded; never NULL. The library owns it. It is
///         valid until this thread's next call that is not an accessor.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_error() -> *const c_char {
    accessor(c"".as_ptr(), || pointer(|last| &last.message))
}

/// Returns all details of this thread's last failure as a JSON object. An accessor. Every member is
/// present; a member that is not known is null.
///
/// - `code`, `name`: the code as a number and as a name (`"rate_limited"`, `"timeout"`)
/// - `message`: the sentence of commbox_last_error()
/// - `http_status`: the HTTP status of the response, if a status line was received
/// - `description`, `response_time`: the server's message and time, as in the documented reply
/// - `request_id`: the server's id of the request, as commbox_last_request_id() returns it
/// - `retry_after_ms`: how long to wait, in milliseconds: the time that the server asks for, or the
///   time until a call that was delayed past its deadline could have been sent
/// - `attempts`: the number of attempts
/// - `elapsed_ms`: the duration of the call, in milliseconds
/// - `delivery`: `"not_sent"` (no byte of the request was sent), `"unknown"` (the server may have
///   processed the update, but no complete response was received) or `"answered"`
/// - `response`: the body of the response, truncated to 4 KiB. It may repeat values that were sent,
///   so take care where it is logged
/// - `problems`: the problem of each option or field, if that is why the call failed, otherwise
///   `[]`; at most 21 objects
///   `{"path": "retry_cap_ms", "message": "must be at least {retry_base_ms}"}`. The message follows
///   the path, which is empty if the problem concerns the whole. The names of other options are in
///   braces, so that a program can replace them with its own names
///
/// @return The object; "" if the last call succeeded; never NULL. The library owns it. It is valid
///         until this thread's next call that is not an accessor.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_error_json() -> *const c_char {
    accessor(c"".as_ptr(), || pointer(|last| &last.json))
}

/// Returns the number of attempts of this thread's last update. An accessor.
///
/// This function, commbox_last_elapsed_ms(), commbox_last_http_status(), commbox_last_delivery(),
/// commbox_last_retry_after_ms() and commbox_last_request_id() describe the last
/// commbox_update_user_json() or commbox_update_user_json_with() of this thread, whether it
/// succeeded or failed. After commbox_batch_next() has returned a result, they and the functions
/// commbox_last_error*() describe that update. After any other function that is not an accessor,
/// there is no last update.
///
/// @return The number of attempts; 0 if no request was made, or if there is no update.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_attempts() -> i32 {
    accessor(0, || fact(|facts| facts.attempts.try_into().unwrap_or(i32::MAX)))
}

/// Returns the duration of this thread's last update. An accessor; see commbox_last_attempts().
///
/// @return The duration in milliseconds, 0 or more; 0 if there is no update.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_elapsed_ms() -> i64 {
    accessor(0, || fact(|facts| millis(facts.elapsed)))
}

/// Returns the HTTP status of the response to this thread's last update. An accessor; see
/// commbox_last_attempts().
///
/// @return The HTTP status; 0 if no response was received, or if there is no update.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_http_status() -> i32 {
    accessor(0, || fact(|facts| facts.http_status.unwrap_or_default().into()))
}

/// Returns whether this thread's last update reached the server. An accessor; see
/// commbox_last_attempts().
///
/// @return #COMMBOX_DELIVERY_NOT_SENT, #COMMBOX_DELIVERY_UNKNOWN or #COMMBOX_DELIVERY_ANSWERED;
///         #COMMBOX_DELIVERY_UNKNOWN if there is no update.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_delivery() -> i32 {
    accessor(COMMBOX_DELIVERY_UNKNOWN, || {
        fact(|facts| match facts.delivery {
            None | Some(Delivery::Unknown) => COMMBOX_DELIVERY_UNKNOWN,
            Some(Delivery::NotSent) => COMMBOX_DELIVERY_NOT_SENT,
            Some(Delivery::Answered) => COMMBOX_DELIVERY_ANSWERED,
        })
    })
}

/// Returns how long to wait before the next request: the time that the server asked for in the
/// response to this thread's last update, or the time until an update that was delayed past its
/// deadline could have been sent. An accessor; see commbox_last_attempts().
///
/// @return The time in milliseconds; -1 if none was reported, or if there is no update.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_retry_after_ms() -> i64 {
    accessor(-1, || with(|slot| slot.facts.retry_after.map(millis)).flatten().unwrap_or(-1))
}

/// Returns the server's id of the request of this thread's last update. Quote it when you contact
/// the server's support. It is the value of the response header `X-Request-Id`, `Request-Id` or
/// `X-Correlation-Id`, or of the one that the option `request_id_header` names. An accessor; see
/// commbox_last_attempts().
///
/// @return The id, visible ASCII of at most 128 bytes; "" if the server sent none, or if there is
///         no update; never NULL. The library owns it. It is valid until this thread's next call
///         that is not an accessor.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_last_request_id() -> *const c_char {
    accessor(c"".as_ptr(), || {
        with(|slot| slot.facts.request_id.as_ref().map(|id| id.as_ptr()))
            .flatten()
            .unwrap_or(c"".as_ptr())
    })
}

fn fact<T: Default>(of: impl FnOnce(&Facts) -> T) -> T {
    with(|slot| of(&slot.facts)).unwrap_or_default()
}

fn millis(time: Duration) -> i64 {
    time.as_millis().try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_cause_of_a_null_handle_is_kept_while_calls_with_it_fail() {
        clear();
        keep(&Error::new(ErrorKind::InvalidOptions, "bad options"));
        explain_null("maker");
        for _ in 0..2 {
            clear();
            assert_eq!(cause_of_null("maker").as_deref(), Some("bad options"));
            assert_eq!(cause_of_null("another"), None);
            keep(&Error::new(ErrorKind::InvalidHandle, "NULL"));
        }
        clear();
        clear();
        assert_eq!(cause_of_null("maker"), None);
    }
}
