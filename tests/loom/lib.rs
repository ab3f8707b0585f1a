//! The library's table of handles with loom's locks, and models of how threads use it.
#![cfg(all(test, loom))]

#[path = "../../src/failpoint.rs"]
mod failpoint;
#[path = "../../src/ffi/handle.rs"]
mod handle;
mod models;

/// The part of the library's errors that the table needs.
mod error {
    pub type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug)]
    pub struct Error;

    #[derive(Debug, PartialEq)]
    pub enum ErrorKind {
        InvalidHandle,
        Internal,
    }

    impl Error {
        pub fn new(kind: ErrorKind, message: impl std::fmt::Display) -> Self {
            unreachable!("{kind:?}: {message}");
        }

        pub fn problem(kind: ErrorKind, _path: &str, message: impl std::fmt::Display) -> Self {
            assert_eq!(kind, ErrorKind::InvalidHandle, "{message}");
            Self
        }
    }
}

/// The models do not fork.
mod fork {
    pub fn held<T>(section: impl FnOnce() -> T) -> T {
        section()
    }
}

mod ffi {
    pub mod last_error {
        pub fn cause_of_null(_maker: &str) -> Option<String> {
            None
        }
    }
}
