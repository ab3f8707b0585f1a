//! The members of a plain JSON object, found in one pass over its bytes: what a call usually sends and gets, at less
//! than half of what it costs with a reader that converts.
//!
//! Plain is a text without escapes and without line breaks. What is not plain, or not JSON, is left to `serde_json`,
//! which also says what is wrong with it.

use std::borrow::Cow;
use std::ops::Range;

use super::Members;

/// How deep it follows values within values.
const DEPTH: u32 = 16;

/// The members of the object that `text` is, and those of the last of them that is named `inner` where it is an object
/// itself; `None` where another must read it.
pub(super) fn members<'a>(text: &'a str, inner: &str) -> Option<(Members<'a>, Option<Members<'a>>)> {
    // Told all at once, this takes less than a look for it in every string.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'\\')) {
        return None;
    }
    let mut scanner = Scanner { rest: text.as_bytes(), text };
    let (mut all, mut within) = (Vec::with_capacity(8), None);
    scanner.object(|scanner, name| {
        let name = text.get(name)?;
        let value = if name != inner {
            scanner.value_text()?
        } else if scanner.token()? == b'{' {
            let mut members = Vec::with_capacity(8);
            let start = scanner.at();
            scanner.object(|scanner, name| {
                members.push((Cow::Borrowed(text.get(name)?), scanner.value_text()?));
                Some(())
            })?;
            within = Some(Members(members));
            scanner.since(start)?
        } else {
            within = None;
            scanner.value_text()?
        };
        all.push((Cow::Borrowed(name), value));
        Some(())
    })?;
    scanner.token().is_none().then_some((Members(all), within))
}

struct Scanner<'a> {
    text: &'a str,
    /// What is still to be read of it.
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.at())
    }

    /// The next byte that is no space.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ', rest @ ..] => self.rest = rest,
                [byte, ..] => return Some(*byte),
                [] => return None,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.token()?;
        match self.rest {
            [first, rest @ ..] if *first == byte => self.rest = rest,
            _ => return None,
        }
        Some(())
    }

    /// Has `member` read the value that belongs to each name, whose place it is told.
    fn object(&mut self, mut member: impl FnMut(&mut Self, Range<usize>) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    fn value_text(&mut self) -> Option<&'a str> {
        self.token()?;
        let start = self.at();
        self.value(DEPTH)?;
        self.since(start)
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.token()? {
            b'"' => self.string().map(drop),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|scanner, _| scanner.value(depth))
            }
            b'[' => self.array(depth.checked_sub(1)?),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.skip(b"-");
        if !self.skip(b"0") {
            self.digits()?;
        }
        if self.skip(b".") {
            self.digits()?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            self.digits()?;
        }
        Some(())
    }

    /// Skips one byte that is among these.
    fn skip(&mut self, bytes: &[u8]) -> bool {
        match self.rest {
            [first, rest @ ..] if bytes.contains(first) => self.rest = rest,
            _ => return false,
        }
        true
    }

    /// One or more.
    fn digits(&mut self) -> Option<()> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(digits..)?;
        (digits > 0).then_some(())
    }

    /// Where a string is, without its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.take(b'"')?;
        let start = self.at();
        let length = quote(self.rest)?;
        self.rest = self.rest.get(length + 1..)?;
        Some(start..start + length)
    }
}

/// Where the first quote is, looked for eight bytes at a time.
fn quote(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        // Only a quote becomes 0, and only 0 both borrows and had no highest bit. Right up to the first.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'"'));
        let quotes = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if quotes != 0 {
            return Some(bytes.len() - rest.len() + quotes.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    let found = rest.iter().position(|byte| *byte == b'"')?;
    Some(bytes.len() - rest.len() + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether `text` is plain; where it is, the other reader must find the same in it.
    fn is_plain(text: &str) -> bool {
        let Some((all, within)) = members(text, "data") else { return false };
        let converted = Members::convert(text).unwrap_or_else(|why| panic!("{text:?} {why}"));
        assert_eq!(all, converted, "{text:?}");
        let inner = converted.get("data").and_then(|data| Members::convert(data).ok());
        assert_eq!(within, inner, "{text:?}");
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

        #[test]
        fn a_quote_is_found_wherever_it_is(bytes in prop::collection::vec(prop::sample::select(&b"\"\"\x23\x21\xa2\x00\xff\x01aaaa"[..]), 0..40)) {
            prop_assert_eq!(quote(&bytes), bytes.iter().position(|byte| *byte == b'"'));
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
