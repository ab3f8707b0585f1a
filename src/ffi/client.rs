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

/// An opaque handle: a client with one API key, one set of options and a connection pool.
#[allow(non_camel_case_types)]
pub struct commbox_client {
    _opaque: (),
}

pub(crate) static CLIENTS: Table<Client> = Table::new(1, "client", "commbox_client_new");

/// Creates a client. It makes no connection and sends nothing before the first call. Create one
/// client for a whole program, so that all threads share its connection pool and its rate limit.
///
/// The options are the members of a JSON object. An unknown key is an error, whose message contains
/// the nearest known key. An option that is null has its default. Times are in milliseconds.
///
/// | key | default | meaning |
/// | --- | --- | --- |
/// | `base_url` | `COMMBOX_BASE_URL` if it is set, otherwise `"https://api.commbox.io"` | URL of
///   the API; may have a path prefix; `http` only to loopback unless `allow_http` |
/// | `allow_http` | `false` | allow `http` to any host; the API key and the data are then sent
///   unencrypted |
/// | `connect_timeout_ms` | 5000 | timeout of DNS lookup, connect and TLS handshake; 1 to
///   86400000 |
/// | `attempt_timeout_ms` | 15000 | timeout of one attempt; 1 to 86400000 |
/// | `total_timeout_ms` | 60000 | timeout of a call, which covers queueing, all attempts and all
///   backoff; 1 to 86400000 |
/// | `max_retries` | 3 | maximum number of retries after a transient failure; a 429 does not count
///   as one; 0 to 100 |
/// | `retry_base_ms`, `retry_cap_ms` | 500, 8000 | backoff before a retry: a random time below a
///   bound that doubles from the base to the cap; 1 to 86400000 |
/// | `max_requests_per_second` | 0 | rate limit of the client: the requests of all threads are
///   evenly paced; 0.001 to 1000000, or 0 for no limit |
/// | `order_per_user` | `true` | send the calls for one user one at a time, in the order in which
///   they were made; this includes direct calls, batches and retries |
/// | `rate_group` | `null` | name of a group: processes of the same system user on one machine that
///   have the same group share one rate limit; 1 to 64 letters, digits, `.`, `_` or `-`, not
///   starting with `.`; Unix only |
/// | `max_idle_connections` | 16 | maximum number of idle connections in the pool; 0 to 1024 |
/// | `idle_timeout_ms` | 60000 | how long an idle connection is kept, checked by the next call; 0
///   to 86400000 |
/// | `dns_ttl_ms` | 60000 | how long the result of a DNS lookup is cached; 0 to 86400000 |
/// | `proxy` | `null` | URL of the proxy; `""` for no proxy; `null` for the proxy that the
///   environment names, which for `http` without `allow_http` is used only if it is on loopback |
/// | `ca_file` | `null` | PEM file of certificates to trust in addition to the system's trust
///   store |
/// | `client_cert_file` | `null` | PEM file with the client certificate and its intermediate
///   certificates, for servers that request one |
/// | `client_key_file` | `null` | PEM file with the unencrypted private key of the client
///   certificate; `null` if the key is in `client_cert_file` |
/// | `validate` | `true` | check the user before it is sent |
/// | `unknown_fields` | `"refuse"` | `"refuse"` rejects fields that the API does not document,
///   because the server drops them silently; `"allow"` sends them |
/// | `custom_fields` | `null` | array of the Unique Names of the account's custom fields; other
///   names in `Content` are rejected; `null` allows any name |
/// | `user_agent` | `null` | text that is appended to `commbox/<version>` in the `User-Agent`
///   header |
/// | `headers` | `{}` | object of additional headers for every request, such as the key of a
///   gateway; at most 32, with names of 1 to 64 characters and values of up to 4096 visible ASCII
///   characters; headers that the library sets, `Content-…` and `Proxy-…` are rejected |
/// | `request_id_header` | `null` | response header that contains the request id; after it,
///   `X-Request-Id`, `Request-Id` and `X-Correlation-Id` are read |
///
/// @param api_key       The key that CommBox issued, without the word "Bearer". It is copied. If it
///                      is NULL, the key is read now from the environment variable
///                      `COMMBOX_API_KEY`.
/// @param options_json  A JSON object of options; NULL or "" for the defaults. It is copied.
/// @return The client, which the caller frees with commbox_client_free(); NULL on failure.
///         commbox_last_error_code() then returns one of these codes:
///         - #COMMBOX_INVALID_ARGUMENT: `api_key` is malformed, or no key is set
///         - #COMMBOX_INVALID_OPTIONS: the options are invalid; the message contains every problem
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_client_new(
    api_key: *const c_char,
    options_json: *const c_char,
) -> *mut commbox_client {
    CLIENTS.made(guard(|| {
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged
        // during the call.
        let (api_key, options) = unsafe {
            (text::optional(api_key, "api_key")?, text::optional(options_json, "options_json")?)
        };
        let options = match options {
            None | Some("") => Options::from_json("{}")?,
            Some(json) => Options::from_json(json)?,
        };
        CLIENTS.insert(client(api_key, &options)?)
    }))
}

