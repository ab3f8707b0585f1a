//! Errors that mean that the system is temporarily out of a resource.

use std::io;

#[cfg(windows)]
use windows_sys::Win32::Networking::WinSock::{WSAEMFILE, WSAENOBUFS};

use crate::thread::NoThread;

/// Returns the exhausted resource, if that caused the error.
pub(super) fn shortage(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            return Some("this process has too many files open; close some, or raise its limit")
        }
        Some(libc::ENFILE) => return Some("this machine has too many files open"),
        _ => {}
    }
    #[cfg(windows)]
    match error.raw_os_error() {
        Some(WSAEMFILE) => return Some("this process has too many sockets open; close some"),
        Some(WSAENOBUFS) => return Some("this machine has no room or no port left for a socket"),
        _ => {}
    }
    if error.get_ref().is_some_and(|error| error.is::<NoThread>()) {
        return Some(
            "could not start a thread for the DNS lookup; end some threads, or raise the limit",
        );
    }
    (error.kind() == io::ErrorKind::OutOfMemory).then_some("this machine has too little memory")
}
