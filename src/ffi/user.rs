//! The body builder in C.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::ffi::handle::Table;
use crate::ffi::{code, free, guard, text};
use crate::fork;
use crate::user::User;

/// An opaque handle: the fields of a user, for programs without a JSON library.
#[allow(non_camel_case_types)]
pub struct commbox_user {
    _opaque: (),
}

static USERS: Table<Mutex<User>> = Table::new(2, "user", "commbox_user_new");

fn with<T>(user: *const commbox_user, body: impl FnOnce(&mut User) -> Result<T>) -> Result<T> {
    let user = USERS.get(user)?;
    fork::held(|| body(&mut user.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Creates a user without fields.
///
/// @return The user, which the caller frees with commbox_user_free(); NULL on failure.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_user_new() -> *mut commbox_user {
    USERS.made(guard(|| USERS.insert(Mutex::default())))
}

/// Sets a field of a user, such as `FirstName`. It replaces the value that was set before. The
/// limits and the spelling of the fields are checked by commbox_update_user_json(), not here.
///
/// @param user   The user.
/// @param name   The name of the field, case-sensitive. It must not be "" or `Content`. It is
///               copied.
/// @param value  The value; NULL for a JSON null. It is copied, and escaped as JSON requires.
/// @return #COMMBOX_OK, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `user` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `name` or `value` is invalid
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_user_set(
    user: *mut commbox_user,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    code(|| {
        with(user, |user| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and
            // unchanged during the call.
            unsafe { user.set(text::required(name, "name")?, text::optional(value, "value")?) }
        })
    })
}

/// Sets a custom field of a user, a member of `Content`. It replaces the value that was set before.
///
/// @param user   The user.
/// @param name   The "Unique Name" of the field in the Custom Fields module, case-sensitive. It
///               must not be "". It is copied.
/// @param value  The value; NULL for a JSON null. It is copied, and escaped as JSON requires.
/// @return #COMMBOX_OK, or one of these codes:
///         - #COMMBOX_INVALID_HANDLE: `user` is invalid
///         - #COMMBOX_INVALID_ARGUMENT: `name` or `value` is invalid
/// @since 1.0
#[no_mangle]
pub unsafe extern "C" fn commbox_user_set_custom(
    user: *mut commbox_user,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    code(|| {
        with(user, |user| {
            // SAFETY: by the conventions of the header, text is NULL or NUL-terminated and
            // unchanged during the call.
            unsafe {
                user.set_custom(text::required(name, "name")?, text::optional(value, "value")?)
            }
        })
    })
}

/// Returns the body for commbox_update_user_json(): `{"data": {…}}`, with the fields in the order
/// in which they were first set. The user is unchanged.
///
/// @param user  The user.
/// @return The JSON, which the caller frees with commbox_string_free(); NULL on failure.
///         commbox_last_error_code() then returns this code:
///         - #COMMBOX_INVALID_HANDLE: `user` is invalid
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_user_to_json(user: *mut commbox_user) -> *mut c_char {
    text::handed_out(guard(|| with(user, |user| Ok(text::c_string(user.to_json())))))
}

/// Frees a user.
///
/// @param user  The user, or NULL. If it is already freed, nothing happens except that the last
///              error becomes #COMMBOX_INVALID_HANDLE.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_user_free(user: *mut commbox_user) {
    free(|| USERS.remove(user));
}
