//! TLS: which certificates are trusted, and the handshake.

use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_native_certs::{CertificateResult, ErrorKind as LoadError};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::transport::failure::shortage;

/// Whom to trust, and the sessions that can be resumed; shared by the agents of a client.
pub(crate) struct Trust {
    extra: Arc<[CertificateDer<'static>]>,
    /// Made by the first call over `https`, for reading the system's store takes milliseconds.
    config: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    pub(crate) fn new(extra: Arc<[CertificateDer<'static>]>) -> Self {
        Self { extra, config: OnceLock::new() }
    }

    // As a part of something larger, it has the compiler keep 60 KB of what `NoKeys` stands in for.
    #[inline(never)]
    fn config(&self) -> Result<Arc<ClientConfig>, ureq::Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let provider = CryptoProvider { key_provider: &NoKeys, ..rustls::crypto::ring::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }

    /// The system's store and the `ca_file`.
    fn roots(&self) -> Result<Arc<RootCertStore>, ureq::Error> {
        // Read once a process: it takes milliseconds. A fork waits for it, or the child would wait for ever.
        static SYSTEM: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
        let mut roots = fork::held(|| {
            let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
            // A failure is not kept: the next call may find what this one did not.
            let roots = match system.take() {
                Some(roots) => roots,
                None => Arc::new(system_roots()?),
            };
            io::Result::Ok(system.insert(roots).clone())
        })?;
        if !self.extra.is_empty() {
            Arc::make_mut(&mut roots).add_parsable_certificates(self.extra.iter().cloned());
        }
        Ok(roots)
    }
}

/// This client shows no certificate of its own, so what signs with one need not be part of the library.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("this client has no private keys".into()))
    }
}

/// Puts TLS on a connection to an `https` address.
pub(crate) struct TlsConnector {
    trust: Arc<Trust>,
}

impl TlsConnector {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }
}

/// Why there is nothing to trust.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TrustError(pub(crate) String);

/// The system's store, which `SSL_CERT_FILE` and `SSL_CERT_DIR` rule, or the bundled roots where it is empty.
/// Certificates of it that cannot be parsed are left out, as other clients do.
fn system_roots() -> io::Result<RootCertStore> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| env::var_os(name).is_some());
    roots_of(rustls_native_certs::load_native_certs(), named)
}

/// What was read of a store, which a variable of this name may have `named`.
fn roots_of(store: CertificateResult, named: Option<&str>) -> io::Result<RootCertStore> {
    let unread = !store.errors.is_empty();
    for error in store.errors {
        // A shortage is soon over, and may have kept the very certificate that is wanted from being read. A file
        // that is broken or out of reach stays so, and the others serve without it.
        match error.kind {
            LoadError::Io { inner, .. } if shortage(&inner).is_some() => return Err(inner),
            _ => {}
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(store.certs);
    if roots.is_empty() {
        // Who names a store wants no other, and one that cannot be read is not known to be empty.
        let why = match named {
            Some(name) => format!("{name} is set, but no certificate can be read from what it names"),
            None if unread => {
                "no certificate can be read from this machine's store; SSL_CERT_FILE can name another".into()
            }
            None => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                return Ok(roots);
            }
        };
        return Err(io::Error::other(TrustError(why)));
    }
    Ok(roots)
}

/// The certificates of a `ca_file`.
pub(crate) fn read_ca_file(path: &Path) -> Result<Arc<[CertificateDer<'static>]>> {
    let refuse = |why: String| Error::new(ErrorKind::InvalidOptions, format!("ca_file {why}"));
    let pem = std::fs::read(path).map_err(|error| refuse(format!("cannot be read: {}", error.kind())))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| refuse("is not PEM: a certificate in it is broken".into()))?;
    if certificates.is_empty() {
        return Err(refuse("holds no certificate; it must be PEM (-----BEGIN CERTIFICATE-----)".into()));
    }
    let (_, unusable) = RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned());
    if unusable > 0 {
        return Err(refuse(format!("holds {unusable} certificate(s) that cannot be parsed")));
    }
    Ok(certificates.into())
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        failpoint::reach("handshake");
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'))
            .map_err(|_| ureq::Error::Tls("the host of base_url is no name that a certificate could be for"))?
            .to_owned();
        let mut connection = ClientConnection::new(self.trust.config()?, name).map_err(as_io)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

/// As `rustls` itself reports failures in the middle of I/O, so that there is one form to tell apart.
fn as_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A connection under TLS.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A farewell that came with the reply is no longer in the socket.
        let silent = match self.stream.conn.process_new_packets() {
            Ok(state) => !state.peer_has_closed() && state.plaintext_bytes_to_read() == 0,
            Err(_) => false,
        };
        let socket = self.stream.sock.get_mut();
        silent && socket.buffers().input().is_empty() && socket.is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read of a store, and with which errors.
    fn store(certificates: &[CertificateDer<'static>], errors: &[io::ErrorKind]) -> CertificateResult {
        let mut store = CertificateResult::default();
        store.certs = certificates.to_vec();
        let failed = |kind: &io::ErrorKind| LoadError::Io { inner: (*kind).into(), path: "x".into() };
        store.errors.extend(errors.iter().map(failed).map(|kind| rustls_native_certs::Error { context: "x", kind }));
        store
    }

    #[test]
    fn bundled_roots_stand_in_for_an_empty_store_but_for_none_that_was_named_or_cannot_be_read() {
        let broken = [CertificateDer::from_slice(b"no certificate")];
        for empty in [&[][..], &broken] {
            assert_eq!(roots_of(store(empty, &[]), None).unwrap().len(), webpki_roots::TLS_SERVER_ROOTS.len());
            let error = roots_of(store(empty, &[io::ErrorKind::PermissionDenied]), None).unwrap_err();
            assert!(error.to_string().contains("this machine's store"), "{error}");
        }
        let error = roots_of(store(&broken, &[]), Some("SSL_CERT_DIR")).unwrap_err();
        assert!(error.to_string().starts_with("SSL_CERT_DIR is set"));
    }

    #[test]
    fn what_was_read_serves_unless_the_rest_may_be_there_in_a_moment() {
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
        for errors in [&[][..], &[io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound]] {
            assert_eq!(roots_of(store(&[one.der().clone()], errors), Some("SSL_CERT_FILE")).unwrap().len(), 1);
        }
        let short = [io::ErrorKind::PermissionDenied, io::ErrorKind::OutOfMemory];
        assert!(shortage(&roots_of(store(&[one.der().clone()], &short), None).unwrap_err()).is_some());
    }
}
