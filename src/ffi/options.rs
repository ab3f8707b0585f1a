//! Options in C, which are set one by one.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::ffi::handle::Table;
use crate::ffi::{code, free, guard, text};
use crate::fork;
use crate::options::object::FromObject;
use crate::options::settings::Settings;
use crate::options::CallOptions;

/// An opaque handle: options that are set one by one, for programs that do not want to write JSON.
#[allow(non_camel_case_types)]
pub struct commbox_options {
    _opaque: (),
}

static OPTIONS: Table<Mutex<Settings>> = Table::new(4, "options", "commbox_options_new");

/// Creates an empty set of options, in which every option has its default.
///
/// @return The options, which the caller frees with commbox_options_free(); NULL on failure.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_options_new() -> *mut commbox_options {
    OPTIONS.made(guard(|| OPTIONS.insert(Mutex::default())))
}

/// Sets one option. It may be an option of commbox_client_new(), commbox_batch_new() or
/// commbox_update_user_json_with(). The value is checked at once. It replaces the value that was
/// set before.
///
/// @param options  The options.
/// @param key      The key of the option, such as `total_timeout_ms`; `headers.NAME` for one
///                 header.
/// @param value    The value as text, such as `300`, `true` or `http://proxy.example:3128`; a JSON
///                 object for `headers`. It is copied, and wiped when the options are freed.
/// @return #COMMBOX_OK, or one of these codes, after which the options are unchanged:
///         - #COMMBOX_INVALID_HANDLE: `options` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `key` or `value` is not text
///         - #COMMBOX_INVALID_OPTIONS: the key is unknown, or the value is out of range
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_options_set(
    options: *mut commbox_options,
    key: *const c_char,
    value: *const c_char,
) -> i32 {
    code(|| {
        with(options, |settings| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and
            // unchanged during the call.
            unsafe { settings.set(text::required(key, "key")?, text::required(value, "value")?) }
        })
    })
}

/// Frees options. Clients and batches that were created with them keep their values.
///
/// @param options  The options, or NULL. If they are already freed, nothing happens except that the
///                 last error becomes #COMMBOX_INVALID_HANDLE.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_options_free(options: *mut commbox_options) {
    free(|| OPTIONS.remove(options));
}

/// Returns the options that were set, or the defaults if the handle is NULL.
pub(super) fn read<T: FromObject>(options: *mut commbox_options) -> Result<T> {
    match options.is_null() {
        true => Settings::default().read(),
        false => with(options, |settings| settings.read()),
    }
}

/// Returns the options of a call.
///
/// # Safety
///
/// As [`text::required`].
pub(super) unsafe fn of_call(call_json: *const c_char) -> Result<CallOptions> {
    // SAFETY: passed on to the caller.
    match unsafe { text::optional(call_json, "call_json") }? {
        None | Some("") => Ok(CallOptions::default()),
        Some(json) => CallOptions::from_json(json),
    }
}

fn with<T>(
    options: *mut commbox_options,
    body: impl FnOnce(&mut Settings) -> Result<T>,
) -> Result<T> {
    let options = OPTIONS.get(options)?;
    fork::held(|| body(&mut options.lock().unwrap_or_else(PoisonError::into_inner)))
}
