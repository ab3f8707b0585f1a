//! The client in C.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::handle::Table;
use crate::ffi::options::{self, commbox_options};
use crate::ffi::{code, free, guard, last_error, text};
use crate::log::{LogCallback, LogLevel};
use crate::options::Options;
use crate::reply::UpdateReply;

/// A client: one API key, one set of options, connections that stay open between calls. A handle.
#[allow(non_camel_case_types)]
pub struct commbox_client {
    _opaque: (),
}

pub(crate) static CLIENTS: Table<Client> = Table::new(1, "client", "commbox_client_new");

/// Makes a client. Nothing is sent and no connection is made before the first call. One client for a whole program is
/// best: its threads then share its connections.
///
/// @param api_key       The key that CommBox issued, without the word "Bearer". Copied. NULL: the key
///                      in the environment variable `COMMBOX_API_KEY`, read now.
/// @param options_json  A JSON object of options, or NULL or "" for the defaults. Copied. An unknown key is an error
///                      that names the nearest known one; null keeps a default.
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `base_url` | `COMMBOX_BASE_URL` if that is set, otherwise `"https://api.commbox.io"` | may have a path prefix;
///   `http` only to loopback unless `allow_http` |
/// | `allow_http` | `false` | allow `http` to any host: key and data then travel in the clear |
/// | `connect_timeout_ms` | 5000 | of lookup, connect and TLS handshake; 1 to 86400000 |
/// | `attempt_timeout_ms` | 15000 | of one attempt; 1 to 86400000 |
/// | `total_timeout_ms` | 60000 | of a call, all included; 1 to 86400000 |
/// | `max_retries` | 3 | maximum number of retries after a transient failure; a 429 counts as none; 0 to 100 |
/// | `retry_base_ms`, `retry_cap_ms` | 500, 8000 | the wait before that: random, below a bound that doubles from the
///   base to the cap; 1 to 86400000 |
/// | `max_requests_per_second` | 0 | 0 = no limit, else 0.001 to 1000000; over all threads, evenly spaced |
/// | `order_per_user` | `true` | calls for one user leave one at a time in the order in which they were made, over
///   direct calls and batches, retries included |
/// | `rate_group` | `null` | a name: processes of the same user on one machine that name the same group share one rate
///   limit; 1 to 64 letters, digits, `.`, `_`, `-`, no `.` first; Unix only |
/// | `max_idle_connections` | 16 | connections kept open; 0 to 1024 |
/// | `idle_timeout_ms` | 60000 | how long an unused one is kept, which the next call looks at; 0 to 86400000 |
/// | `dns_ttl_ms` | 60000 | how long a name lookup is remembered; 0 to 86400000 |
/// | `proxy` | `null` | a URL; `""`: none; `null`: the environment's, for `http` without `allow_http` if on loopback |
/// | `ca_file` | `null` | PEM file of certificates to trust beside the system's |
/// | `client_cert_file` | `null` | PEM file with the certificate for servers that ask for one, and those between it and its authority |
/// | `client_key_file` | `null` | PEM file with its key, not encrypted; `null` if the key is in `client_cert_file` |
/// | `validate` | `true` | check the user before it is sent |
/// | `unknown_fields` | `"refuse"` | `"refuse"` refuses fields that the API does not document, for it drops them without a
///   word; `"allow"` sends them |
/// | `custom_fields` | `null` | an array of the Unique Names of the account's custom fields: those inside `Content` must be
///   among them; `null`: any |
/// | `user_agent` | `null` | appended to `commbox/<version>` |
/// | `headers` | `{}` | an object of further headers for each request, such as a gateway's key; at most 32, names of 1 to
///   64 characters, values of up to 4096 visible ASCII characters; not those that the library sets, `Content-…` or
///   `Proxy-…` |
/// | `request_id_header` | `null` | the header of answers that holds the request id; `X-Request-Id`, `Request-Id` and
///   `X-Correlation-Id` are looked at after it |
///
/// @return The client, to be freed with commbox_client_free(); NULL on failure: #COMMBOX_INVALID_ARGUMENT for the
///         key, #COMMBOX_INVALID_OPTIONS for the options, which name every problem at once.
#[no_mangle]
pub unsafe extern "C" fn commbox_client_new(
    api_key: *const c_char,
    options_json: *const c_char,
) -> *mut commbox_client {
    CLIENTS.made(guard(|| {
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
        let (api_key, options) =
            unsafe { (text::optional(api_key, "api_key")?, text::optional(options_json, "options_json")?) };
        let options = match options {
            None | Some("") => Options::from_json("{}")?,
            Some(json) => Options::from_json(json)?,
        };
        CLIENTS.insert(client(api_key, &options)?)
    }))
}

