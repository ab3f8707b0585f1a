//! The API key, and options from flags, variables and commbox.toml, in this order of precedence.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use commbox::{BatchOptions, Client, Options};
use serde::Deserialize;
use serde_json::{json, Map, Value};

use crate::args::{ClientArgs, Duplicates, Empty, Format, SyncArgs};
use crate::failure::{Doing, Failure, Result};

/// The options file that is read by default.
const FILE: &str = "commbox.toml";

/// The contents of the options file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    api_key_file: Option<PathBuf>,
    /// Options of the client, by the library's names.
    client: Map<String, Value>,
    /// Options of the batch, by the library's names.
    batch: Map<String, Value>,
    pub sync: SyncFile,
    /// The path of the file, for messages.
    #[serde(skip)]
    path: PathBuf,
}

/// The part of the options file for sync and check.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncFile {
    pub format: Option<Format>,
    pub delimiter: Option<String>,
    pub encoding: Option<String>,
    pub id: Option<String>,
    pub map: BTreeMap<String, String>,
    pub set: BTreeMap<String, String>,
    pub skip: Vec<String>,
    pub accept_suggestions: bool,
    pub empty: Option<Empty>,
    pub duplicates: Option<Duplicates>,
    pub journal: Option<PathBuf>,
    pub changed_only: bool,
    pub max_errors: Option<String>,
}

/// Reads the given options file, or the one in the current directory.
pub fn read_file(named: Option<&Path>) -> Result<File> {
    let path = match named {
        Some(path) => path,
        None if Path::new(FILE).is_file() => Path::new(FILE),
        None => return Ok(File::default()),
    };
    let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
    // The parser's own message quotes the line, which may contain a password.
    let mut file: File = toml::from_str(&text).map_err(|error| {
        let place = error.span().and_then(|span| text.get(..span.start));
        let line = place.map_or(1, |before| before.matches('\n').count() + 1);
        let what = error.message();
        Failure::usage(format!("{} line {line}: {what}", path.display()))
    })?;
    file.path = path.to_owned();
    Ok(file)
}

fn millis(time: Duration) -> Value {
    json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Overrides an option of the file with the value of a flag or variable.
fn put(options: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        options.insert(key.to_owned(), value.into());
    }
}

fn put_path(options: &mut Map<String, Value>, key: &str, path: Option<&PathBuf>) -> Result<()> {
    let text = path.map(|path| path.to_str().ok_or(path)).transpose();
    let text = text.map_err(|_| Failure::usage(format!("{}: is not UTF-8", flag(key))))?;
    put(options, key, text);
    Ok(())
}

/// Returns the flag of an option.
fn flag(key: &str) -> String {
    match key {
        "max_requests_per_second" => "--rate".into(),
        "headers" => "--header".into(),
        key => format!("--{}", key.trim_end_matches("_ms").replace('_', "-")),
    }
}

