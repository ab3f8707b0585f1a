//! The request body: its shape, the limits of its fields, names that are nearly right, and a builder.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Problems, Result};
use crate::failpoint;
use crate::json::{self, Members};

/// The vendor's limits for a user's fields, in characters (schema `User_Info`); `None` where it sets none.
const FIELDS: [(&str, Option<usize>); 7] = [
    ("UniqueId", Some(50)),
    ("FirstName", Some(100)),
    ("LastName", Some(100)),
    ("Email", Some(255)),
    ("Phone1", Some(100)),
    ("Phone2", Some(100)),
    ("Remarks", None),
];

/// The object of custom fields.
const CONTENT: &str = "Content";

/// The member that wraps a user in the request.
const DATA: &str = "data";

/// The body to send for `user_json`: itself where it is `{"data": …}`, wrapped so where it is bare. Nothing in it is
/// rewritten.
pub(crate) fn body(user_json: &str, validate: bool) -> Result<Cow<'_, str>> {
    failpoint::reach("check");
    let refuse = |why: String| Error::new(ErrorKind::InvalidUser, why);
    let (members, wrapped) = match Members::read_nested(user_json, DATA) {
        Ok(read) => read,
        // Unchecked, anything that is JSON may be sent as data.
        Err(_) if !validate && serde_json::from_str::<&RawValue>(user_json).is_ok() => return wrap(user_json),
        Err(why) => return Err(refuse(format!("user_json {why}"))),
    };
    if validate {
        let mut problems = Problems::default();
        match &wrapped {
            Some(data) => {
                check_wrapper(&members, &mut problems);
                match data {
                    Ok(user) => check_user(user, &mut problems),
                    Err(why) => problems.add(DATA, why),
                }
            }
            None => check_user(&members, &mut problems),
        }
        problems.check(ErrorKind::InvalidUser)?;
    }
    match wrapped {
        Some(_) => Ok(Cow::Borrowed(user_json)),
        None => wrap(user_json),
    }
}

fn wrap(user_json: &str) -> Result<Cow<'_, str>> {
    joined(&["{\"", DATA, "\":", user_json, "}"]).map(Cow::Owned)
}

/// A text with all of a user in it, which may be larger than the memory that is left: no reason to end the process.
pub(crate) fn joined(parts: &[&str]) -> Result<String> {
    let mut text = String::new();
    text.try_reserve_exact(parts.iter().map(|part| part.len()).sum())
        .map_err(|_| Error::new(ErrorKind::InvalidUser, "user_json is larger than the memory that is left"))?;
    for part in parts {
        text.push_str(part);
    }
    Ok(text)
}

/// Beside `data` nothing may stand: it would be lost.
fn check_wrapper(members: &Members<'_>, problems: &mut Problems) {
    if members.all.len() > 1 {
        problems.add("", "beside \"data\" stand other members; put every field inside \"data\", once");
    }
}

fn check_user(user: &Members<'_>, problems: &mut Problems) {
    let mut seen = [false; FIELDS.len()];
    let mut content_seen = false;
    for (name, value) in &user.all {
        let name = name.as_ref();
        let seen = match FIELDS.iter().zip(&mut seen).find(|((field, _), _)| *field == name) {
            Some(((field, limit), seen)) => {
                let fits = |limit| value.len() <= limit + 2;
                // A text without escapes is good, and has no more characters than bytes: few are read closer.
                if !(user.is_plain && value.starts_with('"') && limit.is_none_or(fits)) {
                    check_text(field, *limit, value, problems);
                }
                seen
            }
            None if name == CONTENT => {
                if !value.starts_with('{') {
                    problems.add(CONTENT, format!("must be an object, not {}", json::kind(value)));
                }
                &mut content_seen
            }
            None => {
                // Other names are the caller's own; only a slip in a known one is refused.
                match known().find(|known| known.eq_ignore_ascii_case(name)) {
                    // Elsewhere it is the wrapper.
                    Some(DATA) if name == DATA => {
                        problems.add(DATA, "stands inside \"data\"; wrap the user once");
                    }
                    Some(known) => problems.add(name, format!("must be written \"{known}\"")),
                    None => {}
                }
                continue;
            }
        };
        if mem::replace(seen, true) {
            problems.add(name, "is there more than once");
        }
    }
}

/// Every name that is known beside the caller's own.
fn known() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(name, _)| *name).chain([CONTENT, DATA])
}

fn check_text(field: &str, limit: Option<usize>, raw: &str, problems: &mut Problems) {
    if raw == "null" {
        return;
    }
    if !raw.starts_with('"') {
        return problems.add(field, format!("must be a string or null, not {}", json::kind(raw)));
    }
    let Some(text) = json::text(raw) else {
        return problems.add(field, json::NO_TEXT);
    };
    if let Some(limit) = limit.filter(|limit| text.len() > *limit) {
        let length = text.chars().count();
        if length > limit {
            problems.add(field, format!("is {length} characters long; the limit is {limit}"));
        }
    }
}

