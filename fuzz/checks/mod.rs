//! Properties that hold for every input. The fuzz targets try to break them, and the tests of the
//! library replay their inputs.

// Each fuzz target uses only one of them.
#![allow(dead_code, missing_docs)]

pub mod body;
pub mod call;
pub mod options;
pub mod reply;

use commbox::{Error, ErrorKind};
use serde_json::Value;

/// Part of every given value. No message may contain it.
const CANARY: &str = "CANARY";

/// Inserts the canary at the start of the input's string values, even if the JSON is invalid.
fn marked(json: &str) -> String {
    let mark = |text: &str, quote: &str| text.replace(quote, &format!("{quote}{CANARY}"));
    mark(&mark(json, ":\""), ": \"")
}

/// Checks the properties of every error.
fn check_error(error: &Error) {
    let message = error.to_string();
    assert!(!message.is_empty());
    assert!(!message.contains(CANARY), "a value stands in the message: {message}");
    assert!(
        !message.contains(char::is_control),
        "a control character stands in the message: {message:?}"
    );

    let json: Value = serde_json::from_str(&error.to_json()).expect("the error JSON is JSON");
    assert_eq!(json["message"], message);
    assert_eq!(json["code"], error.kind().code());
    assert_eq!(json["name"], error.kind().name());
    assert_eq!(json["http_status"].as_u64(), error.http_status().map(u64::from));
    assert_eq!(json["response"].as_str(), error.response());
    assert!(error.response().is_none_or(|response| response.len() <= 4096));
    if let ErrorKind::Http(status) = error.kind() {
        assert!(status >= 100 && !(200..300).contains(&status), "{status} is no error");
    }
}
