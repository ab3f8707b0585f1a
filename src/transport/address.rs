//! The address of the users, to which a user id is appended.

use std::fmt;

use ureq::http::uri::{Authority, Scheme};
use ureq::http::Uri;

use crate::error::{Error, ErrorKind, Result};

/// The host and port that a client connects to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

/// The parsed address of the users.
pub(crate) struct Address {
    scheme: Scheme,
    authority: Authority,
    /// The host as in the `Host` header.
    host: String,
    /// The path up to and including the slash before the id.
    path: String,
}

impl Address {
    /// Parses a `base_url` that has been validated.
    pub(crate) fn new(base_url: &str) -> Result<Self> {
        let refuse = || {
            let why = "is not a URL such as https://api.commbox.io";
            Error::problem(ErrorKind::InvalidOptions, "base_url", why)
        };
        let parts = base_url.parse::<Uri>().map_err(|_| refuse())?.into_parts();
        let prefix = parts.path_and_query.as_ref().map_or("", |path| path.path());
        let path = format!("{}/users/", prefix.trim_end_matches('/'));
        let scheme = parts.scheme.ok_or_else(refuse)?;
        let authority = parts.authority.ok_or_else(refuse)?;
        let usual_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != usual_port => authority.as_str(),
            _ => authority.host(),
        }
        .to_owned();
        Ok(Self { scheme, authority, host, path })
    }

    /// Returns the host as in the `Host` header.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host and port to connect to.
    pub(super) fn target(&self) -> Target {
        let is_tls = self.is_https();
        let port = self.authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Target { host: self.authority.host().to_owned(), port, is_tls }
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns the path up to and including the slash before the id.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_path_prefix_and_appends_users() {
        for (base, users, host) in [
            ("https://api.commbox.io", "https://api.commbox.io/users/", "api.commbox.io"),
            (
                "https://crm.example:8443/api//",
                "https://crm.example:8443/api/users/",
                "crm.example:8443",
            ),
            ("http://[::1]:80/x", "http://[::1]:80/x/users/", "[::1]"),
            ("http://[::1]:443", "http://[::1]:443/users/", "[::1]:443"),
            ("https://crm.example:443", "https://crm.example:443/users/", "crm.example"),
        ] {
            let address = Address::new(base).unwrap();
            assert_eq!(address.to_string(), users);
            assert_eq!(address.host(), host);
            let path =
                users.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap().1;
            assert_eq!(address.path(), format!("/{path}"));
        }
    }
}
