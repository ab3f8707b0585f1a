//! Properties that hold for every user, option and reply, tested with random ones in real calls to
//! a loopback server.

mod loopback;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use commbox::{Client, Delivery, Error, ErrorKind, Options, User};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{json, Map, Value};

use loopback::{listen, Http, CONFIRMED};

const KEY: &str = "CANARY-key";
/// Secret values start with this. No message may contain it.
const CANARY: &str = "CANARY";

/// Fields and their limits in characters.
const LIMITS: [(&str, usize); 6] = [
    ("UniqueId", 50),
    ("FirstName", 100),
    ("LastName", 100),
    ("Email", 255),
    ("Phone1", 100),
    ("Phone2", 100),
];

/// A client, and its server that stores the body of every request and always gives the same
/// response.
struct Bench {
    client: Client,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    answer: Arc<Mutex<String>>,
}

impl Bench {
    fn new() -> Self {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONFIRMED}",
            CONFIRMED.len()
        )));
        let (seen, given) = (bodies.clone(), answer.clone());
        let port = listen(move |stream: TcpStream, _| {
            let mut http = Http::new(stream);
            while let Some(request) = http.request() {
                seen.lock().unwrap().push(request.body);
                let answer = given.lock().unwrap().clone();
                http.stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut options = Options::default();
        options.base_url = format!("http://127.0.0.1:{port}");
        options.proxy = Some(String::new());
        options.max_retries = 0;
        options.unknown_fields = commbox::UnknownFields::Allow;
        Self { client: Client::new(KEY, &options).unwrap(), bodies, answer }
    }

    fn update(&self, user: &str) -> Result<commbox::UpdateReply, Error> {
        self.client.update_user_json(1, user)
    }

    /// Returns the bodies that were received since the last call.
    fn bodies(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.bodies.lock().unwrap())
    }
}

/// Tests a property. Failing cases are printed but not saved, so the tests leave no files behind.
fn check_property<S: Strategy>(
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config =
        ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&strategy, property)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Any text, including control characters, which the strategy for `String` excludes.
fn text() -> impl Strategy<Value = String> {
    "(?s).{0,30}"
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// A character in one of its JSON forms: literal or escaped.
fn character() -> impl Strategy<Value = String> {
    (any::<char>(), any::<bool>()).prop_map(|(character, escaped)| written(character, escaped))
}

fn written(character: char, escaped: bool) -> String {
    if !escaped && !character.is_ascii_control() && !matches!(character, '"' | '\\') {
        return character.into();
    }
    let units = character.encode_utf16(&mut [0; 2]).to_vec();
    units.iter().fold(String::new(), |mut text, unit| {
        write!(text, "\\u{unit:04X}").unwrap();
        text
    })
}

/// A JSON string with fewer characters than any field's limit.
fn string() -> impl Strategy<Value = String> {
    let character = prop_oneof![6 => character(), 1 => select(&["\\n", "\\/", "\\\"", "\\\\"][..]).prop_map(Into::into)];
    vec(character, 0..20).prop_map(|characters| format!("\"{CANARY}{}\"", characters.concat()))
}

fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"
}

fn value() -> impl Strategy<Value = String> {
    let word = select(&["null", "true", "false"][..]).prop_map(String::from);
    prop_oneof![word, number(), string()].prop_recursive(3, 12, 4, |value| {
        let members = vec((string(), value.clone()), 0..4);
        prop_oneof![
            (vec(value, 0..4), space())
                .prop_map(|(values, space)| format!("[{space}{}]", values.join(","))),
            (members, space()).prop_map(|(members, space)| object(&members, &space)),
        ]
    })
}