/// Creates a client like commbox_client_new(), with options from commbox_options_new().
///
/// @param api_key  The key that CommBox issued, as for commbox_client_new(), or NULL.
/// @param options  The options; NULL for the defaults. They are copied. An option of a batch or of
///                 a single call is an error.
/// @return The client, which the caller frees with commbox_client_free(); NULL on failure.
///         commbox_last_error_code() then returns one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `options` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `api_key` is malformed, or no key is set
///         - #COMMBOX_INVALID_OPTIONS: the options do not fit together, or are not those of a
///           client
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_client_new_with(
    api_key: *const c_char,
    options: *mut commbox_options,
) -> *mut commbox_client {
    CLIENTS.made(guard(|| {
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged
        // during the call.
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

/// Frees a client. It does not block and sends nothing. Calls that are in flight on other threads
/// continue and return as usual.
///
/// @param client  The client, which may be in use, or NULL. If it is already freed, nothing happens
///                except that the last error becomes #COMMBOX_INVALID_HANDLE.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_free(client: *mut commbox_client) {
    free(|| CLIENTS.remove(client));
}

/// Replaces the API key of a client. Every attempt that starts afterwards uses the new key, on any
/// thread. If the server rejects the former key with 401, the attempt is retried once with the new
/// one.
///
/// @param client   The client.
/// @param api_key  The new key. It is copied.
/// @return #COMMBOX_OK, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `api_key` is malformed; the client keeps its present key
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_client_set_api_key(
    client: *mut commbox_client,
    api_key: *const c_char,
) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged
        // during the call.
        client.set_api_key(unsafe { text::required(api_key, "api_key") }?)
    })
}

/// Sets the option `max_requests_per_second` of a client. It applies to every request from now on,
/// including those of pending calls. A program can use it to divide a rate limit among its
/// processes.
///
/// @param client                   The client.
/// @param max_requests_per_second  The rate, 0.001 to 1000000; 0 removes the limit.
/// @return #COMMBOX_OK, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: the rate is out of range; the client keeps its present
///           limit
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_set_max_requests_per_second(
    client: *mut commbox_client,
    max_requests_per_second: f64,
) -> i32 {
    code(|| CLIENTS.get(client)?.set_max_requests_per_second(max_requests_per_second))
}

/// Cancels every call that is in flight on the client, on any thread. Each of them returns
/// #COMMBOX_CANCELLED within 100 ms. Calls that begin later are not affected.
///
/// This function is not async-signal-safe, because it wakes the blocked threads. In a signal
/// handler, set a flag for the callback of commbox_client_set_interrupt() instead.
///
/// @param client  The client.
/// @return #COMMBOX_OK, or this code:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_cancel(client: *mut commbox_client) -> i32 {
    code(|| {
        CLIENTS.get(client)?.cancel();
        Ok(())
    })
}

