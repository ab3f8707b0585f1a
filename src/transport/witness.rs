//! Whether bytes of the request were handed to the socket: what `delivery` is told from.

use std::cell::Cell;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::Error;

thread_local! {
    /// An attempt runs on its caller's thread from begin to end, whichever connection it gets.
    static SENT: Cell<bool> = const { Cell::new(false) };
}

/// Starts an attempt on this thread.
pub(crate) fn begin() {
    SENT.set(false);
}

/// Whether this thread's attempt has handed bytes of the request to the socket.
pub(crate) fn request_began() -> bool {
    SENT.get()
}

/// The last link of the connector chain: it sees the request, and neither the handshake nor a proxy's `CONNECT`.
#[derive(Debug)]
pub(crate) struct WitnessConnector {
    proxied: bool,
}

impl WitnessConnector {
    pub(crate) fn new(proxied: bool) -> Self {
        Self { proxied }
    }
}

impl<In: Transport> Connector<In> for WitnessConnector {
    type Out = Witness<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        // The connection to the proxy itself runs through this chain too, with the proxy taken out of its settings.
        let to_proxy = self.proxied && details.config.proxy().is_none();
        Ok(chained.map(|transport| Witness { transport, watch: !to_proxy }))
    }
}

/// A connection that tells when a request goes out on it.
#[derive(Debug)]
pub(crate) struct Witness<T> {
    transport: T,
    watch: bool,
}

impl<T: Transport> Transport for Witness<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.watch && amount > 0 {
            SENT.set(true);
        }
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}
