//! The options of a client, with their defaults.

mod call;
mod keys;
pub(crate) mod object;
pub(crate) mod settings;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::uri::Scheme;
use ureq::http::Uri;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::headers::Headers;
use crate::options::object::FromObject;

pub use call::CallOptions;

pub(crate) use keys::{is_rate, RATES};
pub(crate) use url::{is_loopback, proxy};

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
