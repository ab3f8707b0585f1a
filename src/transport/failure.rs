//! Why an attempt failed, in words that tell what to do, and whether the request had left.

use std::io;
use std::time::Duration;

use rustls::CertificateError;
use ureq::http::Uri;
use ureq::Timeout;

use crate::error::{Answer, Delivery, Error, ErrorKind};
use crate::transport::witness;

/// What an attempt was about, for its error.
pub(crate) struct Context<'a> {
    pub(crate) url: &'a str,
    pub(crate) limit: Duration,
    pub(crate) connect: Duration,
}

impl Context<'_> {
    /// The error of a failed attempt; `status` is that of the answer where its head had come.
    pub(crate) fn explain(&self, error: ureq::Error, status: Option<u16>) -> Error {
        let sent = witness::request_began();
        let (kind, message) = self.reason(error, sent);
        let delivery = if sent { Delivery::Unknown } else { Delivery::NotSent };
        let answer = Answer { http_status: status, ..Answer::default() };
        Error::new(kind, message).with_delivery(delivery).with_answer(answer)
    }

    fn reason(&self, error: ureq::Error, sent: bool) -> (ErrorKind, String) {
        let peer = self.peer();
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) if self.connect < self.limit => {
                (ErrorKind::Timeout, format!("no connection to {peer} within {} ms", self.connect.as_millis()))
            }
            ureq::Error::Timeout(_) if sent => {
                (ErrorKind::Timeout, format!("no full answer from {peer} within {} ms", self.limit.as_millis()))
            }
            ureq::Error::Timeout(_) => {
                (ErrorKind::Timeout, format!("nothing was sent to {peer} within {} ms", self.limit.as_millis()))
            }
            ureq::Error::HostNotFound => {
                (ErrorKind::Connection, format!("the name of {peer} was not found; check base_url and the DNS"))
            }
            ureq::Error::ConnectProxyFailed(_) => {
                (ErrorKind::Connection, format!("the proxy did not connect to {peer}; check the proxy option"))
            }
            ureq::Error::Tls(why) => (ErrorKind::Tls, format!("TLS with {peer} failed: {why}")),
            ureq::Error::Io(error) => match tls_reason(&error) {
                Some(why) => (ErrorKind::Tls, format!("TLS with {peer} failed: {why}")),
                None => (ErrorKind::Connection, io_reason(&error, &peer, sent)),
            },
            ureq::Error::LargeResponseHeader(..) => {
                (ErrorKind::BadResponse, format!("the head of the answer from {peer} is larger than 64 KiB"))
            }
            ureq::Error::Protocol(_) => (ErrorKind::BadResponse, format!("what {peer} answered is not HTTP/1.1")),
            _ => (ErrorKind::Connection, format!("the connection to {peer} failed")),
        }
    }

    /// The host and port that the options name.
    fn peer(&self) -> String {
        self.url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
    }
}

fn io_reason(error: &io::Error, peer: &str, sent: bool) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{peer} refused the connection; is the server up, is the port right?")
        }
        io::ErrorKind::UnexpectedEof if sent => format!("{peer} closed the connection before its answer was complete"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            format!("{peer} reset the connection")
        }
        kind => format!("the connection to {peer} failed: {kind}"),
    }
}

/// What went wrong in TLS, where it did.
fn tls_reason(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by no authority that is trusted here. If a company proxy or a private authority \
             signed it, name that authority's PEM file in the ca_file option or in SSL_CERT_FILE"
                .into()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; the server must renew it (or this machine's clock is wrong)".into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid yet; is this machine's clock right?".into(),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host; check base_url".into(),
        rustls::Error::InvalidCertificate(why) => format!("its certificate is not accepted: {why}"),
        rustls::Error::AlertReceived(alert) => format!("it ended the handshake with the alert {alert:?}"),
        rustls::Error::InvalidMessage(_) => {
            "what it sent is not TLS; does base_url say https where the port speaks http?".into()
        }
        other => other.to_string(),
    })
}