fn object(members: &[(String, String)], space: &str) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{space}{name}{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A valid user: known fields, custom fields and other names.
fn user() -> impl Strategy<Value = String> {
    let known = select(&["\"FirstName\"", "\"L\\u0061stName\"", "\"Remarks\"", "\"Email\""][..])
        .prop_map(String::from);
    let text = prop_oneof![string(), Just("null".to_owned())];
    let content = vec((string(), value()), 0..3).prop_map(|members| object(&members, ""));
    let members = (
        option::of((known, text)),
        option::of((Just("\"Content\"".to_owned()), content)),
        vec((string(), value()), 0..3),
    );
    (members, space()).prop_map(|((known, content, own), space)| {
        let members: Vec<_> = known.into_iter().chain(content).chain(own).collect();
        space.clone() + &object(&members, &space) + &space
    })
}

#[test]
fn a_user_is_sent_byte_for_byte() {
    let bench = Bench::new();
    check_property((user(), space()), |(user, space)| {
        let wrapped = format!("{space}{{{space}\"data\"{space}:{user}}}");
        for (given, sent) in [(&user, &format!("{{\"data\":{user}}}")), (&wrapped, &wrapped)] {
            let reply = bench.update(given);
            prop_assert!(reply.is_ok(), "{reply:?}");
            let bodies = bench.bodies();
            prop_assert_eq!(bodies.len(), 1);
            prop_assert_eq!(std::str::from_utf8(&bodies[0]), Ok(sent.as_str()));
        }
        Ok(())
    });
}

#[test]
fn limits_count_characters_whether_escaped_or_not() {
    let bench = Bench::new();
    let field = select(&LIMITS[..]).prop_flat_map(|(field, limit)| {
        (Just(field), Just(limit), vec((any::<char>(), any::<bool>()), limit - 1..=limit + 1))
    });
    check_property(field, |(field, limit, characters)| {
        let text: String =
            characters.iter().map(|(character, escaped)| written(*character, *escaped)).collect();
        let told = bench.update(&format!("{{\"{field}\":\"{text}\"}}"));
        let told = told.map(String::from).map_err(|error| error.to_string());
        let length = characters.len();
        let expected = match length <= limit {
            true => Ok(CONFIRMED.to_owned()),
            false => Err(format!("{field} is {length} characters long; the limit is {limit}")),
        };
        prop_assert_eq!(told, expected);
        Ok(())
    });
}

/// Users with an invalid structure, name or value, and text that is not JSON.
fn wrong_user() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "\"firstname\"",
        "\"FirstName\"",
        "\"data\"",
        "\"Data\"",
        "\"Content\"",
        "\"UniqueId\"",
        "\"own\"",
    ];
    let long = "[a-z]{60,120}".prop_map(|text| format!("\"{CANARY}{text}\""));
    let members = vec((select(NAMES).prop_map(String::from), prop_oneof![value(), long]), 0..6);
    let broken = (any::<prop::sample::Index>(), option::weighted(0.5, any::<Option<char>>()));
    (prop_oneof![members.prop_map(|members| object(&members, " ")), value()], broken).prop_map(
        |(json, (at, change))| {
            // Truncated, or with one additional character.
            let at = at.index(json.len() + 1);
            let at = (0..=at).rev().find(|at| json.is_char_boundary(*at)).unwrap_or(0);
            match change {
                None => json,
                Some(None) => json[..at].to_owned(),
                Some(Some(more)) => format!("{}{more}{}", &json[..at], &json[at..]),
            }
        },
    )
}

/// Checks the properties of every message.
fn check_message(message: &str) -> Result<(), TestCaseError> {
    prop_assert!(
        !message.is_empty() && message.len() <= 2000,
        "{} bytes: {message}",
        message.len()
    );
    prop_assert!(!message.contains(char::is_control), "{message:?}");
    prop_assert!(!message.contains(CANARY), "{message}");
    Ok(())
}

#[test]
fn messages_about_users_contain_no_values() {
    let bench = Bench::new();
    check_property(wrong_user(), |user| {
        let (told, sent) = (bench.update(&user), bench.bodies());
        if let Err(error) = told {
            prop_assert_eq!(
                (error.kind(), error.delivery()),
                (ErrorKind::InvalidUser, Delivery::NotSent)
            );
            check_message(&error.to_string())?;
            prop_assert!(sent.is_empty());
        }
        Ok(())
    });
}

