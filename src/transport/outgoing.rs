//! Completes the request, of which the HTTP agent provides only the framing and the body.
//!
//! The agent knows neither the server, nor the user id, nor the API key: it writes to a stand-in
//! address, and none of its buffers, headers and log lines ever contain the key. Only the buffer in
//! this file contains it, and it is overwritten after use.

use std::sync::Arc;

use ureq::http::Uri;

use crate::bytes::decimal;
use crate::secret::{self, ApiKey};
use crate::transport::address::Address;
use crate::transport::wire_error::WireError;

/// A request is buffered until the agent waits for the reply, so that it is sent in one piece. A
/// longer request is sent in pieces of this size.
const HELD_BACK: usize = 64 << 10;

/// The beginning and the end of the agent's head. Between them is the framing of the body.
const BEGIN: &[u8] = b"POST / HTTP/1.1\r\n";
const END: &[u8] = b"host: -\r\n\r\n";

/// Returns the address that the agent uses for every user. It is as short as possible, because
/// before each request the agent compares the host with that of its connection, byte by byte.
pub(super) fn stand_in(is_https: bool) -> Uri {
    Uri::from_static(if is_https { "https://-/" } else { "http://-/" })
}

/// What all requests of a client have in common. For each single header, the agent would take
/// longer than all of them take here.
pub(super) struct Constants {
    /// The bytes before the user id.
    start: Vec<u8>,
    /// The bytes between the user id and the API key.
    middle: Vec<u8>,
    /// The bytes after the API key.
    end: Vec<u8>,
}

impl Constants {
    pub(super) fn new(users: &Address, user_agent: &str) -> Self {
        let start = format!("POST {}", users.path());
        let middle = format!(" HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer ", users.host());
        let end = format!(
            "\r\ncontent-type: application/json\r\naccept: application/json\r\naccept-encoding: identity\r\nuser-agent: \
             {user_agent}"
        );
        Self { start: start.into_bytes(), middle: middle.into_bytes(), end: end.into_bytes() }
    }
}

/// The bytes to send.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    constants: Arc<Constants>,
}

impl Outgoing {
    pub(super) fn new(constants: Arc<Constants>) -> Self {
        Self { bytes: Vec::new(), constants }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_long(&self) -> bool {
        self.bytes.len() >= HELD_BACK
    }

    /// Completes the head of a request. `headers` are the additional headers.
    pub(super) fn take_head(
        &mut self,
        head: &[u8],
        user_id: i64,
        key: &ApiKey,
        headers: &[u8],
    ) -> Result<(), WireError> {
        // Reject a head without the expected beginning and end, because it contains what must not
        // be sent.
        let framing = head
            .strip_prefix(BEGIN)
            .and_then(|head| head.strip_suffix(END))
            .ok_or(WireError::NotHttp)?;
        let mut digits = [0; 20];
        let id = decimal(user_id.unsigned_abs(), &mut digits);
        let Constants { start, middle, end } = &*self.constants;
        let parts = [start, id, middle, key.bytes(), end, headers, b"\r\n", framing, b"\r\n"];
        reserve(&mut self.bytes, parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// Adds more bytes of the request.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        reserve(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites and drops the buffered bytes.
    pub(super) fn forget(&mut self) {
        secret::wipe(&mut self.bytes);
        self.bytes.clear();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Makes room without `Vec`'s own growth, which would leave a copy of the old bytes, including the
/// API key, in freed memory.
fn reserve(bytes: &mut Vec<u8>, more: usize) {
    let length = bytes.len() + more;
    if length > bytes.capacity() {
        let mut larger = Vec::with_capacity(length.next_power_of_two());
        larger.extend_from_slice(bytes);
        secret::wipe(bytes);
        *bytes = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> Outgoing {
        let users = Address::new("https://crm.example:8443/api").unwrap();
        Outgoing::new(Arc::new(Constants::new(&users, "x/1")))
    }

    #[test]
    fn the_request_head_is_completed_with_a_key_of_any_length() {
        for key in ["k", "a-key-of-about-the-length", &"long".repeat(1000)] {
            let mut outgoing = outgoing();
            let head = b"POST / HTTP/1.1\r\ncontent-length: 2\r\nhost: -\r\n\r\n";
            outgoing.take_head(head, i64::MAX, &ApiKey::new(key).unwrap(), b"\r\nx: y").unwrap();
            outgoing.take(b"{}");
            let expected = format!(
                "POST /api/users/9223372036854775807 HTTP/1.1\r\nhost: crm.example:8443\r\n\
                 authorization: Bearer {key}\r\ncontent-type: application/json\r\naccept: application/json\r\n\
                 accept-encoding: identity\r\nuser-agent: x/1\r\nx: y\r\ncontent-length: 2\r\n\r\n{{}}"
            );
            assert_eq!(std::str::from_utf8(outgoing.bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn an_unexpected_request_head_is_not_sent() {
        for head in [
            "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: -\r\n\r\n",
            "POST /1 HTTP/1.1\r\nhost: -\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: -\r\ncontent-length: 2\r\n\r\n",
        ] {
            let mut outgoing = outgoing();
            assert!(
                outgoing.take_head(head.as_bytes(), 1, &ApiKey::new("key").unwrap(), b"").is_err(),
                "{head}"
            );
            assert!(outgoing.is_empty());
        }
    }
}
