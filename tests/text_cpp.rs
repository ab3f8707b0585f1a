//! The types that the C++ header accepts as text.

mod common;

use common::build::{compile, Language};

#[test]
fn null_is_json_null() {
    let mut program = compile(Language::Cpp, "cpp/text.cpp", "text-cpp");
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
