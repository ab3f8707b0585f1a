//! Builds the library as users get it, and programs in C and C++ that use it.
//!
//! With `tests/platforms.py`, these programs are built for another platform. The variables of
//! [`Platform`] then name everything that is specific to the platform, and the tests stay the same.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::scratch::scratch;

/// Cargo's target directory, wherever it is configured to be.
pub fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent")
}

/// Runs a build step; its output is shown only where it fails.
fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Takes from a command's environment what Cargo tells a test about its own package: to build
/// scripts it would look like a change, and rebuild half the tree.
pub fn forget_test(command: &mut Command) {
    let own = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| name.starts_with(start))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
}

/// `cargo {args}` for this package, with a target directory.
pub fn cargo(target_dir: &Path, args: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(args).args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    forget_test(&mut cargo);
    cargo.arg("--target-dir").arg(target_dir);
    cargo
}

/// Builds into `target_dir`.
fn cargo_build(target_dir: &Path, args: &[&str]) {
    run(&mut cargo(target_dir, &[&["build"], args].concat()));
}

/// The sandbox's executable, built as the tests are.
pub fn sandbox() -> &'static Path {
    static SANDBOX: OnceLock<PathBuf> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        // One that is built already, for tests that run where cargo does not.
        if let Some(ready) = env::var_os("COMMBOX_SANDBOX") {
            return ready.into();
        }
        let (profile, directory) =
            if cfg!(debug_assertions) { ("dev", "debug") } else { ("release", "release") };
        cargo_build(target_dir(), &["--example", "sandbox", "--profile", profile]);
        target_dir()
            .join(directory)
            .join("examples/sandbox")
            .with_extension(env::consts::EXE_EXTENSION)
    })
}

/// The executable of the command `commbox`, as `make demo` uses it.
pub fn command() -> PathBuf {
    cargo_build(target_dir(), &["-p", "commbox-cli"]);
    target_dir().join("debug/commbox").with_extension(env::consts::EXE_EXTENSION)
}

/// The platform that programs in C and C++ are made for, where it is not this one.
pub struct Platform {
    /// Its shared library, as users get it.
    library: PathBuf,
    /// The same with what is for tests alone.
    failpoints: PathBuf,
    /// A program that runs the platform's programs: its arguments are one, and the arguments of
    /// that.
    runner: PathBuf,
    /// Its compilers: cargo's own variables are for what runs here.
    compilers: [String; 2],
    /// What the linker is told beside the library.
    link: Vec<String>,
}

impl Platform {
    /// What the environment names.
    pub fn get() -> Option<&'static Self> {
        static PLATFORM: OnceLock<Option<Platform>> = OnceLock::new();
        PLATFORM
            .get_or_init(|| {
                let path = |name: &str| env::var_os(name).map(PathBuf::from);
                let link = env::var("COMMBOX_TEST_LINK").unwrap_or_default();
                Some(Self {
                    library: path("COMMBOX_TEST_LIBRARY")?,
                    failpoints: path("COMMBOX_TEST_FAILPOINTS")?,
                    runner: path("COMMBOX_TEST_RUNNER")?,
                    compilers: [
                        env::var("COMMBOX_TEST_CC").ok()?,
                        env::var("COMMBOX_TEST_CXX").ok()?,
                    ],
                    link: link.split_whitespace().map(str::to_owned).collect(),
                })
            })
            .as_ref()
    }
}

/// The shared library, built for release as `make` builds it.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(platform) = Platform::get() {
        return &platform.library;
    }
    LIBRARY.get_or_init(|| {
        run(&mut cargo(
            target_dir(),
            &["rustc", "--release", "--lib", "--crate-type", "cdylib,staticlib"],
        ));
        in_directory(&target_dir().join("release"))
    })
}

/// The shared library with what is for tests alone: places to fail at, and a count of live handles.
pub fn library_with_failpoints() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(platform) = Platform::get() {
        return &platform.failpoints;
    }
    LIBRARY.get_or_init(|| {
        let own = target_dir().join("failpoints");
        cargo_build(&own, &["--lib", "--features", "failpoints"]);
        in_directory(&own.join("debug"))
    })
}

/// The shared library that was built into `directory`.
fn in_directory(directory: &Path) -> PathBuf {
    let name = format!("{}commbox{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let library = directory.join(&name);
    if cfg!(target_os = "linux") {
        // A program looks for the library by its soname.
        let soname = format!("{}.{}", library.display(), commbox::ffi::commbox_abi_version());
        run(Command::new("ln").args(["-sfn", &name, &soname]));
    }
    library
}

/// A language that calls the library through its header.
#[derive(Clone, Copy)]
pub enum Language {
    C,
    Cpp,
}

/// Compiles `tests/{source}` against the release library and returns a command that runs it.
pub fn compile(language: Language, source: &str, name: &str) -> Command {
    compile_file(language, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source), name)
}

/// The same for any file.
pub fn compile_file(language: Language, source: &Path, name: &str) -> Command {
    compile_against(library(), language, source, name)
}

/// The same against any build of the library.
pub fn compile_against(library: &Path, language: Language, source: &Path, name: &str) -> Command {
    let (variable, default, standard) = match language {
        Language::C => ("CC", "cc", "-std=c11"),
        Language::Cpp => ("CXX", "c++", "-std=c++17"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = scratch().join(name);
    let mut compiler = match (Platform::get(), language) {
        (None, _) => Command::new(env::var_os(variable).unwrap_or(default.into())),
        (Some(platform), Language::C) => Command::new(&platform.compilers[0]),
        (Some(platform), Language::Cpp) => Command::new(&platform.compilers[1]),
    };
    compiler
        .args([standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-g", "-pthread", "-I"])
        .arg(root.join("include"))
        .arg(source);
    if let Some(platform) = Platform::get() {
        return platform.link(compiler, library, name);
    }
    let library_dir =
        library.parent().expect("a library lies in a directory").display().to_string();
    // Another process of the same tests may make or run it at this moment.
    let made = program.with_file_name(format!("{name}.{}", std::process::id()));
    run(compiler
        .args([
            format!("-L{library_dir}"),
            "-lcommbox".into(),
            format!("-Wl,-rpath,{library_dir}"),
            "-o".into(),
        ])
        .arg(&made));
    fs::rename(made, &program).expect("it can be renamed");
    Command::new(program)
}

impl Platform {
    /// Ends what the compiler is told, in a folder of the program's own, with the library beside
    /// it; and returns a command that runs it, whose program is a script: tests put it into
    /// environments of their own.
    fn link(&self, mut compiler: Command, library: &Path, name: &str) -> Command {
        let folder = scratch().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let own = folder.join(library.file_name().expect("the library is a file"));
        fs::copy(library, &own).expect("it can be copied");
        let windows = library.extension().is_some_and(|extension| extension == "dll");
        let program = folder.join(if windows { "program.exe" } else { "program" });
        if windows {
            // What is linked is the list of the library's names beside it.
            compiler.arg(library.with_file_name("libcommbox.dll.a"));
        } else {
            let soname = format!("{}.{}", own.display(), commbox::ffi::commbox_abi_version());
            fs::copy(&own, soname).expect("it can be copied");
            compiler.arg(&own).arg("-Wl,-rpath,$ORIGIN");
        }
        run(compiler.args(&self.link).arg("-o").arg(&program));
        let script = folder.join("run");
        let text =
            format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", self.runner.display(), program.display());
        fs::write(&script, text).expect("it can be written");
        run(Command::new("chmod").arg("755").arg(&script));
        Command::new(script)
    }
}
