//! Options in C, set one by one.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::ffi::handle::Table;
use crate::ffi::{code, free, guard, text};
use crate::fork;
use crate::options::object::FromObject;
use crate::options::settings::Settings;
use crate::options::CallOptions;

/// Options, for programs that would have to put JSON together otherwise. A handle.
#[allow(non_camel_case_types)]
pub struct commbox_options {
    _opaque: (),
}

static OPTIONS: Table<Mutex<Settings>> = Table::new(4, "options", "commbox_options_new");

/// Makes options without a value: all are as by default.
///
/// @return The options, to be freed with commbox_options_free(); NULL on failure.
#[no_mangle]
pub extern "C" fn commbox_options_new() -> *mut commbox_options {
    OPTIONS.made(guard(|| OPTIONS.insert(Mutex::default())))
}

/// Sets an option of commbox_client_new(), commbox_batch_new() or commbox_update_user_json_with(). It is checked at once.
///
/// @param options  The options.
/// @param key      Its key, such as `total_timeout_ms`; `headers.NAME` for one header.
/// @param value    Its value as text: `300`, `true`, `http://proxy.example:3128`; of `headers` a JSON object. It replaces a
///                 value that was set before. Copied, and wiped when the options are freed.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE, #COMMBOX_INVALID_ARGUMENT, or #COMMBOX_INVALID_OPTIONS: the options then
///         stay as they are.
#[no_mangle]
pub unsafe extern "C" fn commbox_options_set(
    options: *mut commbox_options,
    key: *const c_char,
    value: *const c_char,
) -> i32 {
    code(|| {
        with(options, |settings| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
            unsafe { settings.set(text::required(key, "key")?, text::required(value, "value")?) }
        })
    })
}

/// Frees options. Clients and batches that were made with them keep their values.
///
/// @param options  The options. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
///                 commbox_last_error_json(), and nothing happens.
#[no_mangle]
pub extern "C" fn commbox_options_free(options: *mut commbox_options) {
    free(|| OPTIONS.remove(options));
}

/// What was set, or the defaults of NULL.
pub(super) fn read<T: FromObject>(options: *mut commbox_options) -> Result<T> {
    match options.is_null() {
        true => Settings::default().read(),
        false => with(options, |settings| settings.read()),
    }
}

/// The options of a call.
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

fn with<T>(options: *mut commbox_options, body: impl FnOnce(&mut Settings) -> Result<T>) -> Result<T> {
    let options = OPTIONS.get(options)?;
    fork::held(|| body(&mut options.lock().unwrap_or_else(PoisonError::into_inner)))
}
