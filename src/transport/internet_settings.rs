//! The proxy in the Internet settings of Windows, as set by the user or the administrator.
//!
//! Scripts that choose a proxy (automatic configuration) are not run. A SOCKS proxy is ignored,
//! because Windows means version 4.

/// The proxy settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// `host:port` for all schemes, or a list such as `http=host:port;https=host:port`.
    proxy: String,
    /// The hosts that bypass the proxy: patterns such as `*.example` and `10.*`, and `<local>`.
    bypass: String,
}

impl Settings {
    /// Returns the proxy for a server, or `None` if there is none.
    pub(super) fn proxy_for(&self, is_tls: bool, host: &str, port: u16) -> Option<&str> {
        let scheme = if is_tls { "https" } else { "http" };
        let own = entries(&self.proxy).find_map(|entry| {
            let (name, proxy) = entry.split_once('=')?;
            name.eq_ignore_ascii_case(scheme).then_some(proxy)
        });
        let proxy = own.or_else(|| entries(&self.proxy).find(|entry| !entry.contains('=')))?;
        (!self.is_bypassed(scheme, host, port)).then_some(proxy)
    }

    /// Returns whether a host bypasses the proxy. This machine always does, unless the list
    /// contains `<-loopback>`.
    fn is_bypassed(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.');
        let is_loopback = crate::options::is_loopback(host);
        let keeps_loopback =
            entries(&self.bypass).any(|entry| entry.eq_ignore_ascii_case("<-loopback>"));
        if is_loopback && !keeps_loopback {
            return true;
        }
        entries(&self.bypass).any(|entry| {
            if entry.eq_ignore_ascii_case("<local>") {
                return !host.contains(['.', ':']);
            }
            let entry = match entry.split_once("://") {
                Some((its_scheme, _)) if !its_scheme.eq_ignore_ascii_case(scheme) => return false,
                Some((_, rest)) => rest,
                None => entry,
            };
            match entry.rsplit_once(':') {
                // More than one colon means an IPv6 address without a port, unless it is in
                // brackets.
                Some((name, its_port)) if name.ends_with(']') || !name.contains(':') => {
                    its_port.parse() == Ok(port) && is_match(name, host)
                }
                _ => is_match(entry, host),
            }
        })
    }
}

/// Returns the entries of a list, which are separated by semicolons and blanks.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|separator: char| separator == ';' || separator.is_whitespace())
        .filter(|entry| !entry.is_empty())
}

/// Returns whether a pattern, in which `*` stands for any characters, matches the whole host name.
/// Case is ignored.
fn is_match(pattern: &str, host: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let (pattern, host) = (bare(pattern), bare(host));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| host.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Reads the settings of the user of this process. Returns `None` if they contain no proxy.
#[cfg(windows)]
pub(super) fn read() -> Option<Settings> {
    use windows_sys::Win32::Foundation::GlobalFree;
    use windows_sys::Win32::Networking::WinHttp::{
        WinHttpGetIEProxyConfigForCurrentUser, WINHTTP_CURRENT_USER_IE_PROXY_CONFIG,
    };

    let mut found = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
    // SAFETY: the function fills the structure, whose strings then belong to the caller.
    if unsafe { WinHttpGetIEProxyConfigForCurrentUser(&raw mut found) } == 0 {
        return None;
    }
    let take = |text: *mut u16| {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: the system created this text, which ends with a NUL.
        let units = unsafe {
            let length = (0..).take_while(|at| *text.add(*at) != 0).count();
            std::slice::from_raw_parts(text, length)
        };
        let copy = String::from_utf16_lossy(units);
        // SAFETY: nothing uses the text any more.
        unsafe { GlobalFree(text.cast()) };
        copy
    };
    let settings = Settings { proxy: take(found.lpszProxy), bypass: take(found.lpszProxyBypass) };
    take(found.lpszAutoConfigUrl);
    (!settings.proxy.trim().is_empty()).then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(proxy: &str, bypass: &str) -> Settings {
        Settings { proxy: proxy.into(), bypass: bypass.into() }
    }

    #[test]
    fn a_proxy_is_read_for_all_schemes_or_for_each() {
        let proxy = |list: &str, is_tls| {
            settings(list, "").proxy_for(is_tls, "api.example", 443).map(str::to_owned)
        };
        assert_eq!(proxy("proxy.example:3128", true).as_deref(), Some("proxy.example:3128"));
        let each = "http=one:1;HTTPS=http://two:2 ftp=three:3";
        assert_eq!(proxy(each, true).as_deref(), Some("http://two:2"));
        assert_eq!(proxy(each, false).as_deref(), Some("one:1"));
        assert_eq!(proxy("http=one:1;all:9", true).as_deref(), Some("all:9"));
        assert_eq!(proxy("http=one:1;socks=four:4", true), None);
        assert_eq!(proxy("", true), None);
    }

    #[test]
    fn proxy_exceptions_are_matched() {
        let list = "*.two.example;10.*; exact.example <LOCAL>;https://only.example;port.example:8443;*mid*dle*;\
                    [fe80::1];192.168.*.7";
        let settings = settings("proxy:1", list);
        let direct = |host: &str| settings.proxy_for(true, host, 443).is_none();
        for host in [
            "a.two.example",
            "A.TWO.example.",
            "10.1.2.3",
            "exact.example",
            "intranet",
            "only.example",
            "amidXdleb.example",
            "[fe80::1]",
            "192.168.9.7",
            "localhost",
            "127.0.0.1",
            "[::1]",
        ] {
            assert!(direct(host), "{host}");
        }
        for host in [
            "two.example",
            "11.0.0.1",
            "xexact.example",
            "exact.example.org",
            "port.example",
            "[fe80::2]",
        ] {
            assert!(!direct(host), "{host}");
        }
        assert!(settings.proxy_for(true, "port.example", 8443).is_none());
        assert!(settings.proxy_for(false, "only.example", 80).is_some());
        assert!(Settings { bypass: "<-loopback>".into(), ..settings }
            .proxy_for(true, "localhost", 443)
            .is_some());
    }
}
