//! Decides which certificates are trusted (the system's store and `ca_file`), and holds the client
//! certificate.

mod pem;
mod store;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::options::Options;
use crate::transport::attempt::Attempt;
use crate::transport::certificate::Verifier;
use crate::transport::trust::pem::{read_ca_file, read_identity};
use crate::transport::trust::store::system_roots;
use crate::transport::wire_error::WireError;

/// The TLS settings. The connections of a client share the sessions that can be resumed.
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    identity: Option<Arc<CertifiedKey>>,
    /// Created by the first call over `https`, because reading the system's store takes
    /// milliseconds.
    config: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    /// Reads the files that the options name.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let extra = options.ca_file.as_deref().map(read_ca_file).transpose()?.unwrap_or_default();
        let identity = match (&options.client_cert_file, &options.client_key_file) {
            (Some(certificate), key) => {
                Some(read_identity(certificate, key.as_deref().unwrap_or(certificate))?)
            }
            (None, Some(_)) => {
                let why = "needs {client_cert_file}, the certificate that the key belongs to";
                return Err(Error::problem(ErrorKind::InvalidOptions, "client_key_file", why));
            }
            (None, None) => None,
        };
        Ok(Self { extra, identity, config: OnceLock::new() })
    }

    pub(super) fn config(&self, attempt: &Attempt<'_>) -> Result<Arc<ClientConfig>, WireError> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let (config, _) = self.build(attempt, false)?;
        // A fork waits until this is done: a child that found it half set would wait forever.
        Ok(fork::held(|| {
            let set = || {
                failpoint::reach("settings");
                Arc::new(config)
            };
            self.config.get_or_init(set).clone()
        }))
    }

    /// Returns the settings for a single connection, and a verifier that records the server's
    /// certificates.
    pub(super) fn recording(
        &self,
        attempt: &Attempt<'_>,
    ) -> Result<(Arc<ClientConfig>, Arc<Verifier>), WireError> {
        self.build(attempt, true).map(|(config, verifier)| (Arc::new(config), verifier))
    }

    fn build(
        &self,
        attempt: &Attempt<'_>,
        keeps: bool,
    ) -> Result<(ClientConfig, Arc<Verifier>), WireError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier::new(self.roots(attempt)?, provider.clone(), keeps)?);
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let config = match &self.identity {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone()))),
            None => builder.with_no_client_auth(),
        };
        Ok((config, verifier))
    }

    /// Returns the system's store and the `ca_file`.
    fn roots(&self, attempt: &Attempt<'_>) -> Result<Arc<RootCertStore>, WireError> {
        let mut roots = system_roots(attempt)?;
        if !self.extra.is_empty() {
            Arc::make_mut(&mut roots).add_parsable_certificates(self.extra.iter().cloned());
        }
        Ok(roots)
    }
}

/// The system's time. A time before 1970 counts as 1970, because `rustls` does not support earlier
/// ones.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}
