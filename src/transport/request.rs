//! The request on its way out: it is where an attempt begins to be sent, and where the API key gets into it.
//!
//! The HTTP agent writes a stand-in for the key, so that none of its buffers, headers and log lines ever hold the key
//! itself. What is overwritten below is all that does.

use std::fmt;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::Error;

use crate::secret::{self, ApiKey};
use crate::transport::attempt::Attempt;

/// The `Authorization` header that the agent is given. Of a length that the buffer for the head has to spare.
pub(crate) const STAND_IN: &str = "Bearer \u{7b}commbox-api-key\u{7d}";

/// What stands behind the key in every request. The agent would spend more on each header than all of this takes.
const FOLLOWS: &str = "\r\ncontent-type: application/json\r\naccept: application/json";

/// The last link of the connector chain: it sees the request, and neither the handshake nor a proxy's `CONNECT`.
#[derive(Debug)]
pub(crate) struct RequestConnector {
    proxied: bool,
}

impl RequestConnector {
    pub(crate) fn new(proxied: bool) -> Self {
        Self { proxied }
    }
}

impl<In: Transport> Connector<In> for RequestConnector {
    type Out = RequestTransport<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // The connection to the proxy itself runs through this chain too, with the proxy taken out of its settings.
        let to_proxy = self.proxied && details.config.proxy().is_none();
        Ok(chained.map(|transport| RequestTransport { transport, to_proxy, key_at: 0 }))
    }
}

/// A connection that requests are handed to.
pub(crate) struct RequestTransport<T> {
    transport: T,
    to_proxy: bool,
    /// Where the key went into the last request.
    key_at: usize,
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
        let length = put_key(self.transport.buffers().output(), amount, attempt.api_key(), &mut self.key_at)?;
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

/// Puts the key and what follows it in the place of the stand-in in a head of `length` bytes, and returns how long it
/// is then. The stand-in is looked for at `likely` first, where it then is the next time.
fn put_key(buffer: &mut [u8], length: usize, key: &ApiKey, likely: &mut usize) -> Result<usize, Error> {
    let stand_in = STAND_IN.as_bytes();
    let head = buffer.get(..length).unwrap_or_default();
    // Without a key, or without room for it, the request must not leave.
    let start = match head.get(*likely..).is_some_and(|rest| rest.starts_with(stand_in)) {
        true => *likely,
        false => head.windows(stand_in.len()).position(|part| part == stand_in).ok_or(Error::ConnectionFailed)?,
    };
    *likely = start;
    let (start, end) = (start + "Bearer ".len(), start + stand_in.len());
    let (key, follows) = (key.bytes(), FOLLOWS.as_bytes());
    let new_end = start + key.len() + follows.len();
    let new_length = length - end + new_end;
    if new_length > buffer.len() {
        return Err(Error::ConnectionFailed);
    }
    buffer.copy_within(end..length, new_end);
    let (of_key, of_follows) = buffer
        .get_mut(start..new_end)
        .and_then(|place| place.split_at_mut_checked(key.len()))
        .ok_or(Error::ConnectionFailed)?;
    of_key.copy_from_slice(key);
    of_follows.copy_from_slice(follows);
    Ok(new_length)
}

impl<T> fmt::Debug for RequestTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut [u8], length: usize, key: &str, likely: &mut usize) -> Result<usize, Error> {
        put_key(buffer, length, &ApiKey::new(key).unwrap(), likely)
    }

    #[test]
    fn a_key_of_any_length_takes_the_place_of_the_stand_in_wherever_it_is() {
        let mut likely = 0;
        for (path, key) in
            [("/", "k"), ("/", "a-key-of-about-the-length"), ("/longer", &"long".repeat(100)), ("/", "k")]
        {
            let head = format!("POST {path} HTTP/1.1\r\nauthorization: {STAND_IN}\r\nhost: x\r\n\r\n");
            let mut buffer = vec![0; 1000];
            buffer[..head.len()].copy_from_slice(head.as_bytes());
            let length = put(&mut buffer, head.len(), key, &mut likely).unwrap();
            let expected = head.replace(STAND_IN, &format!("Bearer {key}{FOLLOWS}"));
            assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_leaves_without_a_key_or_room_for_it() {
        let head = format!("POST / HTTP/1.1\r\nauthorization: {STAND_IN}\r\n\r\n");
        assert!(put(&mut head.clone().into_bytes(), head.len(), &"long".repeat(100), &mut 0).is_err());
        for likely in [0, 30, 1000] {
            assert!(put(&mut [0; 100], 50, "key", &mut likely.clone()).is_err());
        }
    }
}
