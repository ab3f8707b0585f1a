//! The members of a plain JSON object, found in one pass over its bytes: what a call usually sends and gets, at less
//! than half of what it costs with a reader that converts.
//!
//! Plain is a text without escapes and without line breaks. What is not plain, or not JSON, is left to `serde_json`,
//! which also says what is wrong with it.

use std::borrow::Cow;

use super::Members;
use crate::bytes::find;

/// How deep it follows values within values.
const DEPTH: u32 = 16;

/// The members of the object that `text` is, and those of the last of them that is named `inner` where it is an object
/// itself; `None` where another must read it.
pub(super) fn members<'a>(text: &'a str, inner: Option<&str>) -> Option<(Members<'a>, Option<Members<'a>>)> {
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

/// The value of the last member of this name, where there is one; `None` where another must read it.
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

/// Has `member` skip the values of the object that is all of a text.
fn whole<'a>(text: &'a str, member: impl FnMut(Part<'a>, &'a [u8]) -> Option<&'a [u8]>) -> Option<()> {
    // Told all at once, this takes less than a look for it in every string.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'\\')) {
        return None;
    }
    let rest = object(skip_spaces(text.as_bytes()), member)?;
    skip_spaces(rest).is_empty().then_some(())
}

/// Where a part of a text begins and where it ends, each as what is still to be read there.
type Part<'a> = (&'a [u8], &'a [u8]);

fn between<'a>(text: &'a str, (from, to): Part<'_>) -> Option<&'a str> {
    text.get(text.len() - from.len()..text.len() - to.len())
}

// Each of these takes what is still to be read, and returns what then is.

fn skip_spaces(mut rest: &[u8]) -> &[u8] {
    while let [b' ', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// This byte, and spaces before it.
fn skip(rest: &[u8], byte: u8) -> Option<&[u8]> {
    match skip_spaces(rest) {
        [first, after @ ..] if *first == byte => Some(after),
        _ => None,
    }
}

// A value begins where it is skipped, without spaces before it.

/// Has `member` skip the value that belongs to each name.
fn object<'a>(rest: &'a [u8], mut member: impl FnMut(Part<'a>, &'a [u8]) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
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

/// One or more.
fn skip_digits(rest: &[u8]) -> Option<&[u8]> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(digits..).filter(|_| digits > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether `text` is plain; where it is, the other reader must find the same in it.
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
    fn what_is_usual_is_plain() {
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
    fn the_rest_is_left() {
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
        /// Pieces of JSON in any order: most are none, and some nearly.
        #[test]
        fn what_is_plain_is_json(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..16)) {
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
