//! The request on its way out, where all but its framing and its body gets into it.
//!
//! The HTTP agent knows neither the server, nor the user's id, nor the API key: it writes to a stand-in, and none of its
//! buffers, headers and log lines ever hold the key. What is overwritten below is all that does.

use std::sync::Arc;

use ureq::http::Uri;

use crate::bytes::decimal;
use crate::secret::{self, ApiKey};
use crate::transport::address::Address;
use crate::transport::wire_error::WireError;

/// Held back until the answer is waited for, a request leaves in one piece; a longer one leaves in pieces of this size.
const HELD_BACK: usize = 64 << 10;

/// What the agent's head begins and ends with. Between them stands how long the body is.
const BEGIN: &[u8] = b"POST / HTTP/1.1\r\n";
const END: &[u8] = b"host: -\r\n\r\n";

/// What the agent takes for the address of every user. Before each request it compares the host byte by byte with that of
/// its connection, so it is as short as can be.
pub(super) fn stand_in(is_https: bool) -> Uri {
    Uri::from_static(if is_https { "https://-/" } else { "http://-/" })
}

/// What every request of a client has in common: the agent would spend more on each header than all of them take here.
pub(super) struct Constants {
    /// Up to the user's id.
    start: Vec<u8>,
    /// Between the id and the key.
    middle: Vec<u8>,
    /// Behind the key.
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

/// What is to be sent.
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

    /// Takes the head of a request, and completes it; `headers` are those that the program adds.
    pub(super) fn take_head(
        &mut self,
        head: &[u8],
        user_id: i64,
        key: &ApiKey,
        headers: &[u8],
    ) -> Result<(), WireError> {
        // A head without the places for all that must not leave.
        let framing = head.strip_prefix(BEGIN).and_then(|head| head.strip_suffix(END)).ok_or(WireError::NotHttp)?;
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

    /// Takes more of the request.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        reserve(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites and drops what is held.
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

/// Makes room. By hand, since a vector that grows leaves behind what it held, the API key among it.
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
    fn a_head_is_completed_with_a_key_of_any_length() {
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
    fn no_other_head_leaves() {
        for head in [
            "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: -\r\n\r\n",
            "POST /1 HTTP/1.1\r\nhost: -\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: -\r\ncontent-length: 2\r\n\r\n",
        ] {
            let mut outgoing = outgoing();
            assert!(outgoing.take_head(head.as_bytes(), 1, &ApiKey::new("key").unwrap(), b"").is_err(), "{head}");
            assert!(outgoing.is_empty());
        }
    }
}
