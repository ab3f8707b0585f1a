//! Runs the sandbox as a child process, and sends the requests that control it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use ureq::Agent;

use super::build;

/// A running sandbox. Dropping it ends the process.
pub struct Sandbox {
    pub child: Child,
    pub url: String,
    agent: Agent,
}

/// A call that the sandbox received.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub at_ms: u64,
}

impl Sandbox {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(args: &[&str]) -> Self {
        let mut child = Command::new(build::sandbox())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the sandbox tells its address");
        let config = Agent::config_builder().proxy(None).http_status_as_error(false).build();
        // Created before the check, so that the child is ended if the check fails.
        let sandbox = Self { child, url: line.trim_end().to_owned(), agent: config.into() };
        assert!(
            sandbox.url.starts_with("http"),
            "the sandbox told {line:?} in place of its address"
        );
        sandbox
    }

    /// Sends `GET path` and returns the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        text(self.agent.get(format!("{}{path}", self.url)).call())
    }

    /// Sends `POST path` with the sandbox's default key and returns the status and the body.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.post_with_key("sandbox-key", path, body)
    }

    pub fn post_with_key(&self, key: &str, path: &str, body: &str) -> (u16, String) {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {key}"));
        text(request.send(body))
    }

    pub fn script(&self, answers: &str) {
        assert_eq!(self.post("/sandbox/script", answers), (204, String::new()));
    }

    pub fn reset(&self) {
        assert_eq!(self.post("/sandbox/reset", ""), (204, String::new()));
    }

    pub fn requests(&self) -> Vec<Recorded> {
        let (status, requests) = self.get("/sandbox/requests");
        assert_eq!(status, 200);
        serde_json::from_str(&requests).expect("the record of requests is as documented")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The process may have ended already, because a test requested it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.expect("the sandbox answers");
    let body = response.body_mut().read_to_string().expect("the answer is text");
    (response.status().as_u16(), body)
}
