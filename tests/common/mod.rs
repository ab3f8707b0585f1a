//! Code that the integration tests share: the sandbox as a child process, the release library,
//! compilers.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub mod build;
pub mod case;
pub mod header;
pub mod install;
pub mod page;
pub mod sandbox;
pub mod scratch;
pub mod tools;
pub mod valgrind;
