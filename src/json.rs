//! Reads JSON without rewriting it: the members of an object in order, each value as its own text.

mod scan;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::bytes::find;

/// The members of a JSON object. Each value is unchanged, and order, duplicates and digits are
/// kept.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Members<'a> {
    pub(crate) all: Vec<(Cow<'a, str>, &'a str)>,
    /// Whether it is known that no string contains an escape.
    pub(crate) is_plain: bool,
}

/// Returns the value of the last member of this name in the object `text`. The error describes why
/// `text` is not an object.
pub(crate) fn member<'a>(
    text: &'a str,
    name: &str,
) -> std::result::Result<Option<&'a str>, String> {
    match scan::member(text, name) {
        Some(found) => Ok(found),
        None => Members::convert(text).map(|members| members.get(name)),
    }
}

/// The value of a member as an object, or the reason why it is not an object.
type Nested<'a> = std::result::Result<Members<'a>, String>;

impl<'a> Members<'a> {
    /// Parses `text`. The error contains the problem and its position, and never quotes the text.
    pub(crate) fn read(text: &'a str) -> std::result::Result<Self, String> {
        match scan::members(text, None) {
            Some((members, _)) => Ok(members),
            None => Self::convert(text),
        }
    }

    /// Parses `text`, and the value of its last member of this name.
    pub(crate) fn read_nested(
        text: &'a str,
        name: &str,
    ) -> std::result::Result<(Self, Option<Nested<'a>>), String> {
        let (members, inner) = match scan::members(text, Some(name)) {
            Some(scanned) => scanned,
            None => (Self::convert(text)?, None),
        };
        let inner = inner.map(Ok).or_else(|| members.get(name).map(Self::convert));
        Ok((members, inner))
    }

    fn convert(text: &'a str) -> std::result::Result<Self, String> {
        serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                format!("must be a JSON object, not {}", kind(text))
            }
            _ => {
                let sentence = error.to_string();
                let reason = sentence.split(" at line ").next().unwrap_or_default();
                // At the end of the text, the column is already past it. Elsewhere, columns count
                // from 1.
                let column = error.column() - usize::from(!error.is_eof() && error.column() > 0);
                format!("is not JSON: {reason} at byte {}", offset(text, error.line(), column))
            }
        })
    }

    /// Returns the last member of this name, as other JSON parsers do.
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

/// The name of a member, borrowed unless it contains escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Returns the type of a JSON value for messages. Only the first character counts, so that a
/// malformed value has a type too.
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

/// Returns the text of a JSON string, or `None` if the value is not a string or its escapes are
/// invalid.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        // Without escapes, the text can be borrowed.
        Some(text) if find(b'\\', text.as_bytes()).is_none() => Some(Cow::Borrowed(text)),
        Some(_) => serde_json::from_str::<Name<'_>>(raw).ok().map(|Name(text)| text),
        None => None,
    }
}

/// The problem of a string for which [`text`] returns `None`.
pub(crate) const NO_TEXT: &str =
    "has a \\u escape that is not a character (half of a surrogate pair)";

/// Returns the byte offset for a line, counted from 1, and a byte within it, counted from 0.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_order_duplicates_and_digits() {
        let members =
            Members::read(r#" {"b":1.50, "a\u0041":"x", "b":123456789012345678901234567890} "#)
                .unwrap();
        let seen: Vec<_> =
            members.all.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
        assert_eq!(
            seen,
            [("b", "1.50"), ("aA", r#""x""#), ("b", "123456789012345678901234567890")]
        );
        assert_eq!(members.get("b"), Some("123456789012345678901234567890"));
    }

    #[test]
    fn errors_contain_the_position_and_quote_nothing() {
        let error = |text| Members::read(text).err().unwrap();
        assert_eq!(error(r#"["canary"]"#), "must be a JSON object, not an array");
        assert_eq!(error(r#""canary""#), "must be a JSON object, not a string");
        assert_eq!(error(""), "is not JSON: EOF while parsing a value at byte 0");
        assert_eq!(error("{\n\"a\""), "is not JSON: EOF while parsing an object at byte 5");
        assert_eq!(error("{\"a\":1,\n \"b\" 2}"), "is not JSON: expected `:` at byte 13");
        assert!(error(r#"{"a":1} x"#).contains("trailing characters at byte 8"));
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Members::read(&deep).is_ok());
    }
}
