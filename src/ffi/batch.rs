//! The batch in C.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use crate::batch::{Batch, BatchOptions};
use crate::error::Result;
use crate::ffi::client::{commbox_client, CLIENTS};
use crate::ffi::handle::Table;
use crate::ffi::options::{self, commbox_options};
use crate::ffi::{
    accessor, code, free, guard, last_error, mark_thread_as_own, text, COMMBOX_DONE, COMMBOX_OK,
};
use crate::user;

/// An opaque handle: a batch, which sends many updates through a client. It has a queue of pending
/// updates, worker threads, and a completion queue of results.
#[allow(non_camel_case_types)]
pub struct commbox_batch {
    _opaque: (),
}

static BATCHES: Table<Batch> = Table::new(3, "batch", "commbox_batch_new");

/// Converts a timeout in milliseconds; a negative one is no timeout.
fn timeout(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// Creates a batch, which sends updates through a client. Any thread may submit updates, and any
/// thread may collect the results; each result is returned exactly once. The client may be freed
/// before the batch.
///
/// Updates of one user are sent one at a time, in the order in which they were submitted. Direct
/// calls for that user are part of the same order. The timeout of an update (`total_timeout_ms`)
/// starts when the update is dispatched: time spent queued or rate limited by the server does not
/// count. In an outage the batch pauses, and no update fails because of the outage before
/// `outage_timeout_ms`.
///
/// The options are the members of a JSON object. Times are in milliseconds.
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `concurrency` | 8 | maximum number of updates in flight, each with a thread and a connection,
///   which end after the client's `idle_timeout_ms` without work; 1 to 256 |
/// | `queue_limit` | 1024 | maximum number of pending updates and, separately, of uncollected
///   results; submitting blocks at either limit; 1 to 1000000 |
/// | `stop_on_unauthorized` | `true` | at the first 401, close the batch and cancel the updates
///   that were not sent |
/// | `throttle_timeout_ms` | 900000 | how long an update waits while the server throttles without
///   accepting a request; it then fails with 429 or #COMMBOX_THROTTLED; 1 to 86400000 |
/// | `outage_timeout_ms` | 600000 | how long an update waits during an outage; it then fails with
///   #COMMBOX_CONNECTION or its last error; 1 to 86400000 |
/// | `overall_timeout_ms` | `null` | timeout of an update, counted from its submission and
///   including all waiting; an update that cannot meet it fails at once; 1 to 86400000; `null` for
///   none |
///
/// `queue_limit` and `concurrency` bound the memory of the batch, however many updates there are.
///
/// @param client        The client.
/// @param options_json  A JSON object of options; NULL or "" for the defaults. It is copied.
/// @return The batch, which the caller frees with commbox_batch_free(); NULL on failure.
///         commbox_last_error_code() then returns one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `options_json` is not UTF-8
///         - #COMMBOX_INVALID_OPTIONS: the options are invalid; the message contains every problem
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_batch_new(
    client: *mut commbox_client,
    options_json: *const c_char,
) -> *mut commbox_batch {
    BATCHES.made(guard(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged
        // during the call.
        let options = match unsafe { text::optional(options_json, "options_json") }? {
            None | Some("") => BatchOptions::default(),
            Some(json) => BatchOptions::from_json(json)?,
        };
        BATCHES.insert(Batch::with_start(client, &options, mark_thread_as_own)?)
    }))
}

/// Creates a batch like commbox_batch_new(), with options from commbox_options_new().
///
/// @param client   The client.
/// @param options  The options; NULL for the defaults. They are copied. An option of a client or of
///                 a single call is an error.
/// @return The batch, which the caller frees with commbox_batch_free(); NULL on failure.
///         commbox_last_error_code() then returns one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` or `options` is invalid
///         - #COMMBOX_INVALID_OPTIONS: the options are not those of a batch
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_new_with(
    client: *mut commbox_client,
    options: *mut commbox_options,
) -> *mut commbox_batch {
    BATCHES.made(guard(|| {
        let client = CLIENTS.get(client)?;
        BATCHES.insert(Batch::with_start(client, &options::read(options)?, mark_thread_as_own)?)
    }))
}

