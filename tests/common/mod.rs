//! Code that the integration tests share, such as the sandbox as a child process, the release
//! library and the compilers.

// Each test program uses only a part of this module.
#![allow(dead_code)]

pub mod build;
pub mod case;
pub mod header;
pub mod install;
pub mod page;
pub mod sandbox;
pub mod scratch;
pub mod threads;
pub mod tools;
pub mod valgrind;
