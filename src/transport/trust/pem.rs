//! Reads the PEM files that options name: `ca_file`, and the client certificate with its key.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::RootCertStore;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

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
pub(super) fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
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
pub(super) fn read_identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
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
    use std::env;
    use std::path::PathBuf;

    fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("commbox-{}-{name}.pem", std::process::id()));
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn pem_files_are_read_completely_or_rejected() {
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
    fn a_client_certificate_requires_its_own_key() {
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
