//! Tools that tests need and that may not be installed.

use std::env;

/// Returns whether a tool is installed. In CI, a missing tool fails the test.
pub fn has(tool: &str, package: &str) -> bool {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(tool).is_file());
    assert!(
        found || env::var_os("CI").is_none(),
        "{tool} ({package}) is not installed; CI needs it"
    );
    if !found {
        eprintln!("NOT RUN: {tool} is not installed");
    }
    found
}