/// Sets a callback that is invoked at least every 100 ms while a call blocks, on the thread that
/// made the call. If it returns nonzero, that call is cancelled and returns #COMMBOX_CANCELLED. The
/// callback applies to calls that begin afterwards.
///
/// @param client   The client.
/// @param poll     The callback; NULL removes it. It must return, and may call any function of this
///                 library.
/// @param context  Passed to `poll` unchanged, on any thread that makes a call. It must remain
///                 valid until the last call that began with it has returned.
/// @return #COMMBOX_OK, or this code:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
/// @since 1.0
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
                // SAFETY: by the contract above, `poll` may be called with this context while calls
                // run.
                unsafe { poll(*context) != 0 }
            })
        });
        CLIENTS.get(client)?.set_interrupt(interrupt);
        Ok(())
    })
}

/// Sets a callback that is invoked for each event of the client, such as a retry. It runs on the
/// thread where the event happens: a thread that makes a call, or a thread of a batch. No lock is
/// held, so the callback may call any function of this library; the events of such calls are not
/// reported. Logging costs nothing while no callback is set.
///
/// No event contains an API key, a header value or a value of the user. In the JSON object, `event`
/// is one of the names below, `level` is the name of its level, and `call` is the number of the
/// call that it belongs to, counted from 1. An event of the whole client, such as a pause or a
/// rejected API key, is reported once, not once for each call.
///
/// | level | events |
/// | --- | --- |
/// | 1 | `outage_began`, `key_rejected` |
/// | 2 | `call_failed`, `throttled` |
/// | 3 | `retry`, `resumed` |
/// | 4 | `call_began`, `call_succeeded`, `attempt`, `connection_opened`, `connection_closed`,
///   `lookup`, `trust_store_read`, `proxy` |
/// | 5 | `connection_reused` |
///
/// @param client   The client.
/// @param level    The level, from 1 (errors) to 5 (everything); each level includes those before
///                 it. 0 removes the callback.
/// @param log      The callback; NULL removes it. `event_json` is a JSON object and `sentence` says
///                 the same in English, each on one line. Both are valid until the callback
///                 returns. It must return.
/// @param context  Passed to `log` unchanged. It must remain valid until every call that began
///                 while the callback was set has returned.
/// @return #COMMBOX_OK, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `client` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `level` is out of range
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_client_set_log(
    client: *mut commbox_client,
    level: i32,
    log: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            level: i32,
            event_json: *const c_char,
            sentence: *const c_char,
        ),
    >,
    context: *mut c_void,
) -> i32 {
    code(|| {
        let client = CLIENTS.get(client)?;
        let level = match level {
            0 => None,
            level => Some(LogLevel::of_number(level).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    "level must be from 0 (off) to 5 (everything)",
                )
            })?),
        };
        let context = Context(context);
        let sink = level.zip(log).map(|(level, log)| -> (_, LogCallback) {
            let sink = move |level: LogLevel, json: &str, sentence: &str| {
                let Context(context) = &context;
                let (json, sentence) = (text::c_string(json), text::c_string(sentence));
                // SAFETY: by the contract above, `log` may be called with this context while calls
                // run, and it does not keep the texts.
                unsafe { log(*context, level as i32, json.as_ptr(), sentence.as_ptr()) }
            };
            (level, Arc::new(sink))
        });
        client.set_log(sink);
        Ok(())
    })
}

/// The `context` of a callback.
struct Context(*mut c_void);
// SAFETY: never read here; by the contracts of the functions that take one, it may be given to the
// callback on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

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
///   percentiles are accurate to one eighth, and null if there are no such calls
///
/// Counting takes no lock. The figures may differ from one another by the calls that run while they
/// are read.
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
/// #COMMBOX_CONNECTION, and the message says since when the outage lasts.
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
