//! The update of a user in C.

use std::ffi::c_char;

use crate::error::Result;
use crate::ffi::client::{commbox_client, CLIENTS};
use crate::ffi::{code, last_error, options, text};
use crate::reply::UpdateReply;

/// Updates one user: `POST /users/{user_id}`. Blocks until the update has succeeded or failed, for
/// at most `total_timeout_ms`, which covers queueing, every attempt and every backoff.
///
/// **Validation.** Unless the option `validate` is false, the user is checked before anything is
/// sent: `UniqueId` (at most 50 characters), `FirstName`, `LastName`, `Phone1`, `Phone2` (100),
/// `Email` (255) and `Remarks` must be strings or null, and `Content`, which holds the custom
/// fields, must be an object. A misspelt field name is rejected: one that differs from a documented
/// name in case, in blanks, `_` or `-`, or by at most two edits. Other unknown names are handled as
/// the option `unknown_fields` says. One message contains all problems.
///
/// **Retries.** These are retried, at most `max_retries` times: HTTP 500, 502, 503 and 504,
/// connections that fail or break, and attempts that exceed `attempt_timeout_ms`. Sending the same
/// values twice does no harm. Other statuses, TLS failures and redirects are not retried. The
/// server's `Retry-After` is a lower bound for the backoff. If it exceeds the deadline, the call
/// fails at once and reports `retry_after_ms`. A client also has a budget of 100 retries. A retry
/// after a timeout takes two of them, and every 5 calls that succeed give one back, up to 100. When
/// the budget is used up, a call fails instead of being retried.
///
/// Two cases are retried once regardless of `max_retries`, and count as attempts: a request on a
/// reused connection that the server closed before returning a byte, and a 401 for an API key that
/// commbox_client_set_api_key() has replaced since.
///
/// **Rate limits.** A 429 does not count as a retry. It pauses all requests of the client until the
/// server accepts a probe request. The requests then resume, at a rate that the client learns. If
/// the call cannot be sent before its deadline, it fails at once with #COMMBOX_THROTTLED.
///
/// **Outages.** 8 consecutive transient failures also pause all requests of the client. A probe
/// request, on a new connection and with a short timeout, ends the pause when it succeeds. If the
/// deadline of the call is before the next probe request, it fails at once with
/// #COMMBOX_CONNECTION, and the message says how long the outage has lasted.
///
/// **Order.** Calls for one user are sent one at a time, in the order in which they were made
/// (option `order_per_user`). A request that timed out may still be applied by the server later,
/// after a newer one; no client can prevent that.
///
/// **Delivery.** After a failure, commbox_last_delivery() returns whether the server may have
/// processed the update.
///
/// @param client         The client.
/// @param user_id        The number that CommBox assigned to the user: 1 or more.
/// @param user_json      The user's fields, `{"FirstName": "John"}`, or the whole body,
///                       `{"data": {…}}`. It is sent as it is written.
/// @param response_json  Receives the server's reply as it was received, which the caller frees
///                       with commbox_string_free(); NULL on failure. The parameter may be NULL.
/// @return #COMMBOX_OK if the server confirmed the update; the HTTP status, 100 or more, if the
///         server answered otherwise; or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `user_id` is below 1, or `user_json` is not UTF-8
///         - #COMMBOX_INVALID_USER: the user is invalid; nothing was sent
///         - #COMMBOX_CONNECTION: the DNS lookup, the connection or the proxy failed
///         - #COMMBOX_TLS: the certificate or the TLS handshake failed
///         - #COMMBOX_TIMEOUT: the deadline was exceeded
///         - #COMMBOX_CANCELLED: the call was cancelled
///         - #COMMBOX_BAD_RESPONSE: the response is not the documented JSON, or exceeds 1 MiB
///         - #COMMBOX_THROTTLED: the server's rate limit delays the call past its deadline
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_update_user_json(
    client: *mut commbox_client,
    user_id: i64,
    user_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: passed on to the caller.
    unsafe {
        update(response_json, || {
            let client = CLIENTS.get(client)?;
            client.update_user_json(user_id, text::required(user_json, "user_json")?)
        })
    }
}

/// Updates one user like commbox_update_user_json(), with options for this call. They replace those
/// of the client:
///
/// | key | meaning |
/// | --- | --- |
/// | `total_timeout_ms` | timeout of the call, which covers queueing, all attempts and all backoff;
///   1 to 86400000 |
/// | `attempt_timeout_ms` | timeout of one attempt; 1 to 86400000 |
/// | `max_retries` | maximum number of retries after a transient failure; 0 to 100 |
/// | `headers` | object of additional headers; each replaces a header of the client with the same
///   name |
///
/// @param client         The client.
/// @param user_id        The number that CommBox assigned to the user: 1 or more.
/// @param user_json      The user, as for commbox_update_user_json().
/// @param call_json      A JSON object of options; NULL or "" for none.
/// @param response_json  Receives the server's reply as it was received, which the caller frees
///                       with commbox_string_free(); NULL on failure. The parameter may be NULL.
/// @return #COMMBOX_OK if the server confirmed the update; otherwise what
///         commbox_update_user_json() returns, or this code:
///         - #COMMBOX_INVALID_OPTIONS: `call_json` is invalid; nothing was sent
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_update_user_json_with(
    client: *mut commbox_client,
    user_id: i64,
    user_json: *const c_char,
    call_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: passed on to the caller.
    unsafe {
        update(response_json, || {
            let client = CLIENTS.get(client)?;
            let user_json = text::required(user_json, "user_json")?;
            client.update_user_json_with(user_id, user_json, &options::of_call(call_json)?)
        })
    }
}

/// Makes a call and returns its reply through `response_json`.
///
/// # Safety
///
/// `response_json` is NULL or may be written.
unsafe fn update(
    response_json: *mut *mut c_char,
    call: impl FnOnce() -> Result<UpdateReply>,
) -> i32 {
    if !response_json.is_null() {
        // SAFETY: not NULL, so by contract it may be written; unaligned, for C callers can get that
        // wrong.
        unsafe { response_json.write_unaligned(std::ptr::null_mut()) };
    }
    code(|| {
        let reply = call()?;
        last_error::keep_success(&reply);
        if !response_json.is_null() {
            // SAFETY: as above.
            unsafe {
                response_json.write_unaligned(text::c_string(String::from(reply)).into_raw())
            };
        }
        Ok(())
    })
}
