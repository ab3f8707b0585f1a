//! The tables of docs/options.md match the library: its keys, their defaults and their ranges. The
//! wrappers have every key.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use commbox::{BatchOptions, CallOptions, Options, UnknownFields};
use common::{header, page};
use serde_json::{json, Map, Value};

/// A row of a table: `key`, `default` and `limits`.
struct Row {
    key: String,
    default: String,
    limits: String,
}

fn rows(section: &str) -> Vec<Row> {
    let text = page::section("docs/options.md", section);
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let [_, key, default, limits, _, _] = cells[..] else { panic!("{line}") };
            let [key, default] = [key, default].map(|cell| cell.trim_matches('`').to_owned());
            Row { key, default, limits: limits.to_owned() }
        })
        .collect();
    assert!(rows.len() >= 4, "{section} has no table");
    rows
}

/// Parses options, or returns what is wrong with them.
type Read = fn(&str) -> Result<(), String>;

const CLIENT: Read = |text| Options::from_json(text).map(drop).map_err(|error| error.to_string());
const CALL: Read = |text| CallOptions::from_json(text).map(drop).map_err(|error| error.to_string());
const BATCH: Read =
    |text| BatchOptions::from_json(text).map(drop).map_err(|error| error.to_string());

const TABLES: [(&str, Read); 3] = [("Client", CLIENT), ("Call", CALL), ("Batch", BATCH)];