/// Returns the client's options.
pub fn options(args: &ClientArgs, file: &File) -> Result<Options> {
    let mut all = file.client.clone();
    put(&mut all, "base_url", args.base_url.clone());
    put(&mut all, "allow_http", args.allow_http);
    for (key, time) in [
        ("total_timeout_ms", args.total_timeout),
        ("attempt_timeout_ms", args.attempt_timeout),
        ("connect_timeout_ms", args.connect_timeout),
        ("retry_base_ms", args.retry_base),
        ("retry_cap_ms", args.retry_cap),
        ("idle_timeout_ms", args.idle_timeout),
        ("dns_ttl_ms", args.dns_ttl),
    ] {
        put(&mut all, key, time.map(millis));
    }
    put(&mut all, "max_retries", args.max_retries);
    put(&mut all, "max_requests_per_second", args.rate);
    put(&mut all, "rate_group", args.rate_group.clone());
    put(&mut all, "max_idle_connections", args.max_idle_connections);
    put(&mut all, "proxy", args.proxy.clone());
    put_path(&mut all, "ca_file", args.ca_file.as_ref())?;
    put_path(&mut all, "client_cert_file", args.client_cert_file.as_ref())?;
    put_path(&mut all, "client_key_file", args.client_key_file.as_ref())?;
    put(&mut all, "custom_fields", args.custom_fields.clone());
    put(&mut all, "unknown_fields", args.unknown_fields.clone());
    put(&mut all, "validate", args.validate);
    put(&mut all, "user_agent", args.user_agent.clone());
    put(&mut all, "request_id_header", args.request_id_header.clone());
    for header in &args.headers {
        let wrong = || Failure::usage("--header: must be \"Name: value\"");
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let headers = all.entry("headers").or_insert_with(|| json!({}));
        let headers = headers.as_object_mut().ok_or_else(|| {
            Failure::usage(format!("{}: client.headers must be a table", file.path.display()))
        })?;
        headers.insert(name.trim().to_owned(), value.trim().into());
    }
    Options::from_json(&Value::Object(all).to_string())
        .map_err(|error| explain(&error, file, "client"))
}

/// Returns the batch's options.
pub fn batch_options(args: &SyncArgs, file: &File) -> Result<BatchOptions> {
    let mut all = file.batch.clone();
    put(&mut all, "concurrency", args.concurrency);
    put(&mut all, "throttle_timeout_ms", args.throttle_timeout.map(millis));
    put(&mut all, "outage_timeout_ms", args.outage_timeout.map(millis));
    let given = all.contains_key("queue_limit");
    let text = Value::Object(all).to_string();
    let mut options =
        BatchOptions::from_json(&text).map_err(|error| explain(&error, file, "batch"))?;
    if !given {
        // After a kill, every queued update may have been sent, so the queue is kept short.
        options.queue_limit = (options.concurrency * 4).max(64);
    }
    Ok(options)
}

/// Replaces a wrong option in a message by its source: its flag, or its key in the file.
fn explain(error: &commbox::Error, file: &File, table: &str) -> Failure {
    let keys = if table == "client" { &file.client } else { &file.batch };
    let texts = error.problems().iter().map(|problem| {
        let key = problem.path();
        // The path of a header also contains the header's name.
        let whole = key.split('.').next().unwrap_or(key);
        let name = match keys.contains_key(whole) {
            true => format!("{key} in {} ({})", file.path.display(), flag(whole)),
            false => flag(whole),
        };
        format!("{name} {}", problem.message().replace(['{', '}'], ""))
    });
    let texts: Vec<_> = texts.collect();
    Failure::usage(if texts.is_empty() { error.to_string() } else { texts.join("; ") })
}

/// Creates a client with the user's API key.
pub fn client(args: &ClientArgs, file: &File, options: &Options) -> Result<Client> {
    let key_file = args.api_key_file.as_ref().or(file.api_key_file.as_ref());
    let variable = env::var("COMMBOX_API_KEY").is_ok_and(|key| !key.is_empty());
    if let Some(path) = key_file.filter(|_| args.api_key_file.is_some() || !variable) {
        let text =
            fs::read_to_string(path).doing(|| format!("read the API key of {}", path.display()))?;
        let key = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().trim();
        let from = |error: commbox::Error| {
            Failure::usage(format!("{error}; it comes from {}", path.display()))
        };
        return Client::new(key, options).map_err(from);
    }
    if variable {
        return Ok(Client::from_env(options)?);
    }
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        let key =
            rpassword::prompt_password("CommBox API key: ").doing(|| "read the API key".into())?;
        return Ok(Client::new(key.trim(), options)?);
    }
    Err(Failure::usage(
        "the API key is missing: set COMMBOX_API_KEY, or name a file with --api-key-file",
    ))
}

/// Creates a client for checks. It sends nothing.
pub fn keyless(options: &Options) -> Result<Client> {
    Ok(Client::new("none", options)?)
}
