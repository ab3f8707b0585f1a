//! Decides which certificates are trusted (the system's store and `ca_file`), and holds the client
//! certificate.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{load_certs_from_paths, CertificateResult, ErrorKind as LoadError};
use zeroize::Zeroizing;

use crate::error::{millis, Error, ErrorKind, Result};
use crate::failpoint;
use crate::fork;
use crate::log::{Event, LogLevel};
use crate::options::Options;
use crate::transport::attempt::Attempt;
use crate::transport::certificate::Verifier;
use crate::transport::shortage::shortage;
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
        // A process reads the store only once while it does not change, because reading takes
        // milliseconds. A fork waits until this is done, or the child would wait forever.
        static SYSTEM: Mutex<Option<(Sources, Arc<RootCertStore>)>> = Mutex::new(None);
        let (mut roots, source, read) = fork::held(|| {
            let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
            let sources = Sources::find();
            if let Some((known, roots)) = system.as_ref() {
                if *known == sources {
                    return Ok((roots.clone(), sources.named, None));
                }
            }
            // A failure is not cached, because the next call may succeed.
            let began = Instant::now();
            let (roots, named) =
                (Arc::new(roots_of(sources.load(), sources.named)?), sources.named);
            *system = Some((sources, roots.clone()));
            Ok::<_, WireError>((roots, named, Some(began.elapsed())))
        })?;
        if let Some(took) = read {
            attempt.emit(LogLevel::Debug, || {
                let (count, source) = (roots.len(), source.unwrap_or("system"));
                let took = millis(took);
                let sentence = format!(
                    "read {count} certificates of authorities in {took} ms, from: {source}"
                );
                Event::new("trust_store_read", sentence)
                    .with("certificates", count)
                    .with("source", source)
                    .with("elapsed_ms", took)
            });
        }
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

/// A path, and the values that change with its content.
type Stamped = (PathBuf, Option<(SystemTime, u64)>);

/// The location of the system's store.
#[derive(PartialEq)]
struct Sources {
    /// The variable that names the paths, if there is one.
    named: Option<&'static str>,
    file: Option<Stamped>,
    directories: Vec<Stamped>,
}

