//! A reply is a success only if it says so. Everything else is an error that the server caused.

use commbox::fuzzing;
use commbox::{Delivery, ErrorKind};
use serde_json::Value;

use super::{check_error, marked};

/// The first two bytes are the HTTP status, the third is whether the reply is complete, the rest is
/// the reply.
pub fn check(data: &[u8]) {
    let Some((&[high, low, whole], body)) = data.split_first_chunk() else { return };
    let status = 100 + u16::from_be_bytes([high, low]) % 900;
    outcome(status, body, whole % 8 != 0);
    if let Ok(text) = std::str::from_utf8(body) {
        outcome(status, marked(text).as_bytes(), true);
    }
}

fn outcome(http_status: u16, body: &[u8], complete: bool) {
    match fuzzing::interpret(http_status, body.to_vec(), complete) {
        Ok(reply) => {
            assert!(complete && (200..300).contains(&http_status));
            assert_eq!(
                reply.as_json().as_bytes(),
                body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
            );
            let says = serde_json::from_str::<Value>(reply.as_json())
                .ok()
                .map(|reply| status(&reply["status"]));
            assert!(
                says.is_none_or(|status| (200..300).contains(&status)),
                "{reply} is no success"
            );
        }
        Err(error) => {
            check_error(&error);
            assert_eq!(error.delivery(), Delivery::Answered);
            assert_eq!(error.http_status(), Some(http_status));
            assert_eq!(error.response().is_none(), body.is_empty());
            match error.kind() {
                ErrorKind::Http(status) => {
                    assert!(status == http_status || (200..300).contains(&http_status))
                }
                kind => assert!(
                    kind == ErrorKind::BadResponse && (200..300).contains(&http_status),
                    "{kind:?}"
                ),
            }
        }
    }
}

fn status(value: &Value) -> u16 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.trim().parse().expect("a success has a status")
}
