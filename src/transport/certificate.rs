//! Explains why a certificate was rejected, and what to do about it.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, mem};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

/// The maximum number of a certificate's names in a message.
const NAMES_SHOWN: usize = 5;

/// A reason that the verifier's own error does not contain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reason(String);

/// Verifies like `rustls`, and then examines rejected certificates, because they are not available
/// afterwards.
#[derive(Debug)]
pub(super) struct Verifier {
    verifier: Arc<WebPkiServerVerifier>,
    /// The certificates that were verified last, the server's first, if they are recorded.
    seen: Option<Mutex<Vec<Vec<u8>>>>,
}

impl Verifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        keeps: bool,
    ) -> io::Result<Self> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { verifier, seen: keeps.then(Mutex::default) })
    }

    /// Returns the recorded certificates.
    pub(super) fn take_seen(&self) -> Vec<Vec<u8>> {
        let seen =
            self.seen.as_ref().map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.map(|mut seen| mem::take(&mut *seen)).unwrap_or_default()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(seen) = &self.seen {
            let all = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|certificate| certificate.to_vec());
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
        }
        let verified = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        verified.map_err(|error| closer(error, end_entity, intermediates))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.verifier.verify_tls12_signature(message, certificate, signature);
        verified.map_err(|error| closer(error, certificate, &[]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.verifier.verify_tls13_signature(message, certificate, signature);
        verified.map_err(|error| closer(error, certificate, &[]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Finds the reason in the certificates if the error does not contain it.
fn closer(
    error: Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Error {
    let Error::InvalidCertificate(certificate_error) = &error else {
        return error;
    };
    let all = || std::iter::once(end_entity).chain(intermediates);
    let why = match certificate_error {
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            if let Some(bits) =
                all().filter_map(|certificate| rsa_bits(certificate)).find(|bits| *bits < 2048)
            {
                format!(
                    "its certificate, or one of its authorities, has an RSA key of {bits} bits; at least 2048 are required. Issue \
                     it anew with a longer key"
                )
            } else if all().any(|certificate| has_oid(certificate, SECP521R1)) {
                "its certificate has a key on the curve P-521, which is not supported; P-256 and P-384 are".to_owned()
            } else if all().any(|certificate| SHA1.iter().any(|oid| has_oid(certificate, oid))) {
                "its certificate is signed with SHA-1, which is not safe; have it signed with SHA-256".to_owned()
            } else {
                return error;
            }
        }
        CertificateError::UnknownIssuer
            if intermediates.is_empty() && !is_self_issued(end_entity) =>
        {
            format!(
                "{UNTRUSTED} If the authority is trusted here, the server fails to send the intermediate certificates \
                 between; configure its full chain"
            )
        }
        _ => return error,
    };
    CertificateError::Other(OtherError(Arc::new(Reason(why)))).into()
}

const UNTRUSTED: &str = "its certificate is not signed by an authority that is trusted here. If a company proxy or a private \
                         authority signed it, name that authority's PEM file in the ca_file option or in SSL_CERT_FILE.";

const SECP521R1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const SHA1: [&[u8]; 2] = [
    // For RSA and for ECDSA.
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
];

fn has_oid(certificate: &[u8], oid: &[u8]) -> bool {
    certificate.windows(oid.len()).any(|window| window == oid)
}

/// Returns the length of an RSA key in bits. The key follows `rsaEncryption` and NULL: a bit string
/// that contains a sequence, which begins with the modulus.
fn rsa_bits(certificate: &[u8]) -> Option<usize> {
    const RSA: &[u8] =
        &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let at = certificate.windows(RSA.len()).position(|window| window == RSA)?;
    let (_, bit_string) = element(certificate.get(at + RSA.len()..)?, 0x03)?;
    let (_, sequence) = element(bit_string.strip_prefix(&[0])?, 0x30)?;
    let (_, modulus) = element(sequence, 0x02)?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    Some(modulus.len() * 8)
}

/// Parses a DER element with this tag. Returns the bytes after it, and its content.
pub(super) fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=127 => (short, rest),
        long => {
            let (digits, rest) =
                rest.split_at_checked(long & 127).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((rest, inside))
}

/// Returns whether a certificate names itself as its issuer. The two names surround its validity.
fn is_self_issued(certificate: &[u8]) -> bool {
    let names = || {
        let (_, certificate) = element(certificate, 0x30)?;
        let (_, mut rest) = element(certificate, 0x30)?;
        if let Some((after, _)) = element(rest, 0xa0) {
            rest = after;
        }
        let (rest, _serial) = element(rest, 0x02)?;
        let (rest, _algorithm) = element(rest, 0x30)?;
        let (rest, issuer) = element(rest, 0x30)?;
        let (rest, _validity) = element(rest, 0x30)?;
        let (_, subject) = element(rest, 0x30)?;
        Some(issuer == subject)
    };
    names().unwrap_or_default()
}

/// Returns what failed in TLS, if the error comes from TLS.
pub(super) fn explain(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(why) => refused(why),
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            "it offers no safe version or cipher; it must support TLS 1.2 or newer".into()
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it asks for a client certificate; name the files of one and of its key in the options of the client".into()
        }
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => format!(
            "it does not accept the client certificate of this client, or the lack of one (alert {alert:?})"
        ),
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "it ended the handshake: it asks for a client certificate (the options client_cert_file and \
             client_key_file), or shares no cipher or signature with this library (its certificate may have a key on the \
             curve P-521, or a short RSA key)"
                .into()
        }
        Error::AlertReceived(alert) => format!("it ended the handshake with the alert {alert:?}"),
        Error::InvalidMessage(_) => {
            "what it sent is not TLS; does the base URL say https where the port speaks http?".into()
        }
        other => other.to_string(),
    })
}

