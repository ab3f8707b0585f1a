//! Runs programs under valgrind, without errors and leaks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::tools::has;

/// A program that is to run under valgrind.
pub struct Valgrind {
    program: PathBuf,
    log: PathBuf,
    undefined: &'static str,
    leaks: &'static str,
}

impl Valgrind {
    /// Nothing where valgrind is not installed, which CI does not allow.
    pub fn around(program: &Command) -> Option<Self> {
        Self::around_named(program, "")
    }

    /// The same for one of several runs of a program at a time.
    pub fn around_named(program: &Command, run: &str) -> Option<Self> {
        if !has("valgrind", "valgrind") {
            return None;
        }
        let program = PathBuf::from(program.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}{run}.valgrind"));
        Some(Self { program, log, undefined: "yes", leaks: "full" })
    }

    /// For programs that use TLS: what the assembly of its ciphers makes is taken for undefined by
    /// valgrind.
    pub fn ignoring_undefined_values(mut self) -> Self {
        self.undefined = "no";
        self
    }

    /// For programs that end in the middle of what they do.
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

    /// What valgrind found, if anything.
    pub fn findings(&self) -> Option<String> {
        let found = fs::read_to_string(&self.log).expect("valgrind writes its log");
        (!found.is_empty()).then_some(found)
    }

    /// Holds the run that ended with `status` to what valgrind found.
    pub fn assert_clean(&self, status: ExitStatus) {
        let found = self.findings();
        assert!(
            status.success() && found.is_none(),
            "valgrind: {status}\n{}",
            found.unwrap_or_default()
        );
    }
}
