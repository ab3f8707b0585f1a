//! JSON read without being rewritten: an object's members in order, each value as its own text.

mod scan;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::bytes::find;

/// The members of a JSON object, each value as written: order, duplicates and digits kept.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Members<'a> {
    pub(crate) all: Vec<(Cow<'a, str>, &'a str)>,
    /// Whether it is known that no text in it has an escape.
    pub(crate) is_plain: bool,
}

/// The value of the last member of this name in the object that `text` is; an error says where `text` is none.
pub(crate) fn member<'a>(text: &'a str, name: &str) -> std::result::Result<Option<&'a str>, String> {
    match scan::member(text, name) {
        Some(found) => Ok(found),
        None => Members::convert(text).map(|members| members.get(name)),
    }
}

/// What a member's value is as an object, or why it is none.
type Nested<'a> = std::result::Result<Members<'a>, String>;

impl<'a> Members<'a> {
    /// Reads `text`. An error says where and what, and never quotes the text.
    pub(crate) fn read(text: &'a str) -> std::result::Result<Self, String> {
        match scan::members(text, None) {
            Some((members, _)) => Ok(members),
            None => Self::convert(text),
        }
    }

    /// Reads `text`, and the value of its last member of this name.
    pub(crate) fn read_nested(text: &'a str, name: &str) -> std::result::Result<(Self, Option<Nested<'a>>), String> {
        let (members, inner) = match scan::members(text, Some(name)) {
            Some(scanned) => scanned,
            None => (Self::convert(text)?, None),
        };
        let inner = inner.map(Ok).or_else(|| members.get(name).map(Self::convert));
        Ok((members, inner))
    }

    fn convert(text: &'a str) -> std::result::Result<Self, String> {
        serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => format!("must be a JSON object, not {}", kind(text)),
            _ => {
                let sentence = error.to_string();
                let reason = sentence.split(" at line ").next().unwrap_or_default();
                // At the end of the text the column is already past it, elsewhere it counts from 1.
                let column = error.column() - usize::from(!error.is_eof() && error.column() > 0);
                format!("is not JSON: {reason} at byte {}", offset(text, error.line(), column))
            }
        })
    }

    /// The last member of this name, which is what JSON readers take.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.all.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut all = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    all.push((name, map.next_value::<&RawValue>()?.get()));
                }
                Ok(Members { all, is_plain: false })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A member's name, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a JSON value is, for messages: by its first character, so a broken one has a kind too.
pub(crate) fn kind(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    }
}

/// A JSON string's text; `None` where the value is no string or its escapes make no text.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        // Without escapes it stands there as it is.
        Some(text) if find(b'\\', text.as_bytes()).is_none() => Some(Cow::Borrowed(text)),
        Some(_) => serde_json::from_str::<Name<'_>>(raw).ok().map(|Name(text)| text),
        None => None,
    }
}

/// What is wrong with a string that has no [`text`].
pub(crate) const NO_TEXT: &str = "has a \\u escape that is not a character (half of a surrogate pair)";

/// The byte offset of a line, counted from 1, and a byte within it, counted from 0.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_duplicates_and_digits() {
        let members = Members::read(r#" {"b":1.50, "a\u0041":"x", "b":123456789012345678901234567890} "#).unwrap();
        let seen: Vec<_> = members.all.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
        assert_eq!(seen, [("b", "1.50"), ("aA", r#""x""#), ("b", "123456789012345678901234567890")]);
        assert_eq!(members.get("b"), Some("123456789012345678901234567890"));
    }

    #[test]
    fn errors_say_where_without_quoting() {
        let error = |text| Members::read(text).err().unwrap();
        assert_eq!(error(r#"["canary"]"#), "must be a JSON object, not an array");
        assert_eq!(error(r#""canary""#), "must be a JSON object, not a string");
        assert_eq!(error(""), "is not JSON: EOF while parsing a value at byte 0");
        assert_eq!(error("{\n\"a\""), "is not JSON: EOF while parsing an object at byte 5");
        assert_eq!(error("{\"a\":1,\n \"b\" 2}"), "is not JSON: expected `:` at byte 13");
        assert!(error(r#"{"a":1} x"#).contains("trailing characters at byte 8"));
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Members::read(&deep).is_ok());
    }
}
