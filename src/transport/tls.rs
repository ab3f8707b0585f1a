//! TLS on a connection: the handshake, and what is written and read under it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::failpoint;
use crate::transport::attempt::Attempt;
use crate::transport::stream::{Stream, Wire};
use crate::transport::wire_error::WireError;

pub(super) use crate::transport::trust::Trust;

/// How often a server may say something for itself on an idle connection (a ticket, a new key) before that is odd.
const MOST_NOTICES: usize = 16;

/// A connection under TLS.
#[derive(Debug)]
pub(super) struct TlsStream {
    connection: ClientConnection,
    under: Stream,
    /// What is to be sent, encrypted.
    sealed: Vec<u8>,
}

/// A stream, read for an attempt or without waiting.
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
    /// Makes TLS with `host` over this connection.
    pub(super) fn handshake(
        under: Stream,
        host: &str,
        trust: &Trust,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        Self::handshake_with(under, host, trust.config(attempt)?, attempt)
    }

    /// The same with these settings.
    pub(super) fn handshake_with(
        under: Stream,
        host: &str,
        config: Arc<ClientConfig>,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        failpoint::reach("handshake");
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'))
            .map_err(|_| WireError::Trust("the host is no name that a certificate could be for".into()))?
            .to_owned();
        let mut connection = ClientConnection::new(config, name).map_err(as_io)?;
        // What waits to be sent is bounded by who writes.
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

    /// Takes in what comes; 0 is the end.
    fn receive(&mut self, attempt: Option<&Attempt<'_>>) -> Result<usize, WireError> {
        let amount = self.connection.read_tls(&mut Source(&mut self.under, attempt)).map_err(WireError::within)?;
        if let Err(error) = self.connection.process_new_packets() {
            // It is told why, if that is possible.
            if let Some(attempt) = attempt {
                let _ = self.flush(attempt);
            }
            return Err(as_io(error).into());
        }
        Ok(amount)
    }

    /// Encrypts what there is to be sent.
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
            // A server that takes nothing may have answered already; or it only says something for itself.
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
                // It closed without saying so: whoever stands between may have cut the answer.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(WireError::Cut),
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

    /// Tickets and new keys, which servers send when they like, are read.
    fn is_usable(&mut self) -> bool {
        for _ in 0..MOST_NOTICES {
            let is_silent = match self.connection.process_new_packets() {
                // A farewell may have come with the reply.
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

/// As `rustls` itself reports failures in the middle of I/O, so that there is one form to tell apart.
pub(super) fn as_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
