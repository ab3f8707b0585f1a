//! The headers that the program adds: validated before anything is sent, never printed, wiped when
//! dropped.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{shown, Problems};
use crate::json::{self, Members};

/// The maximum number of headers of a client or of a call, and the maximum length of a name and of
/// a value, in bytes.
const MOST: usize = 32;
const LONGEST_NAME: usize = 64;
const LONGEST_VALUE: usize = 4096;

/// The headers that this library sets, or that control the connection.
const RESERVED: [&str; 15] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
const RESERVED_STARTS: [&str; 2] = ["content-", "proxy-"];

/// Additional headers for requests, such as the key of a gateway, or `traceparent`. At most 32.
/// Their values are secrets: no message, log or `Debug` output contains them.
///
/// # Examples
///
/// ```
/// let mut headers = commbox::Headers::new();
/// headers.set("X-Gateway-Key", "my-gateway-key");
/// assert!(!format!("{headers:?}").contains("my-gateway-key"));
/// ```
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, Zeroizing<String>)>);

impl Headers {
    /// Creates an empty set of headers.
    ///
    /// # Examples
    ///
    /// ```
    /// let headers = commbox::Headers::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a header. It replaces a header with the same name. The client or the call that receives
    /// the headers checks them: a name is a token of at most 64 bytes, and a value is visible ASCII
    /// with blanks inside, of at most 4096 bytes. Rejected are the headers that this library sets
    /// (`Authorization`, `Accept`, `User-Agent`, …), those of the connection (`Host`, `Connection`,
    /// `Transfer-Encoding`, …), and all `Content-…` and `Proxy-…`.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut options = commbox::Options::default();
    /// options.headers.set("X-Gateway-Key", "my-gateway-key");
    /// ```
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.0.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }

    /// Sets all headers of `others`.
    pub(crate) fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|(name, value)| self.set(name, value));
    }

    /// Reads headers from a JSON object of strings. The error describes what is expected.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an object of strings";
        let mut headers = Self::default();
        for (name, value) in &Members::read(text).map_err(|_| EXPECTED)?.all {
            let value = json::text(value).ok_or(EXPECTED)?;
            headers.set(name, &value);
            if let std::borrow::Cow::Owned(copy) = value {
                drop(Zeroizing::new(copy));
            }
        }
        Ok(headers)
    }

    /// Adds all problems of the headers. No value is quoted.
    pub(crate) fn add_problems(&self, problems: &mut Problems) {
        if self.0.len() > MOST {
            problems.add("headers", format!("must be {MOST} at most, not {}", self.0.len()));
        }
        for (name, value) in &self.0 {
            if let Err(why) = check_name(name) {
                problems.add(&format!("headers.{}", shown(name, LONGEST_NAME)), why);
            } else if let Err(why) = check_value(value) {
                problems.add(&format!("headers.{name}"), why);
            }
        }
    }

    /// Returns the bytes to send: these headers, and those of `others` whose names are not among
    /// these.
    pub(crate) fn to_bytes(&self, others: &Self) -> HeaderBytes {
        let others = others
            .0
            .iter()
            .filter(|(name, _)| !self.0.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)));
        let all = || others.clone().chain(&self.0);
        // Allocate all at once, because a growing vector leaves copies of its bytes in freed
        // memory.
        let length = all().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for (name, value) in all() {
            for part in ["\r\n", name, ": ", value] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Headers as they are sent, each preceded by a line break.
pub(crate) type HeaderBytes = Zeroizing<Vec<u8>>;

impl fmt::Debug for Headers {
    /// Contains only the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Checks whether a header can have this name.
pub(crate) fn check_token(name: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_token) {
        true => Ok(()),
        false => Err(format!(
            "is not a valid header name: use 1 to {LONGEST_NAME} letters, digits, - and _"
        )),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    check_token(name)?;
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str())
        || RESERVED_STARTS.iter().any(|start| lower.starts_with(start))
    {
        return Err("is reserved; the library sets it, or the connection needs it".to_owned());
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.len() > LONGEST_VALUE {
        return Err(format!("has a value of {} bytes; the limit is {LONGEST_VALUE}", value.len()));
    }
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
    match value.bytes().position(|byte| !is_visible(byte)) {
        Some(at) => {
            Err(format!("has a value with a character at byte {at} that is not visible ASCII"))
        }
        None if value.trim_ascii() != value => {
            Err("has a value that starts or ends with a blank".to_owned())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn problems(headers: &Headers) -> Vec<String> {
        let mut problems = Problems::default();
        headers.add_problems(&mut problems);
        let error = problems.check(ErrorKind::InvalidOptions).err();
        error.iter().flat_map(|error| error.problems()).map(ToString::to_string).collect()
    }

    #[test]
    fn headers_of_a_call_override_those_of_its_client() {
        let client = Headers::read(r#"{"X-Gateway-Key": "k", "X-Trace": "1"}"#).unwrap();
        let mut call = Headers::new();
        assert_eq!(call.to_bytes(&client).as_slice(), b"\r\nX-Gateway-Key: k\r\nX-Trace: 1");
        call.set("x-trace", "2");
        call.set("X-TRACE", "3 \u{34}");
        assert_eq!(call.to_bytes(&client).as_slice(), b"\r\nX-Gateway-Key: k\r\nX-TRACE: 3 4");
        assert_eq!(format!("{call:?} {client:?}"), r#"{"X-TRACE"} {"X-Gateway-Key", "X-Trace"}"#);
        assert!(problems(&call).is_empty() && Headers::new().to_bytes(&Headers::new()).is_empty());
    }

    #[test]
    fn invalid_headers_are_reported_without_their_values() {
        for name in ["", "a b", "a:b", "é", "x\r\ny", &"n".repeat(65)] {
            let mut headers = Headers::new();
            headers.set(name, "canary");
            let told = problems(&headers);
            assert!(told.len() == 1 && told[0].contains("is not a valid header name"), "{told:?}");
            assert!(!told[0].contains("canary") && !told[0].contains('\r'));
        }
        for name in [
            "Authorization",
            "HOST",
            "content-length",
            "Content-Anything",
            "Proxy-X",
            "te",
            "User-Agent",
        ] {
            let mut headers = Headers::new();
            headers.set(name, "canary");
            assert_eq!(
                problems(&headers),
                [format!(
                    "headers.{name} is reserved; the library sets it, or the connection needs it"
                )]
            );
        }
        for (value, why) in [
            ("a\r\nX: canary", "at byte 1"),
            ("canary\0", "at byte 6"),
            ("é", "at byte 0"),
            (" a", "a blank"),
            ("a\t", "a blank"),
            (&"v".repeat(4097), "4097 bytes"),
        ] {
            let mut headers = Headers::new();
            headers.set("X-A", value);
            let told = problems(&headers);
            assert!(
                told.len() == 1 && told[0].contains(why) && !told[0].contains("canary"),
                "{told:?}"
            );
        }
        let mut many = Headers::new();
        (0..33).for_each(|number| many.set(&format!("X-{number}"), ""));
        assert_eq!(problems(&many), ["headers must be 32 at most, not 33"]);
        for text in ["[]", "7", r#"{"X-A": 7}"#, r#"{"X-A": null}"#] {
            assert!(Headers::read(text).is_err(), "{text}");
        }
    }
}
