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
        Ok(chained.map(|transport| RequestTransport { transport, to_proxy }))
    }
}

/// A connection that requests are handed to.
pub(crate) struct RequestTransport<T> {
    transport: T,
    to_proxy: bool,
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
        let length = put_key(self.transport.buffers().output(), amount, attempt.api_key())?;
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

/// Puts the key in the place of the stand-in in a head of `length` bytes, and returns how long it is then.
fn put_key(buffer: &mut [u8], length: usize, key: &ApiKey) -> Result<usize, Error> {
    let key = key.bytes();
    let stand_in = STAND_IN.as_bytes();
    let head = buffer.get(..length).unwrap_or_default();
    // Without a key, or without room for it, the request must not leave.
    let start = head.windows(stand_in.len()).position(|part| part == stand_in).ok_or(Error::ConnectionFailed)?;
    let (start, end) = (start + "Bearer ".len(), start + stand_in.len());
    let new_length = length - (end - start) + key.len();
    if new_length > buffer.len() {
        return Err(Error::ConnectionFailed);
    }
    buffer.copy_within(end..length, start + key.len());
    buffer.get_mut(start..start + key.len()).ok_or(Error::ConnectionFailed)?.copy_from_slice(key);
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

    #[test]
    fn a_key_of_any_length_takes_the_place_of_the_stand_in() {
        let head = format!("POST / HTTP/1.1\r\nauthorization: {STAND_IN}\r\nhost: x\r\n\r\n");
        for key in ["k", "a-key-of-about-the-length", &"long".repeat(100)] {
            let mut buffer = vec![0; 1000];
            buffer[..head.len()].copy_from_slice(head.as_bytes());
            let length = put_key(&mut buffer, head.len(), &ApiKey::new(key).unwrap()).unwrap();
            let expected = format!("POST / HTTP/1.1\r\nauthorization: Bearer {key}\r\nhost: x\r\n\r\n");
            assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
        }
        let mut small = head.clone().into_bytes();
        assert!(put_key(&mut small, head.len(), &ApiKey::new(&"long".repeat(100)).unwrap()).is_err());
        assert!(put_key(&mut [0; 100], 50, &ApiKey::new("key").unwrap()).is_err());
    }
}
