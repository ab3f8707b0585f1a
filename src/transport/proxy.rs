//! The proxy: the option's, or the environment's.

use std::env;
use std::net::Ipv6Addr;

use ureq::Proxy;

use crate::error::{Error, ErrorKind, Result};
use crate::options::{self, Options};

/// The first of them that is set rules where the API is spoken to over `https`.
const FOR_HTTPS: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The same for `http`. `HTTP_PROXY` is none of them: in a CGI program it is the `Proxy` header of whoever asks.
const FOR_HTTP: &[&str] = &["http_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy of the option, or of the environment where the option is absent.
pub(crate) fn choose(options: &Options) -> Result<Option<Proxy>> {
    match options.proxy.as_deref() {
        // What may be in the clear only on this machine does not leave it through a proxy that nobody meant for it.
        None => Ok(from_environment(if options.is_clear() { FOR_HTTP } else { FOR_HTTPS })?
            .filter(|proxy| !options.is_clear() || options.allow_http || options::is_loopback(proxy.host()))),
        Some("") => Ok(None),
        Some(url) => match options::proxy(url) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(why) => Err(Error::new(ErrorKind::InvalidOptions, format!("proxy {why}"))),
        },
    }
}

/// One that cannot be used is an error: to go around what the machine prescribes would be wrong.
fn from_environment(variables: &[&'static str]) -> Result<Option<Proxy>> {
    let set = |name: &&'static str| env::var(name).ok().filter(|url| !url.is_empty()).map(|url| (*name, url));
    let Some((name, url)) = variables.iter().find_map(set) else {
        return Ok(None);
    };
    let refuse = || {
        let why = format!(
            "{name} in the environment is not the URL of an http or https proxy; correct it, or set the proxy option \
             (\"\" for no proxy)"
        );
        Error::new(ErrorKind::InvalidOptions, why)
    };
    let proxy = options::proxy(&url).map_err(|_| refuse())?;
    let excepted = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
    with_exceptions(&proxy, &excepted).map(Some).map_err(|_| refuse())
}

/// The same but for the hosts of this list, and the hosts below them.
fn with_exceptions(proxy: &Proxy, excepted: &str) -> Result<Proxy, ureq::Error> {
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for host in excepted.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        let bare = host.trim_start_matches("*.").trim_start_matches('.');
        builder = builder.no_proxy(bare).no_proxy(&format!(".{bare}"));
        if bare.parse::<Ipv6Addr>().is_ok() {
            // As a URL has it.
            builder = builder.no_proxy(&format!("[{bare}]"));
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_take_in_what_is_below_them_and_keep_the_credentials() {
        let proxy = Proxy::new("http://user:p%40ss@proxy.example:3128").unwrap();
        let proxy =
            with_exceptions(&proxy, " one.example, .two.example,*.three.example ,,10.0.0.1,::1,[fe80::1]").unwrap();
        let direct = |host: &str| proxy.is_no_proxy(&format!("https://{host}/").parse().unwrap());
        for host in ["one.example", "a.one.example", "two.example", "a.two.example", "ONE.example", "a.b.three.example"]
        {
            assert!(direct(host), "{host}");
        }
        for address in ["10.0.0.1", "[::1]", "[fe80::1]"] {
            assert!(direct(address), "{address}");
        }
        assert!(!direct("[::2]"));
        for host in ["example", "none.example", "one.example.org"] {
            assert!(!direct(host), "{host}");
        }
        assert_eq!((proxy.username(), proxy.password()), (Some("user"), Some("p@ss")));
        assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
        let all = with_exceptions(&proxy, "*").unwrap();
        assert!(all.is_no_proxy(&"https://one.example/".parse().unwrap()));
    }
}