/// Explains why a certificate was rejected.
fn refused(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => UNTRUSTED.trim_end_matches('.').to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; the server must renew it (or this machine's clock is wrong)".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?".into()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "its certificate names no host: it has no subjectAltName, and the common name does not count. Issue it anew \
             with one"
                .into()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let mut why = "its certificate is for another host; check the base URL. It is for".to_owned();
            for (place, name) in presented.iter().take(NAMES_SHOWN).enumerate() {
                let shown: String = name.chars().filter(|character| !character.is_control()).take(80).collect();
                let _ = write!(why, "{} {shown}", if place == 0 { "" } else { "," });
            }
            if let Some(more) = presented.len().checked_sub(NAMES_SHOWN).filter(|more| *more > 0) {
                let _ = write!(why, " and {more} more");
            }
            why
        }
        CertificateError::NotValidForName => "its certificate is for another host; check the base URL".into(),
        CertificateError::BadSignature => {
            "its certificate names an authority that is trusted here, but is signed with another key. If that authority \
             was renewed, name its new PEM file in the ca_file option or in SSL_CERT_FILE"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed in a way that is not supported; RSA, ECDSA (P-256, P-384) and Ed25519 with SHA-256 \
             or better are"
                .into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers (extended key usage); issue it anew for serverAuth".into()
        }
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Reason>() {
            Some(Reason(why)) => why.clone(),
            // These errors have types of a crate that this library does not depend on directly, so
            // compare their text.
            None => match other.to_string().as_str() {
                "CaUsedAsEndEntity" => {
                    "its certificate is that of an authority (CA:TRUE), as self-signed ones often are. Let that authority \
                     sign one for the server, and name the authority's PEM file in the ca_file option"
                }
                "EndEntityUsedAsCa" => {
                    "its certificate is signed by a certificate that is not an authority's (CA:FALSE); an authority must sign it"
                }
                "NameConstraintViolation" => {
                    "its certificate is for a host that its authority may not sign for (name constraints)"
                }
                "PathLenConstraintViolated" => {
                    "its chain of certificates is longer than its first authority allows (path length)"
                }
                other => return format!("its certificate is not accepted: {other}"),
            }
            .into(),
        },
        why => {
            let why: String = format!("{why:?}").chars().take(60).collect();
            format!("its certificate is not accepted: {why}")
        }
    }
}
