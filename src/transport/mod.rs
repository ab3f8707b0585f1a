//! One HTTP attempt over the `ureq` agent, and what its failure means.

mod failure;
mod tls;
mod witness;

use std::io::Read;
use std::time::{Duration, SystemTime};

use ureq::http::header::RETRY_AFTER;
use ureq::http::{HeaderMap, HeaderValue};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Proxy};

use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;

/// The longest reply that is read.
const REPLY_LIMIT: usize = 1 << 20;

/// The longest head of a reply that is read.
const HEAD_LIMIT: usize = 64 << 10;

/// Per connection and direction; the usual request and reply fit, longer ones go in pieces.
const BUFFER: usize = 16 << 10;

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
    connect_timeout: Duration,
}

impl Transport {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let proxy = proxy(options.proxy.as_deref())?;
        let user_agent = match options.user_agent.as_deref() {
            Some(suffix) => format!("commbox/{} {suffix}", env!("CARGO_PKG_VERSION")),
            None => format!("commbox/{}", env!("CARGO_PKG_VERSION")),
        };
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(tls::TlsConnector::new(options.ca_file.as_deref())?)
                .chain(witness::WitnessConnector::new(proxy.is_some()));
        let idle = usize::try_from(options.max_idle_connections).unwrap_or(usize::MAX);
        let config = Agent::config_builder()
            .proxy(proxy)
            .user_agent(user_agent)
            .accept("application/json")
            .http_status_as_error(false)
            // Personal data and the key go to the configured host only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_LIMIT)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(idle)
            .max_idle_connections_per_host(idle)
            .max_idle_age(options.idle_timeout)
            .timeout_connect(Some(options.connect_timeout))
            .build();
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            connect_timeout: options.connect_timeout,
        })
    }

    /// Posts `body` once and reads the answer, all within `limit`.
    pub(crate) fn post(&self, url: &str, authorization: HeaderValue, body: &str, limit: Duration) -> Result<Reply> {
        witness::begin();
        let connect = self.connect_timeout.min(limit);
        let context = failure::Context { url, limit, connect };
        let response = self
            .agent
            .post(url)
            .header("authorization", authorization)
            .header("content-type", "application/json")
            .config()
            .timeout_global(Some(limit))
            .build()
            .send(body.as_bytes())
            .map_err(|error| context.explain(error, None))?;

        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let mut reader = response.into_body().into_reader().take(REPLY_LIMIT as u64 + 1);
        let mut body = Vec::new();
        reader.read_to_end(&mut body).map_err(|error| context.explain(error.into(), Some(status)))?;
        let complete = body.len() <= REPLY_LIMIT;
        Ok(Reply { status, retry_after, body, complete })
    }
}

/// The proxy of the option, or of the environment where the option is absent.
fn proxy(option: Option<&str>) -> Result<Option<Proxy>> {
    match option {
        None => Ok(Proxy::try_from_env()),
        Some("") => Ok(None),
        Some(url) => match Proxy::new(url) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(_) => Err(Error::new(ErrorKind::InvalidOptions, "proxy must be a URL")),
        },
    }
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
