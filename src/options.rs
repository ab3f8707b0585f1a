//! The options of a client, with their defaults and ranges.

mod call;
pub(crate) mod object;
pub(crate) mod settings;

use std::env;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::uri::{Authority, Scheme};
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use crate::error::{Error, Problems, Result};
use crate::failpoint;
use crate::headers::{self, Headers};
pub use call::CallOptions;

use crate::options::object::{boolean, check_bounds, check_time, count, millis, text, FromObject};

/// The head of a request must fit into a buffer.
const LONGEST_URL: usize = 2048;
const LONGEST_USER_AGENT: usize = 256;

/// The variable that contains the server's URL if the options do not.
const BASE_URL: &str = "COMMBOX_BASE_URL";

/// What to do with a field of a user that the API does not document, in
/// [`Options::unknown_fields`].
///
/// # Examples
///
/// ```
/// use commbox::{Options, UnknownFields};
///
/// let mut options = Options::default();
/// options.unknown_fields = UnknownFields::Allow;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    /// Reject the update, because the server drops the field silently.
    Refuse,
    /// Send the field, unless its name is a misspelt name of a documented field.
    Allow,
}

/// The options of a [`Client`](crate::Client). `Options::default()` suits most programs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut options = commbox::Options::default();
/// options.total_timeout = Duration::from_secs(10);
/// options.max_requests_per_second = 20.0;
/// options.headers.set("X-Gateway-Key", "my-gateway-key");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// URL of the API. It may have a path prefix, but no user info, query or fragment; `http` only
    /// to loopback unless [`allow_http`](Self::allow_http). The default is
    /// `https://api.commbox.io`.
    pub base_url: String,
    /// Allow `http` to any host. The API key and the data are then sent unencrypted. The default is
    /// false.
    pub allow_http: bool,
    /// Timeout of DNS lookup, connect and TLS handshake: 1 ms to 24 hours. The default is 5 s.
    pub connect_timeout: Duration,
    /// Timeout of one attempt: 1 ms to 24 hours. The default is 15 s.
    pub attempt_timeout: Duration,
    /// Timeout of a call, which covers queueing, all attempts and all backoff: 1 ms to 24 hours.
    /// The default is 60 s.
    pub total_timeout: Duration,
    /// Maximum number of retries after a transient failure: 0 to 100. A 429 does not count as one.
    /// The default is 3.
    pub max_retries: u32,
    /// Bound of the first backoff, which doubles with each retry: 1 ms to 24 hours. The default is
    /// 500 ms.
    pub retry_base: Duration,
    /// Bound of every backoff: [`retry_base`](Self::retry_base) to 24 hours. The default is 8 s.
    pub retry_cap: Duration,
    /// Rate limit of the client: the requests of all threads are evenly paced. 0.001 to 1,000,000,
    /// or 0 for no limit. The default is 0.
    pub max_requests_per_second: f64,
    /// Send the calls for one user one at a time, in the order in which they were made. This
    /// includes direct calls, batches and retries. The default is true.
    pub order_per_user: bool,
    /// Name of a group: processes of the same system user on one machine that have the same group
    /// share one rate limit, pauses, and what they learned about the server's limit. 1 to 64
    /// letters, digits, `.`, `_` or `-`, not starting with `.`; Unix only. The default is `None`.
    pub rate_group: Option<String>,
    /// Maximum number of idle connections in the pool: 0 to 1024. The default is 16.
    pub max_idle_connections: u32,
    /// How long an idle connection is kept, checked by the next call: 0 ms to 24 hours. The default
    /// is 60 s.
    pub idle_timeout: Duration,
    /// How long the result of a DNS lookup is cached: 0 ms to 24 hours. The default is 60 s.
    pub dns_ttl: Duration,
    /// URL of the proxy; an empty text for no proxy; `None`, the default, for the proxy that the
    /// environment names.
    ///
    /// That is the first non-empty one of `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY` and
    /// `all_proxy`, or for `http` of `http_proxy`, `ALL_PROXY` and `all_proxy`, unless `NO_PROXY`
    /// contains the host. For `http` without [`allow_http`](Self::allow_http), it is used only if
    /// it is on loopback. On Windows, if no variable names a proxy, the user's Internet settings
    /// apply.
    pub proxy: Option<String>,
    /// PEM file of certificates to trust in addition to the system's trust store. The default is
    /// `None`.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate and its intermediate certificates, for servers that
    /// request one. The default is `None`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the unencrypted private key of the client certificate; `None`, the default, if
    /// the key is in [`client_cert_file`](Self::client_cert_file).
    pub client_key_file: Option<PathBuf>,
    /// Check the user before it is sent. The default is true.
    pub validate: bool,
    /// What to do with a field that the API does not document. The server drops such fields
    /// silently. The default is [`UnknownFields::Refuse`].
    pub unknown_fields: UnknownFields,
    /// The Unique Names of the account's custom fields. Other names in `Content` are rejected. The
    /// default is `None`, which allows any name.
    pub custom_fields: Option<Vec<String>>,
    /// Text that is appended to `commbox/<version>` in the `User-Agent` header: at most 256 visible
    /// ASCII characters and spaces. The default is `None`.
    pub user_agent: Option<String>,
    /// Additional headers for every request. The default is none.
    pub headers: Headers,
    /// Response header that contains the request id, for
    /// [`UpdateReply::request_id`](crate::UpdateReply::request_id). After it, `X-Request-Id`,
    /// `Request-Id` and `X-Correlation-Id` are read. The default is `None`.
    pub request_id_header: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: "https://api.commbox.io".into(),
            allow_http: false,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(60),
            max_retries: 3,
            retry_base: Duration::from_millis(500),
            retry_cap: Duration::from_secs(8),
            max_requests_per_second: 0.0,
            order_per_user: true,
            rate_group: None,
            max_idle_connections: 16,
            idle_timeout: Duration::from_secs(60),
            dns_ttl: Duration::from_secs(60),
            proxy: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            validate: true,
            unknown_fields: UnknownFields::Refuse,
            custom_fields: None,
            user_agent: None,
            headers: Headers::new(),
            request_id_header: None,
        }
    }
}

