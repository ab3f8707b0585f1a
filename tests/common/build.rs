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

/// Runs a build step. Its output is shown only if it fails.
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

/// Removes Cargo's variables about this package from a command's environment. Otherwise build
/// scripts would see a change and rebuild.
pub fn forget_test(command: &mut Command) {
    let own = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| name.starts_with(start))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
}

/// Returns `cargo {args}` for this package, with the given target directory.
pub fn cargo(target_dir: &Path, args: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(args).args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    forget_test(&mut cargo);
    cargo.arg("--target-dir").arg(target_dir);
    cargo
}

fn cargo_build(target_dir: &Path, args: &[&str]) {
    run(&mut cargo(target_dir, &[&["build"], args].concat()));
}

/// Returns the sandbox's executable, built with the same profile as the tests.
pub fn sandbox() -> &'static Path {
    static SANDBOX: OnceLock<PathBuf> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        // Tests that run on machines without cargo name an executable that is already built.
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

/// Builds the command `commbox` in the same place as `make demo` and returns its path.
pub fn command() -> PathBuf {
    cargo_build(target_dir(), &["-p", "commbox-cli"]);
    target_dir().join("debug/commbox").with_extension(env::consts::EXE_EXTENSION)
}

/// The platform that C and C++ programs are built for, if it is not the host.
pub struct Platform {
    /// The platform's shared library, as users get it.
    library: PathBuf,
    /// The same library with the failpoints and the count of live handles, which only tests use.
    failpoints: PathBuf,
    /// A program that runs the platform's programs. Its arguments are the program and the program's
    /// arguments.
    runner: PathBuf,
    /// Its compilers for C and C++. Cargo's own variables name the host's.
    compilers: [String; 2],
    /// Additional arguments for the linker.
    link: Vec<String>,
}

impl Platform {
    /// Returns the platform that the environment describes, if any.
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

/// Returns the shared library, built for release in the same way as by `make`.
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

/// Returns the shared library with the failpoints and the count of live handles, for tests only.
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

/// Returns the path of the shared library that was built into `directory`.
fn in_directory(directory: &Path) -> PathBuf {
    let name = format!("{}commbox{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let library = directory.join(&name);
    if cfg!(target_os = "linux") {
        // At run time, the loader looks for the library's soname.
        let soname = format!("{}.{}", library.display(), commbox::ffi::commbox_abi_version());
        run(Command::new("ln").args(["-sfn", &name, &soname]));
    }
    library
}

#[derive(Clone, Copy)]
pub enum Language {
    C,
    Cpp,
}

/// Compiles `tests/{source}` against the release library and returns a command that runs it.
pub fn compile(language: Language, source: &str, name: &str) -> Command {
    compile_file(language, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source), name)
}

/// Like [`compile`], for any file.
pub fn compile_file(language: Language, source: &Path, name: &str) -> Command {
    compile_against(library(), language, source, name)
}

/// Like [`compile_file`], against any build of the library.
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
    // Another process of the same tests may build or run the program at the same time.
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
    /// Adds the last arguments of the compiler, and builds the program in its own folder, with the
    /// library beside it. Returns a command that runs it. The command's program is a script,
    /// because tests run it with different environments.
    fn link(&self, mut compiler: Command, library: &Path, name: &str) -> Command {
        let folder = scratch().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let own = folder.join(library.file_name().expect("the library is a file"));
        fs::copy(library, &own).expect("it can be copied");
        let windows = library.extension().is_some_and(|extension| extension == "dll");
        let program = folder.join(if windows { "program.exe" } else { "program" });
        if windows {
            // On Windows, programs are linked with the import library beside the DLL.
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
