//! Installations that cannot work: the library is missing, is for another processor, or is an older
//! or newer release. docs/install.md explains the message for each.
//!
//! Python and C# search for the library themselves and have their own tests for this.

mod common;

use std::fs;
use std::path::Path;

use common::install::{at, bare, fails, run, Installed, REAL_NAME, VERSION};
use common::page::section;
use common::sandbox::Sandbox;
use common::tools::has;

/// The messages that docs/install.md explains: each item of its list starts with at least one, in
/// bold.
fn explained() -> Vec<String> {
    let section = section("docs/install.md", "Troubleshooting");
    let items = section.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    let messages = items.flat_map(|(messages, _)| messages.split('`').skip(1).step_by(2));
    messages.map(str::to_owned).collect()
}

/// Checks that a message contains words that the page explains, and other words that it must have.
fn assert_documented_message(message: &str, words: &str, more: &[&str]) {
    assert!(explained().contains(&words.to_owned()), "docs/install.md does not explain {words:?}");
    // CMake wraps lines.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in more.iter().chain([&words]) {
        assert!(message.contains(words), "{words:?} is missing:\n{message}");
    }
}

/// Changes the processor in an ELF file's header.
fn set_other_processor(library: &Path) {
    let mut bytes = fs::read(library).expect("it can be read");
    let [arm, intel] = [183_u16, 62].map(u16::to_le_bytes);
    bytes[18..20].copy_from_slice(if cfg!(target_arch = "x86_64") { &arm } else { &intel });
    fs::write(library, bytes).expect("it can be written");
}

impl Installed {
    /// Runs the example, which was compiled against a complete installation, and returns its error.
    fn run(&self, program: &Path) -> String {
        let sandbox = Sandbox::start();
        let told = fails(at(&sandbox, &mut self.with_library(program)));
        assert!(sandbox.requests().is_empty());
        told
    }

    /// Replaces the installed library with another one.
    fn replace(&self, soname: &str, code: &str) {
        for name in ["libcommbox.so.1", "libcommbox.so"] {
            let _ = fs::remove_file(self.lib().join(name));
        }
        let (source, library) = (self.lib().join("other.c"), self.lib().join(soname));
        fs::write(&source, code).expect("it can be written");
        run(bare("cc")
            .args(["-shared", "-fPIC", "-Wl,-soname", soname, "-o"])
            .arg(&library)
            .arg(&source));
    }
}

#[test]
fn every_message_of_the_table_is_tested() {
    let explained = explained();
    assert!(explained.len() > 6, "{explained:?}");
    for words in explained {
        let quoted = format!("{words:?}");
        assert!(
            include_str!("wrong_installation.rs").contains(&quoted),
            "nothing here tells {quoted}"
        );
    }
}

#[test]
fn a_program_does_not_find_the_library() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let installed = Installed::new("no-library");
    let program = installed.compile();
    let words = "libcommbox.so.1: cannot open shared object file";

    // The loader reports a library for another processor like a missing one.
    set_other_processor(&installed.lib().join(REAL_NAME));
    assert_documented_message(&installed.run(&program), words, &[]);
    fs::remove_file(installed.lib().join(REAL_NAME)).expect("it is there");
    assert_documented_message(&installed.run(&program), words, &[]);

    // A library with an older ABI, and one with a newer ABI.
    for soname in ["libcommbox.so.0", "libcommbox.so.2"] {
        installed.replace(soname, "unsigned commbox_abi_version(void) { return 0; }");
        assert_documented_message(&installed.run(&program), words, &[]);
    }

    // A library with this ABI, from a release with fewer functions.
    installed.replace("libcommbox.so.1", "unsigned commbox_abi_version(void) { return 1; }");
    assert_documented_message(&installed.run(&program), "undefined symbol: commbox_", &[]);
}

#[test]
fn a_compiler_does_not_find_the_library() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let installed = Installed::new("no-development");
    installed.project("examples/update_user.c");
    let compile = "cc update_user.c $($PKG_CONFIG --cflags --libs commbox) -o shared";
    set_other_processor(&installed.lib().join(REAL_NAME));
    // Without this, the linker would use it instead.
    fs::remove_file(installed.lib().join("libcommbox.a")).expect("it is there");
    let library = installed.lib().join("libcommbox.so");
    assert_documented_message(
        &fails(&mut installed.shell(compile)),
        "skipping incompatible",
        &[library.to_str().expect("it is text")],
    );

    let newer = fails(&mut installed.shell("$PKG_CONFIG --print-errors --exists 'commbox >= 99'"));
    assert!(newer.contains("commbox >= 99") && newer.contains(VERSION), "{newer}");
    fs::remove_file(installed.lib().join("pkgconfig/commbox.pc")).expect("it is there");
    let told = fails(&mut installed.shell("$PKG_CONFIG --libs commbox"));
    assert_documented_message(
        &told,
        "Package commbox was not found",
        &["commbox.pc", "PKG_CONFIG_PATH"],
    );
}

#[test]
fn cmake_does_not_find_the_library() {
    if !has("cmake", "cmake") {
        return;
    }
    let installed = Installed::new("cmake");
    let configure = |version: &str| fails(&mut installed.cmake("commbox::commbox", version).1);
    let version = format!("version: {VERSION}");
    let config = installed.lib().join("cmake/commbox/commbox-config.cmake");
    assert_documented_message(
        &configure("99"),
        "compatible with requested version",
        &["\"99\"", &version, config.to_str().expect("text")],
    );

    let (_, mut wrong, mut compile) = installed.cmake("commbox::commbox", "");
    set_other_processor(&installed.lib().join(REAL_NAME));
    run(&mut wrong);
    assert_documented_message(&fails(&mut compile), "file in wrong format", &[REAL_NAME]);

    let library = installed.lib().join(REAL_NAME);
    fs::remove_file(&library).expect("it is there");
    let words = "belongs to the installation of commbox, and is missing";
    assert_documented_message(&configure(""), words, &[library.to_str().expect("it is text")]);

    fs::remove_file(config).expect("it is there");
    let words = "Could not find a package configuration file provided by \"commbox\"";
    assert_documented_message(
        &configure(""),
        words,
        &["commbox-config.cmake", "CMAKE_PREFIX_PATH"],
    );
}

#[test]
fn cmake_does_not_find_the_static_library() {
    if !has("cmake", "cmake") {
        return;
    }
    // A development package without the static library.
    let installed = Installed::new("shared-only");
    fs::remove_file(installed.lib().join("libcommbox.a")).expect("it is there");
    let told = fails(&mut installed.cmake("commbox::static", "").1);
    assert!(told.contains("commbox::static"), "{told}");
}
