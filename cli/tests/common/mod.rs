//! Runs the command as a process, and the sandbox that it uses.

// Each test program uses only a part of this module.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use ureq::Agent;

pub const API_KEY: &str = "sandbox-key";

/// Returns the command, without the environment variables that affect it.
pub fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_commbox"));
    for (name, _) in std::env::vars() {
        let steers = name.starts_with("COMMBOX_") || name.to_lowercase().ends_with("_proxy");
        if steers || name.starts_with("SSL_CERT_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The output of a command, and its exit code.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), stdout, stderr }
    }

    /// Checks the exit code, and returns the standard output and the standard error.
    #[track_caller]
    pub fn ends(&self, code: i32) -> String {
        let printed = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{printed}");
        printed
    }

    /// Returns the events on standard output.
    pub fn events(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).expect("standard output is JSON lines");
        self.stdout.lines().map(read).collect()
    }

    /// Returns the last event with this name.
    #[track_caller]
    pub fn event(&self, name: &str) -> Value {
        let found = self.events().into_iter().rev().find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no event {name}: {}{}", self.stdout, self.stderr))
    }
}

pub fn end(command: &mut Command) -> Ended {
    Ended::of(&command.output().expect("the command starts"))
}

/// Runs the command with this input.
pub fn end_with_input(command: &mut Command, input: &[u8]) -> Ended {
    let piped = || Stdio::piped();
    let mut child =
        command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    Ended::of(&child.wait_with_output().expect("it ends"))
}

/// A running sandbox. Dropping it ends the process.
pub struct Sandbox {
    child: Child,
    pub url: String,
    agent: Agent,
}

/// Starts a program. On a busy machine, Wine may report an internal error (1359) for a while.
fn started(command: &mut Command) -> Child {
    let mut failures = 0;
    loop {
        match command.spawn() {
            Ok(child) => return child,
            Err(error) if error.raw_os_error() == Some(1359) && failures < 10 => failures += 1,
            Err(error) => panic!("the sandbox does not start: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

impl Sandbox {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(args: &[&str]) -> Self {
        let mut command = bare();
        // In its own process group, the sandbox does not receive Ctrl-C.
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, 0x200);
        command.arg("sandbox").args(args).stdout(Stdio::piped());
        let mut child = started(&mut command);
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the sandbox tells its address");
        let config = Agent::config_builder().proxy(None).http_status_as_error(false).build();
        let sandbox = Self { child, url: line.trim_end().to_owned(), agent: config.into() };
        assert!(sandbox.url.starts_with("http"), "the sandbox told {line:?}");
        sandbox
    }

    /// Returns the command, with the settings for this sandbox.
    pub fn commbox(&self, subcommand: &str) -> Command {
        let mut command = bare();
        command.arg(subcommand).env("COMMBOX_BASE_URL", &self.url).env("COMMBOX_API_KEY", API_KEY);
        command
    }

    /// Sends a request and returns the status of the response, if there is one.
    pub fn try_post(&self, path: &str, body: &str) -> Option<u16> {
        let url = format!("{}{path}", self.url);
        let request = self.agent.post(url).header("authorization", format!("Bearer {API_KEY}"));
        request.send(body).ok().map(|answer| answer.status().as_u16())
    }

    pub fn post(&self, path: &str, body: &str) -> u16 {
        self.try_post(path, body).expect("the sandbox answers")
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        let mut answer = answer.expect("the sandbox answers");
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_string();
        serde_json::from_str(&body.expect("it is text")).expect("it is JSON")
    }

    pub fn script(&self, answers: &Value) {
        assert_eq!(self.post("/sandbox/script", &answers.to_string()), 204);
    }

    /// Returns a user's record.
    pub fn user(&self, id: i64) -> Value {
        self.get(&format!("/users/{id}"))["data"].clone()
    }

    /// Returns the updates so far, each with the user's id and the data.
    pub fn updates(&self) -> Vec<(i64, Value)> {
        let requests = self.get("/sandbox/requests");
        let requests = requests.as_array().expect("an array").iter();
        requests
            .map(|request| {
                let path = request["path"].as_str().expect("a path");
                let id = path.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
                let body = request["body"].as_str().expect("a body");
                let body: Value = serde_json::from_str(body).expect("the body is JSON");
                (id, body["data"].clone())
            })
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of files. It is removed when dropped.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("it can be written");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("it is there")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }
}
