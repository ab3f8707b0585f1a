//! Checks the URLs of the server and of the proxy.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use ureq::http::uri::Authority;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// Validates a base URL. The error describes what is wrong.
pub(super) fn base_url(text: &str, allow_http: bool) -> Result<(), &'static str> {
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

    #[test]
    fn base_urls_are_checked() {
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
    fn ports_are_checked() {
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
