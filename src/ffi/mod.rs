//! The C interface. It converts handles, text and errors, and decides nothing.
//!
//! `include/commbox.h` is generated from these files (`build.rs`): the documentation of a function
//! here is its documentation in C. The manual pages are generated from the header.

// The safety rules are the same for all functions, and the header begins with them. A Safety
// section in every comment would only be in the way of C programmers.
#![allow(clippy::missing_safety_doc)]

// The functions of the header are in the order of these modules.
mod client;

mod callbacks;
mod inspect;
mod update;

mod codes;
mod handle;
mod last_error;
mod options;
mod text;
mod user;

// Last in the header, because it builds on the rest.
mod batch;

use std::cell::Cell;
use std::ffi::c_char;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

pub use batch::{
    commbox_batch, commbox_batch_cancel, commbox_batch_cancel_tag, commbox_batch_close,
    commbox_batch_free, commbox_batch_new, commbox_batch_new_with, commbox_batch_next,
    commbox_batch_notify_fd, commbox_batch_stats_json, commbox_batch_submit,
    commbox_batch_submit_with,
};
pub use callbacks::{commbox_client_set_interrupt, commbox_client_set_log};
pub use client::{
    commbox_client, commbox_client_cancel, commbox_client_free, commbox_client_new,
    commbox_client_new_with, commbox_client_set_api_key,
    commbox_client_set_max_requests_per_second,
};
pub use codes::*;
pub use inspect::{
    commbox_client_diagnose_json, commbox_client_stats_json, commbox_client_validate_user_json,
};
pub use last_error::{
    commbox_last_attempts, commbox_last_delivery, commbox_last_elapsed_ms, commbox_last_error,
    commbox_last_error_code, commbox_last_error_json, commbox_last_http_status,
    commbox_last_request_id, commbox_last_retry_after_ms,
};
pub use options::{
    commbox_options, commbox_options_free, commbox_options_new, commbox_options_set,
};
pub use text::commbox_string_free;
pub use update::{commbox_update_user_json, commbox_update_user_json_with};
pub use user::{
    commbox_user, commbox_user_free, commbox_user_new, commbox_user_set, commbox_user_set_custom,
    commbox_user_to_json,
};

use crate::error::{Error, Result};
use crate::failpoint;
use crate::fork;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The boundary of every function that can fail: clears this thread's last error, runs `body`,
/// stores its error, and catches panics. Returns the result of `body`, or the code of the error.
///
/// If `body` invokes a callback of the program, that may call the library itself; the errors of
/// such calls are not errors of this call.
pub(crate) fn guard<T>(body: impl FnOnce() -> Result<T>) -> std::result::Result<T, i32> {
    let outcome = caught(|| {
        last_error::clear();
        failpoint::reach(function_of(&body));
        let made = body()?;
        last_error::forget();
        Ok(made)
    });
    let error = match outcome {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error,
        None => Error::bug(),
    };
    let code = error.kind().code();
    match caught(|| last_error::keep(&error)) {
        Some(()) => Err(code),
        None => {
            last_error::keep_nothing_but_internal();
            Err(COMMBOX_INTERNAL)
        }
    }
}

/// The boundary of accessors, which leave the last error unchanged. Returns `otherwise` if `body`
/// panics.
pub(crate) fn accessor<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    let found = caught(|| {
        let place = function_of(&body);
        let found = body();
        failpoint::reach(place);
        found
    });
    found.unwrap_or(otherwise)
}

/// Runs `body`; returns `None` if it panics.
fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    silence_own_panics();
    let outer = INSIDE.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(outer);
    outcome.ok()
}

/// Returns the name of the exported function that calls the guard with this closure, in test
/// builds.
fn function_of<T>(_body: &T) -> &'static str {
    if !cfg!(feature = "failpoints") {
        return "";
    }
    std::any::type_name::<T>()
        .split("::")
        .find(|part| part.starts_with("commbox_"))
        .unwrap_or_default()
}

/// The boundary of functions that free. If they succeed, they leave the last error unchanged,
/// because programs clean up after a failure.
pub(crate) fn free(body: impl FnOnce() -> Result<()>) {
    let last = last_error::take();
    if guard(body).is_ok() {
        last_error::restore(last);
    }
}

/// The boundary of functions that return a code.
pub(crate) fn code(body: impl FnOnce() -> Result<()>) -> i32 {
    guard(body).err().unwrap_or(COMMBOX_OK)
}

/// Makes panics of a thread of this library silent, like those of guarded calls.
pub(crate) fn mark_thread_as_own() {
    INSIDE.set(true);
}

/// Keeps caught panics from being printed. All other panics of the process are reported as before.
fn silence_own_panics() {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() {
        return;
    }
    let silence = || {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !INSIDE.try_with(Cell::get).unwrap_or(false) {
                others(panic);
            }
        }));
    };
    // A fork in the middle would leave it unfinished in the child forever.
    fork::held(|| ONCE.call_once(silence));
}

/// Returns the version of the library, `MAJOR.MINOR.PATCH`. An accessor.
///
/// @return The version, a constant: never NULL, and never to be freed.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_version() -> *const c_char {
    accessor(c"".as_ptr(), || concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast())
}

/// Returns the version of the binary interface (ABI) of the library. It increases when a program
/// that was compiled with an older header would break. A program that loads the library at run time
/// compares it with #COMMBOX_ABI_VERSION. An accessor.
///
/// @return The ABI version: the #COMMBOX_ABI_VERSION of the header that the library was built with.
/// @since 1.0
#[no_mangle]
pub extern "C" fn commbox_abi_version() -> u32 {
    accessor(0, || COMMBOX_ABI_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn a_success_clears_the_error_of_a_nested_call() {
        let within = || {
            code(|| {
                Err(Error::new(crate::error::ErrorKind::InvalidArgument, "of the caller's poll"))
            })
        };
        assert_eq!(
            code(|| {
                within();
                Ok(())
            }),
            COMMBOX_OK
        );
        assert_eq!(commbox_last_error_code(), COMMBOX_OK);
    }

    #[test]
    fn a_panic_becomes_a_code_and_the_next_call_works() {
        assert_eq!(code(|| panic!("a bug")), COMMBOX_INTERNAL);
        let message = commbox_last_error();
        // SAFETY: never NULL, and this thread makes no other call before the text is read.
        assert!(unsafe { CStr::from_ptr(message) }.to_str().unwrap().contains("bug"));
        assert_eq!(code(|| Ok(())), COMMBOX_OK);
    }
}
