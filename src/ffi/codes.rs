//! The constants of the C interface. Codes are append-only.

use std::ffi::c_char;

use crate::error::ErrorKind;
use crate::ffi::accessor;

/// The ABI version of this header, to be compared with commbox_abi_version().
pub const COMMBOX_ABI_VERSION: u32 = 1;

/// The call succeeded.
pub const COMMBOX_OK: i32 = 0;
/// The batch is closed, and all results were collected.
pub const COMMBOX_DONE: i32 = 1;
/// An argument is invalid: NULL where NULL is not allowed, text that is not UTF-8, a user id below
/// 1, or an API key that contains blanks or control characters.
pub const COMMBOX_INVALID_ARGUMENT: i32 = -1;
/// The handle is invalid: already freed, or not returned by this library.
pub const COMMBOX_INVALID_HANDLE: i32 = -2;
/// The options are not a JSON object, or contain an unknown key or an out-of-range value.
pub const COMMBOX_INVALID_OPTIONS: i32 = -3;
/// The user does not satisfy the API's rules. Nothing was sent.
pub const COMMBOX_INVALID_USER: i32 = -4;
/// The DNS lookup, the connection or the proxy failed, or the connection broke.
pub const COMMBOX_CONNECTION: i32 = -5;
/// The server's certificate is not trusted, or the TLS handshake failed.
pub const COMMBOX_TLS: i32 = -6;
/// The deadline was exceeded.
pub const COMMBOX_TIMEOUT: i32 = -7;
/// The call was cancelled, by a function or by a callback.
pub const COMMBOX_CANCELLED: i32 = -8;
/// The response is not the documented JSON, or is larger than 1 MiB.
pub const COMMBOX_BAD_RESPONSE: i32 = -9;
/// A bug of this library was caught, or the system could not start a thread for a batch. The client
/// remains usable.
pub const COMMBOX_INTERNAL: i32 = -10;
/// The server's rate limit delays the call past its deadline. Nothing was sent; `retry_after_ms` is
/// set.
pub const COMMBOX_THROTTLED: i32 = -11;

/// The server rejected the fields or their values.
pub const COMMBOX_BAD_REQUEST: i32 = 400;
/// The API key is wrong, expired, or not allowed to update users.
pub const COMMBOX_UNAUTHORIZED: i32 = 401;
/// No user has this id.
pub const COMMBOX_NOT_FOUND: i32 = 404;
/// The server received too many requests in a short time.
pub const COMMBOX_RATE_LIMITED: i32 = 429;
/// The server failed.
pub const COMMBOX_SERVER_ERROR: i32 = 500;
/// The server does not support the call.
pub const COMMBOX_NOT_IMPLEMENTED: i32 = 501;

/// The server may have processed the update: the request may have reached it, but no complete
/// response was received.
pub const COMMBOX_DELIVERY_UNKNOWN: i32 = 0;
/// No byte of the request was sent.
pub const COMMBOX_DELIVERY_NOT_SENT: i32 = 1;
/// The server answered.
pub const COMMBOX_DELIVERY_ANSWERED: i32 = 2;

/// Returns the name of a code, such as `"timeout"` or `"rate_limited"`. It is the `name` of
/// commbox_last_error_json(). An accessor.
///
/// @param code  Any code that a function returned.
/// @return The name: `"ok"` for #COMMBOX_OK, `"done"` for #COMMBOX_DONE, "" for an unknown number.
///         It is a constant: never NULL, and never to be freed.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_code_name(code: i32) -> *const c_char {
    accessor(c"".as_ptr(), || match code {
        COMMBOX_OK => c"ok".as_ptr(),
        COMMBOX_DONE => c"done".as_ptr(),
        code => ErrorKind::of_code(code).map_or(c"", ErrorKind::c_name).as_ptr(),
    })
}

/// Returns whether the same call may succeed later. These codes are transient: #COMMBOX_CONNECTION,
/// #COMMBOX_TIMEOUT, #COMMBOX_THROTTLED, and the HTTP statuses 429, 500, 502, 503 and 504. An
/// accessor.
///
/// @param code  Any code that a function returned.
/// @return 1 if the code is transient, otherwise 0.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_code_is_transient(code: i32) -> i32 {
    accessor(0, || ErrorKind::of_code(code).is_some_and(ErrorKind::is_transient).into())
}

// The header needs literals, but the core has the codes. This does not compile if they differ.
const _: () = {
    assert!(ErrorKind::InvalidArgument.code() == COMMBOX_INVALID_ARGUMENT);
    assert!(ErrorKind::InvalidHandle.code() == COMMBOX_INVALID_HANDLE);
    assert!(ErrorKind::InvalidOptions.code() == COMMBOX_INVALID_OPTIONS);
    assert!(ErrorKind::InvalidUser.code() == COMMBOX_INVALID_USER);
    assert!(ErrorKind::Connection.code() == COMMBOX_CONNECTION);
    assert!(ErrorKind::Tls.code() == COMMBOX_TLS);
    assert!(ErrorKind::Timeout.code() == COMMBOX_TIMEOUT);
    assert!(ErrorKind::Cancelled.code() == COMMBOX_CANCELLED);
    assert!(ErrorKind::BadResponse.code() == COMMBOX_BAD_RESPONSE);
    assert!(ErrorKind::Internal.code() == COMMBOX_INTERNAL);
    assert!(ErrorKind::Throttled.code() == COMMBOX_THROTTLED);
};
