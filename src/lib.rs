//! The CommBox "Update User" call, done well: `POST /users/{USER_ID}` with a Bearer API key.
//!
//! This crate is a C library first (`include/commbox.h`); the same core is usable from Rust:
//!
//! ```no_run
//! let client = commbox::Client::new("my-api-key", &commbox::Options::default())?;
//! let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
//! # Ok::<(), commbox::Error>(())
//! ```
//!
//! The facts about the API (fields, limits, replies) are those of the vendor's OpenAPI document, version 2.07.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

// By this name the checks of the fuzz targets know it, which the tests run too.
#[cfg(test)]
extern crate self as commbox;

mod batch;
mod bytes;
mod client;
mod delivery;
mod error;
mod failpoint;
pub mod ffi;
mod fork;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod json;
mod log;
mod nearest;
mod options;
mod reply;
mod secret;
mod stats;
mod thread;
mod transport;
mod user;

pub use batch::{Batch, BatchOptions, BatchStats, Finished};
pub use client::Client;
pub use error::{Delivery, Error, ErrorKind, Problem, Result};
pub use headers::Headers;
pub use log::{LogCallback, LogLevel};
pub use options::{CallOptions, Options, UnknownFields};
pub use reply::UpdateReply;
pub use stats::{ClientStats, LatencyStats, LineState, LineStats};
pub use user::User;
