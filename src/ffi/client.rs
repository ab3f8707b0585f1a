//! The client in C: how it is made and freed, what can be changed, and the end of its calls.

use std::ffi::c_char;

use crate::client::Client;
use crate::error::Result;
use crate::ffi::handle::Table;
use crate::ffi::options::{self, commbox_options};
use crate::ffi::{code, free, guard, text};
use crate::options::Options;

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
///   environment names; for `http` without `allow_http`, only one on loopback is then used |
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
/// | `request_id_header` | `null` | response header that contains the request id; if it is absent,
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
