//! Prints text for people, or JSON lines for programs.

use std::io::{self, Write};

use serde_json::Value;

use crate::args::Output;

/// Selects the output for text and events.
#[derive(Clone, Copy)]
pub struct Ui {
    output: Output,
    quiet: bool,
}

impl Ui {
    pub fn new(output: Output, quiet: bool) -> Self {
        Self { output, quiet }
    }

    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a result on standard output, or on standard error if standard output has events.
    pub fn print(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.is_json() {
            self.words(text);
        } else {
            // If this fails, the reader has closed the pipe and wants no more output.
            let _ = writeln!(io::stdout(), "{text}");
        }
    }

    /// Prints text on standard error.
    pub fn words(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints an event if programs read the output.
    pub fn event(&self, event: &Value) {
        if self.is_json() {
            let _ = writeln!(io::stdout(), "{event}");
        }
    }
}
