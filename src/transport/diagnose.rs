//! Diagnoses the path from this machine to the server, step by step: the proxy, the addresses, the
//! connections, TLS and the clock. It sends no update and no API key.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{json, Value};

use crate::delivery::watch::{Stop, Watch};
use crate::error::Result;
use crate::secret::ApiKey;
use crate::transport::attempt::{Attempt, Limits};
use crate::transport::failure::{self, cancelled};
use crate::transport::head::{self, Head};
use crate::transport::proxy::Scheme;
use crate::transport::stream::Stream;
use crate::transport::wire_error::WireError;
use crate::transport::x509::Certificate;
use crate::transport::Transport;

/// No user id, because no update is sent.
const NOBODY: i64 = 0;

impl Transport {
    /// Runs all steps until one fails. The result is a JSON object.
    pub(crate) fn diagnose(&self, watch: &Watch, limits: Limits) -> Result<String> {
        // No API key is sent, but an attempt requires one.
        let step = Step { transport: self, watch, limits, key: &ApiKey::new("none")? };
        let (target, proxy) = (&self.dialer.target, &self.dialer.proxy);
        let (host, port) =
            proxy.as_ref().map_or((&target.host, target.port), |proxy| (&proxy.host, proxy.port));
        let (addresses, found, stream) = step.connect(host, port)?;
        let mut report = json!({
            "server": {"host": target.host, "port": target.port, "tls": target.is_tls},
            "proxy": proxy.as_ref().map(|proxy| json!({
                "scheme": match proxy.scheme {
                    Scheme::Http => "http",
                    Scheme::Https => "https",
                    Scheme::Socks5 => "socks5",
                    Scheme::Socks5h => "socks5h",
                },
                "host": proxy.host, "port": proxy.port, "source": proxy.source,
            })),
            "lookup": addresses,
            "connections": found,
            "tunnel": null,
            "tls": null,
            "http": null,
            "clock": clock(None),
        });
        let mut add = |name: &str, value: Value| {
            if let Some(member) = report.get_mut(name) {
                *member = value;
            }
        };
        let Some(mut stream) = stream else { return Ok(report.to_string()) };
        if proxy.is_some() {
            let (told, tunnelled) = step.tunnel(stream)?;
            add("tunnel", told);
            let Some(tunnelled) = tunnelled else { return Ok(report.to_string()) };
            stream = tunnelled;
        }
        if target.is_tls {
            let (told, under_tls) = step.tls(stream)?;
            add("tls", told);
            let Some(under_tls) = under_tls else { return Ok(report.to_string()) };
            stream = under_tls;
        }
        let (told, date) = step.head(stream)?;
        add("http", told);
        add("clock", clock(date));
        Ok(report.to_string())
    }
}

/// Compares the clock of this machine with that of the server.
fn clock(server: Option<SystemTime>) -> Value {
    let local = SystemTime::now();
    // The server's time is in whole seconds, so on average it is half a second behind.
    let ahead = server.map(|server| match local.duration_since(server) {
        Ok(ahead) => ahead.as_secs_f64() - 0.5,
        Err(behind) => -behind.duration().as_secs_f64() - 0.5,
    });
    json!({
        "local": httpdate::fmt_http_date(local),
        "server": server.map(httpdate::fmt_http_date),
        "ahead_s": ahead.map(|ahead| (ahead * 10.0).round() / 10.0),
    })
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// The context of each step.
struct Step<'a> {
    transport: &'a Transport,
    watch: &'a Watch,
    limits: Limits,
    key: &'a ApiKey,
}

impl Step<'_> {
    /// Runs one step with limits of its own. Returns how long it took, and its result or why it
    /// failed.
    fn run<T>(
        &self,
        step: impl FnOnce(&Attempt<'_>) -> Result<T, WireError>,
    ) -> Result<(f64, Result<T, String>)> {
        let attempt = Attempt::new(self.watch, NOBODY, self.key, b"", self.limits);
        let began = Instant::now();
        let done = step(&attempt);
        let took = millis(began.elapsed());
        if attempt.stopped() == Some(Stop::Cancelled) {
            return Err(cancelled(false));
        }
        let context = failure::Context { dialer: &self.transport.dialer, attempt: &attempt };
        Ok((took, done.map_err(|error| context.explain(error.into()).to_string())))
    }

    /// Looks up the host, and connects to each of its addresses. Returns the first connection.
    fn connect(&self, host: &str, port: u16) -> Result<(Value, Vec<Value>, Option<Stream>)> {
        let dialer = &self.transport.dialer;
        let (took, addresses) = self.run(|attempt| dialer.look_up(host, port, attempt))?;
        let error = addresses.as_ref().err();
        let lookup = json!({"host": host, "elapsed_ms": took, "error": error});
        let (mut found, mut first) = (Vec::new(), None);
        for address in addresses.unwrap_or_default() {
            let (took, connected) = self.run(|attempt| dialer.dial_one(address, attempt))?;
            found.push(connection(address, took, connected.as_ref().err()));
            first = first.or(connected.ok());
        }
        Ok((lookup, found, first))
    }

    fn tunnel(&self, stream: Stream) -> Result<(Value, Option<Stream>)> {
        let (took, through) =
            self.run(|attempt| self.transport.dialer.through_proxy(stream, attempt))?;
        Ok((json!({"elapsed_ms": took, "error": through.as_ref().err()}), through.ok()))
    }

    fn tls(&self, stream: Stream) -> Result<(Value, Option<Stream>)> {
        let mut seen = Vec::new();
        let (took, under) = self.run(|attempt| {
            attempt.enters_tunnel();
            self.transport.dialer.recorded_handshake(stream, attempt, &mut seen)
        })?;
        let chain: Vec<_> = seen.iter().map(|der| Certificate::read(der)).collect();
        let told = json!({
            "version": under.as_ref().ok().and_then(|stream| stream.tls_version()),
            "elapsed_ms": took,
            "trusted": under.is_ok(),
            "error": under.as_ref().err(),
            "chain": chain,
        });
        Ok((told, under.ok()))
    }

    /// Sends a HEAD request for the root, which needs no API key, and reads the server's `Date`.
    fn head(&self, mut stream: Stream) -> Result<(Value, Option<SystemTime>)> {
        let host = self.transport.users.host().as_bytes();
        let request =
            [b"HEAD / HTTP/1.1\r\nHost: ", host, b"\r\nConnection: close\r\n\r\n"].concat();
        let (took, answer) = self.run(|attempt| {
            attempt.begin_request(false);
            stream.write_all(&request, attempt)?;
            let (mut bytes, mut length) = (vec![0; head::LONGEST + 1], 0);
            loop {
                let room = bytes
                    .get_mut(length..)
                    .filter(|room| !room.is_empty())
                    .ok_or(WireError::HeadTooLong)?;
                let amount = stream.read(room, attempt)?;
                length += amount;
                match Head::read(bytes.get(..length).unwrap_or_default(), None)? {
                    Some((head, _)) => return Ok(head),
                    None if amount == 0 => return Err(WireError::Closed),
                    None => {}
                }
            }
        })?;
        let status = answer.as_ref().ok().map(|head| head.status);
        let told = json!({"status": status, "elapsed_ms": took, "error": answer.as_ref().err()});
        Ok((told, answer.ok().and_then(|head| head.date())))
    }
}

fn connection(address: SocketAddr, took: f64, error: Option<&String>) -> Value {
    json!({"address": address.to_string(), "elapsed_ms": took, "error": error})
}