/// Submits an update. Blocks while the batch is full, which means that `queue_limit` updates are
/// pending or `queue_limit` results are uncollected. A thread that both submits and collects must
/// pass a timeout and collect on #COMMBOX_TIMEOUT, or it deadlocks.
///
/// @param batch       The batch.
/// @param tag         Any number that identifies the update. It is returned with the result.
/// @param user_id     The number that CommBox assigned to the user. It is checked, like the user,
///                    when the update is dispatched.
/// @param user_json   The user, as for commbox_update_user_json(). It is copied.
/// @param timeout_ms  How long to block while the batch is full: 0 does not block, a negative value
///                    blocks without a limit.
/// @return #COMMBOX_OK if the update was accepted: its result will be returned by
///         commbox_batch_next(). Otherwise the update was not accepted, and the code is one of
///         these:
///         - #COMMBOX_TIMEOUT: the batch was full until the timeout
///         - #COMMBOX_CANCELLED: the batch was cancelled or stopped, or the calls of the client
///           were cancelled
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `user_json` is not UTF-8, or the batch is closed
///         - #COMMBOX_INVALID_USER: there is not enough memory to copy `user_json`
///         - #COMMBOX_INTERNAL: the system could not start a thread
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_batch_submit(
    batch: *mut commbox_batch,
    tag: u64,
    user_id: i64,
    user_json: *const c_char,
    timeout_ms: i64,
) -> i32 {
    // SAFETY: passed on to the caller.
    code(|| unsafe { submit(batch, tag, user_id, user_json, ptr::null(), timeout_ms) })
}

/// Submits an update like commbox_batch_submit(), with options for this update.
///
/// @param batch       The batch.
/// @param tag         Any number that identifies the update. It is returned with the result.
/// @param user_id     The number that CommBox assigned to the user.
/// @param user_json   The user, as for commbox_update_user_json(). It is copied.
/// @param call_json   A JSON object of options, as for commbox_update_user_json_with(); NULL or ""
///                    for none. It is copied, and checked at once.
/// @param timeout_ms  How long to block while the batch is full: 0 does not block, a negative value
///                    blocks without a limit.
/// @return #COMMBOX_OK if the update was accepted; otherwise what commbox_batch_submit() returns,
///         or this code:
///         - #COMMBOX_INVALID_OPTIONS: `call_json` is invalid
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_batch_submit_with(
    batch: *mut commbox_batch,
    tag: u64,
    user_id: i64,
    user_json: *const c_char,
    call_json: *const c_char,
    timeout_ms: i64,
) -> i32 {
    // SAFETY: passed on to the caller.
    code(|| unsafe { submit(batch, tag, user_id, user_json, call_json, timeout_ms) })
}

/// # Safety
///
/// As [`text::required`], for both texts.
unsafe fn submit(
    batch: *mut commbox_batch,
    tag: u64,
    user_id: i64,
    user_json: *const c_char,
    call_json: *const c_char,
    timeout_ms: i64,
) -> Result<()> {
    let batch = BATCHES.get(batch)?;
    // SAFETY: passed on to the caller.
    let (user_json, options) =
        unsafe { (text::required(user_json, "user_json")?, options::of_call(call_json)?) };
    batch.submit_with(tag, user_id, user::joined(&[user_json])?, options, timeout(timeout_ms))
}

/// Collects the result of the next update that has finished. Results are returned in the order in
/// which the updates finish. Blocks until there is a result, or until the timeout.
///
/// After #COMMBOX_OK, the functions commbox_last_*() describe the update whose result was returned:
/// `printf("row %llu: %s", tag, commbox_last_error())`.
///
/// @param batch       The batch.
/// @param timeout_ms  How long to block: 0 does not block, a negative value blocks without a limit.
/// @param tag         Receives the tag that the update was submitted with; 0 if there is no result.
///                    The parameter may be NULL.
/// @param code        Receives the code that commbox_update_user_json() would have returned; 0 if
///                    there is no result. The parameter may be NULL.
/// @param json        Receives text that the caller frees with commbox_string_free(): the server's
///                    reply if the code is #COMMBOX_OK, otherwise the object that
///                    commbox_last_error_json() documents; NULL if there is no result. The
///                    parameter may be NULL.
/// @return #COMMBOX_OK if a result was collected; #COMMBOX_DONE if the batch is closed and all
///         results were collected; or one of these codes:
///         - #COMMBOX_TIMEOUT: no update finished before the timeout
///         - #COMMBOX_CANCELLED: the calls of the client were cancelled meanwhile
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_batch_next(
    batch: *mut commbox_batch,
    timeout_ms: i64,
    tag: *mut u64,
    code: *mut i32,
    json: *mut *mut c_char,
) -> i32 {
    // SAFETY: each is NULL or may be written, by the contract above.
    unsafe {
        write(tag, 0);
        write(code, 0);
        write(json, ptr::null_mut());
    }
    let next = guard(|| BATCHES.get(batch)?.next(timeout(timeout_ms)));
    match next {
        Ok(Some(finished)) => {
            let (its_code, its_json) = match finished.outcome {
                Ok(reply) => {
                    accessor((), || last_error::keep_success(&reply));
                    (COMMBOX_OK, text::c_string(reply.into_json()))
                }
                Err(error) => {
                    let json = text::c_string(error.to_json());
                    accessor((), || last_error::keep_as(&error, json.clone()));
                    (error.kind().code(), json)
                }
            };
            // SAFETY: as above.
            unsafe {
                write(tag, finished.tag);
                write(code, its_code);
                if !json.is_null() {
                    write(json, its_json.into_raw());
                }
            }
            COMMBOX_OK
        }
        Ok(None) => COMMBOX_DONE,
        Err(code) => code,
    }
}

