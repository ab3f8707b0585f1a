//! Updates a customer's record in CommBox: `POST /users/{USER_ID}` with an API key.
//!
//! This crate is a C library first (`include/commbox.h`); the same core can be used from Rust:
//!
//! ```
//! use commbox::{Client, Options};
//!
//! let options = Options::default();
//! # mod fake { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctest/server.rs")); }
//! # let options = fake::options();
//! let client = Client::new("my-api-key", &options)?;
//! let reply = client.update_user_json(94_382_332, r#"{"FirstName": "John"}"#)?;
//! println!("updated after {} attempts", reply.attempts());
//! # Ok::<(), commbox::Error>(())
//! ```
//!
//! [`Client`] sends one update at a time per call, from any number of threads. [`Batch`] sends many
//! updates with bounded memory. Both retry transient failures, respect the server's rate limit, and
//! pause during outages; [`Options`] has the limits. An [`Error`] shows whether the server may have
//! processed the update.
//!
//! Fields, limits and replies are those of the vendor's OpenAPI document, version 2.07.
//!
//! Everything here exists since version 1.0, unless it says otherwise.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

// The checks of the fuzz targets, which the tests run too, use the crate under this name.
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