impl Sources {
    /// Returns the paths in `SSL_CERT_FILE` and `SSL_CERT_DIR`, or those of the system. An empty
    /// variable counts as unset.
    fn find() -> Self {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let (file, directories) = (variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR"));
        let named = match (&file, &directories) {
            (Some(_), _) => Some("SSL_CERT_FILE"),
            (None, Some(_)) => Some("SSL_CERT_DIR"),
            (None, None) => None,
        };
        let (file, directories) = match named {
            Some(_) => (
                file.map(PathBuf::from),
                directories.map(|paths| env::split_paths(&paths).collect()).unwrap_or_default(),
            ),
            None => system_paths(),
        };
        let stamped = |path: PathBuf| {
            let stamp =
                fs::metadata(&path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
            (path, stamp)
        };
        Self {
            named,
            file: file.map(stamped),
            directories: directories
                .into_iter()
                .filter(|path| path != Path::new(""))
                .map(stamped)
                .collect(),
        }
    }

    fn load(&self) -> CertificateResult {
        if self.file.is_none() && self.directories.is_empty() {
            return rustls_native_certs::load_native_certs();
        }
        let mut all =
            load_certs_from_paths(self.file.as_ref().map(|(path, _)| path.as_path()), None);
        for (path, _) in &self.directories {
            let more = load_certs_from_paths(None, Some(path));
            all.certs.extend(more.certs);
            all.errors.extend(more.errors);
        }
        all
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn system_paths() -> (Option<PathBuf>, Vec<PathBuf>) {
    let probed = openssl_probe::probe();
    (probed.cert_file, probed.cert_dir)
}

/// On this system, the certificates come from the system's interface and not from files.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn system_paths() -> (Option<PathBuf>, Vec<PathBuf>) {
    (None, Vec::new())
}

/// Returns the certificates of a store, which the variable `named` may name. Certificates that
/// cannot be parsed are skipped, as in other clients. If the store is empty, the bundled roots are
/// used instead.
fn roots_of(store: CertificateResult, named: Option<&str>) -> Result<RootCertStore, WireError> {
    let mut unread = None;
    for error in store.errors {
        // A shortage is temporary, and may have hidden the required certificate, so it is an error.
        // A file that is broken or unreadable remains so, and the other certificates are used
        // without it.
        match error.kind {
            LoadError::Io { inner, .. } if shortage(&inner).is_some() => return Err(inner.into()),
            LoadError::Io { inner, path } => unread = unread.or(Some((path, Some(inner.kind())))),
            _ => unread = unread.or(Some((PathBuf::new(), None))),
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(store.certs);
    if roots.is_empty() {
        // If a variable names the store, the bundled roots must not replace it. A store that cannot
        // be read is not known to be empty.
        let why = match (named, unread) {
            (Some(name), Some((path, Some(kind)))) => {
                format!("{name} is set, but no certificate can be read from what it names: {}: {kind}", path.display())
            }
            (Some(name), _) => format!("{name} is set, but no certificate can be read from what it names"),
            (None, Some(_)) => {
                "no certificate can be read from this machine's store; SSL_CERT_FILE can name another".into()
            }
            (None, None) => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                return Ok(roots);
            }
        };
        return Err(WireError::Trust(why));
    }
    Ok(roots)
}

/// Returns a function that creates the error of a file that an option names.
fn refuse(option: &'static str) -> impl Fn(String) -> Error + Copy {
    move |why| Error::problem(ErrorKind::InvalidOptions, option, why)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "names a file that does not exist".to_owned(),
        kind => format!("cannot be read: {kind}"),
    }
}

/// Reads a PEM file and normalizes it: without a byte order mark, and with each boundary on a line
/// of its own. The parser would skip anything that it does not recognize.
fn read_pem(path: &Path, refuse: impl Fn(String) -> Error) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| refuse(unreadable(&error)))?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| refuse("is not PEM (-----BEGIN CERTIFICATE-----)".into()))?;
    let text = text.trim_start_matches('\u{feff}');
    let lines = Zeroizing::new(text.replace("-----BEGIN ", "\n-----BEGIN "));
    Ok(Zeroizing::new(lines.replace('\r', "").into_bytes()))
}

/// Returns all certificates of a file.
fn read_certificates(
    pem: &[u8],
    refuse: impl Fn(String) -> Error,
) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| refuse("is not PEM: a certificate in it is broken".into()))?;
    if certificates.is_empty() {
        return Err(refuse(
            "contains no certificate; it must be PEM (-----BEGIN CERTIFICATE-----)".into(),
        ));
    }
    let begun = String::from_utf8_lossy(pem).matches("-----BEGIN CERTIFICATE-----").count();
    if begun != certificates.len() {
        return Err(refuse(format!(
            "contains {begun} certificates, of which {} can be read",
            certificates.len()
        )));
    }
    Ok(certificates)
}

/// Returns the certificates of a `ca_file`.
fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let refuse = refuse("ca_file");
    let certificates = read_certificates(&read_pem(path, refuse)?, refuse)?;
    let (_, unusable) =
        RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned());
    if unusable > 0 {
        return Err(refuse(format!("contains {unusable} certificate(s) that cannot be parsed")));
    }
    Ok(certificates)
}

