//! Options in C++, set one by one.

mod common;

use common::build::{compile, Language};
use common::sandbox::Sandbox;

#[test]
fn options_are_checked_and_serve_clients_and_batches() {
    let sandbox = Sandbox::start();
    let output = compile(Language::Cpp, "cpp/options.cpp", "options-cpp")
        .arg(&sandbox.url)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
