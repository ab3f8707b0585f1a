//! The folder for files that tests write.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns a folder below `target/tmp`, or `target/tmp` itself. Tests for several platforms run at
/// the same time, each in its own folder.
pub fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(platform) = env::var_os("COMMBOX_TEST_PLATFORM") else { return folder.into() };
    let folder = folder.join(platform);
    fs::create_dir_all(&folder).expect("target/tmp can be written");
    folder
}
