//! The functions of a client in C that update nobody: validation, statistics and diagnosis.

use std::ffi::c_char;

use crate::ffi::client::{commbox_client, CLIENTS};
use crate::ffi::{code, guard, text};

/// Checks an update in the same way as commbox_update_user_json() does before it sends the request.
/// It sends nothing and does not block.
///
/// @param client     The client, whose options apply.
/// @param user_id    The user's id, as for commbox_update_user_json(): 1 or more.
/// @param user_json  The user, as for commbox_update_user_json().
/// @return #COMMBOX_OK if the update would be sent, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `user_id` is below 1, or `user_json` is not UTF-8
///         - #COMMBOX_INVALID_USER: the user is invalid; `problems` in commbox_last_error_json()
///           has one object for each problem
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_client_validate_user_json(
    client: *mut commbox_client,
    user_id: i64,
    user_json: *const c_char,
) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged
        // during the call.
        client.validate_user_json(user_id, unsafe { text::required(user_json, "user_json") }?)
    })
}

/// Returns the statistics of a client as a JSON object. The counters start when the client is
/// created:
///
/// - `calls`: calls that were made, including dispatched updates of batches
/// - `succeeded`, `failed`: calls that ended; a cancelled call counts as failed
/// - `failed_by_code`: an object with the number of failures for each code: `{"-7": 2, "404": 1}`
/// - `attempts`: requests
/// - `retried`: requests beyond the first of a call
/// - `throttled`: requests that the server answered with 429
/// - `refused`: requests that the server answered with another status from 400 to 499
/// - `waiting`: calls that are queued or in backoff now
/// - `in_flight`: requests that are being sent or answered now
/// - `connections_open`: connections that are open now
/// - `connections_opened`: all connections that were opened
/// - `line`: an object about the queue from which requests are sent: `state` (`"open"`; requests
///   are paused if it is `"throttled"` or `"outage"`), `requests_per_second` (the present rate
///   limit, null if there is none), `learned_requests_per_second` (the rate limit that was learned
///   from 429s, null before the first one), `probe_in_ms` (time until the next probe request, null
///   unless requests are paused)
/// - `latency`: an object about the calls that ended within the last 60 to 70 seconds and made a
///   request: `count`, `sum_ms`, `p50_ms`, `p90_ms`, `p99_ms`, in milliseconds with a fraction; the
///   percentiles are accurate to within one eighth, and null if there are no such calls
///
/// Counting takes no lock. If calls run while the figures are read, some figures may include these
/// calls and others not.
///
/// @param client  The client.
/// @return The object, which the caller frees with commbox_string_free(); NULL on failure.
///         commbox_last_error_code() then returns this code:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_stats_json(client: *mut commbox_client) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(CLIENTS.get(client)?.stats().to_json()))))
}

/// Checks the path from this machine to the server, one step after another until a step fails, and
/// returns the result as a JSON object. It sends no update and no API key. It blocks for at most
/// `total_timeout_ms`, and can be cancelled like a call. A step that was not reached is null. Times
/// are in milliseconds with a fraction. `error` is a sentence, or null.
///
/// - `server`: `host`, `port`, `tls`
/// - `proxy`: null, or `scheme`, `host`, `port` and `source` (the option or variable that names it)
/// - `lookup`: the DNS lookup of `host` (the server, or the proxy): `elapsed_ms`, `error`
/// - `connections`: an object for each address of that host: `address`, `elapsed_ms`, `error`
/// - `tunnel`: the tunnel from the proxy to the server: `elapsed_ms`, `error`
/// - `tls`: `version`, `elapsed_ms`, `trusted`, `error` (why it is not trusted) and `chain`, the
///   certificates that the server presents, its own first, each with `subject`, `issuer`, `names`,
///   `not_before` and `not_after`
/// - `http`: the response to `HEAD /`: `status`, `elapsed_ms`, `error`
/// - `clock`: `local` and `server`, as HTTP dates, and `ahead_s`, the number of seconds by which
///   this machine's clock is ahead
///
/// @param client  The client.
/// @return The object, which the caller frees with commbox_string_free(); NULL on failure.
///         commbox_last_error_code() then returns one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_CANCELLED: the call was cancelled
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_diagnose_json(client: *mut commbox_client) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(CLIENTS.get(client)?.diagnose_json()?))))
}