/// Returns whether the library accepts a value of an option.
fn takes(read: Read, key: &str, value: Value) -> bool {
    let mut options = Map::new();
    // The cap must not be below the base.
    match key {
        "retry_base_ms" => drop(options.insert("retry_cap_ms".into(), value.clone())),
        "retry_cap_ms" => drop(options.insert("retry_base_ms".into(), json!(1))),
        _ => {}
    }
    options.insert(key.into(), value);
    match read(&Value::Object(options).to_string()) {
        Ok(()) => true,
        Err(why) => {
            assert!(why.contains(key), "{why}");
            false
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Returns a value of this size: a text with this number of characters, or this number of headers.
fn of_size(key: &str, size: usize) -> Value {
    match key {
        "headers" => {
            (0..size).map(|index| (format!("X-{index}"), json!("a"))).collect::<Map<_, _>>().into()
        }
        "base_url" => json!(format!("{:a<size$}", "https://example.com/")),
        _ => json!("a".repeat(size)),
    }
}

/// Checks a cell of limits against the library. Returns whether it contained any.
fn check_limits(read: Read, row: &Row) -> bool {
    let Row { key, limits, .. } = row;
    let expect = |value: Value, taken: bool| {
        let shown = value.to_string();
        assert_eq!(takes(read, key, value), taken, "{key}, with limits {limits:?}: {shown:.60}");
    };
    if limits.is_empty() {
        return false;
    }
    if let Some(size) = limits.strip_prefix("at most ") {
        let size: usize =
            size.split(' ').next().and_then(|size| size.parse().ok()).expect("a number");
        expect(of_size(key, size), true);
        expect(of_size(key, size + 1), false);
    } else if let Some(sizes) = limits.strip_suffix(" characters") {
        let (least, most) = sizes.split_once(" to ").expect("two numbers");
        let [least, most] = [least, most].map(|size| size.parse::<usize>().expect("a number"));
        expect(of_size(key, least), true);
        expect(of_size(key, most), true);
        expect(of_size(key, least - 1), false);
        expect(of_size(key, most + 1), false);
    } else if limits.starts_with('`') {
        let values: Vec<Value> = limits
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect();
        assert!(values.len() >= 2, "{limits}");
        values.into_iter().for_each(|value| expect(value, true));
        expect(json!("other"), false);
    } else if let Some(range) = limits.strip_prefix("0, or ") {
        let (least, most) = range.split_once(" to ").expect("two numbers");
        for value in [0.0, number(least), number(most)] {
            expect(json!(value), true);
        }
        for value in [-1.0, number(least) / 2.0, number(most) + 1.0] {
            expect(json!(value), false);
        }
    } else {
        let (least, most) =
            limits.split_once(" to ").unwrap_or_else(|| panic!("{key}: limits {limits:?}"));
        let [least, most] = [least, most].map(|limit| limit.parse::<i64>().expect("a number"));
        for value in [least, most] {
            expect(json!(value), true);
        }
        for value in [least - 1, most + 1] {
            expect(json!(value), false);
        }
    }
    true
}

#[test]
fn documented_limits_match_the_library() {
    let mut checked = 0;
    for (section, read) in TABLES {
        checked += rows(section).iter().filter(|row| check_limits(read, row)).count();
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn a_wrong_limit_is_found() {
    for (key, limits) in
        [("max_retries", "0 to 99"), ("max_retries", "1 to 100"), ("user_agent", "at most 255")]
    {
        let row = Row { key: key.into(), default: String::new(), limits: limits.into() };
        let found = std::panic::catch_unwind(|| check_limits(CLIENT, &row));
        assert!(found.is_err(), "{key} {limits}");
    }
}

#[test]
fn documented_keys_match_the_library() {
    for (section, read) in TABLES {
        // For a key that resembles no option, the message lists all options.
        let why = read(r#"{"qqqqqqqqqqqqqqqq": 1}"#).expect_err("it is no option");
        let (_, all) = why.split_once("options are ").expect("the message lists them");
        let known: BTreeSet<_> = all.split(", ").map(str::to_owned).collect();
        let documented: BTreeSet<_> = rows(section).into_iter().map(|row| row.key).collect();
        assert_eq!(documented, known, "{section}");
    }
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it exists")
}

/// The part of a text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start:?} is missing"));
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

#[test]
fn python_has_every_option() {
    let types = file("bindings/python/src/commbox/_types.py");
    let client = file("bindings/python/src/commbox/_client.py");
    for (section, part) in [
        ("Client", between(&types, "class ClientOptions(", "\n\n\n")),
        ("Call", between(&types, "class SingleCallOptions(", "\n\n\n")),
        ("Batch", between(&client, "def update_users(", "-> Updates")),
    ] {
        for Row { key, .. } in rows(section) {
            let keyword = key.trim_end_matches("_ms").replace("total_timeout", "timeout");
            assert!(
                part.contains(&format!("    {keyword}: ")),
                "{section}: Python lacks {keyword}"
            );
        }
    }
}

#[test]
fn csharp_has_every_option() {
    for (section, _) in TABLES {
        let path = format!("bindings/csharp/CommBox/CommBox{section}Options.cs");
        let table = file(&path);
        for Row { key, .. } in rows(section) {
            let row = format!("(\"{key}\", nameof(");
            assert!(table.contains(&row), "{path} has no row for {key} in its table");
        }
    }
}

/// Formats a duration in milliseconds.
fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

fn or_null<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "null".into(), shown)
}

fn default_of_client(key: &str) -> String {
    let options = Options::default();
    let path = |path: std::path::PathBuf| path.display().to_string();
    match key {
        "base_url" => options.base_url,
        "allow_http" => options.allow_http.to_string(),
        "connect_timeout_ms" => millis(options.connect_timeout),
        "attempt_timeout_ms" => millis(options.attempt_timeout),
        "total_timeout_ms" => millis(options.total_timeout),
        "max_retries" => options.max_retries.to_string(),
        "retry_base_ms" => millis(options.retry_base),
        "retry_cap_ms" => millis(options.retry_cap),
        "max_requests_per_second" => options.max_requests_per_second.to_string(),
        "order_per_user" => options.order_per_user.to_string(),
        "rate_group" => or_null(options.rate_group, |name| name),
        "max_idle_connections" => options.max_idle_connections.to_string(),
        "idle_timeout_ms" => millis(options.idle_timeout),
        "dns_ttl_ms" => millis(options.dns_ttl),
        "proxy" => or_null(options.proxy, |url| url),
        "ca_file" => or_null(options.ca_file, path),
        "client_cert_file" => or_null(options.client_cert_file, path),
        "client_key_file" => or_null(options.client_key_file, path),
        "validate" => options.validate.to_string(),
        "unknown_fields" if options.unknown_fields == UnknownFields::Refuse => r#""refuse""#.into(),
        "unknown_fields" => r#""allow""#.into(),
        "custom_fields" => or_null(options.custom_fields, |names| format!("{names:?}")),
        "user_agent" => or_null(options.user_agent, |text| text),
        // Only their names are shown.
        "headers" => format!("{:?}", options.headers),
        "request_id_header" => or_null(options.request_id_header, |name| name),
        _ => panic!("this test does not know the default of {key}"),
    }
}

fn default_of_batch(key: &str) -> String {
    let options = BatchOptions::default();
    match key {
        "concurrency" => options.concurrency.to_string(),
        "queue_limit" => options.queue_limit.to_string(),
        "stop_on_unauthorized" => options.stop_on_unauthorized.to_string(),
        "throttle_timeout_ms" => millis(options.throttle_timeout),
        "outage_timeout_ms" => millis(options.outage_timeout),
        "overall_timeout_ms" => or_null(options.overall_timeout, millis),
        _ => panic!("this test does not know the default of {key}"),
    }
}

#[test]
fn documented_defaults_match_the_library() {
    for (section, default) in
        [("Client", default_of_client as fn(&str) -> String), ("Batch", default_of_batch)]
    {
        for Row { key, default: documented, .. } in rows(section) {
            assert_eq!(documented, default(&key), "{key}");
        }
    }
    let call = CallOptions::default();
    assert!(call.total_timeout.is_none() && call.attempt_timeout.is_none());
    assert!(call.max_retries.is_none() && format!("{:?}", call.headers) == "{}");
    assert!(rows("Call").iter().all(|row| row.default == "the client's"));
}

#[test]
fn the_documented_example_is_accepted() {
    for block in page::blocks("docs/options.md", "json") {
        let options = Options::from_json(&block).expect("it is right");
        assert_eq!(options.total_timeout, Duration::from_secs(10));
        assert_eq!(format!("{:?}", options.headers), r#"{"X-Gateway-Key"}"#);
    }
}

/// Returns the rows of the header's tables for an option, each on one line.
fn rows_of_header(key: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in header::text().lines().filter_map(|line| line.strip_prefix(" * ")) {
        match rows.last_mut() {
            _ if line.starts_with("| `") => rows.push(line.to_owned()),
            Some(row) if !row.ends_with('|') && line.starts_with("  ") => {
                row.push(' ');
                row.push_str(line.trim());
            }
            _ => {}
        }
    }
    let is_of =
        |row: &String| row.split('|').nth(1).is_some_and(|keys| keys.contains(&format!("`{key}`")));
    rows.into_iter().filter(is_of).collect()
}

/// An option of a client and of a call has the same name and the same range, so the tables of both
/// are checked.
#[test]
fn the_header_has_the_same_ranges() {
    let mut checked = 0;
    for (section, _) in TABLES {
        for Row { key, limits, .. } in rows(section) {
            let found = rows_of_header(&key);
            assert!(!found.is_empty(), "the header has no row for {key}");
            let range = limits.trim_start_matches("0, or ").trim_end_matches(" characters");
            for row in found.iter().filter(|_| range.contains(" to ")) {
                assert!(
                    row.contains(range),
                    "{key} is {range} in docs/options.md; the header has {row}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "{checked}");
}
