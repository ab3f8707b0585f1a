//! Runs C programs that make calls, in a separate environment.

#![allow(dead_code, reason = "each test program uses a part")]

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::common::build::{compile, Language};

/// Compiles `tests/c/<name>.c` and returns a command that runs it. Its environment contains only
/// `PATH`, so that the machine's settings for proxies and certificates have no effect.
pub fn program(name: &str) -> Command {
    static COMPILED: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());
    let mut compiled = COMPILED.lock().unwrap();
    let binary = match compiled.iter().find(|(done, _)| done == name) {
        Some((_, binary)) => binary.clone(),
        None => {
            // Each test program compiles its own copy, because they may run in parallel.
            let test = env::current_exe().unwrap();
            let own = format!("{name}-{}", test.file_name().unwrap().to_str().unwrap());
            let binary =
                PathBuf::from(compile(Language::C, &format!("c/{name}.c"), &own).get_program());
            compiled.push((name.to_owned(), binary.clone()));
            binary
        }
    };
    let mut program = Command::new(binary);
    program.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    program
}

/// Returns the code of a call by the program `call_once`, and the reply or the error's JSON.
pub fn call_once(program: &mut Command, options: &Value) -> (i64, Value) {
    let output = program
        .args(["secret-key", &options.to_string(), "1", r#"{"FirstName": "John"}"#])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (code, rest) = text.split_once('\n').unwrap();
    (code.parse().unwrap(), serde_json::from_str(rest).unwrap())
}
