//! Why an attempt failed, in words that tell what to do, and whether the request had left.

use std::io;

use rustls::{AlertDescription, CertificateError};
use ureq::http::Uri;
use ureq::Proxy;

use crate::delivery::watch::Stop;
use crate::error::{Answer, Delivery, Error, ErrorKind};
use crate::thread::NoThread;
use crate::transport::attempt::Attempt;
use crate::transport::tls::TrustError;

/// What an attempt was about, for its error.
pub(crate) struct Context<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) proxy: Option<&'a Proxy>,
    pub(crate) attempt: &'a Attempt,
}

impl Context<'_> {
    /// The error of a failed attempt; `status` is that of the answer where its head had come.
    pub(crate) fn explain(&self, error: ureq::Error, status: Option<u16>) -> Error {
        let sent = self.attempt.was_sent();
        let reason = match self.attempt.stopped() {
            Some(stop) => self.stopped(stop, sent),
            None => self.failed(error, sent),
        };
        let answer = Answer { http_status: status, ..Answer::default() };
        reason.with_delivery(if sent { Delivery::Unknown } else { Delivery::NotSent }).with_answer(answer)
    }

    fn stopped(&self, stop: Stop, sent: bool) -> Error {
        let (peer, limit) = (self.peer(), self.attempt.limit_ms());
        let why = match stop {
            Stop::Cancelled => return cancelled(sent),
            Stop::Late if self.attempt.was_connecting() => format!("no connection to {peer} within {limit} ms"),
            Stop::Late if sent => format!("no full answer from {peer} within {limit} ms"),
            Stop::Late => format!("nothing was sent to {peer} within {limit} ms"),
        };
        Error::new(ErrorKind::Timeout, why)
    }

    fn failed(&self, error: ureq::Error, sent: bool) -> Error {
        let peer = self.peer();
        match error {
            ureq::Error::HostNotFound => {
                let option = if self.proxy_in_front().is_some() { "the proxy option" } else { "base_url" };
                let why = format!("the name of {peer} was not found; check {option} and the DNS");
                Error::new(ErrorKind::Connection, why)
            }
            ureq::Error::ConnectProxyFailed(reason) => proxy_refused(&self.target(), &reason),
            ureq::Error::Tls(why) => Error::new(ErrorKind::Tls, format!("TLS with {peer} failed: {why}")),
            ureq::Error::Io(error) => match tls_reason(&error) {
                Some(why) => Error::new(ErrorKind::Tls, format!("TLS with {peer} failed: {why}")),
                None => Error::new(ErrorKind::Connection, io_reason(&error, &peer, sent)),
            },
            ureq::Error::LargeResponseHeader(..) => {
                let why = format!("the head of the answer from {peer} is larger than 16 KiB");
                Error::new(ErrorKind::BadResponse, why)
            }
            _ if self.proxy_in_front().is_some() => proxy_refused(&self.target(), "no HTTP"),
            // Stalled is a body in chunks that are none.
            ureq::Error::Protocol(_) | ureq::Error::BodyStalled => {
                Error::new(ErrorKind::BadResponse, format!("what {peer} answered is not HTTP/1.1"))
            }
            _ => Error::new(ErrorKind::Connection, format!("the connection to {peer} failed")),
        }
    }

    /// Who was spoken to.
    fn peer(&self) -> String {
        match self.proxy_in_front() {
            Some(proxy) => format!("the proxy {}:{}", proxy.host(), proxy.port()),
            None => self.target(),
        }
    }

    /// The proxy that was to make a tunnel when the attempt failed.
    fn proxy_in_front(&self) -> Option<&Proxy> {
        let proxy = self.proxy.filter(|_| self.attempt.was_before_tunnel())?;
        (!proxy.is_no_proxy(self.uri)).then_some(proxy)
    }

    /// The host and port that the options name.
    fn target(&self) -> String {
        self.uri.authority().map(ToString::to_string).unwrap_or_default()
    }
}

/// The error of a call that was cancelled.
pub(crate) fn cancelled(sent: bool) -> Error {
    let why = if sent { "after its request had left" } else { "before anything of it was sent" };
    Error::new(ErrorKind::Cancelled, format!("the call was cancelled or interrupted {why}"))
}

/// A proxy that says no to a `CONNECT`; the agent puts its status into words.
fn proxy_refused(peer: &str, reason: &str) -> Error {
    let status = reason.split(' ').find_map(|word| word.split('/').next()?.parse::<u16>().ok());
    let why = match status {
        Some(407) => {
            "it wants a user and a password: put them into the proxy option, http://user:password@host:port".into()
        }
        Some(status) => format!("it answered HTTP {status}; does it allow this host?"),
        None => "it gave no answer that is HTTP".to_owned(),
    };
    let error = Error::new(ErrorKind::Connection, format!("the proxy did not connect to {peer}: {why}"));
    match status {
        // What it refuses now it will refuse in a second.
        Some(400..=499) => error.permanent(),
        _ => error,
    }
}

/// What there was too little of at the moment, where that is the reason.
pub(super) fn shortage(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    match error.raw_os_error() {
        Some(libc::EMFILE) => return Some("this process has too many files open; close some, or raise its limit"),
        Some(libc::ENFILE) => return Some("this machine has too many files open"),
        _ => {}
    }
    if error.get_ref().is_some_and(|error| error.is::<NoThread>()) {
        return Some("the system gives no thread for the name lookup; end some, or raise its limit");
    }
    (error.kind() == io::ErrorKind::OutOfMemory).then_some("this machine has too little memory")
}

fn io_reason(error: &io::Error, peer: &str, sent: bool) -> String {
    if let Some(why) = shortage(error) {
        return format!("the connection to {peer} failed: {why}");
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{peer} refused the connection; is the server up, is the port right?")
        }
        io::ErrorKind::UnexpectedEof if sent => format!("{peer} closed the connection before its answer was complete"),
        io::ErrorKind::UnexpectedEof => format!("{peer} closed the connection before anything was sent"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            format!("{peer} reset the connection")
        }
        io::ErrorKind::TimedOut => format!("no connection to {peer}: none of its addresses answered"),
        kind => format!("the connection to {peer} failed: {kind}"),
    }
}

/// What went wrong in TLS, where it did.
fn tls_reason(error: &io::Error) -> Option<String> {
    let source = error.get_ref()?;
    if let Some(TrustError(why)) = source.downcast_ref() {
        return Some(why.clone());
    }
    let error = source.downcast_ref::<rustls::Error>()?;
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
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            "its certificate names an authority that is trusted here, but is signed with another key. If that \
             authority was renewed, name its new PEM file in the ca_file option or in SSL_CERT_FILE"
                .into()
        }
        // The crate that checks certificates has the type of this one, and is not ours to name.
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is that of an authority (CA:TRUE), as self-signed ones often are. Let that authority sign \
             one for the server, and name the authority's PEM file in the ca_file option"
                .into()
        }
        rustls::Error::InvalidCertificate(why) => format!("its certificate is not accepted: {why}"),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            "it offers nothing that is safe; it must speak TLS 1.2 or newer".into()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate, which this library has not".into()
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "it ended the handshake: it wants a client certificate, which this library has not, or shares no cipher \
             with it"
                .into()
        }
        rustls::Error::AlertReceived(alert) => format!("it ended the handshake with the alert {alert:?}"),
        rustls::Error::InvalidMessage(_) => {
            "what it sent is not TLS; does base_url say https where the port speaks http?".into()
        }
        other => other.to_string(),
    })
}