impl Options {
    /// Reads a JSON object of options, with the keys that `commbox_client_new()` documents. A key
    /// that is missing or null keeps its default. If `base_url` is missing, the environment
    /// variable `COMMBOX_BASE_URL` is used if it is set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions): the text is not a JSON
    /// object, or contains an unknown key or an out-of-range value. The error contains all
    /// problems, and the nearest known key for each unknown one. It contains no values, since a
    /// proxy's URL may contain a password.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = commbox::Options::from_json(r#"{"max_retries": 5}"#)?;
    /// assert_eq!(options.max_retries, 5);
    ///
    /// let error = commbox::Options::from_json(r#"{"max_retrys": 5}"#).err().unwrap();
    /// assert!(error.to_string().contains("did you mean \"max_retries\""));
    /// # Ok::<(), commbox::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        failpoint::reach("options");
        Self::read(text)
    }

    /// Returns whether requests are sent in the clear.
    pub(crate) fn is_clear(&self) -> bool {
        self.base_url.parse().is_ok_and(|uri: Uri| uri.scheme() == Some(&Scheme::HTTP))
    }
}

impl FromObject for Options {
    const KEYS: &'static [&'static str] = &[
        "base_url",
        "allow_http",
        "connect_timeout_ms",
        "attempt_timeout_ms",
        "total_timeout_ms",
        "max_retries",
        "retry_base_ms",
        "retry_cap_ms",
        "max_requests_per_second",
        "order_per_user",
        "rate_group",
        "max_idle_connections",
        "idle_timeout_ms",
        "dns_ttl_ms",
        "proxy",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "validate",
        "unknown_fields",
        "custom_fields",
        "user_agent",
        "headers",
        "request_id_header",
    ];

    /// Returns the defaults, with the server from the environment.
    fn initial() -> Self {
        let base_url = env::var(BASE_URL).ok().filter(|url| !url.is_empty());
        match base_url {
            Some(base_url) => Self { base_url, ..Self::default() },
            None => Self::default(),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "base_url" => self.base_url = text(value)?,
            "allow_http" => self.allow_http = boolean(value)?,
            "connect_timeout_ms" => self.connect_timeout = millis(value)?,
            "attempt_timeout_ms" => self.attempt_timeout = millis(value)?,
            "total_timeout_ms" => self.total_timeout = millis(value)?,
            "max_retries" => self.max_retries = count(value)?,
            "retry_base_ms" => self.retry_base = millis(value)?,
            "retry_cap_ms" => self.retry_cap = millis(value)?,
            "max_requests_per_second" => {
                self.max_requests_per_second =
                    serde_json::from_str(value).map_err(|_| "a number")?;
            }
            "order_per_user" => self.order_per_user = boolean(value)?,
            "rate_group" => self.rate_group = Some(text(value)?),
            "max_idle_connections" => self.max_idle_connections = count(value)?,
            "idle_timeout_ms" => self.idle_timeout = millis(value)?,
            "dns_ttl_ms" => self.dns_ttl = millis(value)?,
            "proxy" => self.proxy = Some(text(value)?),
            "ca_file" => self.ca_file = Some(text(value)?.into()),
            "client_cert_file" => self.client_cert_file = Some(text(value)?.into()),
            "client_key_file" => self.client_key_file = Some(text(value)?.into()),
            "validate" => self.validate = boolean(value)?,
            "unknown_fields" => {
                self.unknown_fields =
                    serde_json::from_str(value).map_err(|_| "\"refuse\" or \"allow\"")?;
            }
            "custom_fields" => {
                self.custom_fields =
                    Some(serde_json::from_str(value).map_err(|_| "an array of strings")?);
            }
            "headers" => self.headers = Headers::read(value)?,
            "request_id_header" => self.request_id_header = Some(text(value)?),
            _ => self.user_agent = Some(text(value)?),
        }
        Ok(())
    }

    const WHOSE: &'static str = "a client";

    fn headers(&mut self) -> Option<&mut Headers> {
        Some(&mut self.headers)
    }

    fn add_problems(&self, problems: &mut Problems) {
        for (name, time, least) in [
            ("connect_timeout_ms", self.connect_timeout, 1),
            ("attempt_timeout_ms", self.attempt_timeout, 1),
            ("total_timeout_ms", self.total_timeout, 1),
            ("retry_base_ms", self.retry_base, 1),
            ("retry_cap_ms", self.retry_cap, 1),
            ("idle_timeout_ms", self.idle_timeout, 0),
            ("dns_ttl_ms", self.dns_ttl, 0),
        ] {
            check_time(problems, name, time, Duration::from_millis(least));
        }
        check_bounds(problems, "max_retries", self.max_retries.into(), &(0..=100));
        check_bounds(
            problems,
            "max_idle_connections",
            self.max_idle_connections.into(),
            &(0..=1024),
        );
        if self.retry_cap < self.retry_base {
            problems.add("retry_cap_ms", "must be at least {retry_base_ms}");
        }
        if !is_rate(self.max_requests_per_second) {
            problems.add("max_requests_per_second", format!("must be {RATES}"));
        }
        if !self.rate_group.as_deref().is_none_or(is_group_name) {
            problems.add(
                "rate_group",
                "must have 1 to 64 letters, digits, '.', '_' or '-', and must not start with '.'",
            );
        }
        let printable =
            |text: &String| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !self
            .user_agent
            .as_ref()
            .is_none_or(|text| printable(text) && text.len() <= LONGEST_USER_AGENT)
        {
            let message = format!("must be visible ASCII and spaces, {LONGEST_USER_AGENT} at most");
            problems.add("user_agent", message);
        }
        self.headers.add_problems(problems);
        if let Some(Err(why)) = self.request_id_header.as_deref().map(headers::check_token) {
            problems.add("request_id_header", why);
        }
        if self.base_url.len() > LONGEST_URL {
            problems.add("base_url", format!("must have {LONGEST_URL} characters at most"));
        }
        if let Err(why) = base_url(&self.base_url, self.allow_http) {
            match env::var(BASE_URL) {
                Ok(url) if url == self.base_url => {
                    problems.add("base_url", format!("{why}; it comes from {BASE_URL}"));
                }
                _ => problems.add("base_url", why),
            }
        }
        if let Some(url) = self.proxy.as_ref().filter(|url| !url.is_empty()) {
            if let Err(why) = proxy(url) {
                problems.add("proxy", why);
            }
        }
    }
}

