//! Compiles the examples of the documentation unchanged, and runs them against the sandbox.
//!
//! If the wrapper of the language reads `COMMBOX_BASE_URL`, the program gets the address from
//! there. In C and C++, the options in the example are replaced by ones that contain the address.

#[path = "../common/mod.rs"]
mod common;

mod csharp;
mod examples;
mod native;
mod run;
mod scripts;

use std::fs;
use std::path::Path;

use common::page::{self, blocks};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const API_KEY: &str = "my-api-key";

/// Who compiles and runs the blocks of a language on a page; `*` is every page.
const RUN_BY: [(&str, &str, &str); 32] = [
    ("*", "c", "c()"),
    ("*", "cpp", "cpp()"),
    ("README.md", "python", "python()"),
    ("docs/python.md", "python", "python()"),
    ("bindings/python/README.md", "python", "python()"),
    ("docs/python.md", "py", "bindings/python/tests: test_frames.py, test_testing.py"),
    ("README.md", "csharp", "csharp()"),
    ("docs/csharp.md", "csharp", "csharp()"),
    ("docs/testing-dotnet.md", "csharp", "csharp()"),
    ("docs/dotnet-framework.md", "csharp", "csharp()"),
    (
        "bindings/csharp/CommBox/README.md",
        "csharp",
        "csharp(): it is the first one of docs/csharp.md",
    ),
    ("docs/services.md", "csharp", "CommBox.Extensions.Hosting.Tests/PageTests.cs"),
    ("docs/services.md", "json", "CommBox.Extensions.Hosting.Tests/PageTests.cs"),
    (
        "bindings/csharp/CommBox.Extensions.Hosting/README.md",
        "csharp",
        "CommBox.Extensions.Hosting.Tests/PageTests.cs",
    ),
    ("docs/spark.md", "python", "bindings/python/tests_spark/test_recipes.py"),
    ("docs/spark.md", "sh", "test_recipes.py needs what it installs"),
    ("docs/powershell.md", "powershell", "CommBox.Tests/DocsTests.cs"),
    ("docs/rust.md", "rust", "package.rs"),
    ("docs/rust.md", "toml", "package.rs"),
    (
        "docs/install.md",
        "toml",
        "install_commands_are_the_same_on_every_page(): it is the one of docs/rust.md",
    ),
    ("docs/options.md", "json", "option_tables.rs"),
    ("docs/command.md", "toml", "cli/tests/docs.rs"),
    ("docs/command.md", "sh", "cli/tests/docs.rs"),
    ("README.md", "csv", "cli/tests/docs.rs"),
    ("README.md", "console", "cli/tests/docs.rs"),
    ("docs/install.md", "sh", "install_section.rs"),
    ("docs/install.md", "cmake", "install_section.rs"),
    ("docs/install.md", "xml", "install_section.rs"),
    ("README.md", "sh", "shell_lines()"),
    ("docs/c.md", "sh", "shell_lines()"),
    ("docs/python.md", "sh", "install_commands_are_the_same_on_every_page()"),
    ("bindings/python/README.md", "sh", "install_commands_are_the_same_on_every_page()"),
];

/// The pages for users.
fn pages() -> Vec<String> {
    let files = fs::read_dir(Path::new(ROOT).join("docs")).expect("there are pages");
    let names = files
        .map(|file| file.expect("it can be read").file_name().into_string().expect("it is text"));
    let mut pages: Vec<_> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    assert!(pages.len() >= 20, "{pages:?}");
    let others = ["README.md", "bindings/python/README.md", "bindings/csharp/CommBox/README.md"];
    let hosting = "bindings/csharp/CommBox.Extensions.Hosting/README.md";
    others.iter().chain([&hosting]).map(ToString::to_string).chain(pages).collect()
}

/// The blocks of a language, of all pages for users.
fn blocks_of_all_pages(language: &str) -> Vec<String> {
    pages().iter().flat_map(|page| page::blocks_in(&page::read(page), language)).collect()
}

/// A block that nobody runs, in a language or on a page that is new, would be wrong one day.
#[test]
fn every_example_is_run_by_a_test() {
    let mut unknown = Vec::new();
    for page in pages() {
        for language in page::languages(&page::read(&page)) {
            let run = |row: &&(&str, &str, &str)| {
                [page.as_str(), "*"].contains(&row.0) && row.1 == language
            };
            if RUN_BY.iter().find(run).is_none() {
                unknown.push(format!("{page}: {language:?}"));
            }
        }
    }
    assert_eq!(unknown, [""; 0], "no test runs these examples");
    for (page, language, by) in RUN_BY {
        assert!(
            page == "*" || page::languages(&page::read(page)).contains(&language.to_owned()),
            "{page} {language}"
        );
        // The tests of other files are where they are said to be.
        if let Some(file) = by.split(':').next().filter(|file| file.ends_with(".rs")) {
            let folder = if file.contains('/') { "" } else { "tests" };
            assert!(Path::new(ROOT).join(folder).join(file).exists(), "{by}");
        }
    }
}

/// Where several pages have a command, install_section.rs runs one, and the others are the same.
#[test]
fn install_commands_are_the_same_on_every_page() {
    let install = blocks("docs/install.md", "sh");
    for page in ["docs/python.md", "bindings/python/README.md"] {
        for block in blocks(page, "sh") {
            let is_same =
                |other: &String| other.split('#').next().map(str::trim) == Some(block.as_str());
            assert!(install.iter().any(is_same), "{page}: {block}");
        }
    }
    assert_eq!(blocks("docs/install.md", "toml"), blocks("docs/rust.md", "toml"));
}

#[test]
fn the_documented_benchmarks_match_the_report() {
    let readme = page::section("README.md", "Benchmarks");
    let (_, rest) = readme.split_once("<!-- make bench -->\n").expect("the place is marked");
    let (table, _) = rest.split_once("<!-- end -->").expect("its end is marked too");
    assert_eq!(table.lines().filter(|line| line.contains('×')).count(), 3, "{table}");
    let report = page::read("BENCHMARKS.md");
    for row in table.lines() {
        assert!(
            report.lines().any(|line| line == row),
            "README.md has a row that BENCHMARKS.md has not: {row}"
        );
    }
}
