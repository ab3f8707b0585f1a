//! The threads of the library.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The system could not start a thread.
#[derive(Debug, thiserror::Error)]
#[error("could not start a thread")]
pub(crate) struct NoThread;

/// Starts a thread to which no signals are delivered, because programs block signals in their own
/// threads in order to handle them where they choose.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(windows)]
    keep_loaded()?;
    let started = without_signals(|| Builder::new().name(name.to_owned()).spawn(body));
    started.map_err(|_| io::Error::other(NoThread))
}

/// Runs `start` with all signals blocked except those of a fault, which must be delivered to the
/// faulting thread. New threads inherit the mask.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    use std::mem::MaybeUninit;
    use std::ptr;

    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are valid for writes. sigfillset initializes the set before it is changed
    // and read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: pthread_sigmask wrote `before` above, because it fails only if its first argument is
    // invalid.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started
}

#[cfg(not(unix))]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    start()
}

/// Prevents a later `FreeLibrary()` from unloading the code, because the new thread may outlive
/// that call. On Linux, a flag of the library does the same.
#[cfg(windows)]
fn keep_loaded() -> io::Result<()> {
    use std::ptr;
    use windows_sys::Win32::System::LibraryLoader::{
        GetModuleHandleExW, GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
    };

    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let mut module = ptr::null_mut();
    let within: fn() -> io::Result<()> = keep_loaded;
    // SAFETY: `within` is an address in this module, and `module` has room for the handle, which
    // needs no closing.
    match unsafe { GetModuleHandleExW(flags, within as *const u16, &raw mut module) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
