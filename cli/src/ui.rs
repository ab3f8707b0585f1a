//! What is printed: words for people, or JSON lines for programs.

use std::io::{self, Write};

use serde_json::Value;

use crate::args::Output;

/// Where words and events go.
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

    /// Prints a result: on standard output, or on standard error beside events.
    pub fn print(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.is_json() {
            self.words(text);
        } else {
            // Whoever closed it wants no more.
            let _ = writeln!(io::stdout(), "{text}");
        }
    }

    /// Prints words on standard error.
    pub fn words(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints an event, for programs.
    pub fn event(&self, event: &Value) {
        if self.is_json() {
            let _ = writeln!(io::stdout(), "{event}");
        }
    }
}
