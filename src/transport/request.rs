//! The request on its way out: it is where an attempt begins to be sent, and where the API key gets into it.
//!
//! The HTTP agent knows nothing of the key, so that none of its buffers, headers and log lines ever hold it. What is
//! overwritten below is all that does.

use std::fmt;
use std::sync::Arc;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::Error;

use crate::bytes::find;
use crate::secret::{self, ApiKey};
use crate::transport::attempt::Attempt;

/// What comes before the key.
const AUTHORIZATION: &[u8] = b"\r\nauthorization: Bearer ";

/// The headers that stand behind the key in every request, put in with it: the agent would spend more on each than all
/// of this takes.
pub(crate) fn constant_headers(user_agent: Option<&str>) -> Arc<[u8]> {
    let mut headers = "\r\ncontent-type: application/json\r\naccept: application/json".to_owned();
    if let Some(user_agent) = user_agent {
        headers.push_str("\r\nuser-agent: ");
        headers.push_str(user_agent);
    }
    headers.into_bytes().into()
}

/// The last link of the connector chain: it sees the request, and neither the handshake nor a proxy's `CONNECT`.
#[derive(Debug)]
pub(crate) struct RequestConnector {
    proxied: bool,
    follows: Arc<[u8]>,
}

impl RequestConnector {
    /// `follows` are the [`constant_headers`].
    pub(crate) fn new(proxied: bool, follows: Arc<[u8]>) -> Self {
        Self { proxied, follows }
    }
}

impl<In: Transport> Connector<In> for RequestConnector {
    type Out = RequestTransport<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // The connection to the proxy itself runs through this chain too, with the proxy taken out of its settings.
        let to_proxy = self.proxied && details.config.proxy().is_none();
        Ok(chained.map(|transport| RequestTransport { transport, to_proxy, follows: self.follows.clone() }))
    }
}

/// A connection that requests are handed to.
pub(crate) struct RequestTransport<T> {
    transport: T,
    to_proxy: bool,
    follows: Arc<[u8]>,
}

impl<T: Transport> Transport for RequestTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.to_proxy {
            return self.transport.transmit_output(amount, timeout);
        }
        let attempt = Attempt::current()?;
        if !attempt.begin_request() {
            return self.transport.transmit_output(amount, timeout);
        }
        let length = put_key(self.transport.buffers().output(), amount, attempt.api_key(), &self.follows)?;
        let sent = self.transport.transmit_output(length, timeout);
        // The layers below have copied it.
        secret::wipe(self.transport.buffers().output().get_mut(..length).unwrap_or_default());
        sent
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let came = self.transport.await_input(timeout)?;
        // What TLS says for itself is no answer.
        if came && !self.to_proxy {
            Attempt::current()?.bytes_came();
        }
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// Puts the key, with its header's name before it and `follows` behind it, into a head of `length` bytes, after the
/// first header: that is `Host`, which is to stand there, or what the agent tells proxies too. Returns how long the head
/// is then.
fn put_key(buffer: &mut [u8], length: usize, key: &ApiKey, follows: &[u8]) -> Result<usize, Error> {
    let head = buffer.get(..length).unwrap_or_default();
    // Without room for the key the request must not leave.
    let at = second_line_end(head).ok_or_else(|| Error::ConnectionFailed)?;
    let parts = [AUTHORIZATION, key.bytes(), follows];
    let more = parts.iter().map(|part| part.len()).sum::<usize>();
    if length + more > buffer.len() {
        return Err(Error::ConnectionFailed);
    }
    buffer.copy_within(at..length, at + more);
    let mut place = buffer.get_mut(at..at + more).unwrap_or_default();
    for part in parts {
        let (of_part, rest) = place.split_at_mut_checked(part.len()).ok_or_else(|| Error::ConnectionFailed)?;
        of_part.copy_from_slice(part);
        place = rest;
    }
    Ok(length + more)
}

/// Where the first header ends.
fn second_line_end(head: &[u8]) -> Option<usize> {
    let first = find(b'\r', head)? + 1;
    Some(first + find(b'\r', head.get(first..)?)?)
}

impl<T> fmt::Debug for RequestTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut [u8], length: usize, key: &str) -> Result<usize, Error> {
        put_key(buffer, length, &ApiKey::new(key).unwrap(), b"\r\nmore: x")
    }

    #[test]
    fn a_key_of_any_length_goes_behind_the_first_header() {
        for key in ["k", "a-key-of-about-the-length", &"long".repeat(100)] {
            let (first, others) = ("POST / HTTP/1.1\r\nhost: x", "\r\ncontent-length: 2\r\n\r\n{}");
            let head = format!("{first}{others}");
            let mut buffer = vec![0; 1000];
            buffer[..head.len()].copy_from_slice(head.as_bytes());
            let length = put(&mut buffer, head.len(), key).unwrap();
            let expected = format!("{first}\r\nauthorization: Bearer {key}\r\nmore: x{others}");
            assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_leaves_without_room_for_the_key() {
        let head = "POST / HTTP/1.1\r\nhost: x\r\n\r\n";
        let mut buffer = [0; 66];
        buffer[..head.len()].copy_from_slice(head.as_bytes());
        assert!(put(&mut buffer.clone(), head.len(), "length").is_err());
        assert_eq!(put(&mut buffer, head.len(), "lengt").unwrap(), 66);
        // Nor where there is no header.
        assert!(put(&mut [0; 100], 50, "key").is_err());
    }
}
