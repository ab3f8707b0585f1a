//! The headers: they are generated from the sources, and every C and C++ program can include them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::header;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_header_matches_the_sources() {
    let mut made = Vec::new();
    cbindgen::generate(ROOT).expect("src/ffi can be read").write(&mut made);
    assert!(
        made == header::text().into_bytes(),
        "include/commbox.h is stale: build, and commit it"
    );
    // The build before this test updates the file if it differs, so the test also compares it with
    // git.
    if Path::new(ROOT).join(".git").exists() {
        let mut git = Command::new("git");
        git.args(["-C", ROOT, "diff", "--exit-code", "--stat", "--", "include/commbox.h"]);
        let output = git.output().expect("git runs");
        assert!(
            output.status.success(),
            "git has a stale one: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// Compiles `text` on its own and returns the compiler's message if it fails.
fn compile(name: &str, text: &str, compiler: &[&str]) -> Result<(), String> {
    let source: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&source, text).expect("the source can be written");
    let output = Command::new(compiler[0])
        .args(&compiler[1..])
        .args([
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            "-Wconversion",
            "-Wshadow",
            "-Wundef",
            "-fsyntax-only",
        ])
        .args(["-I", &format!("{ROOT}/include")])
        .arg(&source)
        .output()
        .expect("the compiler runs");
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_header_can_be_included_alone_and_twice() {
    let strict = ["-Wstrict-prototypes", "-Wmissing-prototypes"];
    let c = "#include <commbox.h>\n#include <commbox.h>\nint main(void) { return COMMBOX_OK; }\n";
    let cpp = "#include <commbox.hpp>\n#include <commbox.hpp>\nint main() { return COMMBOX_OK; }\n";
    for standard in ["-std=c11", "-std=c17", "-std=c2x"] {
        compile("alone.c", c, &[&["cc", standard][..], &strict].concat()).unwrap();
    }
    for standard in ["-std=c++11", "-std=c++17", "-std=c++20"] {
        compile("alone.cpp", c, &["c++", standard]).unwrap();
    }
    for standard in ["-std=c++17", "-std=c++20"] {
        compile("alone_hpp.cpp", cpp, &["c++", standard, "-Wold-style-cast", "-Wnon-virtual-dtor"])
            .unwrap();
    }
    // Checks that the check can fail.
    assert!(compile(
        "broken.c",
        "#include <commbox.h>\nint main(void) { return COMMBOX_NONE; }\n",
        &["cc"]
    )
    .is_err());
}

#[test]
fn every_function_is_documented() {
    let header = header::text();
    let functions = header::functions();
    assert!(functions.len() >= 15, "{functions:?}");
    for function in functions {
        let call = format!("{function}(");
        let documented = header.match_indices(&call).any(|(at, _)| {
            let lines_before = header[..at].rsplit_once('\n').map_or("", |(before, _)| before);
            lines_before.ends_with("*/")
        });
        assert!(documented, "{function} has no comment");
    }
}

#[test]
fn lines_have_at_most_100_columns() {
    for name in ["commbox.h", "commbox.hpp"] {
        let text = fs::read_to_string(Path::new(ROOT).join("include").join(name))
            .expect("the header is there");
        let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{name}: {long:#?}");
    }
}

#[cfg(target_os = "linux")]
mod library {
    use super::common;
    use super::common::header;
    use std::process::Command;

    fn run(command: &mut Command) -> String {
        let output =
            command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stdout).expect("names are text")
    }

    #[test]
    fn the_library_exports_exactly_what_the_header_declares() {
        let symbols =
            run(Command::new("nm").args(["-D", "--defined-only"]).arg(common::build::library()));
        let mut exported: Vec<_> =
            symbols.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        let mut declared = header::functions();
        exported.sort_unstable();
        declared.sort_unstable();
        assert_eq!(exported, declared);
    }

    #[test]
    fn the_library_has_a_soname_and_needs_only_system_libraries() {
        let dynamic = run(Command::new("readelf").arg("-d").arg(common::build::library()));
        assert!(dynamic.contains("soname: [libcommbox.so.1]"), "{dynamic}");
        for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
            let known =
                ["libc.so.6", "libgcc_s.so.1", "ld-linux", "libm.so", "libpthread.so", "libdl.so"];
            assert!(known.iter().any(|name| line.contains(name)), "{line}");
        }
    }
}
