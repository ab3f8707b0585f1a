//! Explains why an attempt failed, what to do about it, and whether the request was sent.

use std::io;

use crate::delivery::watch::Stop;
use crate::error::{Answer, Delivery, Error, ErrorKind};
use crate::thread::NoThread;
use crate::transport::attempt::{Attempt, Progress};
use crate::transport::certificate;
use crate::transport::connect::Dialer;
use crate::transport::proxy::Proxy;
use crate::transport::shortage::shortage;
use crate::transport::wire_error::WireError;

/// The context of an attempt, for its error.
pub(super) struct Context<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) attempt: &'a Attempt<'a>,
}

impl Context<'_> {
    /// Returns the error of a failed attempt.
    pub(super) fn explain(&self, error: ureq::Error) -> Error {
        let sent = self.attempt.was_sent();
        let reason = match self.attempt.stopped() {
            Some(stop) => self.stopped(stop, sent),
            None => self.failed(WireError::of(error), sent),
        };
        let answer = Answer { http_status: self.attempt.status(), ..Answer::default() };
        reason
            .with_delivery(if sent { Delivery::Unknown } else { Delivery::NotSent })
            .with_answer(answer)
    }

    fn stopped(&self, stop: Stop, sent: bool) -> Error {
        let (peer, limit) = (self.peer(), self.attempt.limit_ms());
        let why = match (stop, self.attempt.progress()) {
            (Stop::Cancelled, _) => return cancelled(sent),
            (Stop::Late, Progress::LookingUp) => {
                format!("the DNS lookup of {peer} did not finish within {limit} ms; check this machine's DNS")
            }
            (Stop::Late, Progress::Connecting) => {
                format!("no connection to {peer} within {limit} ms")
            }
            (Stop::Late, _) if sent => format!("no full answer from {peer} within {limit} ms"),
            (Stop::Late, _) => format!("nothing was sent to {peer} within {limit} ms"),
        };
        Error::new(ErrorKind::Timeout, why)
    }

    fn failed(&self, error: WireError, sent: bool) -> Error {
        let peer = self.peer();
        let connection = |why: String| Error::new(ErrorKind::Connection, why);
        match error {
            WireError::NameNotFound => {
                let source = self.proxy_in_front().map_or("the base URL", |proxy| proxy.source);
                connection(format!("the name of {peer} was not found; check {source} and the DNS"))
            }
            WireError::NoAddressAnswered => {
                connection(format!("no connection to {peer}: none of its addresses answered"))
            }
            WireError::NoThread => connection(io_reason(&io::Error::other(NoThread), &peer, sent)),
            WireError::Trust(why) => {
                Error::new(ErrorKind::Tls, format!("TLS with {peer} failed: {why}"))
            }
            WireError::ProxyRefused { status, schemes } => {
                let refusal = self.proxy_failed(&match status {
                    407 => format!(
                        "it requires a user and a password{}: put them into {}, http://user:password@host:port",
                        if schemes.is_empty() {
                            String::new()
                        } else {
                            format!(" (it asks for {schemes}, and Basic is what is sent)")
                        },
                        self.source(),
                    ),
                    _ => format!("it answered HTTP {status}; does it allow this host?"),
                });
                // A proxy that refuses now will refuse again in a second, unless it is busy.
                if matches!(status, 408 | 429) || status >= 500 {
                    refusal
                } else {
                    refusal.permanent()
                }
            }
            WireError::Socks(why) => self.proxy_failed(why),
            WireError::NotHttp | WireError::HeadTooLong | WireError::Closed | WireError::Cut
                if self.proxy_in_front().is_some() =>
            {
                self.proxy_failed("its answer is not HTTP")
            }
            WireError::NotHttp => Error::new(
                ErrorKind::BadResponse,
                format!("the answer from {peer} is not HTTP/1.1"),
            ),
            WireError::HeadTooLong => {
                let why =
                    format!("the head of the answer from {peer} is larger than 64 KiB, or has more than 512 lines");
                Error::new(ErrorKind::BadResponse, why)
            }
            WireError::Closed | WireError::Cut | WireError::AnsweredEarly | WireError::Stopped => {
                connection(io_reason(&io::ErrorKind::UnexpectedEof.into(), &peer, sent))
            }
            WireError::Io(error) => match certificate::explain(&error) {
                Some(why) => Error::new(ErrorKind::Tls, format!("TLS with {peer} failed: {why}")),
                // The error is from the agent itself, which receives only normalized HTTP.
                None if error.get_ref().is_some_and(|inner| inner.is::<ureq::Error>()) => {
                    Error::new(
                        ErrorKind::BadResponse,
                        format!("the answer from {peer} is not HTTP/1.1"),
                    )
                }
                None => connection(io_reason(&error, &peer, sent)),
            },
        }
    }

    fn proxy_failed(&self, why: &str) -> Error {
        let why =
            format!("the proxy of {} did not connect to {}: {why}", self.source(), self.target());
        Error::new(ErrorKind::Connection, why)
    }

    /// Returns what named the proxy.
    fn source(&self) -> &'static str {
        self.dialer.proxy.as_ref().map_or("the proxy option", |proxy| proxy.source)
    }

    /// Returns the peer of the connection.
    fn peer(&self) -> String {
        match self.proxy_in_front() {
            Some(proxy) => format!("the proxy {}:{}", proxy.host, proxy.port),
            None => self.target(),
        }
    }

    /// Returns the proxy, if the attempt failed before the tunnel was open.
    fn proxy_in_front(&self) -> Option<&Proxy> {
        self.dialer.proxy.as_ref().filter(|_| self.attempt.is_before_tunnel())
    }

    /// Returns the host and port that the options name.
    fn target(&self) -> String {
        let target = &self.dialer.target;
        match (target.port, target.is_tls) {
            (443, true) | (80, false) => target.host.clone(),
            (port, _) => format!("{}:{port}", target.host),
        }
    }
}

/// Returns the error of a cancelled call.
pub(crate) fn cancelled(sent: bool) -> Error {
    let why = if sent { "after its request had left" } else { "before anything of it was sent" };
    Error::new(ErrorKind::Cancelled, format!("the call was cancelled or interrupted {why}"))
}

fn io_reason(error: &io::Error, peer: &str, sent: bool) -> String {
    if let Some(why) = shortage(error) {
        return format!("the connection to {peer} failed: {why}");
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{peer} refused the connection; is the server up, is the port right?")
        }
        io::ErrorKind::UnexpectedEof if sent => {
            format!("{peer} closed the connection before its answer was complete")
        }
        io::ErrorKind::UnexpectedEof => {
            format!("{peer} closed the connection before anything was sent")
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => {
            format!("{peer} reset the connection")
        }
        io::ErrorKind::TimedOut => {
            format!("no connection to {peer}: none of its addresses answered")
        }
        kind => format!("the connection to {peer} failed: {kind}"),
    }
}
