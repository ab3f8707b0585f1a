//! The threads of the library's own.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The system has no thread to give.
#[derive(Debug, thiserror::Error)]
#[error("could not start a thread")]
pub(crate) struct NoThread;

/// Starts a thread that no signal is delivered to: programs block signals in the threads that they know of, to take
/// them where they choose.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(windows)]
    keep_loaded()?;
    let started = without_signals(|| Builder::new().name(name.to_owned()).spawn(body));
    started.map_err(|_| io::Error::other(NoThread))
}

/// Runs `start` with all signals blocked but those of a fault, which the thread that has it must get. Threads that it
/// starts inherit that.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    use std::mem::MaybeUninit;
    use std::ptr;

    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both may be written; sigfillset has made the set before it is changed and read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: pthread_sigmask has written it above, for it fails only where its first argument is none of its own.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started
}

#[cfg(not(unix))]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    start()
}

/// Has a later `FreeLibrary()` leave the code where it is, for the thread that starts now may outlive that. On Linux a
/// flag of the library itself says so.
#[cfg(windows)]
fn keep_loaded() -> io::Result<()> {
    use std::ptr;
    use windows_sys::Win32::System::LibraryLoader::{
        GetModuleHandleExW, GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
    };

    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    let mut module = ptr::null_mut();
    let within: fn() -> io::Result<()> = keep_loaded;
    // SAFETY: an address within this module, and room for the handle, which needs no closing.
    match unsafe { GetModuleHandleExW(flags, within as *const u16, &raw mut module) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
