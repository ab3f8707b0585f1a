//! `commbox diagnose`: checks each step between this machine and the API, and suggests what to do.

use std::io::Write;

use serde_json::Value;

use crate::args::DiagnoseArgs;
use crate::failure::{Exit, Failure, Result};
use crate::settings;
use crate::ui::Ui;

/// A clock that is off by more than this, in seconds, breaks certificate checks and rate limits.
const CLOCK_OFF: f64 = 60.0;

/// Runs the command `diagnose`.
pub fn run(args: &DiagnoseArgs) -> Result<Exit> {
    let ui = Ui::new(args.output, false);
    let file = settings::read_file(args.client.config.as_deref())?;
    let options = settings::options(&args.client, &file)?;
    let report = settings::keyless(&options)?.diagnose_json()?;
    let report: Value = serde_json::from_str(&report).map_err(|error| {
        Failure::new(Exit::Failed, format!("the diagnosis is not JSON: {error}"))
    })?;
    let (lines, advice) = read(&report);
    if ui.is_json() {
        let _ = writeln!(std::io::stdout(), "{report}");
    } else {
        lines.iter().for_each(|line| ui.print(line));
    }
    match advice {
        None => Ok(Exit::Done),
        Some(advice) => Err(Failure::new(Exit::Unreachable, advice)),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn millis(step: &Value) -> String {
    format!("{:.1} ms", step["elapsed_ms"].as_f64().unwrap_or_default())
}

/// Returns a line for each step, and what to do if one of them failed.
fn read(report: &Value) -> (Vec<String>, Option<String>) {
    let mut lines = Vec::new();
    let (server, proxy) = (&report["server"], &report["proxy"]);
    let host = text(&server["host"]);
    lines.push(format!("server       {host}:{}", server["port"]));
    lines.push(match proxy.is_object() {
        true => format!(
            "proxy        {}://{}:{} (from {})",
            text(&proxy["scheme"]),
            text(&proxy["host"]),
            proxy["port"],
            text(&proxy["source"])
        ),
        false => "proxy        none".into(),
    });
    let lookup = &report["lookup"];
    if let Some(error) = lookup["error"].as_str() {
        lines.push(format!("DNS lookup   failed: {error}"));
        let what = text(&lookup["host"]);
        return (
            lines,
            Some(format!("{what} has no address here: check its spelling and this machine's DNS")),
        );
    }
    let connections = report["connections"].as_array().cloned().unwrap_or_default();
    lines.push(format!("DNS lookup   {} addresses in {}", connections.len(), millis(lookup)));
    for connection in &connections {
        let outcome = match connection["error"].as_str() {
            Some(error) => format!("failed: {error}"),
            None => millis(connection),
        };
        lines.push(format!("connect      {}  {outcome}", text(&connection["address"])));
    }
    if connections.iter().all(|connection| connection["error"].is_string()) {
        let advice = match proxy.is_object() {
            true => "the proxy cannot be reached: check --proxy, HTTPS_PROXY and NO_PROXY",
            false => "the server cannot be reached: check --base-url, the firewall, and the proxy",
        };
        return (lines, Some(advice.into()));
    }
    let tunnel = &report["tunnel"];
    if let Some(error) = tunnel["error"].as_str() {
        lines.push(format!("tunnel       failed: {error}"));
        return (
            lines,
            Some("the proxy refuses: check its user, its password and what it allows".into()),
        );
    }
    if tunnel.is_object() {
        lines.push(format!("tunnel       through the proxy in {}", millis(tunnel)));
    }
    let tls = &report["tls"];
    for (place, certificate) in tls["chain"].as_array().into_iter().flatten().enumerate() {
        lines.push(format!(
            "certificate  {place}: {} by {}, until {}",
            text(&certificate["subject"]),
            text(&certificate["issuer"]),
            text(&certificate["not_after"])
        ));
    }
    if let Some(error) = tls["error"].as_str() {
        lines.push(format!("TLS          failed: {error}"));
        let advice =
            "the server's certificate is not trusted: add its authority by --ca-file, or mend \
                      this machine's clock or trust store";
        return (lines, Some(advice.into()));
    }
    if tls.is_object() {
        lines.push(format!("TLS          {} in {}", text(&tls["version"]), millis(tls)));
    }
    let http = &report["http"];
    if let Some(error) = http["error"].as_str() {
        lines.push(format!("HTTP         failed: {error}"));
        return (lines, Some("the peer that answers is not a web server: check --base-url".into()));
    }
    lines.push(format!("HTTP         status {} in {}", http["status"], millis(http)));
    let ahead = report.pointer("/clock/ahead_s").and_then(Value::as_f64);
    if let Some(ahead) = ahead {
        lines.push(format!("clock        {ahead:+.1} s to the server's"));
    }
    let off = ahead.filter(|ahead| ahead.abs() > CLOCK_OFF);
    (lines, off.map(|ahead| format!("this machine's clock is off by {ahead:.0} s: set it")))
}
