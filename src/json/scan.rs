//! Finds the members of a plain JSON object in one pass over its bytes. Most requests and replies
//! are plain, and this takes less than half the time of a parser that converts values.
//!
//! A plain text contains no escapes and no line breaks. Anything that is not plain or not JSON is
//! left to `serde_json`, which also reports what is wrong with it.

use std::borrow::Cow;

use super::Members;
use crate::bytes::find;

/// The maximum nesting depth.
const DEPTH: u32 = 16;

/// Returns the members of the object `text`, and those of its last member named `inner`, if that is
/// an object. Returns `None` if `serde_json` must parse the text.
pub(super) fn members<'a>(
    text: &'a str,
    inner: Option<&str>,
) -> Option<(Members<'a>, Option<Members<'a>>)> {
    let (mut all, mut within) = (Vec::with_capacity(8), None);
    whole(text, |name, value| {
        let name = between(text, name)?;
        let rest = if Some(name) != inner {
            skip_value(value, DEPTH)?
        } else if value.first() == Some(&b'{') {
            let mut members = Vec::with_capacity(8);
            let rest = object(value, |name, value| {
                let rest = skip_value(value, DEPTH)?;
                members.push((Cow::Borrowed(between(text, name)?), between(text, (value, rest))?));
                Some(rest)
            })?;
            within = Some(Members { all: members, is_plain: true });
            rest
        } else {
            within = None;
            skip_value(value, DEPTH)?
        };
        all.push((Cow::Borrowed(name), between(text, (value, rest))?));
        Some(rest)
    })?;
    Some((Members { all, is_plain: true }, within))
}

/// Returns the value of the last member of this name, if there is one. Returns `None` if
/// `serde_json` must parse the text.
pub(super) fn member<'a>(text: &'a str, name: &str) -> Option<Option<&'a str>> {
    let mut found = None;
    whole(text, |its_name, value| {
        let rest = skip_value(value, DEPTH)?;
        if between(text, its_name)? == name {
            found = Some(between(text, (value, rest))?);
        }
        Some(rest)
    })?;
    Some(found)
}

/// Parses a text that is an object. `member` skips the values.
fn whole<'a>(
    text: &'a str,
    member: impl FnMut(Part<'a>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<()> {
    // One check of all bytes is faster than a check in every string.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'\\')) {
        return None;
    }
    let rest = object(skip_spaces(text.as_bytes()), member)?;
    skip_spaces(rest).is_empty().then_some(())
}

/// The beginning and the end of a part of a text. Each is the rest of the text from there.
type Part<'a> = (&'a [u8], &'a [u8]);

fn between<'a>(text: &'a str, (from, to): Part<'_>) -> Option<&'a str> {
    text.get(text.len() - from.len()..text.len() - to.len())
}

// Each of these functions takes the rest of the text, and returns what follows the skipped part.

