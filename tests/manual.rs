//! The manual pages: they match the header, have no markup errors, and their examples compile and
//! run.

#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::build::{self, Language};
use common::header;
use common::install::{bare, run, ROOT};
use common::sandbox::Sandbox;
use common::tools::has;

/// Returns the files in a folder below `packaging` with this extension, in order.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(Path::new(ROOT).join("packaging").join(folder)).expect("it is a folder");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let mut found: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|its| its == extension)).collect();
    found.sort();
    found
}

fn manual() -> Command {
    let mut python = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    python.arg(Path::new(ROOT).join("packaging/manual.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

#[test]
fn pages_match_the_header() {
    run(manual().arg("check"));
    let mut expected: Vec<_> = header::functions().iter().map(|name| format!("{name}.3")).collect();
    expected.push("commbox.3".into());
    expected.sort();
    let pages: Vec<_> = files("man3", "3").iter().map(|page| file_name(page)).collect();
    assert_eq!(pages, expected);
}

#[test]
fn a_page_has_every_section() {
    for page in files("man3", "3").iter().filter(|page| !page.ends_with("commbox.3")) {
        let text = fs::read_to_string(page).expect("it is text");
        let sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "AVAILABILITY", "SEE ALSO"];
        let mut at = 0;
        for section in sections {
            let found = text[at..].find(&format!("\n.Sh {section}\n"));
            at +=
                found.unwrap_or_else(|| panic!("{} has no {section} in its place", page.display()));
        }
        let is_procedure = text.contains("\n.Ft void\n");
        assert_eq!(text.contains("\n.Sh RETURN VALUES\n"), !is_procedure, "{}", page.display());
        assert!(text.contains("\nSince version 1."), "{}", page.display());
    }
}

#[test]
fn the_overview_has_every_function_constant_and_option() {
    let overview = fs::read_to_string(Path::new(ROOT).join("packaging/man3/commbox.3"))
        .expect("the page is there");
    let header = header::text();
    for name in header::functions() {
        assert!(overview.contains(&format!(".Fn {name} ")), "it has nothing of {name}()");
        assert!(overview.contains(&format!(".Xr {name} 3")), "it does not refer to {name}()");
    }
    let constants =
        header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    for (name, _) in constants.filter(|(name, _)| *name != "COMMBOX_ABI_VERSION") {
        assert!(overview.contains(&format!(".It Dv {name} ")), "it has nothing of {name}");
    }
    let rows = header.lines().filter_map(|line| line.strip_prefix(" * | `")?.split(" |").next());
    let keys: Vec<_> =
        rows.flat_map(|cell| cell.split(", ")).map(|key| key.trim_matches('`')).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let terms: Vec<_> = overview.lines().filter_map(|line| line.strip_prefix(".It Li ")).collect();
    for key in keys {
        assert!(
            terms.iter().any(|term| term.split(" , ").any(|name| name == key)),
            "it has nothing of {key}"
        );
    }
}

#[test]
fn pages_have_no_errors() {
    if !has("mandoc", "mandoc") {
        return;
    }
    // Cross-references to other pages are not checked, because they depend on what is installed on
    // the machine.
    let output = bare("mandoc")
        .args(["-Tlint", "-Wall"])
        .args(files("man3", "3"))
        .output()
        .expect("mandoc runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let mistakes: Vec<_> =
        told.lines().filter(|line| !line.contains("referenced manual not found")).collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}");

    // Checks that the check can fail.
    let broken = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken.3");
    fs::write(&broken, ".Dd November 30, 2026\n.Dt BROKEN 3\n.Os\n.Sh NAME\n.Xx\n")
        .expect("it can be written");
    let output =
        bare("mandoc").args(["-Tlint", "-Wall"]).arg(broken).output().expect("mandoc runs");
    assert!(!output.status.success());
}

/// The examples are compiled as strict C11 and make their calls to the sandbox.
#[test]
fn examples_run() {
    let sandbox = Sandbox::start();
    let examples = files("man3/examples", "c");
    assert!(examples.len() > 10, "{examples:?}");
    for example in examples {
        let name = file_name(&example);
        let mut program = build::compile_file(Language::C, &example, &format!("manual-{name}"));
        program.env("COMMBOX_BASE_URL", &sandbox.url).env("COMMBOX_API_KEY", "sandbox-key");
        sandbox.reset();
        run(program.env_remove("LD_LIBRARY_PATH"));
        let sends = !["cancel.c", "batch_cancel.c", "diagnose.c", "validate.c", "version.c"]
            .contains(&name.as_str());
        assert!(!sends || !sandbox.requests().is_empty(), "{name} sent nothing");
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("it is a file").to_string_lossy().into_owned()
}