/// The same with options of commbox_options_new().
///
/// @param api_key  As for commbox_client_new(), or NULL.
/// @param options  The options; NULL for the defaults. Copied. Those of a batch or a call alone are an error.
/// @return As of commbox_client_new(); NULL for #COMMBOX_INVALID_HANDLE too.
#[no_mangle]
pub unsafe extern "C" fn commbox_client_new_with(
    api_key: *const c_char,
    options: *mut commbox_options,
) -> *mut commbox_client {
    CLIENTS.made(guard(|| {
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
        let api_key = unsafe { text::optional(api_key, "api_key") }?;
        CLIENTS.insert(client(api_key, &options::read(options)?)?)
    }))
}

fn client(api_key: Option<&str>, options: &Options) -> Result<Client> {
    match api_key {
        Some(api_key) => Client::new(api_key, options),
        None => Client::from_env(options),
    }
}

/// Frees a client. It never waits and never sends; calls in flight on other threads finish as if nothing happened.
///
/// @param client  The client. NULL is fine, and so is a client in use. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
///                commbox_last_error_json(), and nothing happens.
#[no_mangle]
pub extern "C" fn commbox_client_free(client: *mut commbox_client) {
    free(|| CLIENTS.remove(client));
}

/// Puts another API key in the place of the client's present one. It takes effect for every attempt that starts from
/// now on, on any thread.
///
/// @param client   The client.
/// @param api_key  The new key. Copied.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT: the present key then stays.
#[no_mangle]
pub unsafe extern "C" fn commbox_client_set_api_key(client: *mut commbox_client, api_key: *const c_char) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
        client.set_api_key(unsafe { text::required(api_key, "api_key") }?)
    })
}

/// Sets `max_requests_per_second` of a client, for every request from now on, those of waiting calls included. A
/// program can divide a limit among its processes with this.
///
/// @param client               The client.
/// @param max_requests_per_second  The rate, 0.001 to 1000000; 0 removes the limit.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT: the present limit then stays.
#[no_mangle]
pub extern "C" fn commbox_client_set_max_requests_per_second(
    client: *mut commbox_client,
    max_requests_per_second: f64,
) -> i32 {
    code(|| CLIENTS.get(client)?.set_max_requests_per_second(max_requests_per_second))
}

/// Cancels every call that is in flight on the client now, on any thread, wherever it waits: each returns
/// #COMMBOX_CANCELLED within 100 ms. Calls that begin later work as before.
///
/// It is not async-signal-safe, for it wakes the threads that wait. In a signal handler, set a flag for the callback of
/// commbox_client_set_interrupt().
///
/// @param client  The client.
/// @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
#[no_mangle]
pub extern "C" fn commbox_client_cancel(client: *mut commbox_client) -> i32 {
    code(|| {
        CLIENTS.get(client)?.cancel();
        Ok(())
    })
}

