//! The programs of the folder `examples`.

use std::path::Path;
use std::process::Command;

use crate::common::build::{compile_file, Language};
use crate::run::{prints_no_answer, run, sandbox};
use crate::{common, ROOT};

/// Those in C# run with the others in C#.
#[test]
fn example_programs_print_a_reply() {
    let sandbox = sandbox();
    let examples = Path::new(ROOT).join("examples");
    let mut python = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    python
        .arg(examples.join("update_user.py"))
        .env("PYTHONPATH", Path::new(ROOT).join("bindings/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("COMMBOX_LIBRARY", common::build::library());
    let mut rust = Command::new(env!("CARGO"));
    common::build::forget_test(&mut rust);
    rust.args(["run", "--quiet", "--example", "update_user"]).current_dir(ROOT);
    rust.env("CARGO_TARGET_DIR", common::build::target_dir());
    let programs = [
        (
            "the example in C",
            compile_file(Language::C, &examples.join("update_user.c"), "example-c"),
        ),
        (
            "the example in C++",
            compile_file(Language::Cpp, &examples.join("update_user.cpp"), "example-cpp"),
        ),
        ("the example in Python", python),
        ("the example in Rust", rust),
    ];
    for (what, mut program) in programs {
        let printed = run(what, &mut program, &sandbox);
        assert!(printed.contains("user 94382332 is updated"), "{what}: {printed}");
        prints_no_answer(what, &mut program, &sandbox);
    }
}