fn skip_spaces(mut rest: &[u8]) -> &[u8] {
    while let [b' ', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// Skips this byte, and spaces before it.
fn skip(rest: &[u8], byte: u8) -> Option<&[u8]> {
    match skip_spaces(rest) {
        [first, after @ ..] if *first == byte => Some(after),
        _ => None,
    }
}

// The following functions begin at a value, without spaces before it.

/// Skips an object. `member` skips the value of each name.
fn object<'a>(
    rest: &'a [u8],
    mut member: impl FnMut(Part<'a>, &'a [u8]) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    let mut rest = skip(rest, b'{')?;
    if let Some(rest) = skip(rest, b'}') {
        return Some(rest);
    }
    loop {
        let name = skip(rest, b'"')?;
        let end = name.get(find(b'"', name)?..)?;
        let value = skip_spaces(skip(end.get(1..)?, b':')?);
        rest = match skip_spaces(member((name, end), value)?) {
            [b',', next @ ..] => next,
            [b'}', after @ ..] => return Some(after),
            _ => return None,
        };
    }
}

fn skip_array(rest: &[u8], depth: u32) -> Option<&[u8]> {
    let mut rest = skip(rest, b'[')?;
    if let Some(rest) = skip(rest, b']') {
        return Some(rest);
    }
    loop {
        rest = match skip_spaces(skip_value(skip_spaces(rest), depth)?) {
            [b',', next @ ..] => next,
            [b']', after @ ..] => return Some(after),
            _ => return None,
        };
    }
}

fn skip_value(rest: &[u8], depth: u32) -> Option<&[u8]> {
    match rest.first()? {
        b'"' => {
            let rest = rest.get(1..)?;
            rest.get(find(b'"', rest)? + 1..)
        }
        b'{' => {
            let depth = depth.checked_sub(1)?;
            object(rest, |_, value| skip_value(value, depth))
        }
        b'[' => skip_array(rest, depth.checked_sub(1)?),
        b't' => rest.strip_prefix(b"true"),
        b'f' => rest.strip_prefix(b"false"),
        b'n' => rest.strip_prefix(b"null"),
        _ => skip_number(rest),
    }
}

fn skip_number(rest: &[u8]) -> Option<&[u8]> {
    let mut rest = rest.strip_prefix(b"-").unwrap_or(rest);
    rest = match rest.strip_prefix(b"0") {
        Some(after) => after,
        None => skip_digits(rest)?,
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = skip_digits(fraction)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let sign = matches!(exponent.first(), Some(b'+' | b'-'));
        rest = skip_digits(exponent.get(usize::from(sign)..)?)?;
    }
    Some(rest)
}

/// Skips one or more digits.
fn skip_digits(rest: &[u8]) -> Option<&[u8]> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(digits..).filter(|_| digits > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns whether `text` is plain. If it is, checks that `serde_json` finds the same members.
    fn is_plain(text: &str) -> bool {
        let Some((all, within)) = members(text, Some("data")) else { return false };
        let converted = Members::convert(text).unwrap_or_else(|why| panic!("{text:?} {why}"));
        assert_eq!(all.all, converted.all, "{text:?}");
        let inner = converted.get("data").and_then(|data| Members::convert(data).ok());
        assert_eq!(within.map(|within| within.all), inner.map(|inner| inner.all), "{text:?}");
        for name in ["data", "a", ""] {
            assert_eq!(member(text, name), Some(converted.get(name)), "{text:?}");
        }
        true
    }

    #[test]
    fn common_json_is_recognised_as_plain() {
        for text in [
            "{}",
            " { \"a\" : \"b\" , \"c\" : [ 1 , [ ] , { } ] } ",
            r#"{"data":{"FirstName":"Zoë 🦀","Content":{"a":{"b":[null,true,false]}}}}"#,
            r#"{"data":{"a":1},"data":"x"}"#,
            r#"{"data":"x","data":{"a":1},"":{}}"#,
            r#"{"a":-0.5e+10,"b":0,"c":120E7,"d":1e-2,"long":"a text that is longer than a few words of eight bytes"}"#,
        ] {
            assert!(is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn other_json_is_not_recognised_as_plain() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[]",
            "1",
            "\"a\"",
            "{}x",
            "{} {}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":nul}",
            "{\"a\":truex}",
            "{\"a\":[1,]}",
            "{\"a\":[1}",
            "{\"a\":\"b}",
            "{\"a\":{\"b\":1}",
            "{\"a\":\"\u{1}\"}",
            "{\n}",
            "{\"a\":\"\\n\"}",
            "{\"\\u0061\":1}",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(17), "]".repeat(17));
        assert!(!is_plain(&deep));
    }

    proptest! {
        /// Pieces of JSON in any order. Most results are not JSON, and some nearly are.
        #[test]
        fn json_recognised_as_plain_is_valid(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..16)) {
            is_plain(&pieces.concat());
            is_plain(&format!("{{\"data\":{}}}", pieces.concat()));
            is_plain(&format!("{{\"data\":{{\"a\":{}}}}}", pieces.concat()));
        }
    }

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\"",
        "\"a\"",
        "\"data\"",
        "\"data\":{",
        "\"é\"",
        "\"a\":",
        "\"a\":1,",
        "0",
        "-1",
        "1.5",
        "1e9",
        "1E+",
        ".",
        "-",
        "null",
        "true",
        "false",
        "nul",
        "\\",
        "\n",
        "\"\\u00e9\"",
        "{\"a\":[]}",
        "[1, {}]",
    ];
}
