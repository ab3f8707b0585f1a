//! Where the users are: the address that a user id is appended to.

use std::fmt;

use ureq::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use ureq::http::{HeaderValue, Uri};

use crate::bytes::decimal;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::connect::Target;

/// Room for any user id, in digits.
const LONGEST_ID: usize = 19;

/// The address of the users, taken apart once, so that a request need not be.
pub(crate) struct Address {
    scheme: Scheme,
    authority: Authority,
    /// What the HTTP agent takes for the authority, and compares byte by byte with that of its connection before each
    /// request. A lane knows whom to connect to, so this is as short as can be.
    stand_in: Authority,
    host: HeaderValue,
    /// Up to and with the slash before the id.
    path: String,
}

impl Address {
    /// Of a `base_url` that was checked.
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
        };
        let host = HeaderValue::from_str(host).map_err(|_| refuse())?;
        Ok(Self { scheme, authority, stand_in: Authority::from_static("-"), host, path })
    }

    /// As the `Host` header names it.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Who is connected to.
    pub(super) fn target(&self) -> Target {
        let is_tls = self.scheme == Scheme::HTTPS;
        let port = self.authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Target { host: self.authority.host().to_owned(), port, is_tls }
    }

    /// Of one user, whose id is not negative, as the HTTP agent is to have it.
    pub(crate) fn of_user(&self, user_id: i64) -> Result<Uri> {
        let mut path = Vec::with_capacity(self.path.len() + LONGEST_ID);
        path.extend_from_slice(self.path.as_bytes());
        path.extend_from_slice(decimal(user_id.unsigned_abs(), &mut [0; 20]));
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.stand_in.clone());
        parts.path_and_query = PathAndQuery::try_from(path).ok();
        // Each part was part of a URL before.
        Uri::from_parts(parts).map_err(|_| Error::new(ErrorKind::Internal, "a checked base_url made no URL"))
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
    fn has_the_prefix_and_the_id() {
        for (base, users, host) in [
            ("https://api.commbox.io", "https://api.commbox.io/users/", "api.commbox.io"),
            ("https://crm.example:8443/api//", "https://crm.example:8443/api/users/", "crm.example:8443"),
            ("http://[::1]:80/x", "http://[::1]:80/x/users/", "[::1]"),
            ("http://[::1]:443", "http://[::1]:443/users/", "[::1]:443"),
            ("https://crm.example:443", "https://crm.example:443/users/", "crm.example"),
        ] {
            let address = Address::new(base).unwrap();
            assert_eq!(address.to_string(), users);
            assert_eq!(address.host(), host);
            let path = users.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap().1;
            let user = address.of_user(i64::MAX).unwrap();
            assert_eq!(user.path(), format!("/{path}{}", i64::MAX));
            assert_eq!(user.scheme(), base.parse::<Uri>().unwrap().scheme());
        }
    }
}
