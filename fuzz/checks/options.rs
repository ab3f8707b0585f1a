//! Accepted options create a client, and the error of rejected ones names them but does not contain
//! their values.

use std::time::Duration;

use commbox::{fuzzing, CallOptions, Client, ErrorKind, Options};
use serde_json::{Map, Value};

use super::{check_error, marked, CANARY};

const DAY: Duration = Duration::from_secs(86_400);

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.contains(CANARY) {
        // The canary may be part of an option's name, which messages do contain.
        return;
    }
    match Options::from_json(text) {
        Ok(options) => check_taken(text, options),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            check_error(&error);
        }
    }
    let refusal = Options::from_json(&marked(text)).err();
    refusal.iter().for_each(check_error);
    let of_call = [text, &marked(text)].map(|text| CallOptions::from_json(text).err());
    of_call.iter().flatten().for_each(check_error);
    if let Some((key, value)) = text.split_once('=') {
        // As text, which is either the option's own format or not JSON.
        for value in [value.to_owned(), format!("{CANARY}{value}")] {
            let refusal = fuzzing::set_option(key, &value).err();
            refusal.iter().for_each(check_error);
        }
    }
}

fn check_taken(text: &str, mut options: Options) {
    for (time, least) in [
        (options.connect_timeout, 1),
        (options.attempt_timeout, 1),
        (options.total_timeout, 1),
        (options.retry_base, 1),
        (options.retry_cap, 1),
        (options.idle_timeout, 0),
        (options.dns_ttl, 0),
    ] {
        assert!((Duration::from_millis(least)..=DAY).contains(&time), "{time:?}");
    }
    assert!(options.retry_base <= options.retry_cap && options.max_retries <= 100);
    assert!(options.max_requests_per_second >= 0.0 && options.max_requests_per_second <= 1e6);
    check_values(text, &options);

    // Neither the environment nor any file may have an influence.
    options.proxy.get_or_insert_default();
    (options.ca_file, options.client_cert_file, options.client_key_file) = (None, None, None);
    Client::new("key", &options).expect("options that are taken make a client");
}

/// Compares with another JSON parser: each option has the value that was given.
fn check_values(text: &str, options: &Options) {
    let Ok(given) = serde_json::from_str::<Map<String, Value>>(text) else { return };
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let millis = |time: Duration| Value::from(u64::try_from(time.as_millis()).unwrap());
        let set = match name.as_str() {
            "base_url" => Value::from(options.base_url.clone()),
            "connect_timeout_ms" => millis(options.connect_timeout),
            "attempt_timeout_ms" => millis(options.attempt_timeout),
            "total_timeout_ms" => millis(options.total_timeout),
            "retry_base_ms" => millis(options.retry_base),
            "retry_cap_ms" => millis(options.retry_cap),
            "idle_timeout_ms" => millis(options.idle_timeout),
            "dns_ttl_ms" => millis(options.dns_ttl),
            "max_retries" => options.max_retries.into(),
            "max_idle_connections" => options.max_idle_connections.into(),
            "allow_http" => options.allow_http.into(),
            "validate" => options.validate.into(),
            "proxy" => options.proxy.clone().into(),
            "user_agent" => options.user_agent.clone().into(),
            "ca_file" => options.ca_file.as_ref().and_then(|path| path.to_str()).into(),
            "client_cert_file" => {
                options.client_cert_file.as_ref().and_then(|path| path.to_str()).into()
            }
            "client_key_file" => {
                options.client_key_file.as_ref().and_then(|path| path.to_str()).into()
            }
            "request_id_header" => options.request_id_header.clone().into(),
            "order_per_user" => options.order_per_user.into(),
            "rate_group" => options.rate_group.clone().into(),
            "unknown_fields" => format!("{:?}", options.unknown_fields).to_lowercase().into(),
            "custom_fields" => options.custom_fields.clone().into(),
            // Their values cannot be read back.
            "headers" => {
                assert!(value.is_object());
                continue;
            }
            "max_requests_per_second" => {
                assert_eq!(Some(options.max_requests_per_second), value.as_f64());
                continue;
            }
            unknown => panic!("the option {unknown:?} is taken"),
        };
        assert_eq!(set, *value, "{name}");
    }
}
