//! The callbacks of a client in C: one that can cancel its calls, and one that receives its log.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::ffi::client::{commbox_client, CLIENTS};
use crate::ffi::{code, text};
use crate::log::{LogCallback, LogLevel};

/// Sets a callback that is invoked at least every 100 ms while a call blocks, on the thread that
/// made the call. If it returns nonzero, that call is cancelled and returns #COMMBOX_CANCELLED. The
/// callback applies to calls that begin afterwards.
///
/// @param client   The client.
/// @param poll     The callback; NULL removes it. It must return normally, not by an exception or
///                 longjmp. It may call any function of this library.
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
///                 returns. It must return normally, not by an exception or longjmp.
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
