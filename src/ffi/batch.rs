//! The batch in C.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use crate::batch::{Batch, BatchOptions};
use crate::error::Result;
use crate::ffi::client::{commbox_client, CLIENTS};
use crate::ffi::handle::Table;
use crate::ffi::options::{self, commbox_options};
use crate::ffi::{accessor, code, free, guard, last_error, mark_thread_as_own, text, COMMBOX_DONE, COMMBOX_OK};
use crate::user;

/// Many updates at once: a queue with workers in front of a client, and a queue of what came of them. A handle.
#[allow(non_camel_case_types)]
pub struct commbox_batch {
    _opaque: (),
}

static BATCHES: Table<Batch> = Table::new(3, "batch", "commbox_batch_new");

/// A time in milliseconds; a negative one is as long as it takes.
fn timeout(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// Makes a batch in front of a client. Updates are submitted on one side, by any thread, and taken back finished on the
/// other, each exactly once. The client may be freed before the batch is.
///
/// Updates of one user are sent in the order in which they were submitted, one at a time, and in one order with the
/// direct calls for that user. The timeout of an update (`total_timeout_ms`) starts when it is dispatched: time spent
/// queued or held back by the server does not count. In an outage the batch pauses; no update is lost to it before
/// `outage_timeout_ms`.
///
/// @param client        The client.
/// @param options_json  A JSON object of options, or NULL or "" for the defaults. Copied.
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `concurrency` | 8 | how many updates are under way at a time, each on a thread and a connection that stay; 1 to 256 |
/// | `queue_limit` | 1024 | maximum number of pending updates and, separately, of uncollected results; submitting
///   blocks at either limit; 1 to 1000000 |
/// | `stop_on_unauthorized` | `true` | at the first 401, close the batch and give back what was not sent as cancelled |
/// | `throttle_timeout_ms` | 900000 | how long an update waits while the server throttles without accepting one request;
///   then it fails with 429 or #COMMBOX_THROTTLED; 1 to 86400000 |
/// | `outage_timeout_ms` | 600000 | how long an update waits through an outage; then it fails with #COMMBOX_CONNECTION or
///   its last error; 1 to 86400000 |
/// | `overall_timeout_ms` | `null` | timeout of an update from when it is submitted, whatever it waits for; an update that
///   cannot meet it fails at once; 1 to 86400000 |
///
/// `queue_limit` and `concurrency` bound the memory, however many updates there are.
///
/// @return The batch, to be freed with commbox_batch_free(); NULL on failure: #COMMBOX_INVALID_HANDLE for the client,
///         #COMMBOX_INVALID_OPTIONS.
#[no_mangle]
pub unsafe extern "C" fn commbox_batch_new(
    client: *mut commbox_client,
    options_json: *const c_char,
) -> *mut commbox_batch {
    BATCHES.made(guard(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
        let options = match unsafe { text::optional(options_json, "options_json") }? {
            None | Some("") => BatchOptions::default(),
            Some(json) => BatchOptions::from_json(json)?,
        };
        BATCHES.insert(Batch::with_start(client, &options, mark_thread_as_own)?)
    }))
}

/// The same with options of commbox_options_new().
///
/// @param client   The client.
/// @param options  The options; NULL for the defaults. Copied. Those of a client or a call alone are an error.
/// @return As of commbox_batch_new().
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

/// Submits an update. It waits while as many wait to be sent, or to be taken back, as `queue_limit` allows; so a program
/// that submits and takes back on one thread gives a time here, and takes back when that is over.
///
/// @param batch       The batch.
/// @param tag         Any number of the caller's; it comes back with the outcome.
/// @param user_id     As for commbox_update_user_json(). It and the user are checked when their turn comes.
/// @param user_json   As for commbox_update_user_json(). Copied.
/// @param timeout_ms  How long to wait for room; 0 not at all, negative as long as it takes.
/// @return #COMMBOX_OK: the update is accepted, and comes back. Otherwise it is not: #COMMBOX_TIMEOUT (no room in time),
///         #COMMBOX_CANCELLED (the batch was cancelled or stopped, or the client's calls were cancelled),
///         #COMMBOX_INVALID_HANDLE, #COMMBOX_INVALID_ARGUMENT (the text, or the batch is closed), #COMMBOX_INVALID_USER
///         (no memory is left for its copy), #COMMBOX_INTERNAL (the system has no thread to send from).
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

/// The same with options of its own.
///
/// @param batch       As for commbox_batch_submit().
/// @param tag         As for commbox_batch_submit().
/// @param user_id     As for commbox_update_user_json().
/// @param user_json   As for commbox_update_user_json(). Copied.
/// @param call_json   As for commbox_update_user_json_with(), or NULL. Copied; checked at once.
/// @param timeout_ms  As for commbox_batch_submit().
/// @return As of commbox_batch_submit(), or #COMMBOX_INVALID_OPTIONS.
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
    let (user_json, options) = unsafe { (text::required(user_json, "user_json")?, options::of_call(call_json)?) };
    batch.submit_with(tag, user_id, user::joined(&[user_json])?, options, timeout(timeout_ms))
}