impl FromStr for Options {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_json(text)
    }
}

impl fmt::Debug for Options {
    /// Omits what may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("base_url", &self.base_url)
            .field("connect_timeout", &self.connect_timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("max_retries", &self.max_retries)
            .field("proxy", &self.proxy.as_ref().map(|_| "(hidden)"))
            .field("ca_file", &self.ca_file)
            .field("validate", &self.validate)
            .finish_non_exhaustive()
    }
}

/// The valid rate limits, for messages.
pub(crate) const RATES: &str = "0 (no limit) or from 0.001 to 1000000";

pub(crate) fn is_rate(rate: f64) -> bool {
    rate == 0.0 || (0.001..=1_000_000.0).contains(&rate)
}

/// Returns whether a text can name a group. The name becomes part of a file name.
fn is_group_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

/// Validates a base URL. The error describes what is wrong.
fn base_url(text: &str, allow_http: bool) -> Result<(), &'static str> {
    if text.contains('#') {
        return Err("must have no fragment (#)");
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL such as https://api.commbox.io")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("must start with https:// and name a host");
    };
    if authority.as_str().contains('@') {
        return Err("must have no user info (user:password@)");
    }
    check_host_and_port(authority)?;
    if uri.query().is_some() {
        return Err("must have no query (?)");
    }
    match scheme {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(authority.host()) => Ok(()),
        "http" => Err("must be https: http would send the key and personal data in the clear (only loopback may use \
                       it, or set {allow_http})"),
        _ => Err("must start with https://"),
    }
}

