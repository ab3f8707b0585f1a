//! Runs programs under valgrind and checks that it finds no errors and no leaks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::tools::has;

/// A program to run under valgrind.
pub struct Valgrind {
    program: PathBuf,
    log: PathBuf,
    undefined: &'static str,
    leaks: &'static str,
}

impl Valgrind {
    /// Returns `None` if valgrind is not installed, which fails the test in CI.
    pub fn around(program: &Command) -> Option<Self> {
        Self::around_named(program, "")
    }

    /// Like [`Valgrind::around`], for one of several simultaneous runs of a program.
    pub fn around_named(program: &Command, run: &str) -> Option<Self> {
        if !has("valgrind", "valgrind") {
            return None;
        }
        let program = PathBuf::from(program.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}{run}.valgrind"));
        Some(Self { program, log, undefined: "yes", leaks: "full" })
    }

    /// For programs that use TLS: valgrind reports the output of the ciphers' assembly code as
    /// undefined.
    pub fn ignoring_undefined_values(mut self) -> Self {
        self.undefined = "no";
        self
    }

    /// For programs that end without releasing their memory.
    pub fn ignoring_leaks(mut self) -> Self {
        self.leaks = "no";
        self
    }

    pub fn command(&self) -> Command {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--error-exitcode=99", "--vgdb=no"])
            .arg(format!("--leak-check={}", self.leaks))
            .args([
                "--errors-for-leak-kinds=definite,indirect,possible",
                "--show-leak-kinds=definite,indirect,possible",
            ])
            .arg(format!("--undef-value-errors={}", self.undefined))
            .arg(format!("--log-file={}", self.log.display()))
            .arg(&self.program)
            .env_remove("LD_LIBRARY_PATH");
        valgrind
    }

    /// Returns valgrind's report, or `None` if it is empty.
    pub fn findings(&self) -> Option<String> {
        let found = fs::read_to_string(&self.log).expect("valgrind writes its log");
        (!found.is_empty()).then_some(found)
    }

    /// Asserts that the run succeeded with `status` and that valgrind found nothing.
    pub fn assert_clean(&self, status: ExitStatus) {
        let found = self.findings();
        assert!(
            status.success() && found.is_none(),
            "valgrind: {status}\n{}",
            found.unwrap_or_default()
        );
    }
}