/// Takes back the next finished update, in the order in which they finish.
///
/// @param batch       The batch.
/// @param timeout_ms  How long to wait for one; 0 not at all, negative as long as it takes.
/// @param tag         Receives what it was submitted with; 0 where there is none. May be NULL.
/// @param code        Receives its outcome, as commbox_update_user_json() would have returned it; 0 where there is none.
///                    May be NULL.
/// @param json        Receives the server's reply, or for another code than #COMMBOX_OK everything known, as
///                    commbox_last_error_json() documents it; to be freed with commbox_string_free(). NULL where there
///                    is none. May be NULL.
/// @return #COMMBOX_OK: one was taken back. #COMMBOX_DONE: the batch is closed and everything was taken back.
///         #COMMBOX_TIMEOUT: none finished in time. #COMMBOX_CANCELLED: the client's calls were cancelled meanwhile.
///         #COMMBOX_INVALID_HANDLE. After #COMMBOX_OK, commbox_last_error(), its kind and commbox_last_attempts() and its
///         kind tell of the update that was taken back: `printf("row %llu: %s", tag, commbox_last_error())`.
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
/// `to` is NULL or may be written; it may be unaligned, for C callers can get that wrong.
unsafe fn write<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not NULL, so it may be written.
        unsafe { to.write_unaligned(value) };
    }
}

/// A file descriptor, on Windows a socket, for an event loop (epoll, poll, libuv, GLib, Qt) to watch: it is readable while
/// commbox_batch_next() would not wait, that is while finished updates can be collected, and when the batch is closed and
/// everything was collected. When it is readable, call commbox_batch_next() with a timeout of 0 until it returns
/// #COMMBOX_TIMEOUT or #COMMBOX_DONE. It may be readable once more after everything was collected, so the first of these
/// calls may return #COMMBOX_TIMEOUT. Each call for the same batch returns the same descriptor.
///
/// Only watch it: do not read, write or close it. commbox_batch_free() closes it, so stop watching it before that.
///
/// @param batch  The batch.
/// @return The descriptor, 0 or more; -1 on failure: #COMMBOX_INVALID_HANDLE, or #COMMBOX_INTERNAL if the system gives
///         none.
#[no_mangle]
pub extern "C" fn commbox_batch_notify_fd(batch: *mut commbox_batch) -> i64 {
    guard(|| BATCHES.get(batch)?.notify_fd()).unwrap_or(-1)
}

/// Closes a batch: it takes no more updates, and what was submitted is still sent.
///
/// @param batch  The batch.
/// @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
#[no_mangle]
pub extern "C" fn commbox_batch_close(batch: *mut commbox_batch) -> i32 {
    code(|| BATCHES.get(batch)?.close())
}

/// Closes a batch and cancels what was not sent: it comes back as #COMMBOX_CANCELLED, also what waits for its turn or
/// between attempts. What is under way finishes and comes back with its outcome.
///
/// @param batch  The batch.
/// @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
#[no_mangle]
pub extern "C" fn commbox_batch_cancel(batch: *mut commbox_batch) -> i32 {
    code(|| BATCHES.get(batch)?.cancel())
}

/// Cancels the updates that were submitted with this tag, those under way too, within 100 ms. They come back as
/// #COMMBOX_CANCELLED, unless they had finished. The batch stays open.
///
/// @param batch  The batch.
/// @param tag    The tag; where none has it, nothing happens.
/// @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
#[no_mangle]
pub extern "C" fn commbox_batch_cancel_tag(batch: *mut commbox_batch, tag: u64) -> i32 {
    code(|| BATCHES.get(batch)?.cancel_tag(tag))
}

/// Where a batch stands, as a JSON object:
///
/// - `queued`, `in_flight`, `finished`: how many wait to be sent, are under way, and wait to be taken back
/// - `succeeded`, `failed`: how many the server confirmed, and how many came to nothing, taken back or not
/// - `failed_by_code`: an object with the number of failures for each code, such as `{"-8": 3, "404": 1}`
/// - `retried`: attempts beyond the first of an update; `throttled`: those that the server answered with 429
/// - `requests_per_second`: over the last second; `average_requests_per_second`: since the first update
/// - `learned_requests_per_second`: the rate that the client has learned from 429s; null before the first one
/// - `elapsed_ms`: since the first update was submitted
///
/// @param batch  The batch.
/// @return The object, to be freed with commbox_string_free(); NULL on failure.
#[no_mangle]
pub extern "C" fn commbox_batch_stats_json(batch: *mut commbox_batch) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(BATCHES.get(batch)?.stats()?.to_json()))))
}

/// Frees a batch without waiting. What was not sent is dropped and does not come back, what is under way is cancelled;
/// its threads end within 100 ms. A program that must know of each update takes everything back first:
/// commbox_batch_cancel(), then commbox_batch_next() until #COMMBOX_DONE. Calls that wait on the batch return
/// #COMMBOX_INVALID_HANDLE.
///
/// @param batch  The batch. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
///               commbox_last_error_json(), and nothing happens.
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