/// The parser accepts any text as a port, and the connector would then use the default port.
fn check_host_and_port(authority: &Authority) -> Result<(), &'static str> {
    let host = authority.host();
    if host
        .strip_prefix('[')
        .is_some_and(|rest| rest.trim_end_matches(']').parse::<Ipv6Addr>().is_err())
    {
        return Err("must have between [ and ] an IPv6 address, and that without a zone (%)");
    }
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    let is_port = |text: &str| !text.starts_with('+') && text.parse::<NonZeroU16>().is_ok();
    let fits = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    match place.strip_prefix(host).is_some_and(fits) && !host.is_empty() {
        true => Ok(()),
        false => Err("must name a host, and after a colon a port from 1 to 65535"),
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Parses the URL of a proxy. The error describes what is wrong.
pub(crate) fn proxy(text: &str) -> Result<Proxy, &'static str> {
    let expected = "must be a URL such as http://proxy.example:3128 or http://user:password@proxy.example:3128";
    let proxy = Proxy::new(text).map_err(|_| expected)?;
    check_host_and_port(proxy.uri().authority().ok_or(expected)?)?;
    match proxy.protocol() {
        ProxyProtocol::Http
        | ProxyProtocol::Https
        | ProxyProtocol::Socks5
        | ProxyProtocol::Socks5h => Ok(proxy),
        _ => Err("must be an http, https, socks5 or socks5h proxy; SOCKS4 is not supported"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn problem(json: &str) -> String {
        let error = Options::from_json(json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        error.to_string()
    }

    #[test]
    fn every_key_is_read() {
        let options = Options::from_json(
            r#"{"base_url":"http://10.0.0.1:8080/prefix","allow_http":true,"connect_timeout_ms":1,"attempt_timeout_ms":2,
                "total_timeout_ms":3,"max_retries":4,"retry_base_ms":5,"retry_cap_ms":6,"max_requests_per_second":0.5,
                "order_per_user":false,"rate_group":"crm-1",
                "max_idle_connections":7,"idle_timeout_ms":8,"dns_ttl_ms":9,"proxy":"http://u:p@proxy:3128",
                "ca_file":"ca.pem","client_cert_file":"me.pem",
                "client_key_file":"me.key","validate":false,"user_agent":"crm-sync/2"}"#,
        )
        .unwrap();
        assert_eq!(options.base_url, "http://10.0.0.1:8080/prefix");
        assert!(options.allow_http && !options.validate && !options.order_per_user);
        assert_eq!(options.rate_group.as_deref(), Some("crm-1"));
        let times = [
            options.connect_timeout,
            options.attempt_timeout,
            options.total_timeout,
            options.retry_base,
            options.retry_cap,
            options.idle_timeout,
            options.dns_ttl,
        ];
        assert_eq!(times.map(|time| time.as_millis()), [1, 2, 3, 5, 6, 8, 9]);
        assert_eq!((options.max_retries, options.max_idle_connections), (4, 7));
        assert!((options.max_requests_per_second - 0.5).abs() < f64::EPSILON);
        assert_eq!(options.ca_file.as_deref(), Some("ca.pem".as_ref()));
        assert_eq!(options.client_cert_file.as_deref(), Some("me.pem".as_ref()));
        assert_eq!(options.client_key_file.as_deref(), Some("me.key".as_ref()));
        assert_eq!(options.user_agent.as_deref(), Some("crm-sync/2"));
        assert!(!format!("{options:?}").contains("u:p"));
    }

    #[test]
    fn null_keeps_the_default() {
        let nulls: Vec<_> = Options::KEYS.iter().map(|key| format!("\"{key}\":null")).collect();
        let options = Options::from_json(&format!("{{{}}}", nulls.join(","))).unwrap();
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest() {
        assert_eq!(
            problem(r#"{"max_retrys":1}"#),
            r#"max_retrys is an unknown option; did you mean "max_retries"?"#
        );
        assert!(problem(r#"{"BASE_URL":"x"}"#).contains("did you mean \"base_url\"?"));
        assert!(problem(r#"{"timeout_ms":1}"#).contains("timeout_ms"));
        assert!(problem(r#"{"colour":1}"#).contains("the options are base_url, "));
    }

    #[test]
    fn all_problems_come_at_once_and_no_value_is_quoted() {
        let message = problem(
            r#"{"total_timeout_ms":0,"retry_base_ms":9000,"max_retries":-1,"validate":"canary","proxy":"ftp://canary"}"#,
        );
        let numbers = problem(
            r#"{"validate":-1,"max_retries":1.5,"max_idle_connections":1e30,"dns_ttl_ms":-0.5}"#,
        );
        assert_eq!(
            numbers,
            "validate must be true or false, not a number; max_retries must be a whole number, 0 or more, not a fraction; \
             max_idle_connections must be a whole number, 0 or more, not a fraction; dns_ttl_ms must not be negative"
        );
        assert_eq!(problem(r#"{"max_retries":99999999999999999999}"#), "max_retries is too large");
        for part in [
            "total_timeout_ms must be from 1",
            "retry_cap_ms",
            "max_retries",
            "validate must be",
            "proxy must",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("canary"));
        assert_eq!(
            problem(r#"{"base_url":"\ud800"}"#),
            "base_url has a \\u escape that is not a character (half of a surrogate pair)"
        );
        assert!(problem("[]").contains("must be a JSON object, not an array"));
        assert!(problem("{").contains("is not JSON"));
    }

    #[test]
    fn base_urls() {
        for good in [
            "https://api.commbox.io",
            "https://crm.example/api/",
            "http://localhost:1",
            "http://[::1]:80/x",
        ] {
            assert_eq!(base_url(good, false), Ok(()), "{good}");
        }
        for (bad, part) in [
            ("", "URL"),
            ("api.commbox.io", "https://"),
            ("/users", "https://"),
            ("ftp://x", "https://"),
            ("https://user:pw@x", "user info"),
            ("https://x?y", "query"),
            ("https://x#y", "fragment"),
            ("https://x:", "port"),
            ("https://x y", "URL"),
            ("http://api.commbox.io", "clear"),
            ("http://127.0.0.1.example", "clear"),
        ] {
            let why = base_url(bad, false).unwrap_err();
            assert!(why.contains(part), "{bad}: {why}");
        }
        assert_eq!(base_url("http://api.commbox.io", true), Ok(()));
        for bad in ["[fe80::1%25lo]", "[fe80::1%lo]:80", "[fe80::1%25lo]:80", "[::g]"] {
            let why = base_url(&format!("http://{bad}/x"), true).unwrap_err();
            assert!(
                why.contains("IPv6 address") && why.contains("zone") && !why.contains("fe80"),
                "{bad}: {why}"
            );
            assert_eq!(proxy(bad).unwrap_err(), why);
        }
    }

    /// An invalid port must not become the default port: the API key would be sent to whoever
    /// listens there.
    #[test]
    fn ports() {
        let wrong = [
            ":", ":0", ":65536", ":99999", ":80800", ":abc", ":-1", ":+80", ":8x", ":0x50",
            ":443O", "x:80",
        ];
        for host in ["127.0.0.1", "[::1]"] {
            for port in ["", ":1", ":65535", ":0080"] {
                assert_eq!(
                    base_url(&format!("http://{host}{port}/x"), false),
                    Ok(()),
                    "{host}{port}"
                );
                assert!(proxy(&format!("{host}{port}")).is_ok(), "{host}{port}");
                assert!(proxy(&format!("https://user:80@{host}{port}")).is_ok(), "{host}{port}");
            }
            for port in wrong.iter().filter(|port| port.starts_with(':') || host.ends_with(']')) {
                let why = base_url(&format!("http://{host}{port}/x"), false).unwrap_err();
                assert!(why.contains("port from 1 to 65535"), "{host}{port}: {why}");
                for before in ["http://", "https://user:80@", "user:80@"] {
                    let why = proxy(&format!("{before}{host}{port}")).unwrap_err();
                    assert!(why.contains("port from 1 to 65535"), "{before}{host}{port}: {why}");
                }
            }
        }
    }
}