/// Has calls ask whether to go on. While a call waits, it calls `poll` at least every 100 ms, on the thread that made
/// the call; not 0 ends that call with #COMMBOX_CANCELLED. It holds for calls that begin from now on.
///
/// @param client   The client.
/// @param poll     The question; NULL asks no more. It must return, and may call any function of this library.
/// @param context  Given to `poll` as it is, from any thread that makes a call. It must stay good until the last call
///                 that began with it has returned.
/// @return #COMMBOX_OK or #COMMBOX_INVALID_HANDLE.
#[no_mangle]
pub extern "C" fn commbox_client_set_interrupt(
    client: *mut commbox_client,
    poll: Option<unsafe extern "C" fn(context: *mut c_void) -> i32>,
    context: *mut c_void,
) -> i32 {
    code(|| {
        let context = Context(context);
        let interrupt = poll.map(|poll| -> Arc<dyn Fn() -> bool + Send + Sync> {
            Arc::new(move || {
                let Context(context) = &context;
                // SAFETY: by the contract above, `poll` may be called with this context while calls run.
                unsafe { poll(*context) != 0 }
            })
        });
        CLIENTS.get(client)?.set_interrupt(interrupt);
        Ok(())
    })
}

/// Tells a callback what the client does, as it happens. The callback runs on the thread where it happens: that of a call,
/// or of a batch. No lock is held. It may call any function of this library; what these calls do is not told. While no
/// log is set, it costs nothing.
///
/// No event holds an API key, a header's value or a value of a user. `event` in the JSON object is one of the names below,
/// `level` its level's name, and `call` the number of the call that it belongs to, counted from 1. Pauses, a rejected key
/// and the like are one event each, not one for each call.
///
/// | level | events |
/// | --- | --- |
/// | 1 | `outage_began`, `key_rejected` |
/// | 2 | `call_failed`, `throttled` |
/// | 3 | `retry`, `resumed` |
/// | 4 | `call_began`, `call_succeeded`, `attempt`, `connection_opened`, `connection_closed`, `lookup`,
///   `trust_store_read`, `proxy` |
/// | 5 | `connection_reused` |
///
/// @param client   The client.
/// @param level    From 1 (errors) to 5 (everything); each level includes those before it. 0 ends the log.
/// @param log      Invoked for each event: `event_json` is a JSON object, and `sentence` says the same in English, each in
///                 one line; both are valid until it returns. It must return. NULL ends the log.
/// @param context  Passed to `log`. It must stay valid until the calls that began while the log was set have returned.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, or #COMMBOX_INVALID_ARGUMENT for a level that is out of range.
#[no_mangle]
pub extern "C" fn commbox_client_set_log(
    client: *mut commbox_client,
    level: i32,
    log: Option<
        unsafe extern "C" fn(context: *mut c_void, level: i32, event_json: *const c_char, sentence: *const c_char),
    >,
    context: *mut c_void,
) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        let level = match level {
            0 => None,
            level => Some(LogLevel::of_number(level).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, "level must be from 0 (off) to 5 (everything)")
            })?),
        };
        let context = Context(context);
        let sink = level.zip(log).map(|(level, log)| -> (_, LogCallback) {
            let sink = move |level: LogLevel, json: &str, sentence: &str| {
                let Context(context) = &context;
                let (json, sentence) = (text::c_string(json), text::c_string(sentence));
                // SAFETY: by the contract above, `log` may be called with this context while calls run, and it does not
                // keep the texts.
                unsafe { log(*context, level as i32, json.as_ptr(), sentence.as_ptr()) }
            };
            (level, Arc::new(sink))
        });
        client.set_log(sink);
        Ok(())
    })
}

/// A program's own pointer, for its callbacks.
struct Context(*mut c_void);
// SAFETY: never read here; by the contracts of the functions that take one, it may be given to the callback on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// Checks an update as commbox_update_user_json() does before it sends anything. Nothing is sent, and it does not wait.
///
/// @param client     The client, for its `validate` option.
/// @param user_id    As for commbox_update_user_json(): 1 or more.
/// @param user_json  As for commbox_update_user_json().
/// @return #COMMBOX_OK if the update would be sent, otherwise #COMMBOX_INVALID_ARGUMENT, #COMMBOX_INVALID_USER or
///         #COMMBOX_INVALID_HANDLE. `problems` in commbox_last_error_json() has one object for each problem.
#[no_mangle]
pub unsafe extern "C" fn commbox_client_validate_user_json(
    client: *mut commbox_client,
    user_id: i64,
    user_json: *const c_char,
) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
        client.validate_user_json(user_id, unsafe { text::required(user_json, "user_json") }?)
    })
}

