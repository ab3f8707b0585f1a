//! Text across the boundary: NUL-terminated UTF-8 in, strings of our own out.

use std::ffi::{c_char, CStr, CString};

use crate::error::{Error, ErrorKind, Result};
use crate::ffi::accessor;

/// Reads the text of a parameter that may not be NULL.
///
/// # Safety
///
/// `text` is NULL, or points to a NUL-terminated string that stays unchanged for `'a`.
pub(crate) unsafe fn required<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: passed on to the caller.
    let text = unsafe { optional(text, name) }?;
    text.ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, format!("{name} is NULL; pass NUL-terminated UTF-8"))
    })
}

/// Reads the text of a parameter that may be NULL.
///
/// # Safety
///
/// As [`required`].
pub(crate) unsafe fn optional<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so by this function's contract NUL-terminated and unchanged for 'a.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map(Some).map_err(|error| {
        let at = error.valid_up_to();
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{name} is not UTF-8: the byte at offset {at} is not part of a character"),
        )
    })
}

/// Returns a C string of `text`. A NUL in it, which would end the string in C, becomes U+FFFD.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(&error.into_vec()).replace('\0', "\u{fffd}");
        CString::new(text).unwrap_or_default()
    })
}

/// Ends a function that returns a string: returns the string, which is freed with
/// commbox_string_free(), or NULL on failure.
pub(crate) fn handed_out(made: std::result::Result<CString, i32>) -> *mut c_char {
    made.map_or(std::ptr::null_mut(), CString::into_raw)
}

/// Frees a string that the library returned as `char *`: the reply of commbox_update_user_json()
/// and the JSON of commbox_user_to_json(), commbox_client_stats_json(),
/// commbox_client_diagnose_json(), commbox_batch_next() and commbox_batch_stats_json(). An
/// accessor.
///
/// @param text  The string, or NULL. Passing any other pointer, or the same string twice, is
///              undefined behaviour, as with free().
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_string_free(text: *mut c_char) {
    accessor((), || {
        if !text.is_null() {
            // SAFETY: by contract, the library returned this string from CString::into_raw, and it
            // is freed once.
            drop(unsafe { CString::from_raw(text) });
        }
    });
}
