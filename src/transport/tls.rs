//! TLS on a connection: the handshake, writing and reading.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::failpoint;
use crate::transport::attempt::Attempt;
use crate::transport::stream::{Stream, Wire};
use crate::transport::wire_error::WireError;

pub(super) use crate::transport::trust::Trust;

/// How many messages of TLS itself (tickets, new keys) a server may send on an idle connection
/// before the connection is given up.
const MOST_NOTICES: usize = 16;

/// A connection with TLS.
#[derive(Debug)]
pub(super) struct TlsStream {
    connection: ClientConnection,
    under: Stream,
    /// The encrypted bytes to send.
    sealed: Vec<u8>,
}

/// A stream that is read for an attempt, or without blocking.
struct Source<'a, 'b>(&'a mut Stream, Option<&'a Attempt<'b>>);

impl Read for Source<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.1 {
            Some(attempt) => Ok(self.0.read(buffer, attempt)?),
            None => self.0.read_waiting(buffer),
        }
    }
}

impl TlsStream {
    /// Performs the TLS handshake with `host` on this connection.
    pub(super) fn handshake(
        under: Stream,
        host: &str,
        trust: &Trust,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        Self::handshake_with(under, host, trust.config(attempt)?, attempt)
    }

    /// Performs the handshake with these settings.
    pub(super) fn handshake_with(
        under: Stream,
        host: &str,
        config: Arc<ClientConfig>,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        failpoint::reach("handshake");
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'))
            .map_err(|_| {
                WireError::Trust("the host is no name that a certificate could be for".into())
            })?
            .to_owned();
        let mut connection = ClientConnection::new(config, name).map_err(as_io)?;
        // The callers limit the bytes that wait to be sent.
        connection.set_buffer_limit(None);
        let mut stream = Box::new(Self { connection, under, sealed: Vec::new() });
        while stream.connection.is_handshaking() {
            stream.flush(attempt)?;
            if stream.connection.is_handshaking() && stream.receive(Some(attempt))? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        stream.flush(attempt)?;
        Ok(stream)
    }

    /// Reads and decrypts what arrives. 0 means the end.
    fn receive(&mut self, attempt: Option<&Attempt<'_>>) -> Result<usize, WireError> {
        let amount = self
            .connection
            .read_tls(&mut Source(&mut self.under, attempt))
            .map_err(WireError::within)?;
        if let Err(error) = self.connection.process_new_packets() {
            // Send the server the alert with the reason, if possible.
            if let Some(attempt) = attempt {
                let _ = self.flush(attempt);
            }
            return Err(as_io(error).into());
        }
        Ok(amount)
    }

    /// Encrypts the bytes to send.
    fn seal(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.sealed)?;
        }
        Ok(())
    }

    fn flush(&mut self, attempt: &Attempt<'_>) -> Result<(), WireError> {
        self.seal()?;
        let mut sent = 0;
        while let Some(rest) = self.sealed.get(sent..).filter(|rest| !rest.is_empty()) {
            let amount = self.under.write(rest, attempt)?;
            sent += amount;
            // A server that accepts nothing may have replied already, or may only have sent a TLS
            // message.
            if amount == 0 && self.under.has_input() {
                self.sealed.drain(..sent);
                sent = 0;
                let is_over = self.receive(Some(attempt))? == 0;
                if is_over || self.has_plaintext() {
                    return Err(WireError::AnsweredEarly);
                }
                self.seal()?;
            }
        }
        self.sealed.clear();
        Ok(())
    }

    fn has_plaintext(&mut self) -> bool {
        self.connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }
}

impl Wire for TlsStream {
    fn tls_version(&self) -> Option<&'static str> {
        Some(match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        })
    }

    fn write(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        self.write_all(bytes, attempt).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), WireError> {
        self.connection.writer().write_all(bytes)?;
        self.flush(attempt)
    }

    fn read(&mut self, buffer: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        loop {
            match self.connection.reader().read(buffer) {
                // The server closed the connection without a TLS alert, so an intermediary
                // may have cut the reply.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(WireError::Cut)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.receive(Some(attempt))?;
                }
                read => return Ok(read?),
            }
        }
    }

    fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.receive(None)?;
                self.connection.reader().read(buffer)
            }
            read => read,
        }
    }

    fn has_input(&self) -> bool {
        self.under.has_input()
    }

    /// Reads tickets and new keys, which servers may send at any time.
    fn is_usable(&mut self) -> bool {
        for _ in 0..MOST_NOTICES {
            let is_silent = match self.connection.process_new_packets() {
                // A closing alert may have arrived with the reply.
                Ok(state) => !state.peer_has_closed() && state.plaintext_bytes_to_read() == 0,
                Err(_) => false,
            };
            if !is_silent {
                return false;
            }
            if !self.under.has_input() {
                return true;
            }
            if !self.receive(None).is_ok_and(|amount| amount > 0) {
                return false;
            }
        }
        false
    }
}

/// Wraps an error like `rustls` does during I/O, so that callers see only one form.
pub(super) fn as_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