/// Where a client stands, as a JSON object. Its figures count from when the client was made:
///
/// - `calls`: calls that were made, updates of batches that were dispatched included
/// - `succeeded`, `failed`: calls that ended; cancelled ones have failed
/// - `failed_by_code`: an object with the number of failures for each code, such as `{"-7": 2, "404": 1}`
/// - `attempts`: requests; `retried`: those beyond the first of a call
/// - `throttled`: requests that the server answered with 429; `refused`: with another status from 400 to 499
/// - `waiting`, `in_flight`: calls that wait for their turn or for the next attempt, and requests that are being sent or
///   answered, now
/// - `connections_open`, `connections_opened`: connections that are open now, and all that were opened
/// - `line`: an object: `state` (`"open"`; requests are paused if it is `"throttled"` or `"outage"`),
///   `requests_per_second` (the rate at which requests may leave, null if nothing limits it),
///   `learned_requests_per_second` (learned from 429s, null before the first one), `probe_in_ms` (until the next probe
///   request, null unless requests are paused)
/// - `latency`: an object, of the calls that ended within the last 60 to 70 seconds and had made a request: `count`,
///   `sum_ms`, `p50_ms`, `p90_ms`, `p99_ms`, in milliseconds with a fraction; the last three are exact to an eighth, and
///   null if there are none
///
/// Calls count without a lock, so figures that change while they are read may differ by what runs meanwhile.
///
/// @param client  The client.
/// @return The object, to be freed with commbox_string_free(); NULL on failure.
#[no_mangle]
pub extern "C" fn commbox_client_stats_json(client: *mut commbox_client) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(CLIENTS.get(client)?.stats().to_json()))))
}

/// Looks at what stands between this machine and the server, one after the other until something fails, and returns a JSON
/// object. It sends no update and no API key, blocks at most `total_timeout_ms`, and is cancelled as calls are. What was
/// not reached is null. Times are in milliseconds with a fraction; `error` is a sentence, or null.
///
/// - `server`: `host`, `port`, `tls`
/// - `proxy`: null, or `scheme`, `host`, `port` and `source`, the option or variable that names it
/// - `lookup`: `host` (the server's, or the proxy's), `elapsed_ms`, `error`
/// - `connections`: for each address of that host an object: `address`, `elapsed_ms`, `error`
/// - `tunnel`: of the proxy to the server: `elapsed_ms`, `error`
/// - `tls`: `version`, `elapsed_ms`, `trusted`, `error` (why it is not trusted), and `chain`, the certificates that the
///   server shows, its own first, each with `subject`, `issuer`, `names`, `not_before` and `not_after`
/// - `http`: the answer to `HEAD /`: `status`, `elapsed_ms`, `error`
/// - `clock`: `local` and `server`, as HTTP writes dates, and `ahead_s`, by how many seconds this machine's clock is ahead
///
/// @param client  The client.
/// @return The object, to be freed with commbox_string_free(); NULL on failure: #COMMBOX_INVALID_HANDLE,
///         #COMMBOX_CANCELLED.
#[no_mangle]
pub extern "C" fn commbox_client_diagnose_json(client: *mut commbox_client) -> *mut c_char {
    text::handed_out(guard(|| Ok(text::c_string(CLIENTS.get(client)?.diagnose_json()?))))
}

