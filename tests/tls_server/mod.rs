//! An HTTPS server with its own certificates.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, ALL_VERSIONS,
};

use crate::loopback::{listen, Http, Record, Request};

use scratch::scratch;

pub mod records;
#[allow(clippy::duplicate_mod, reason = "some test programs have `common` too")]
#[path = "../common/scratch.rs"]
mod scratch;

/// A certificate authority that no trust store contains.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        Self::named(&format!("Test Authority {}", MADE.fetch_add(1, Ordering::SeqCst)))
    }

    pub fn named(name: &str) -> Self {
        Self(
            CertifiedIssuer::self_signed(Self::params(name), KeyPair::generate().unwrap()).unwrap(),
        )
    }

    /// Returns an intermediate authority that this one signed.
    pub fn intermediate(&self) -> Self {
        let params = Self::params("Test Intermediate");
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Issues a certificate for the loopback address. `change` modifies it.
    pub fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(change).signed_by(&key, &self.0).unwrap();
        Identity { chain: vec![certificate.der().clone()], key }
    }
}

/// Returns a self-signed certificate.
pub fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf(change).self_signed(&key).unwrap();
    Identity { chain: vec![certificate.der().clone()], key }
}

fn leaf(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params =
        CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    change(&mut params);
    params
}

/// The certificates and the key of a server.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Identity {
    /// Returns the settings of a server with this identity, for all versions of TLS.
    pub fn config(self) -> ServerConfig {
        self.config_of(ALL_VERSIONS)
    }

    /// Like [`Identity::config`], but requires a client certificate of this authority.
    pub fn config_for_clients_of(
        self,
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(self.chain, key)
            .unwrap()
    }

    /// Returns the certificates and the key, as PEM.
    pub fn pems(&self) -> (String, String) {
        let text = |certificate: &CertificateDer<'_>| {
            let body = base64(certificate)
                .as_bytes()
                .chunks(64)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect::<Vec<_>>()
                .join("\n");
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        (self.chain.iter().map(text).collect(), self.key.serialize_pem())
    }

    pub fn config_of(self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, key)
            .unwrap()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let coded = |group: &[u8]| {
        let bits = (0..3)
            .fold(0_u32, |bits, place| bits << 8 | u32::from(*group.get(place).unwrap_or(&0)));
        (0..4)
            .map(|place| {
                if place > group.len() {
                    '='
                } else {
                    char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63])
                }
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(coded).collect()
}

/// The server's end of a connection.
pub type Tls = StreamOwned<ServerConnection, TcpStream>;

pub fn accept(config: &Arc<ServerConfig>, stream: TcpStream) -> Http<Tls> {
    Http::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
}

/// What a server recorded about a request.
#[derive(Clone)]
pub struct Seen {
    pub connection: usize,
    pub version: ProtocolVersion,
    pub handshake: HandshakeKind,
    pub request: Request,
}

/// Starts a server that passes every request, with its number on its connection, to `answer`. The
/// connection stays open while `answer` returns true.
pub fn serve(
    config: ServerConfig,
    answer: impl Fn(&mut Http<Tls>, usize) -> bool + Send + Sync + 'static,
) -> (u16, Record<Seen>) {
    let (config, record) = (Arc::new(config), Record::new());
    let seen = record.clone();
    let port = listen(move |stream, connection| {
        let mut http = accept(&config, stream);
        for number in 0.. {
            let Some(request) = http.request() else { break };
            let tls = &http.stream.conn;
            let (version, handshake) =
                (tls.protocol_version().unwrap(), tls.handshake_kind().unwrap());
            seen.add(Seen { connection, version, handshake, request });
            if !answer(&mut http, number) {
                break;
            }
        }
    });
    (port, record)
}

/// Writes a file for an option or a variable that contains a path.
pub fn file(name: &str, content: &str) -> PathBuf {
    let path = scratch().join(name);
    fs::write(&path, content).unwrap();
    path
}
