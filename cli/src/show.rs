//! `commbox journal`: shows the contents of a journal.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{json, Value};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

use crate::args::JournalArgs;
use crate::check::{in_file, Inputs};
use crate::failure::{Exit, Failure, Result};
use crate::input::mapping::Mapping;
use crate::input::{Read, Row, Rows};
use crate::journal::{Failed, Journal};
use crate::rejects::{Front, Rejects};
use crate::ui::Ui;
use crate::units::{counted, grouped};

/// Runs the command `journal`.
pub fn run(args: &JournalArgs) -> Result<Exit> {
    let ui = Ui::new(args.output, false);
    if !args.journal.is_file() {
        return Err(Failure::usage(format!(
            "the journal {} does not exist",
            args.journal.display()
        )));
    }
    let journal = Journal::open_existing(&args.journal)?;
    if let (Some(to), Some(from)) = (&args.export, &args.from) {
        let rows = export(&journal, to, from)?;
        ui.event(&json!({"event": "exported", "rows": rows, "file": to.display().to_string()}));
        ui.print(&format!("{} written to {}", counted(rows, "failed row"), to.display()));
        return Ok(Exit::Done);
    }
    let users = journal.users()?;
    ui.event(&json!({"event": "journal", "confirmed_users": users}));
    ui.print(&format!("{} confirmed", counted(users, "user")));
    for run in journal.runs()? {
        ui.event(&labelled("run", json!(run)));
        let state = if run.state == "running" { "interrupted" } else { &run.state };
        ui.print(&format!(
            "run {}  {}  {state}: {} confirmed, {} failed",
            run.run,
            moment(run.began),
            grouped(run.confirmed.cast_unsigned()),
            grouped(run.failed.cast_unsigned())
        ));
    }
    journal.failed_rows(|row| {
        ui.event(&labelled("failed", json!(row)));
        if !ui.is_json() {
            ui.print(&format!(
                "  row {}  user {}  {}  {}  {}",
                row.row, row.user_id, row.code, row.delivery, row.message
            ));
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

fn labelled(name: &str, mut event: Value) -> Value {
    if let Some(members) = event.as_object_mut() {
        members.insert("event".into(), name.into());
    }
    event
}

fn moment(seconds: i64) -> String {
    let past = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let moment = OffsetDateTime::from(SystemTime::UNIX_EPOCH + past);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// Exports the failed rows of the last run that its file still contains.
fn export(journal: &Journal, to: &Path, from: &Path) -> Result<u64> {
    let Some(run) = journal.last_run()? else { return Ok(0) };
    if to.exists() {
        return Err(Failure::usage(format!("{} exists already", to.display())));
    }
    let inputs = Inputs::open(&[from.to_owned()], Mapping::raw())?;
    let (mut row, mut number, mut written) = (Row::default(), 0, 0);
    for (source, style) in inputs.sources.iter().zip(inputs.styles()?) {
        let mut rows = Rows::open(source, &inputs.mapping)?;
        let mut rejects = Rejects::new(to.to_owned(), style, true)?;
        while !matches!(rows.read(&mut row).map_err(|error| in_file(source, error))?, Read::End) {
            let sequence = run.sequence(number);
            number += 1;
            let Some((code, message, delivery, attempts)) = journal.failure(sequence)? else {
                continue;
            };
            let delivery = match delivery.as_str() {
                "not_sent" => "not_sent",
                "unknown" => "unknown",
                _ => "answered",
            };
            let stamp = journal.reject_stamp(sequence)?.unwrap_or_default();
            let failed = Failed { code, message, delivery, attempts, stamp };
            let front = Front { failed: &failed, description: None, sequence };
            rejects.add(&row.original, &front, journal.name())?;
            written += 1;
        }
    }
    Ok(written)
}