/// Updates one user: `POST /users/{user_id}`. Returns within `total_timeout_ms`, which covers waiting, every attempt and
/// every backoff.
///
/// **Retries.** Retried at most `max_retries` times: HTTP 500, 502, 503 and 504, connections that fail or break, and
/// attempts that exceed `attempt_timeout_ms`; sending the same values twice does no harm. Not retried: other statuses, TLS
/// failures, redirects. The server's `Retry-After` is a lower bound for the backoff. If it exceeds the deadline, the call
/// fails at once and reports `retry_after_ms`. A client may retry 100 times (50 after timeouts) more than its calls
/// succeed, and once more for each 5 successes.
///
/// **Rate limits.** A 429 costs no retry. It pauses all requests of the client until one of them, a probe request, is
/// accepted; from then on requests leave at a rate that the client learns. If the call's deadline comes before it could
/// leave, it fails at once with #COMMBOX_THROTTLED.
///
/// **Outages.** 8 transient failures in a row pause all requests of the client, too. A probe request, on a connection of
/// its own and with a short timeout, ends the pause. If the call's deadline comes before the next probe, it fails at once
/// with #COMMBOX_CONNECTION, and says since when the outage lasts.
///
/// **Order.** Calls for one user leave one at a time, in the order in which they were made (`order_per_user`). A request
/// that timed out may still be applied by the server later, after a newer one: no client can prevent that.
///
/// Two cases are retried once regardless of `max_retries`, and count as attempts: a request on a reused connection that
/// the server closed before returning a byte, and a 401 for an API key that commbox_client_set_api_key() has replaced
/// since.
///
/// @param client         The client. Any number of threads may call with the same one.
/// @param user_id        The number that CommBox gave the user: 1 or more.
/// @param user_json      The user's fields, `{"FirstName": "John"}`, or the whole body, `{"data": {…}}`. It is sent as
///                       it is written. Checked first, unless `validate` is off: `UniqueId` (at most 50 characters),
///                       `FirstName`, `LastName`, `Phone1`, `Phone2` (100), `Email` (255) and `Remarks` are strings
///                       or null; `Content`, which holds the custom fields, is an object; a name that is nearly
///                       one of these is refused (written with other case, blanks, `_` or `-`, or two changes away),
///                       and so are others, as `unknown_fields` says. All problems come in one message.
/// @param response_json  Receives the server's reply as it came, to be freed with commbox_string_free(); NULL on
///                       failure. The parameter itself may be NULL.
/// @return #COMMBOX_OK when the server confirmed the update; an HTTP status from 100 up when it answered otherwise;
///         else a negative code. `delivery` in commbox_last_error_json() tells whether the update may have arrived.
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

/// The same with options of its own.
///
/// @param client         As for commbox_update_user_json().
/// @param user_id        As for commbox_update_user_json(): 1 or more.
/// @param user_json      As for commbox_update_user_json().
/// @param call_json      A JSON object of options, or NULL or "" for none. They replace those of the
///                       client for this call:
///
/// | key | meaning |
/// | --- | --- |
/// | `total_timeout_ms` | timeout of the call, all included; 1 to 86400000 |
/// | `attempt_timeout_ms` | timeout of one attempt; 1 to 86400000 |
/// | `max_retries` | maximum number of retries; 0 to 100 |
/// | `headers` | an object of further headers; each replaces one of the client with the same name |
///
/// @param response_json  As for commbox_update_user_json(); may be NULL.
/// @return As of commbox_update_user_json(), or #COMMBOX_INVALID_OPTIONS.
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

/// Makes a call, and hands its reply out.
///
/// # Safety
///
/// `response_json` is NULL or may be written.
unsafe fn update(response_json: *mut *mut c_char, call: impl FnOnce() -> Result<UpdateReply>) -> i32 {
    if !response_json.is_null() {
        // SAFETY: not NULL, so by contract it may be written; unaligned, for C callers can get that wrong.
        unsafe { response_json.write_unaligned(std::ptr::null_mut()) };
    }
    code(|| {
        let reply = call()?;
        last_error::keep_success(&reply);
        if !response_json.is_null() {
            // SAFETY: as above.
            unsafe { response_json.write_unaligned(text::c_string(String::from(reply)).into_raw()) };
        }
        Ok(())
    })
}