/// Reads a client certificate, with its intermediate certificates, and its key.
fn read_identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let refuse_key = refuse("client_key_file");
    let chain = read_certificates(
        &read_pem(certificate, refuse("client_cert_file"))?,
        refuse("client_cert_file"),
    )?;
    let pem = read_pem(key, refuse_key)?;
    if pem.windows(27).any(|text| text == b"-----BEGIN ENCRYPTED PRIVAT") {
        return Err(refuse_key("is encrypted; give the key without a passphrase".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        refuse_key("contains no private key; it must be PEM (-----BEGIN PRIVATE KEY-----)".into())
    })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            refuse_key("is not the key of the certificate in {client_cert_file}".into())
        }
        _ => refuse_key(
            "contains a key of a kind that is not supported; RSA (2048 bits or more), ECDSA (P-256, P-384) and \
                         Ed25519 are"
                .into(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a store with these certificates and errors.
    fn store(
        certificates: &[CertificateDer<'static>],
        errors: &[io::ErrorKind],
    ) -> CertificateResult {
        let mut store = CertificateResult::default();
        store.certs = certificates.to_vec();
        let failed = |kind: &io::ErrorKind| LoadError::Io {
            inner: (*kind).into(),
            path: "/the/file".into(),
        };
        store.errors.extend(
            errors.iter().map(failed).map(|kind| rustls_native_certs::Error { context: "x", kind }),
        );
        store
    }

    fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    #[test]
    fn bundled_roots_stand_in_for_an_empty_store_but_for_none_that_was_named_or_cannot_be_read() {
        let broken = [CertificateDer::from_slice(b"no certificate")];
        for empty in [&[][..], &broken] {
            assert_eq!(
                roots_of(store(empty, &[]), None).unwrap().len(),
                webpki_roots::TLS_SERVER_ROOTS.len()
            );
            let error =
                roots_of(store(empty, &[io::ErrorKind::PermissionDenied]), None).unwrap_err();
            assert!(error.to_string().contains("this machine's store"), "{error}");
        }
        let error = roots_of(store(&broken, &[]), Some("SSL_CERT_DIR")).unwrap_err();
        assert!(error.to_string().contains("SSL_CERT_DIR is set"), "{error}");
        let error =
            roots_of(store(&[], &[io::ErrorKind::NotFound]), Some("SSL_CERT_FILE")).unwrap_err();
        assert!(error.to_string().contains("/the/file"), "{error}");
    }

    #[test]
    fn what_was_read_serves_unless_the_rest_may_be_there_in_a_moment() {
        let one = certificate().cert;
        for errors in [&[][..], &[io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound]] {
            assert_eq!(
                roots_of(store(&[one.der().clone()], errors), Some("SSL_CERT_FILE")).unwrap().len(),
                1
            );
        }
        let short = [io::ErrorKind::PermissionDenied, io::ErrorKind::OutOfMemory];
        let WireError::Io(error) = roots_of(store(&[one.der().clone()], &short), None).unwrap_err()
        else {
            panic!("a shortage is told as such");
        };
        assert!(shortage(&error).is_some());
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("commbox-{}-{name}.pem", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn pem_files_are_read_whole_or_refused() {
        let (one, two) = (certificate().cert.pem(), certificate().cert.pem());
        for (name, text) in [
            ("plain", format!("{one}{two}")),
            ("joined", format!("{}{}", one.trim_end(), two.trim_end())),
            ("mark", format!("\u{feff}{one}{two}")),
            ("crlf", format!("{one}{two}").replace("\r", "").replace('\n', "\r\n")),
            ("words", format!("an authority\n{one}another\n{two}end")),
        ] {
            assert_eq!(read_ca_file(&file(name, &text)).unwrap().len(), 2, "{name}");
        }
        let cut = format!("{one}{}", &two[..two.len() / 2]);
        for (name, text) in
            [("cut", cut.as_str()), ("none", "words"), ("broken", "-----BEGIN CERTIFICATE-----\n!")]
        {
            let error = read_ca_file(&file(name, text)).unwrap_err();
            assert!(error.to_string().starts_with("ca_file "), "{name}: {error}");
        }
    }

    #[test]
    fn a_client_certificate_needs_its_own_key() {
        let (own, other) = (certificate(), certificate());
        let chain = file("chain", &own.cert.pem());
        assert!(read_identity(&chain, &file("key", &own.signing_key.serialize_pem())).is_ok());
        let both = file("both", &format!("{}{}", own.signing_key.serialize_pem(), own.cert.pem()));
        assert!(read_identity(&both, &both).is_ok());
        let refused = |key: &Path| read_identity(&chain, key).unwrap_err().to_string();
        assert!(refused(&file("other", &other.signing_key.serialize_pem()))
            .contains("not the key of the certificate"));
        assert!(refused(&chain).contains("contains no private key"));
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(refused(&file("encrypted", encrypted)).contains("without a passphrase"));
    }
}
