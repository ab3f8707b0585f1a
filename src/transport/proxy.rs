//! Chooses the proxy, from the options or the environment, and decides which hosts bypass it.

use std::env;
use std::net::IpAddr;

use ureq::{Proxy as Url, ProxyProtocol};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::options::{self, Options};
use crate::transport::address::Target;
#[cfg(windows)]
use crate::transport::internet_settings;

/// For `https`, the first non-empty variable of these names the proxy.
const FOR_HTTPS: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The same for `http`. `HTTP_PROXY` is not among them: in a CGI program, it contains the `Proxy`
/// header of the request.
const FOR_HTTP: &[&str] = &["http_proxy", "ALL_PROXY", "all_proxy"];

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    /// The client looks up the server's name.
    Socks5,
    /// The proxy looks up the server's name.
    Socks5h,
}

pub(super) struct Proxy {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    credentials: Option<(Zeroizing<String>, Zeroizing<String>)>,
    /// What named the proxy: the option or a variable.
    pub(super) source: &'static str,
}

impl Proxy {
    fn new(url: &Url, source: &'static str) -> Self {
        let scheme = match url.protocol() {
            ProxyProtocol::Https => Scheme::Https,
            ProxyProtocol::Socks5 => Scheme::Socks5,
            ProxyProtocol::Socks5h => Scheme::Socks5h,
            _ => Scheme::Http,
        };
        let part = |text: Option<&str>| Zeroizing::new(text.unwrap_or_default().to_owned());
        let has_credentials = url.username().is_some() || url.password().is_some();
        let credentials = has_credentials.then(|| (part(url.username()), part(url.password())));
        Self { scheme, host: url.host().to_owned(), port: url.port(), credentials, source }
    }

    /// Returns the user and the password.
    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Returns the credentials for an HTTP header.
    pub(super) fn basic_credentials(&self) -> Option<Zeroizing<String>> {
        let (user, password) = self.credentials()?;
        let plain = Zeroizing::new(format!("{user}:{password}"));
        Some(Zeroizing::new(base64(plain.as_bytes())))
    }
}

