//! The body builder in C.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::ffi::handle::Table;
use crate::ffi::{code, free, guard, text};
use crate::fork;
use crate::user::User;

/// A user's fields on the way to becoming JSON, for programs without a JSON library. A handle.
#[allow(non_camel_case_types)]
pub struct commbox_user {
    _opaque: (),
}

static USERS: Table<Mutex<User>> = Table::new(2, "user", "commbox_user_new");

fn with<T>(user: *const commbox_user, body: impl FnOnce(&mut User) -> Result<T>) -> Result<T> {
    let user = USERS.get(user)?;
    fork::held(|| body(&mut user.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Makes a user without fields.
///
/// @return The user, to be freed with commbox_user_free(); NULL on failure.
#[no_mangle]
pub extern "C" fn commbox_user_new() -> *mut commbox_user {
    USERS.made(guard(|| USERS.insert(Mutex::default())))
}

/// Sets a field, such as `FirstName`. A field that was set before is overridden. Limits and near misses are checked
/// by commbox_update_user_json().
///
/// @param user   The user.
/// @param name   The field's name, case-sensitive. Not "" and not `Content`. Copied.
/// @param value  The value; NULL is JSON null. Copied and escaped as JSON needs.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE or #COMMBOX_INVALID_ARGUMENT.
#[no_mangle]
pub unsafe extern "C" fn commbox_user_set(user: *mut commbox_user, name: *const c_char, value: *const c_char) -> i32 {
    code(|| {
        with(user, |user| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
            unsafe { user.set(text::required(name, "name")?, text::optional(value, "value")?) }
        })
    })
}

/// Sets a custom field, as `Content` holds it. A field that was set before is overridden.
///
/// @param user   The user.
/// @param name   The field's "Unique Name" of the Custom Fields module, case-sensitive. Not "". Copied.
/// @param value  The value; NULL is JSON null. Copied and escaped as JSON needs.
/// @return #COMMBOX_OK, #COMMBOX_INVALID_HANDLE or #COMMBOX_INVALID_ARGUMENT.
#[no_mangle]
pub unsafe extern "C" fn commbox_user_set_custom(
    user: *mut commbox_user,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    code(|| {
        with(user, |user| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and unchanged during the call.
            unsafe { user.set_custom(text::required(name, "name")?, text::optional(value, "value")?) }
        })
    })
}

/// The body for commbox_update_user_json(): `{"data": {…}}` with the fields in the order they were first set.
///
/// @param user  The user; it stays as it is.
/// @return The JSON, to be freed with commbox_string_free(); NULL on failure.
#[no_mangle]
pub extern "C" fn commbox_user_to_json(user: *mut commbox_user) -> *mut c_char {
    text::handed_out(guard(|| with(user, |user| Ok(text::c_string(user.to_json())))))
}

/// Frees a user.
///
/// @param user  The user. NULL is fine. A handle that is already freed is #COMMBOX_INVALID_HANDLE in
///              commbox_last_error_json(), and nothing happens.
#[no_mangle]
pub extern "C" fn commbox_user_free(user: *mut commbox_user) {
    free(|| USERS.remove(user));
}
