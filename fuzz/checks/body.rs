//! The request contains exactly what was given, and the error of a rejected input contains none of
//! its values.

use commbox::fuzzing;
use commbox::ErrorKind;
use serde_json::value::RawValue;
use serde_json::Value;

use super::{check_error, marked, CANARY};

const LIMITS: [(&str, usize); 6] = [
    ("UniqueId", 50),
    ("FirstName", 100),
    ("LastName", 100),
    ("Email", 255),
    ("Phone1", 100),
    ("Phone2", 100),
];

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let [checked, unchecked] = [true, false].map(|validate| outcome(text, validate));
    if let Some(sent) = &checked {
        assert_eq!(Some(sent), unchecked.as_ref(), "the check changes what is sent");
        check_limits(sent);
    }
    if !text.contains(CANARY) {
        // The strict check only accepts known names, and shows unknown ones.
        let refusal = fuzzing::check_strictly(text).err();
        refusal.iter().for_each(check_error);
    }
    let marked = marked(text);
    outcome(&marked, true);
    outcome(&marked, false);
}

/// Returns the body for a text, if it is accepted.
fn outcome(text: &str, validate: bool) -> Option<String> {
    let sent = match fuzzing::body(text, validate) {
        Ok(sent) => sent.into_owned(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidUser);
            check_error(&error);
            return None;
        }
    };
    assert!(sent == text || sent == format!("{{\"data\":{text}}}"), "{text:?} is sent as {sent:?}");
    serde_json::from_str::<&RawValue>(&sent).expect("what is sent is JSON");
    let again = fuzzing::body(&sent, validate).expect("what is sent is a body itself");
    assert_eq!(again, sent, "a body is wrapped once more");
    Some(sent)
}

/// Compares with another JSON parser if it can parse the text. It does not support every depth and
/// number.
fn check_limits(sent: &str) {
    let Ok(body) = serde_json::from_str::<Value>(sent) else { return };
    let user = body["data"].as_object().expect("the user is an object");
    for (field, limit) in LIMITS {
        match user.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                assert!(text.chars().count() <= limit, "{field} is too long")
            }
            Some(other) => panic!("{field} is {other}"),
        }
    }
    assert!(user.get("Content").is_none_or(Value::is_object));
}
