//! The API key: validated once, never printed, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// The maximum length of a key, in bytes: much longer than any real key, and much shorter than the
/// room for the head of a request.
const LONGEST: usize = 4096;

/// A valid API key for an `Authorization` header.
pub(crate) struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Accepts only visible ASCII characters. The error contains the problem and its position, but
    /// never the key.
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let refuse =
            |why: String| Err(Error::new(ErrorKind::InvalidArgument, format!("api_key {why}")));
        if text.is_empty() {
            return refuse("is empty; pass the key that CommBox issued".into());
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            return refuse(
                "starts with \"Bearer \"; pass only the key, the library adds the word".into(),
            );
        }
        if text.len() > LONGEST {
            return refuse(format!("is {} bytes long; the limit is {LONGEST}", text.len()));
        }
        match text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            None => Ok(Self(Zeroizing::new(text.to_owned()))),
            Some(at) => {
                let what = match text.as_bytes().get(at) {
                    Some(b' ' | b'\t' | b'\r' | b'\n') => "a blank or line break",
                    Some(byte) if byte.is_ascii() => "a control character",
                    _ => "a character that is not ASCII",
                };
                refuse(format!("has {what} at byte {at}; a key is visible ASCII without blanks"))
            }
        }
    }

    /// Returns the bytes of the key, to be written into the request.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Returns whether a text is a secret, or whether one contains the other and the shorter one has at
/// least `TELLING` bytes.
pub(crate) fn reveals(text: &str, secret: &[u8]) -> bool {
    const TELLING: usize = 6;
    let (text, secret) = (text.trim().as_bytes(), secret.trim_ascii());
    let (short, long) = if text.len() < secret.len() { (text, secret) } else { (secret, text) };
    text == secret
        || (short.len() >= TELLING && long.windows(short.len()).any(|part| part == short))
}

/// Overwrites the memory of a secret.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // The zeros are never read. Without this call, the compiler may omit the writes.
    std::hint::black_box(bytes);
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_overlaps_a_secret_is_detected() {
        for (text, secret, told) in [
            ("key", "key", true),
            ("my-key-1", "key", false),
            ("trace-abcdef-1", "abcdef", true),
            ("abcdef", " xabcdefx\r", true),
            ("", "key", false),
        ] {
            assert_eq!(reveals(text, secret.as_bytes()), told, "{text} {secret}");
        }
    }

    #[test]
    fn keys_that_are_not_valid_in_a_header_are_rejected() {
        for (key, expected) in [
            ("", "empty"),
            ("Bearer abc", "Bearer"),
            ("a b", "blank"),
            ("abc\n", "line break"),
            ("ab\u{7f}", "control"),
            ("clé", "not ASCII"),
            (&"k".repeat(4097), "4097 bytes long"),
        ] {
            let error = ApiKey::new(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::new("canary-key").unwrap();
        assert!(!format!("{key:?}").contains("canary"));
    }
}
