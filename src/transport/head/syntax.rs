//! The syntax of a head: its lines, the status line, and the words, lists and numbers of headers.

use crate::bytes::find;

/// The lines of a text, each without its line ending. A last line without an ending is not
/// returned.
pub(super) struct Lines<'a> {
    pub(super) input: &'a [u8],
    pub(super) place: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.input.get(self.place..)?;
        let length = find(b'\n', rest)?;
        self.place += length + 1;
        let line = rest.get(..length)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Parses a status line. Returns the status, and whether the version is HTTP/1.0.
pub(super) fn status(line: &[u8]) -> Option<(u16, bool)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (digits, rest) = rest.split_at_checked(3)?;
    if !version.is_ascii_digit()
        || !digits.iter().all(u8::is_ascii_digit)
        || rest.first().is_some_and(|byte| *byte != b' ')
    {
        return None;
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    (status >= 100).then_some((status, *version == b'0'))
}

/// Compares a word with a known one, ignoring case. The usual spelling needs a single comparison.
pub(super) fn is(word: &[u8], known: &[u8]) -> bool {
    word == known || word.eq_ignore_ascii_case(known)
}

/// Returns the elements of a header that is a list.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

pub(super) fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
