//! One HTTP attempt over the `ureq` agent, and what its failure means.

mod address;
mod attempt;
mod failure;
mod proxy;
mod request;
mod resolver;
mod tcp;
mod tls;

use std::io::Read;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use ureq::http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Proxy};

use crate::error::Result;
use crate::fork;
use crate::options::Options;
use crate::transport::request::{constant_headers, RequestConnector};
use crate::transport::resolver::Names;
use crate::transport::tls::Trust;

pub(crate) use address::Address;
pub(crate) use attempt::{Attempt, Limits};
pub(crate) use failure::cancelled;

/// The longest reply that is read.
const REPLY_LIMIT: usize = 1 << 20;

/// Of a connection, for what comes in. The usual reply fits, longer ones come in pieces.
const INPUT: usize = 16 << 10;

/// For what goes out: the longest head of a request fits, a body goes in pieces.
const OUTPUT: usize = 8 << 10;

/// The longest head of a reply that is read. One that fills the buffer and does not end is longer.
const HEAD_LIMIT: usize = INPUT - 1;

/// Room for the usual reply and more, in bytes.
const USUAL_REPLY: usize = 1 << 10;

/// A server's answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// Whether `body` is the whole body; it is not where that is longer than [`REPLY_LIMIT`].
    pub(crate) complete: bool,
}

/// The HTTP agent of a client: its connections, its trust, its proxy.
pub(crate) struct Transport {
    agent: Agent,
    settings: Settings,
    shared: Shared,
    /// Of every request.
    headers: HeaderMap,
    /// The process that it belongs to.
    generation: u32,
    /// Whether a panic passed through the agent, whose locks stay poisoned then.
    broken: AtomicBool,
}

/// What an agent is made from.
#[derive(Clone)]
struct Settings {
    proxy: Option<Proxy>,
    host: HeaderValue,
    user_agent: String,
    certificates: Arc<[CertificateDer<'static>]>,
    idle_connections: usize,
    idle_timeout: Duration,
    dns_ttl: Duration,
}

/// What the agents of one client and one process share.
#[derive(Clone)]
struct Shared {
    names: Names,
    trust: Arc<Trust>,
}

impl Shared {
    fn new(settings: &Settings) -> Self {
        Self { names: Names::new(settings.dns_ttl), trust: Arc::new(Trust::new(settings.certificates.clone())) }
    }
}

impl Transport {
    /// `host` is the server's name for the `Host` header.
    pub(crate) fn new(options: &Options, host: HeaderValue) -> Result<Self> {
        let certificates = options.ca_file.as_deref().map(tls::read_ca_file).transpose()?;
        let settings = Settings {
            proxy: proxy::choose(options)?,
            host,
            user_agent: match options.user_agent.as_deref() {
                Some(suffix) => format!("commbox/{} {suffix}", env!("CARGO_PKG_VERSION")),
                None => format!("commbox/{}", env!("CARGO_PKG_VERSION")),
            },
            certificates: certificates.unwrap_or_else(|| Arc::new([])),
            idle_connections: usize::try_from(options.max_idle_connections).unwrap_or(usize::MAX),
            idle_timeout: options.idle_timeout,
            dns_ttl: options.dns_ttl,
        };
        let shared = Shared::new(&settings);
        Ok(Self::with(settings, shared))
    }

    fn with(settings: Settings, shared: Shared) -> Self {
        // A proxy is told it too, by the agent, which then tells all.
        let (to_proxy, to_server) = match settings.proxy {
            Some(_) => (settings.user_agent.as_str(), None),
            None => ("", Some(settings.user_agent.as_str())),
        };
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(tcp::TcpConnector::new(shared.names.clone()))
                .chain(tls::TlsConnector::new(shared.trust.clone()))
                .chain(RequestConnector::new(settings.proxy.is_some(), constant_headers(to_server)));
        // No time-outs here: the connections see to them, and to more.
        let config = Agent::config_builder()
            .proxy(settings.proxy.clone())
            .user_agent(to_proxy)
            // It is one of the constant headers.
            .accept("")
            .http_status_as_error(false)
            // Personal data and the key go to the configured host only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_LIMIT)
            .input_buffer_size(INPUT)
            .output_buffer_size(OUTPUT)
            .max_idle_connections(settings.idle_connections)
            .max_idle_connections_per_host(settings.idle_connections)
            .max_idle_age(settings.idle_timeout)
            .build();
        let agent = Agent::with_parts(config, connector, resolver::Later);
        let headers = headers(settings.host.clone());
        Self { agent, settings, shared, headers, generation: fork::generation(), broken: AtomicBool::new(false) }
    }

    /// Whether it was made before a fork that this process came from: its connections are the parent's then.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether it can be used.
    pub(crate) fn is_good(&self) -> bool {
        !self.is_inherited() && !self.broken.load(Ordering::Relaxed)
    }

    /// The same without connections.
    pub(crate) fn renewed(&self) -> Self {
        Self::with(self.settings.clone(), Shared::new(&self.settings))
    }

    /// One for a single thread, with a connection that stays open.
    pub(crate) fn for_worker(&self) -> Self {
        Self::with(Settings { idle_connections: 1, ..self.settings.clone() }, self.shared.clone())
    }

    fn request<'a>(&self, uri: &Uri, body: &'a str) -> Request<&'a [u8]> {
        let mut request = Request::new(body.as_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_LENGTH, length(body.len()));
        request
    }

    /// Posts `body` once and reads the answer.
    pub(crate) fn post(&self, uri: &Uri, body: &str, attempt: &Rc<Attempt>) -> Result<Reply> {
        struct Unbroken<'a>(&'a AtomicBool);
        impl Drop for Unbroken<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let _unbroken = Unbroken(&self.broken);
        let context = failure::Context { uri, proxy: self.settings.proxy.as_ref(), attempt };
        attempt.run(|| {
            let response = loop {
                match self.agent.run(self.request(uri, body)) {
                    // Each time there is one connection less to find so.
                    Err(_) if attempt.starts_over() => {}
                    outcome => break outcome.map_err(|error| context.explain(error, None))?,
                }
            };

            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers(), SystemTime::now());
            let mut reader = response.into_body().into_reader().take(REPLY_LIMIT as u64 + 1);
            let mut body = Vec::with_capacity(USUAL_REPLY);
            reader.read_to_end(&mut body).map_err(|error| context.explain(error.into(), Some(status)))?;
            let complete = body.len() <= REPLY_LIMIT;
            Ok(Reply { status, retry_after, body, complete })
        })
    }
}

fn length(bytes: usize) -> HeaderValue {
    // Quicker than from the number, which takes more room than it needs.
    HeaderValue::try_from(bytes.to_string()).unwrap_or_else(|_| HeaderValue::from(bytes))
}

/// The headers of every request that the agent must see; made once, since reading them from text takes longer than
/// copying them. The length of the body overrides the one here.
fn headers(host: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(HOST, host);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than anyone waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX / 1000)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let now = httpdate::parse_http_date("Fri, 07 Aug 2026 10:00:00 GMT").unwrap();
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            retry_after(&headers, now).map(|duration| duration.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("Fri, 07 Aug 2026 10:00:30 GMT"), Some(30));
        assert_eq!(read("Fri, 07 Aug 2026 09:00:00 GMT"), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX / 1000));
        for odd in ["", "-1", "1.5", "soon"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
