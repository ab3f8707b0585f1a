//! The examples in C and C++.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::build::{compile_file, Language};
use crate::common::page::blocks;
use crate::common::sandbox::Sandbox;
use crate::run::{prints_no_answer, run, sandbox};
use crate::{blocks_of_all_pages, API_KEY, ROOT};

/// The example that opens the header: its indented lines.
fn header_example() -> String {
    let header =
        fs::read_to_string(Path::new(ROOT).join("include/commbox.h")).expect("the header is there");
    let lines = header
        .lines()
        .filter_map(|line| line.strip_prefix(" *     "))
        .take_while(|line| !line.is_empty());
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with(' ')).collect();
    lines.join("\n")
}

/// The program of an example, whose client has this key and asks the sandbox.
fn program(
    language: Language,
    name: &str,
    text: &str,
    api_key: &str,
    sandbox: &Sandbox,
) -> Command {
    let client = format!(r#"("{api_key}", "{{\"base_url\": \"{}\"}}")"#, sandbox.url);
    let (example, ending) = match language {
        Language::C => (r#"("my-api-key", NULL)"#, "c"),
        Language::Cpp => (r#"("my-api-key")"#, "cpp"),
    };
    assert!(text.contains(example), "{name} makes no client with {API_KEY}:\n{text}");
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{ending}"));
    fs::write(&source, text.replace(example, &client)).expect("the source can be written");
    compile_file(language, &source, name)
}

fn native(language: Language, name: &str, text: &str, sandbox: &Sandbox) {
    let mut program = program(language, name, text, API_KEY, sandbox);
    prints_no_answer(name, &mut program, sandbox);
    run(name, &mut program, sandbox);
    let (_, user) = sandbox.get("/users/94382332");
    assert!(user.contains("\"FirstName\":\"John\""), "{name}: {user}");
}

#[test]
fn c() {
    let sandbox = sandbox();
    for (index, block) in blocks_of_all_pages("c").iter().enumerate() {
        native(Language::C, &format!("docs-c-{index}"), block, &sandbox);
    }
    let example = header_example();
    let program = format!(
        "#include <commbox.h>\n#include <stdio.h>\nint main(void)\n{{\n{example}\nreturn code != COMMBOX_OK;\n}}\n"
    );
    native(Language::C, "header-example", &program, &sandbox);
}

#[test]
fn a_c_batch_without_a_key_reports_the_error() {
    let sandbox = sandbox();
    let is_batch = |block: &String| block.contains("commbox_batch_submit");
    let example = blocks("docs/batches.md", "c")
        .into_iter()
        .find(is_batch)
        .expect("there is an example of a batch");
    let mut program = program(Language::C, "docs-c-no-key", &example, "", &sandbox);
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.lines().count() == 1 && told.contains("api_key is empty"), "{told}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn cpp() {
    let sandbox = sandbox();
    for (index, block) in blocks_of_all_pages("cpp").iter().enumerate() {
        native(Language::Cpp, &format!("docs-cpp-{index}"), block, &sandbox);
    }
    let hpp = fs::read_to_string(Path::new(ROOT).join("include/commbox.hpp"))
        .expect("the header is there");
    let example: Vec<_> = hpp.lines().filter_map(|line| line.strip_prefix(" *     ")).collect();
    let program = format!("#include <commbox.hpp>\nint main()\n{{\n{}\n}}\n", example.join("\n"));
    native(Language::Cpp, "hpp-example", &program, &sandbox);
}
