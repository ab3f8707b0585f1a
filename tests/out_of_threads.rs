//! A process that cannot start more threads: the error says so.

#![cfg(target_os = "linux")]

mod common;
mod native;

use serde_json::json;

#[test]
fn a_lookup_and_a_batch_report_that_no_thread_can_start() {
    let options = json!({"base_url": "http://one.example:1", "allow_http": true, "max_retries": 0})
        .to_string();
    let output = native::program("out_of_threads").arg(options).output().unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}
