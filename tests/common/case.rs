//! The conformance cases of `tests/cases`, as its README describes them, and the single checker of
//! their outcomes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::sandbox::{Recorded, Sandbox};

/// One file of `tests/cases`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(skip)]
    pub file: String,
    #[serde(rename = "about")]
    _about: String,
    #[serde(default = "sandbox_key")]
    pub api_key: String,
    #[serde(default)]
    options: Map<String, Value>,
    pub user_id: i64,
    pub body: String,
    pub cancel_after_ms: Option<u64>,
    pub script: Option<Box<RawValue>>,
    pub expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    code: i32,
    response: Option<String>,
    #[serde(default)]
    error: Map<String, Value>,
    #[serde(default)]
    message_contains: Vec<String>,
    #[serde(default)]
    message_lacks: Vec<String>,
    requests: Vec<ExpectedRequest>,
    max_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRequest {
    method: Option<String>,
    path: Option<String>,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The outcome of a call, in any language.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    /// Empty if there is none, like `error`.
    pub reply: String,
    pub error: String,
}

fn sandbox_key() -> String {
    "sandbox-key".into()
}

/// Returns all cases, ordered by file name.
pub fn all() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = directory.read_dir().expect("tests/cases is there");
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("tests/cases can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no cases", directory.display());
    let read = |path: &Path| -> Result<Case, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    };
    let load = |path: std::path::PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let case = read(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        Case { file, ..case }
    };
    paths.into_iter().map(load).collect()
}

impl Case {
    /// Returns the options for creating the client.
    pub fn options(&self, sandbox_url: &str) -> String {
        let mut options = self.options.clone();
        options.entry("proxy").or_insert_with(|| "".into());
        let base_url = options.entry("base_url").or_insert_with(|| "{sandbox}".into());
        if let Value::String(url) = base_url {
            *url = url.replace("{sandbox}", sandbox_url);
        }
        Value::Object(options).to_string()
    }

    /// Returns every difference between an outcome and the expected one.
    pub fn mismatches(
        &self,
        outcome: &Outcome,
        took: Option<Duration>,
        sandbox: &Sandbox,
    ) -> Vec<String> {
        let mut found = Vec::new();
        self.check_outcome(outcome, &mut found);
        if let (Some(took), Some(max_ms)) = (took, self.expect.max_ms) {
            check(&mut found, took <= Duration::from_millis(max_ms), || {
                format!("took {took:?}, not {max_ms} ms")
            });
        }
        let (requests, expected) = (sandbox.requests(), &self.expect.requests);
        check(&mut found, requests.len() == expected.len(), || {
            format!(
                "the sandbox saw {} requests, not {}: {requests:?}",
                requests.len(),
                expected.len()
            )
        });
        for (request, expected) in requests.iter().zip(expected) {
            expected.check(request, &mut found);
        }
        found
    }

    fn check_outcome(&self, outcome: &Outcome, found: &mut Vec<String>) {
        let (expect, Outcome { code, reply, error }) = (&self.expect, outcome);
        check(found, *code == expect.code, || {
            format!("code is {code}, not {}: {error}", expect.code)
        });
        if let Some(expected) = &expect.response {
            check(found, reply == expected, || format!("reply is {reply:?}, not {expected:?}"));
        }
        check(found, *code == 0 || reply.is_empty(), || {
            format!("a failed call gave the reply {reply:?}")
        });

        let error: Map<String, Value> = match error.as_str() {
            "" => Map::new(),
            json => serde_json::from_str(json)
                .unwrap_or_else(|why| panic!("the error JSON {json:?} is broken: {why}")),
        };
        // A success leaves no error. The JSON of a failure contains the code that was returned.
        let told = error.get("code").cloned().unwrap_or_else(|| 0.into());
        check(found, told == *code, || {
            format!("the code is {code}, and that of the error JSON {told}")
        });
        for (name, expected) in &expect.error {
            let value = error.get(name);
            check(found, value == Some(expected), || {
                format!("{name} is {value:?}, not {expected}")
            });
        }
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        for part in &expect.message_contains {
            check(found, message.contains(part), || {
                format!("the message lacks {part:?}: {message:?}")
            });
        }
        let secret = (!self.api_key.is_empty()).then_some(&self.api_key);
        for part in expect.message_lacks.iter().chain(secret) {
            check(found, !message.contains(part), || {
                format!("the message holds {part:?}: {message:?}")
            });
        }
    }
}

impl ExpectedRequest {
    fn check(&self, request: &Recorded, found: &mut Vec<String>) {
        for (name, value, expected) in [
            ("method", &request.method, &self.method),
            ("path", &request.path, &self.path),
            ("body", &request.body, &self.body),
        ] {
            if let Some(expected) = expected {
                check(found, value == expected, || {
                    format!("the request's {name} is {value:?}, not {expected:?}")
                });
            }
        }
        for (name, expected) in &self.headers {
            let (value, expected) = (
                request.headers.get(name),
                expected.replace("{version}", env!("CARGO_PKG_VERSION")),
            );
            check(found, value == Some(&expected), || {
                format!("the header {name} is {value:?}, not {expected:?}")
            });
        }
    }
}

fn check(found: &mut Vec<String>, holds: bool, mismatch: impl FnOnce() -> String) {
    if !holds {
        found.push(mismatch());
    }
}
