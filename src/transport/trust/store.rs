//! The system's trust store: where it is, and which certificates it has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use rustls::RootCertStore;
use rustls_native_certs::{load_certs_from_paths, CertificateResult, ErrorKind as LoadError};

use crate::error::millis;
use crate::fork;
use crate::log::{Event, LogLevel};
use crate::transport::attempt::Attempt;
use crate::transport::shortage::shortage;
use crate::transport::wire_error::WireError;

/// Returns the certificates of the system's store.
pub(super) fn system_roots(attempt: &Attempt<'_>) -> Result<Arc<RootCertStore>, WireError> {
    // A process reads the store only once while it does not change, because reading takes
    // milliseconds. A fork waits until this is done, or the child would wait forever.
    static SYSTEM: Mutex<Option<(Sources, Arc<RootCertStore>)>> = Mutex::new(None);
    let (roots, source, read) = fork::held(|| {
        let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = Sources::find();
        if let Some((known, roots)) = system.as_ref() {
            if *known == sources {
                return Ok((roots.clone(), sources.named, None));
            }
        }
        // A failure is not cached, because the next call may succeed.
        let began = Instant::now();
        let (roots, named) = (Arc::new(roots_of(sources.load(), sources.named)?), sources.named);
        *system = Some((sources, roots.clone()));
        Ok::<_, WireError>((roots, named, Some(began.elapsed())))
    })?;
    if let Some(took) = read {
        attempt.emit(LogLevel::Debug, || {
            let (count, source) = (roots.len(), source.unwrap_or("system"));
            let took = millis(took);
            let sentence =
                format!("read {count} certificates of authorities in {took} ms, from: {source}");
            Event::new("trust_store_read", sentence)
                .with("certificates", count)
                .with("source", source)
                .with("elapsed_ms", took)
        });
    }
    Ok(roots)
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use std::io;

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

    #[test]
    fn bundled_roots_replace_only_an_empty_readable_system_store() {
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
    fn certificates_are_used_despite_errors_other_than_a_shortage() {
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
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
}
