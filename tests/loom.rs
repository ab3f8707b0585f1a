//! Tests the table of handles with loom, in every order in which threads may run. See `tests/loom`.

mod common;

use std::path::Path;
use std::process::Command;

#[test]
fn the_handle_table_is_correct_in_every_interleaving() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("loom");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--locked", "--manifest-path"]);
    cargo
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loom/Cargo.toml"), "--target-dir"])
        .arg(target);
    let output = cargo.env("RUSTFLAGS", "--cfg loom").output().expect("cargo starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    // If no test ran, this test must fail.
    assert!(told.contains("3 passed; 0 failed"), "{told}");
}
