//! The proxy that the environment names.

use serde_json::json;

use crate::loopback::closed_port;
use crate::native::{call_once, program};
use crate::{answering, api, http, plain_api, proxy, tunnel};

#[test]
fn the_environment_sets_the_proxy_and_its_exceptions() {
    let (port, connects) = proxy(tunnel);
    let (target, _) = plain_api();
    let proxy_url = http(port);
    // Whether a call with these variables and options goes through the proxy.
    let tunnelled = |variables: &[(&str, &str)], options: serde_json::Value| {
        let before = connects.all().len();
        let (code, answer) =
            call_once(program("call_once").envs(variables.iter().copied()), &options);
        assert_eq!(code, 0, "{answer}");
        connects.all().len() > before
    };
    let base = json!({"base_url": http(target)});
    for name in ["http_proxy", "ALL_PROXY", "all_proxy"] {
        assert!(tunnelled(&[(name, &proxy_url)], base.clone()), "{name}");
    }
    // A header can set the first of these, and the others are for https.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "https_proxy"] {
        assert!(!tunnelled(&[(name, &proxy_url)], base.clone()), "{name}");
    }
    assert!(!tunnelled(&[], base.clone()));
    let none = json!({"base_url": http(target), "proxy": ""});
    assert!(!tunnelled(&[("http_proxy", &proxy_url)], none));
    let null = json!({"base_url": http(target), "proxy": null});
    assert!(tunnelled(&[("http_proxy", &proxy_url)], null));
    // The option rules.
    let own = json!({"base_url": http(target), "proxy": proxy_url});
    assert!(tunnelled(&[("http_proxy", &http(closed_port()))], own));

    for (excepted, through) in [
        ("127.0.0.1", false),
        ("*", false),
        ("other.example,127.0.0.1", false),
        ("other.example, 127.0.0.1", false),
        ("other.example", true),
        ("", true),
    ] {
        let variables = [("http_proxy", proxy_url.as_str()), ("NO_PROXY", excepted)];
        assert_eq!(tunnelled(&variables, base.clone()), through, "NO_PROXY={excepted}");
    }
}

#[test]
fn no_proxy_accepts_an_ipv6_address_with_or_without_brackets() {
    let (port, connects) = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let options = json!({"base_url": format!("http://[::1]:{}", closed_port()), "max_retries": 0});
    for (excepted, asked) in [("::1", 0), ("[::1]", 0), ("::2", 1)] {
        let (code, error) = call_once(
            program("call_once").env("http_proxy", http(port)).env("NO_PROXY", excepted),
            &options,
        );
        assert_eq!((code, connects.all().len()), (-5, asked), "NO_PROXY={excepted}: {error}");
    }
}

/// What may go in the clear because it stays on this machine does not leave it by way of a proxy
/// that it never named.
#[test]
fn http_to_loopback_uses_only_a_loopback_proxy_of_the_environment() {
    let (port, connects) = proxy(tunnel);
    let (target, seen) = plain_api();
    // Reaches this machine, and is no loopback address by its name.
    let elsewhere = format!("http://0.0.0.0:{port}");
    let calls = |variable: &str, options: serde_json::Value| {
        let before = (connects.all().len(), seen.all().len());
        let (code, answer) = call_once(program("call_once").env("http_proxy", variable), &options);
        assert_eq!(code, 0, "{answer}");
        assert_eq!(seen.all().len(), before.1 + 1);
        connects.all().len() - before.0
    };
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target)})), 0);
    assert_eq!(calls(&elsewhere, json!({"base_url": format!("HTTP://localhost:{target}")})), 0);
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target), "allow_http": true})), 1);
    assert_eq!(calls(&elsewhere, json!({"base_url": http(target), "proxy": elsewhere})), 1);
    for near in [http(port), format!("http://localhost:{port}")] {
        assert_eq!(calls(&near, json!({"base_url": http(target)})), 1, "{near}");
    }
}

/// Under TLS a proxy sees nothing, so the environment's serves there, loopback or not.
#[test]
fn https_to_loopback_uses_a_proxy_of_the_environment() {
    let (port, connects) = proxy(tunnel);
    let (options, _) = api("elsewhere", port);
    let call = json!({"base_url": options.base_url, "ca_file": options.ca_file});
    let (code, answer) =
        call_once(program("call_once").env("HTTPS_PROXY", format!("http://0.0.0.0:{port}")), &call);
    assert_eq!((code, connects.all().len()), (0, 1), "{answer}");
}

/// As for everyone else: what is for the scheme goes before what is for all.
#[test]
fn the_scheme_of_the_api_selects_the_proxy_variable() {
    let (port, connects) = proxy(tunnel);
    let (options, _) = api("scheme", port);
    let (target, _) = plain_api();
    let https = json!({"base_url": options.base_url, "ca_file": options.ca_file, "max_retries": 0});
    let plain = json!({"base_url": http(target)});
    let good = http(port);
    let tunnelled = |variables: &[(&str, &str)], options: &serde_json::Value| {
        let before = connects.all().len();
        let (code, answer) =
            call_once(program("call_once").envs(variables.iter().copied()), options);
        assert_eq!(code, 0, "{variables:?}: {answer}");
        connects.all().len() > before
    };
    let orders = [
        (&https, &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"][..]),
        (&plain, &["http_proxy", "ALL_PROXY", "all_proxy"]),
    ];
    for (options, order) in orders {
        for (place, name) in order.iter().enumerate() {
            let mut variables = vec![(*name, good.as_str())];
            variables.extend(order[..place].iter().map(|before| (*before, "")));
            variables
                .extend(order[place + 1..].iter().map(|after| (*after, "socks5://127.0.0.1:1080")));
            assert!(tunnelled(&variables, options), "{variables:?}");
        }
    }
    for name in ["HTTP_PROXY", "http_proxy"] {
        assert!(!tunnelled(&[(name, &good)], &https), "{name}");
    }
}

/// Going around a proxy that the machine prescribes would be wrong, and saying nothing worse.
#[test]
fn an_unusable_proxy_of_the_environment_is_refused() {
    let (target, seen) = plain_api();
    let base = json!({"base_url": http(target)});
    for url in [
        "socks4://user:p%40ss@127.0.0.1:1080",
        "user:p%40ss@:bad port",
        "http://user:p%40ss@127.0.0.1:99999",
    ] {
        let (code, error) = call_once(program("call_once").env("http_proxy", url), &base);
        assert_eq!(code, -3, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("http_proxy") && message.contains("proxy option"), "{message}");
        assert!(!message.contains("p%40ss") && !message.contains("p@ss"), "{message}");
    }
    assert_eq!(seen.all().len(), 0);
}
