//! A call may need more memory than is available, because its input may have any size. The call
//! then returns an error, and the process continues.

#![cfg(target_os = "linux")]

mod common;
mod native;

use common::sandbox::Sandbox;
use serde_json::json;

#[test]
fn a_user_that_does_not_fit_into_memory_is_refused() {
    let sandbox = Sandbox::start();
    let options = json!({"base_url": sandbox.url, "proxy": ""}).to_string();
    let output = native::program("out_of_memory").arg(options).output().unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert_eq!(sandbox.requests().len(), 2);
}