/// Encodes base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, place| {
            bits << 8 | u32::from(group.get(place).copied().unwrap_or_default())
        });
        for place in 0..4 {
            let digit =
                DIGITS.get((bits >> (18 - 6 * place)) as usize & 63).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// Returns the proxy for this target: that of the option, or, if it is unset, that of the
/// environment.
pub(super) fn choose(options: &Options, target: &Target) -> Result<Option<Proxy>> {
    match options.proxy.as_deref() {
        // Without `allow_http`, requests in the clear must stay on this machine. So they must not
        // be sent through a remote proxy that the environment names.
        None => {
            Ok(from_environment(if options.is_clear() { FOR_HTTP } else { FOR_HTTPS }, target)?
                .filter(|proxy| {
                    !options.is_clear() || options.allow_http || options::is_loopback(&proxy.host)
                }))
        }
        Some("") => Ok(None),
        Some(url) => match options::proxy(url) {
            Ok(url) => Ok(Some(Proxy::new(&url, "the proxy option"))),
            Err(why) => Err(Error::new(ErrorKind::InvalidOptions, format!("proxy {why}"))),
        },
    }
}

/// Returns the proxy from the environment. An unusable proxy is an error: to bypass a proxy that
/// the machine prescribes would be wrong.
fn from_environment(variables: &[&'static str], target: &Target) -> Result<Option<Proxy>> {
    let excepted = ["NO_PROXY", "no_proxy"].into_iter().find_map(variable).unwrap_or_default();
    let is_excepted = is_excepted(&excepted, &target.host, target.port);
    let Some((name, url)) = variables.iter().find_map(|name| Some((*name, variable(name)?))) else {
        return if is_excepted { Ok(None) } else { from_system(target) };
    };
    let Ok(url) = options::proxy(&url) else {
        let why = format!(
            "{name} in the environment is not the URL of an http, https or socks5 proxy; correct it, or set the proxy \
             option (\"\" for no proxy)"
        );
        return Err(Error::new(ErrorKind::InvalidOptions, why));
    };
    Ok((!is_excepted).then(|| Proxy::new(&url, name)))
}

/// Returns the proxy of the Internet settings of the system, which apply if no variable names a
/// proxy.
#[cfg(windows)]
fn from_system(target: &Target) -> Result<Option<Proxy>> {
    let Some(settings) = internet_settings::read() else {
        return Ok(None);
    };
    let Some(url) = settings.proxy_for(target.is_tls, &target.host, target.port) else {
        return Ok(None);
    };
    match options::proxy(url) {
        Ok(url) => Ok(Some(Proxy::new(&url, "the system's Internet settings"))),
        Err(_) => {
            let why = "the proxy of the system's Internet settings is not the URL of an http, https or socks5 proxy; \
                       correct it, or set the proxy option (\"\" for no proxy)";
            Err(Error::new(ErrorKind::InvalidOptions, why))
        }
    }
}

/// On other systems, only the variables can name a proxy.
#[cfg(not(windows))]
fn from_system(_: &Target) -> Result<Option<Proxy>> {
    Ok(None)
}

/// Reads a variable. An empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Returns whether a list in the format of `NO_PROXY` contains the host. Its entries are separated
/// by commas or blanks. An entry is a host, which includes its subdomains, an address, or a range
/// of addresses (CIDR), each with a port if only that port is meant; or `*` for all hosts.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = bare(host).trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok().map(canonical);
    let separator = |character: char| character == ',' || character.is_ascii_whitespace();
    list.split(separator).filter(|entry| !entry.is_empty()).any(|entry| {
        let (name, its_port) = split_port(entry);
        if its_port.is_some_and(|its_port| its_port != port) {
            return false;
        }
        let name = bare(name);
        if name == "*" {
            return true;
        }
        match address {
            Some(address) => match name.split_once('/') {
                Some((network, length)) => is_within(address, network, length),
                None => name.parse().is_ok_and(|entry| canonical(entry) == address),
            },
            None => {
                let name = name.trim_start_matches("*.").trim_matches('.');
                let tail =
                    host.len().checked_sub(name.len()).and_then(|at| host.split_at_checked(at));
                tail.is_some_and(|(before, tail)| {
                    !name.is_empty()
                        && tail.eq_ignore_ascii_case(name)
                        && (before.is_empty() || before.ends_with('.'))
                })
            }
        }
    })
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Converts an IPv4-mapped IPv6 address to IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Splits an entry into its host and its port, if it has one. More than one colon means an IPv6
/// address without brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_within(address: IpAddr, network: &str, length: &str) -> bool {
    let (Ok(network), Ok(length)) = (bare(network).parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let same = |bits: u32, left: u128, right: u128| {
        length <= bits && (left ^ right).checked_shr(bits - length).unwrap_or_default() == 0
    };
    match (address, network) {
        (IpAddr::V4(left), IpAddr::V4(right)) => {
            same(32, u32::from(left).into(), u32::from(right).into())
        }
        (IpAddr::V6(left), IpAddr::V6(right)) => same(128, left.into(), right.into()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_exceptions_are_matched() {
        let list =
            " one.example, .two.example,*.three.example ,,10.0.0.1,::1,[fe80::1] four.example.\tfive.example:8443 \
                    192.168.0.0/16,2001:db8::/32,[::2]:443,::ffff:10.0.0.9";
        let direct = |host: &str, port| is_excepted(list, host, port);
        for host in [
            "one.example",
            "a.one.example",
            "two.example",
            "a.two.example",
            "ONE.example",
            "a.b.three.example",
            "four.example",
            "four.example.",
            "a.four.example",
            "10.0.0.1",
            "[::1]",
            "[fe80::1]",
            "192.168.255.255",
            "[2001:db8:ffff::1]",
            "[::2]",
            "10.0.0.9",
            "[::ffff:10.0.0.1]",
            "[0:0::1]",
        ] {
            assert!(direct(host, 443), "{host}");
        }
        for host in [
            "example",
            "none.example",
            "one.example.org",
            "one.example.evil.example",
            "xone.example",
            "five.example",
            "10.0.0.2",
            "192.169.0.1",
            "[::3]",
            "[2001:db9::1]",
            "10.0.0.1.example",
        ] {
            assert!(!direct(host, 443), "{host}");
        }
        assert!(direct("five.example", 8443) && !direct("[::2]", 8443));
        assert!(is_excepted("*", "one.example", 1) && !is_excepted(" , ", "one.example", 1));
        assert!(is_excepted("0.0.0.0/0", "1.2.3.4", 1) && !is_excepted("0.0.0.0/33", "1.2.3.4", 1));
        assert!(is_excepted("::/0", "[::9]", 1) && !is_excepted("1.2.3.4/x", "1.2.3.4", 1));
    }

    #[test]
    fn proxy_urls_are_parsed() {
        let proxy = |text: &str| Proxy::new(&options::proxy(text).unwrap(), "the proxy option");
        let given = proxy("http://user:p%40ss@proxy.example:3128");
        assert_eq!(
            (given.scheme, given.host.as_str(), given.port),
            (Scheme::Http, "proxy.example", 3128)
        );
        assert_eq!(given.credentials(), Some(("user", "p@ss")));
        assert_eq!(given.basic_credentials().unwrap().as_str(), "dXNlcjpwQHNz");
        assert_eq!((proxy("socks5://x").scheme, proxy("socks5://x").port), (Scheme::Socks5, 1080));
        assert_eq!(proxy("socks5h://x:1").scheme, Scheme::Socks5h);
        assert_eq!((proxy("https://x").scheme, proxy("https://x").port), (Scheme::Https, 443));
        assert_eq!(proxy("x:80").credentials(), None);
    }

    #[test]
    fn base64_encodes_every_length() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
