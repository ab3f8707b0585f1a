//! The request on its way out, where the API key gets into it.
//!
//! The HTTP agent knows nothing of the key, so that none of its buffers, headers and log lines ever hold it. What is
//! overwritten below is all that does.

use std::sync::Arc;

use crate::bytes::find;
use crate::secret::{self, ApiKey};
use crate::transport::wire::WireError;

/// Held back until the answer is waited for, a request leaves in one piece; a longer one leaves in pieces of this size.
const HELD_BACK: usize = 64 << 10;

/// What comes before the key.
const AUTHORIZATION: &[u8] = b"\r\nauthorization: Bearer ";

/// The headers that stand behind the key in every request, put in with it: the agent would spend more on each than all
/// of this takes.
pub(super) fn constant_headers(user_agent: &str) -> Arc<[u8]> {
    let headers = format!(
        "\r\ncontent-type: application/json\r\naccept: application/json\r\naccept-encoding: identity\r\nuser-agent: \
         {user_agent}"
    );
    headers.into_bytes().into()
}

/// What is to be sent.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    constant_headers: Arc<[u8]>,
}

impl Outgoing {
    pub(super) fn new(constant_headers: Arc<[u8]>) -> Self {
        Self { bytes: Vec::new(), constant_headers }
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

    /// Takes the head of a request, and puts the key with its header's name before it and the constant headers behind
    /// it, after the first header.
    pub(super) fn take_head(&mut self, head: &[u8], key: &ApiKey) -> Result<(), WireError> {
        // Without the place for the key the request must not leave.
        let at = second_line_end(head).ok_or(WireError::NotHttp)?;
        let (before, behind) = head.split_at(at);
        let parts = [before, AUTHORIZATION, key.bytes(), &self.constant_headers, behind];
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

/// Where the first header ends.
fn second_line_end(head: &[u8]) -> Option<usize> {
    let first = find(b'\r', head)? + 1;
    Some(first + find(b'\r', head.get(first..)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_goes_behind_the_first_header() {
        for key in ["k", "a-key-of-about-the-length", &"long".repeat(1000)] {
            let (first, others) = ("POST / HTTP/1.1\r\nhost: x", "\r\ncontent-length: 2\r\n\r\n");
            let mut outgoing = Outgoing::new(constant_headers("x/1"));
            outgoing.take_head(format!("{first}{others}").as_bytes(), &ApiKey::new(key).unwrap()).unwrap();
            outgoing.take(b"{}");
            let expected = format!(
                "{first}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
                 accept: application/json\r\naccept-encoding: identity\r\nuser-agent: x/1{others}{{}}"
            );
            assert_eq!(std::str::from_utf8(outgoing.bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_leaves_where_there_is_no_place_for_the_key() {
        let mut outgoing = Outgoing::new(constant_headers("x"));
        assert!(outgoing.take_head(b"POST / HTTP/1.1", &ApiKey::new("key").unwrap()).is_err());
        assert!(outgoing.is_empty());
    }
}
