//! `commbox update`: updates one user.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use commbox::{Delivery, ErrorKind, User};
use serde_json::json;
use serde_json::value::RawValue;

use crate::args::UpdateArgs;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::settings;
use crate::stop::Signals;
use crate::ui::Ui;

/// Runs the command `update`.
pub fn run(args: &UpdateArgs) -> Result<Exit> {
    let ui = Ui::new(args.output, false);
    let file = settings::read_file(args.client.config.as_deref())?;
    let options = settings::options(&args.client, &file)?;
    let user = match &args.json {
        Some(path) => read(path)?,
        None => user(&args.fields, &args.null)?.to_json(),
    };
    let client = settings::client(&args.client, &file, &options)?;
    let signals = Signals::listen().doing(|| "listen for signals".into())?;
    let asked = signals.clone();
    client.set_interrupt(Some(Arc::new(move || asked.came().is_some())));
    match client.update_user_json(args.user_id, &user) {
        Ok(reply) => {
            let raw: Option<&RawValue> = serde_json::from_str(reply.as_json()).ok();
            ui.event(&json!({
                "event": "updated", "user_id": args.user_id, "attempts": reply.attempts(),
                "elapsed_ms": u64::try_from(reply.elapsed().as_millis()).unwrap_or(u64::MAX),
                "request_id": reply.request_id(), "reply": raw,
            }));
            if !ui.is_json() {
                ui.print(reply.as_json().trim());
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            if ui.is_json() {
                let mut told: serde_json::Value =
                    serde_json::from_str(&error.to_json()).unwrap_or_default();
                if let Some(members) = told.as_object_mut() {
                    members.insert("event".into(), "failed".into());
                    members.insert("user_id".into(), args.user_id.into());
                }
                ui.event(&told);
            }
            let exit = match (error.kind(), signals.came()) {
                (ErrorKind::Cancelled, Some(exit)) => exit,
                (kind, _) => Exit::of(kind),
            };
            let mut message = error.to_string();
            if let Some(words) = error.description() {
                message.push_str(&format!("\nThe server: {words}"));
            }
            message.push_str(match error.delivery() {
                Delivery::NotSent => "\nNothing was sent.",
                Delivery::Unknown => "\nThe server may have processed the update.",
                Delivery::Answered => "",
            });
            Err(Failure::new(exit, message))
        }
    }
}

/// Builds a user from the fields on the command line.
fn user(fields: &[String], null: &[String]) -> Result<User> {
    let mut user = User::new();
    let mut set = |name: &str, value: Option<&str>| {
        let done = match name.strip_prefix("Content.") {
            Some(custom) => user.set_custom(custom, value),
            None => user.set(name, value),
        };
        done.map_err(|error| Failure::usage(format!("\"{name}\": {error}")))
    };
    for field in fields {
        let (name, value) = field
            .split_once('=')
            // The argument may be a value, so it is not shown.
            .ok_or_else(|| Failure::usage("a field must be NAME=VALUE, such as FirstName=John"))?;
        set(name, Some(value))?;
    }
    for name in null {
        set(name, None)?;
    }
    if fields.is_empty() && null.is_empty() {
        return Err(Failure::usage(
            "no field is given: name one, such as FirstName=John, or --json FILE",
        ));
    }
    Ok(user)
}

fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).doing(|| "read standard input".into())?;
        return Ok(text);
    }
    fs::read_to_string(path).doing(|| format!("read {}", path.display()))
}
