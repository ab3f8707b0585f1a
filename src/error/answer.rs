//! What a server's reply adds to an error.

use std::time::Duration;

/// How much of a server's body an error contains, in bytes.
const RESPONSE_LIMIT: usize = 4096;

/// What the server's reply adds to an error.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) http_status: Option<u16>,
    pub(crate) description: Option<String>,
    pub(crate) response_time: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
    pub(crate) response: Option<String>,
}

/// Returns the part of a server's body that an error contains: text, at most 4 KiB, cut between
/// characters. Returns `None` if it is empty.
pub(crate) fn excerpt(body: &[u8]) -> Option<String> {
    let mut text =
        String::from_utf8_lossy(body.get(..RESPONSE_LIMIT + 4).unwrap_or(body)).into_owned();
    let mut end = RESPONSE_LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpt_does_not_split_a_character() {
        assert_eq!(excerpt(b""), None);
        let long = "é".repeat(4000);
        assert_eq!(excerpt(long.as_bytes()).map(|text| text.len()), Some(4096));
        let odd = format!("x{long}");
        assert_eq!(excerpt(odd.as_bytes()).map(|text| text.len()), Some(4095));
        assert_eq!(excerpt(&[b'a', 0xff]).as_deref(), Some("a\u{fffd}"));
    }
}