/// Builds a body without a JSON library: fields, and custom fields under `Content`.
///
/// It only writes JSON; the call that sends it does the checking.
#[derive(Clone, Default)]
pub struct User {
    fields: Fields,
    custom: Fields,
}

impl User {
    /// A user without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field; `None` is JSON null. A field that was set before is overridden.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] where the name is empty, or is `Content`, whose fields
    /// [`set_custom`](Self::set_custom) sets.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        check_name(name)?;
        if name == CONTENT {
            let why = "name is \"Content\", which holds the custom fields; set each of them as a custom field";
            return Err(Error::new(ErrorKind::InvalidArgument, why));
        }
        self.fields.set(name, value);
        Ok(())
    }

    /// Sets a custom field, as `Content` holds it; `None` is JSON null.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] where the name is empty.
    pub fn set_custom(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        check_name(name)?;
        self.custom.set(name, value);
        Ok(())
    }

    /// The body: `{"data": {…}}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and nulls only, so this cannot fail.
        let data = serde_json::to_string(self).unwrap_or_default();
        format!("{{\"{DATA}\":{data}}}")
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.fields.0 {
            map.serialize_entry(name, value)?;
        }
        if !self.custom.0.is_empty() {
            map.serialize_entry(CONTENT, &self.custom)?;
        }
        map.end()
    }
}

impl fmt::Debug for User {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("fields", &self.fields.names()).field("custom", &self.custom.names()).finish()
    }
}

/// Names and texts in the order they were first set.
#[derive(Clone, Default)]
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "name is empty; give the field's Unique Name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> String {
        let error = body(json, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUser);
        error.to_string()
    }

    #[test]
    fn bare_is_wrapped_and_wrapped_stays() {
        assert_eq!(body("{ }", true).unwrap(), "{\"data\":{ }}");
        assert_eq!(body(" {\"data\" : {}}\n", true).unwrap(), " {\"data\" : {}}\n");
        assert_eq!(body(r#"{"d\u0061ta":{}}"#, true).unwrap(), r#"{"d\u0061ta":{}}"#);
    }

    #[test]
    fn limits_count_characters() {
        for (field, limit) in FIELDS {
            let user = |length| format!("{{\"{field}\":\"{}\"}}", "é".repeat(length));
            match limit {
                Some(limit) => {
                    assert!(body(&user(limit), true).is_ok());
                    let why = format!("{field} is {} characters long; the limit is {limit}", limit + 1);
                    assert_eq!(problem(&user(limit + 1)), why);
                }
                None => assert!(body(&user(100_000), true).is_ok()),
            }
        }
        assert!(body(&format!("{{\"UniqueId\":\"{}\"}}", r"\ud83d\ude00".repeat(50)), true).is_ok());
    }

    #[test]
    fn all_problems_come_at_once() {
        let message = problem(
            r#"{"firstname":"canary","Email":7,"Content":[],"Remarks":"\ud800","Phone1":"1","Phone1":"2","Data":1}"#,
        );
        assert_eq!(
            message,
            "firstname must be written \"FirstName\"; Email must be a string or null, not a number; Content must \
             be an object, not an array; Remarks has a \\u escape that is no character (half a surrogate pair); Phone1 \
             is there more than once; Data must be written \"data\""
        );
        assert_eq!(problem("[]"), "user_json must be a JSON object, not an array");
        assert_eq!(problem(r#"{"data":"x"}"#), "data must be a JSON object, not a string");
        assert_eq!(problem(r#"{"data":{"data":1}}"#), "data stands inside \"data\"; wrap the user once");
        assert!(problem(r#"{"data":{},"Email":"x"}"#).starts_with("beside \"data\""));
        assert!(problem(r#"{"Email":"x"#).starts_with("user_json is not JSON: EOF"));
    }

    #[test]
    fn null_and_unknown_names_pass() {
        assert!(body(r#"{"FirstName":null,"LoyaltyTier":{"a":[1]},"birth_date":1}"#, true).is_ok());
    }

    #[test]
    fn unchecked_still_sends_only_json() {
        assert_eq!(body(r#"{"firstname":1}"#, false).unwrap(), r#"{"data":{"firstname":1}}"#);
        assert_eq!(body("[1]", false).unwrap(), r#"{"data":[1]}"#);
        assert!(body("[1", false).is_err());
    }

    #[test]
    fn builder_escapes_and_overrides() {
        let mut user = User::new();
        user.set("FirstName", Some("old")).unwrap();
        user.set("FirstName", Some("a\"\\\u{1}é")).unwrap();
        user.set("data", None).unwrap();
        user.set_custom("VIP_Status", Some("8")).unwrap();
        let json = user.to_json();
        assert_eq!(
            json,
            "{\"data\":{\"FirstName\":\"a\\\"\\\\\\u0001é\",\"data\":null,\"Content\":{\"VIP_Status\":\"8\"}}}"
        );
        assert!(user.set("", None).is_err() && user.set_custom("", None).is_err());
        assert!(user.set("Content", Some("x")).is_err());
        assert!(!format!("{user:?}").contains('é'));
    }
}
