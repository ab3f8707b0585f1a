//! Mistakes of C programs: each must return its error code and do nothing else.

mod common;

use common::build::{compile, Language};
use common::valgrind::Valgrind;

#[test]
fn handles_and_text() {
    let mut program = compile(Language::C, "c/handles.c", "handles");
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "the library printed");
}

#[test]
fn handles_and_text_under_valgrind() {
    let program = compile(Language::C, "c/handles.c", "handles-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let output = checked.command().output().expect("valgrind starts");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    checked.assert_clean(output.status);
}
