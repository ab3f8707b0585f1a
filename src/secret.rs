//! The API key: checked once, never printed, wiped when dropped.

use std::fmt;

use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// An API key that is fit for an `Authorization` header.
pub(crate) struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Accepts visible ASCII only. An error tells what is wrong and where, never what the key is.
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidArgument, format!("api_key {why}")));
        if text.is_empty() {
            return refuse("is empty; give the key that CommBox issued".into());
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            return refuse("starts with \"Bearer \"; give the key alone, the library adds the word".into());
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

    /// The value of the `Authorization` header, marked so that nothing below prints it.
    pub(crate) fn authorization(&self) -> Result<HeaderValue, Error> {
        let bearer = Zeroizing::new(format!("Bearer {}", *self.0));
        let mut value = HeaderValue::from_str(&bearer)
            .map_err(|_| Error::new(ErrorKind::Internal, "a checked API key did not fit a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
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
    fn refuses_what_no_header_may_carry() {
        for (key, expected) in [
            ("", "empty"),
            ("Bearer abc", "Bearer"),
            ("a b", "blank"),
            ("abc\n", "line break"),
            ("ab\u{7f}", "control"),
            ("clé", "not ASCII"),
        ] {
            let error = ApiKey::new(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn is_never_printed() {
        let key = ApiKey::new("canary-key").unwrap();
        assert!(!format!("{key:?} {:?}", key.authorization().unwrap()).contains("canary"));
    }
}