/// Writes an output parameter, unless it is NULL.
///
/// # Safety
///
/// `to` is NULL or may be written. It may be unaligned, because a C caller may pass such a pointer.
unsafe fn write<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not NULL, so it may be written.
        unsafe { to.write_unaligned(value) };
    }
}

/// Returns a file descriptor (on Windows, a socket) that an event loop can watch: epoll, poll,
/// libuv, GLib, Qt. It is readable while commbox_batch_next() would not block: while results can be
/// collected, and when the batch is closed and all results were collected. When it is readable,
/// call commbox_batch_next() with a timeout of 0 until it returns #COMMBOX_TIMEOUT or
/// #COMMBOX_DONE. The descriptor may be readable once more after all results were collected, so the
/// first of these calls may return #COMMBOX_TIMEOUT. Every call for the same batch returns the same
/// descriptor.
///
/// Only watch the descriptor: never read, write or close it. commbox_batch_free() closes it, so
/// stop watching it before that.
///
/// @param batch  The batch.
/// @return The descriptor, 0 or more; -1 on failure. commbox_last_error_code() then returns one of
///         these codes:
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
///         - #COMMBOX_INTERNAL: the system could not create a descriptor
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_notify_fd(batch: *mut commbox_batch) -> i64 {
    guard(|| BATCHES.get(batch)?.notify_fd()).unwrap_or(-1)
}

/// Closes a batch. It accepts no more updates. Updates that were submitted are still sent.
///
/// @param batch  The batch.
/// @return #COMMBOX_OK, or this code:
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_close(batch: *mut commbox_batch) -> i32 {
    code(|| BATCHES.get(batch)?.close())
}

/// Cancels the updates that are not in flight (those that are queued or in backoff), and closes the
/// batch. The result of a cancelled update has the code #COMMBOX_CANCELLED. Updates in flight
/// finish, and have their own results.
///
/// @param batch  The batch.
/// @return #COMMBOX_OK, or this code:
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_cancel(batch: *mut commbox_batch) -> i32 {
    code(|| BATCHES.get(batch)?.cancel())
}

/// Cancels the updates that were submitted with a tag, including those in flight, within 100 ms.
/// Their results have the code #COMMBOX_CANCELLED, unless they had already finished. The batch
/// stays open.
///
/// @param batch  The batch.
/// @param tag    The tag. If no update has it, nothing happens.
/// @return #COMMBOX_OK, or this code:
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_cancel_tag(batch: *mut commbox_batch, tag: u64) -> i32 {
    code(|| BATCHES.get(batch)?.cancel_tag(tag))
}

/// Returns the progress of a batch as a JSON object:
///
/// - `queued`: pending updates
/// - `in_flight`: updates in flight
/// - `finished`: uncollected results
/// - `succeeded`: updates that the server confirmed, collected or not
/// - `failed`: failed updates, including cancelled ones, collected or not
/// - `failed_by_code`: an object with the number of failures for each code: `{"-8": 3, "404": 1}`
/// - `retried`: attempts beyond the first of an update
/// - `throttled`: attempts that the server answered with 429
/// - `requests_per_second`: over the last second
/// - `average_requests_per_second`: since the first update
/// - `learned_requests_per_second`: the rate limit that the client learned from 429s; null before
///   the first one
/// - `elapsed_ms`: time since the first update was submitted
///
/// @param batch  The batch.
/// @return The object, which the caller frees with commbox_string_free(); NULL on failure.
///         commbox_last_error_code() then returns this code:
///         - #COMMBOX_INVALID_HANDLE: `batch` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_stats_json(batch: *mut commbox_batch) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(BATCHES.get(batch)?.stats()?.to_json()))))
}

/// Frees a batch. It does not block. Pending updates are dropped without a result, and updates in
/// flight are cancelled; the worker threads end within 100 ms. Calls that block on the batch return
/// #COMMBOX_INVALID_HANDLE. A program that needs the result of every update collects them first: it
/// calls commbox_batch_cancel(), then commbox_batch_next() until #COMMBOX_DONE.
///
/// @param batch  The batch, or NULL. If it is already freed, nothing happens except that the last
///               error becomes #COMMBOX_INVALID_HANDLE.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_batch_free(batch: *mut commbox_batch) {
    free(|| {
        if !batch.is_null() {
            let ends = BATCHES.get(batch)?;
            BATCHES.remove(batch)?;
            ends.end();
        }
        Ok(())
    });
}
