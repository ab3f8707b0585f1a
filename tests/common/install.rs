//! Installs the library, and builds programs that use it without this checkout.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::build;
use super::sandbox::Sandbox;
use super::tools::has;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const REAL_NAME: &str = "libcommbox.so.1.0.0";

/// A folder outside the checkout. It is created empty and removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        // The process id is part of the path, because two processes may run the tests at the same
        // time.
        let folder = env::temp_dir().join(format!("commbox-{}", std::process::id())).join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Creates a folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // This succeeds only for the last folder, when its parent is empty.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// Returns a command that runs `program` with only `PATH` and a UTF-8 locale in its environment.
pub fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Like [`bare`], but the checkout and the build output are hidden under an empty folder, as on a
/// machine that has neither.
pub fn elsewhere(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref().to_str().expect("the path is text");
    if !has("unshare", "util-linux") {
        return bare(program);
    }
    let hide = r#"for folder in "$0" "$1"; do mount -t tmpfs none "$folder" || exit 3; done; shift; exec "$@""#;
    let mut command = bare("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", hide])
        .arg(target())
        .args([ROOT, program]);
    command
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command that must succeed and returns its output.
pub fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}",
        output.status,
        text(&output)
    );
    text(&output)
}

/// Runs a command that must fail and returns its output.
pub fn fails(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(!output.status.success(), "{command:?} succeeded:\n{}", text(&output));
    text(&output)
}

/// Sets the environment variables that point an example at a sandbox.
pub fn at<'a>(sandbox: &Sandbox, program: &'a mut Command) -> &'a mut Command {
    program.env("COMMBOX_BASE_URL", &sandbox.url).env("COMMBOX_API_KEY", "sandbox-key")
}

/// Runs an example and asserts that it updated the customer.
pub fn updates(program: &mut Command) {
    let sandbox = Sandbox::start();
    run(at(&sandbox, program));
    assert!(sandbox.get("/users/94382332").1.contains("\"FirstName\":\"John\""));
}

/// Returns Cargo's target directory, after the library was built there.
pub fn target() -> &'static Path {
    build::library().parent().and_then(Path::parent).expect("it lies in target/release")
}

/// Returns the Python environment for building and checking the project, which `make test` creates.
pub fn venv() -> Option<PathBuf> {
    let venv = target().join("venv");
    let ready = venv.join("ready").is_file();
    assert!(
        ready || env::var_os("CI").is_none(),
        "make test sets up the environment of Python that CI needs"
    );
    if !ready {
        eprintln!("NOT RUN: make test sets up the environment of Python that this needs");
    }
    ready.then_some(venv)
}

/// Returns the target directory as passed to make. If it is in the checkout, the path is relative,
/// because the checkout's own path may contain a space.
pub fn target_of_make() -> String {
    target().strip_prefix(ROOT).unwrap_or(target()).display().to_string()
}

pub fn make(goal: &str, variables: &[String]) {
    // The environment is empty, so that MAKEFLAGS of an outer `make test` have no effect.
    let mut make = bare("make");
    make.args(["-s", "-C", ROOT, goal, &format!("TARGET={}", target_of_make())]).args(variables);
    run(with_rust(&mut make));
}

/// Sets the variables that locate the user's Rust toolchain. By default, it is in the home
/// directory.
pub fn with_rust(command: &mut Command) -> &mut Command {
    let variables = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    command.envs(variables.into_iter().filter_map(|name| Some((name, env::var_os(name)?))))
}

/// Returns every file and link below a folder.
pub fn files(folder: &Path) -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let entry = entry.expect("it can be read on");
            match entry.file_type().expect("its type is known").is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, &mut found);
    let relative = found.iter().map(|file| file.strip_prefix(folder).expect("it lies below"));
    relative.map(|file| file.display().to_string()).collect()
}

/// Returns the libraries that the dynamic section of a program lists as NEEDED.
pub fn needed(program: &Path) -> String {
    run(bare("readelf").arg("-d").arg(program))
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .collect()
}

/// An installation in its own prefix, which the loader does not know, and the project of a program
/// that uses it.
pub struct Installed {
    folder: Folder,
    prefix: PathBuf,
}

impl Installed {
    pub fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        // Installed to a staging folder, then moved: no file may contain the path of the staging
        // folder.
        let staged = folder.path().join("staged");
        make("install", &[format!("DESTDIR={}", staged.display()), "prefix=/opt/commbox".into()]);
        let prefix = folder.path().join("prefix");
        fs::rename(staged.join("opt/commbox"), &prefix).expect("it can be moved");
        fs::remove_dir_all(staged).expect("it can be removed");
        Self { folder, prefix }
    }

    /// Wraps an installation that was made in another way.
    pub fn of(folder: Folder, prefix: PathBuf) -> Self {
        Self { folder, prefix }
    }

    pub fn lib(&self) -> PathBuf {
        self.prefix.join("lib")
    }

    /// Returns the project folder, with a copy of a source file of the checkout.
    pub fn project(&self, source: &str) -> PathBuf {
        let folder = self.folder.folder("project");
        let source = Path::new(ROOT).join(source);
        fs::copy(&source, folder.join(source.file_name().expect("it is a file")))
            .expect("it can be copied");
        folder
    }

    /// Returns a shell command that runs in the project folder. `$PKG_CONFIG` finds the
    /// installation.
    pub fn shell(&self, line: &str) -> Command {
        let mut shell = elsewhere("sh");
        shell.args(["-c", line]).current_dir(self.folder.folder("project"));
        shell
            .env("PKG_CONFIG", "pkg-config --define-prefix")
            .env("PKG_CONFIG_LIBDIR", self.lib().join("pkgconfig"));
        shell
    }

    /// Compiles the C example, linked with the shared library.
    pub fn compile(&self) -> PathBuf {
        let project = self.project("examples/update_user.c");
        run(&mut self.shell("cc update_user.c $($PKG_CONFIG --cflags --libs commbox) -o shared"));
        project.join("shared")
    }

    /// Returns a command that runs `program` with this installation's shared library.
    pub fn with_library(&self, program: &Path) -> Command {
        let mut command = elsewhere(program);
        command.env("LD_LIBRARY_PATH", self.lib());
        command
    }

    /// Builds the C++ example with CMake, linked with `target`. Returns the program's path and the
    /// commands for the configure and build steps.
    pub fn cmake(&self, target: &str, version: &str) -> (PathBuf, Command, Command) {
        let project = self.project("examples/update_user.cpp");
        let list = format!(
            "cmake_minimum_required(VERSION 3.13)\nproject(example CXX)\nset(CMAKE_CXX_STANDARD 17)\n\
             find_package(commbox {version} REQUIRED)\nadd_executable(example update_user.cpp)\n\
             target_link_libraries(example PRIVATE {target})\n"
        );
        fs::write(project.join("CMakeLists.txt"), list).expect("it can be written");
        let build = project.join("build");
        let _ = fs::remove_dir_all(&build);
        let mut configure = elsewhere("cmake");
        configure.arg("-S").arg(&project).arg("-B").arg(&build).arg("-DCMAKE_BUILD_TYPE=Release");
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", self.prefix.display()));
        let mut compile = elsewhere("cmake");
        compile.arg("--build").arg(&build);
        (build.join("example"), configure, compile)
    }
}
