//! The constants of the C interface. Codes are append-only.

use std::ffi::c_char;

use crate::error::ErrorKind;
use crate::ffi::accessor;

/// What commbox_abi_version() returns for the library that this header belongs to.
pub const COMMBOX_ABI_VERSION: u32 = 1;

/// The call succeeded.
pub const COMMBOX_OK: i32 = 0;
/// A batch is closed, and everything was taken back from it.
pub const COMMBOX_DONE: i32 = 1;
/// NULL where it may not be, text that is not UTF-8, a user id below 1, an API key with a blank or control character.
pub const COMMBOX_INVALID_ARGUMENT: i32 = -1;
/// A client, user or batch that was never made, or is already freed.
pub const COMMBOX_INVALID_HANDLE: i32 = -2;
/// Options that are not a JSON object, name an unknown key, or leave a bound.
pub const COMMBOX_INVALID_OPTIONS: i32 = -3;
/// The user is not what the API takes. Nothing was sent.
pub const COMMBOX_INVALID_USER: i32 = -4;
/// Name lookup, connect, proxy, or a connection that broke.
pub const COMMBOX_CONNECTION: i32 = -5;
/// The certificate or the TLS handshake.
pub const COMMBOX_TLS: i32 = -6;
/// The time allowed has passed.
pub const COMMBOX_TIMEOUT: i32 = -7;
/// The call was cancelled, or its interrupt said so.
pub const COMMBOX_CANCELLED: i32 = -8;
/// An answer that is not the documented JSON, or is larger than 1 MiB.
pub const COMMBOX_BAD_RESPONSE: i32 = -9;
/// A bug of this library was caught, or the system has no thread for a batch. The client stays usable.
pub const COMMBOX_INTERNAL: i32 = -10;
/// The server's rate limit holds the call back past its deadline. Nothing was sent; `retry_after_ms` is set.
pub const COMMBOX_THROTTLED: i32 = -11;

/// The server did not take the fields or their values.
pub const COMMBOX_BAD_REQUEST: i32 = 400;
/// The API key is wrong, expired, or not allowed to do this.
pub const COMMBOX_UNAUTHORIZED: i32 = 401;
/// No user has this id.
pub const COMMBOX_NOT_FOUND: i32 = 404;
/// Too many requests in a short time.
pub const COMMBOX_RATE_LIMITED: i32 = 429;
/// The server failed.
pub const COMMBOX_SERVER_ERROR: i32 = 500;
/// The server does not support the call.
pub const COMMBOX_NOT_IMPLEMENTED: i32 = 501;

/// The request may have arrived at the server, and no full answer came.
pub const COMMBOX_DELIVERY_UNKNOWN: i32 = 0;
/// No byte of the request left this process.
pub const COMMBOX_DELIVERY_NOT_SENT: i32 = 1;
/// The server answered.
pub const COMMBOX_DELIVERY_ANSWERED: i32 = 2;

/// The name of a code: `"timeout"`, `"rate_limited"`. It is the `name` of commbox_last_error_json().
///
/// @param code  Any code that a function returned.
/// @return The name: `"ok"` and `"done"` for #COMMBOX_OK and #COMMBOX_DONE, "" for a number that is no code. A constant:
///         never NULL, never freed. An accessor.
#[no_mangle]
pub extern "C" fn commbox_code_name(code: i32) -> *const c_char {
    accessor(c"".as_ptr(), || match code {
        COMMBOX_OK => c"ok".as_ptr(),
        COMMBOX_DONE => c"done".as_ptr(),
        code => ErrorKind::of_code(code).map_or(c"", ErrorKind::c_name).as_ptr(),
    })
}

/// Whether the same call may succeed later: #COMMBOX_CONNECTION, #COMMBOX_TIMEOUT, #COMMBOX_THROTTLED, and the statuses 429,
/// 500, 502, 503 and 504.
///
/// @param code  Any code that a function returned.
/// @return 1 if it may, otherwise 0. An accessor.
#[no_mangle]
pub extern "C" fn commbox_code_is_transient(code: i32) -> i32 {
    accessor(0, || ErrorKind::of_code(code).is_some_and(ErrorKind::is_transient).into())
}

// The header needs literals; the core has the codes. They cannot part ways and compile.
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