#[test]
fn a_built_user_contains_what_was_set() {
    let name = prop_oneof![4 => text(), 4 => "[A-C]", 1 => Just("Content".to_owned())];
    let set = (any::<bool>(), name, option::of(text()));
    check_property(vec(set, 0..12), |sets| {
        let mut user = User::new();
        let (mut fields, mut custom) = (Map::new(), Map::new());
        for (is_custom, name, value) in sets {
            let done = match is_custom {
                true => user.set_custom(&name, value.as_deref()),
                false => user.set(&name, value.as_deref()),
            };
            let is_refused = name.is_empty() || !is_custom && name == "Content";
            prop_assert_eq!(done.is_err(), is_refused);
            if !is_refused {
                let _former =
                    if is_custom { &mut custom } else { &mut fields }.insert(name, json!(value));
            }
        }
        if !custom.is_empty() {
            fields.insert("Content".into(), custom.into());
        }
        let json: Value = serde_json::from_str(&user.to_json()).unwrap();
        prop_assert_eq!(json, json!({ "data": fields }));
        Ok(())
    });
}

/// A name of an option: known, misspelled or arbitrary.
fn option_name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "base_url",
        "allow_http",
        "total_timeout_ms",
        "max_retries",
        "retry_cap_ms",
        "max_requests_per_second",
        "order_per_user",
        "rate_group",
        "dns_ttl_ms",
        "proxy",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "validate",
        "user_agent",
        "max_retry",
        "Proxy",
        "timeout",
    ];
    prop_oneof![4 => select(NAMES).prop_map(String::from), 1 => text()]
}

#[test]
fn messages_about_options_name_the_key_and_contain_no_values() {
    let value =
        prop_oneof![value(), "[1-9][0-9]{0,11}", "\"CANARY(https?|socks5)://[a-z@:/?#]{0,9}\""];
    check_property((option_name(), value), |(name, value)| {
        let text = format!("{{{}:{value}}}", json!(name));
        if let Err(error) = Options::from_json(&text) {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            let message = error.to_string();
            check_message(&message)?;
            let plain = name
                .chars()
                .take(40)
                .all(|character| character.is_alphanumeric() || character == '_');
            let shown: String = name.chars().take(40).collect();
            prop_assert!(!plain || message.contains(&shown), "{name} is not named: {message}");
        }
        Ok(())
    });
}

#[test]
fn any_options_text_is_accepted_or_refused() {
    check_property(prop_oneof![text(), value(), "[{\\[\":,a-z0-9\\\\]{0,30}"], |text| {
        if let Err(error) = text.parse::<Options>() {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            prop_assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        Ok(())
    });
}

#[test]
fn retry_after_is_read_only_in_its_two_forms() {
    let bench = Bench::new();
    let good = bench.answer.lock().unwrap().clone();
    let read = |text: &str| {
        *bench.answer.lock().unwrap() =
            format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: {text}\r\n\r\n");
        let error = bench.update("{}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Http(503), "{error}");
        // Without a success in between, eight failures in a row would count as an outage.
        bench.answer.lock().unwrap().clone_from(&good);
        bench.update("{}").unwrap();
        error.retry_after()
    };
    check_property(
        prop_oneof!["[0-9]{1,25}", any::<u32>().prop_map(|seconds| seconds.to_string())],
        |digits| {
            let seconds = digits.parse().unwrap_or(u64::MAX / 1000);
            prop_assert_eq!(read(&digits), Some(Duration::from_secs(seconds)));
            Ok(())
        },
    );
    check_property(0..4_000_000_000_u64, |seconds| {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
        let told = read(&date).expect("a date is read").as_secs_f64();
        // Dates are in whole seconds, and time passes between the two readings.
        prop_assert!((told - seconds as f64).abs() <= 3.0, "{date} is {told} s, not {seconds}");
        Ok(())
    });
    check_property("[a-zA-Z.,:;+-][ -~]{0,30}", |text| {
        if httpdate::parse_http_date(text.trim()).is_err() {
            prop_assert_eq!(read(&text), None);
        }
        Ok(())
    });
}
