//! `commbox sync`: sends all rows of files, with a journal.
//!
//! A thread reads rows and submits them to the library's batch ([`feed`]). The calling thread
//! collects the outcomes, writes the journal and the rejects ([`collect`]), and shows the progress
//! ([`progress`]).

mod collect;
mod feed;
mod progress;
mod summary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

use commbox::{Batch, Client};
use ring::digest::{Context, SHA256};
use serde_json::json;

use crate::args::{Duplicates, SyncArgs};
use crate::check::{self, Checked, Inputs};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::input::mapping::Mapping;
use crate::journal::{appended, Journal, Run};
use crate::rejects::Rejects;
use crate::settings;
use crate::stop::Signals;
use crate::ui::Ui;
use crate::units::MaxErrors;

use collect::{Collect, Ended};
use feed::{Feed, LeftOut};
use progress::Progress;

/// Runs the command `sync`.
pub fn run(args: &SyncArgs) -> Result<Exit> {
    let ui = Ui::new(args.output, args.quiet);
    let file = settings::read_file(args.client.config.as_deref())?;
    let mut options = settings::options(&args.client, &file)?;
    let batch_options = settings::batch_options(args, &file)?;
    // Each worker should keep its connection.
    options.max_idle_connections = options.max_idle_connections.max(batch_options.concurrency);
    options.order_per_user = true;
    let mapping = Mapping::new(&args.input, &file.sync, &options)?;
    let changed_only = args.changed_only || file.sync.changed_only;
    let max_errors = match (&args.max_errors, &file.sync.max_errors) {
        (None, Some(text)) => {
            let read: Result<MaxErrors, String> = text.parse();
            Some(read.map_err(|why| Failure::usage(format!("sync.max_errors {why}")))?)
        }
        (given, _) => *given,
    };
    if changed_only && (args.no_check || mapping.duplicates == Duplicates::All) {
        return Err(Failure::usage(
            "--changed-only needs the last row of each user: leave out --no-check and \
             --duplicates all",
        ));
    }
    let client = Arc::new(settings::client(&args.client, &file, &options)?);
    let inputs = Inputs::open(&args.input.files, mapping)?;
    let styles = inputs.styles()?;
    let path =
        journal_path(args.journal.as_ref().or(file.sync.journal.as_ref()), &args.input.files);
    let mut journal = Journal::open(&path)?;

    let checked = check_rows(args, &inputs, &client, ui)?;
    let interrupted = journal.interrupted()?;
    let run = journal.begin(&fingerprint(&inputs, changed_only)?, args.resume)?;
    if let Some(former) = interrupted.filter(|_| !args.resume && !ui.is_quiet()) {
        ui.words(&format!("Run {former} of this journal was interrupted; this is a new run."));
    }
    let mut rejects = Vec::new();
    for (source, style) in inputs.sources.iter().zip(styles) {
        let base = source.path.clone().unwrap_or_else(|| "stdin".into());
        let ending = if style.columns.is_empty() { ".rejects.jsonl" } else { ".rejects.csv" };
        let mut own = Rejects::new(appended(&base, ending), style, run.resumed)?;
        own.settle(&journal, &run)?;
        rejects.push(own);
    }
    let total = checked.as_ref().map(|checked| checked.to_send(inputs.mapping.duplicates));
    ui.event(&json!({
        "event": "started", "run": run.id, "resumed": run.resumed, "rows": total,
        "journal": path.display().to_string(),
    }));
    let (counts, ended) = send(
        Sending {
            inputs: &inputs,
            checked: checked.as_ref(),
            client: &client,
            run: &run,
            changed_only,
        },
        Batch::new(client.clone(), &batch_options)?,
        &mut journal,
        &mut rejects,
        max_errors,
        Progress::new(ui, total),
        ui,
    )?;
    let Ended { stop, failure, elapsed } = ended;
    for own in &mut rejects {
        own.settle(&journal, &run)?;
    }
    let finished = stop.is_none() && failure.is_none();
    journal.end(&run, if finished { "finished" } else { "stopped" })?;
    let told = summary::Told {
        run: &run,
        journal: &journal,
        path: &path,
        rejects: &rejects,
        counts: &counts,
        stop: stop.as_ref(),
        elapsed,
        files: &args.input.files,
        own_journal: args.journal.is_some(),
    };
    let exit = told.exit()?;
    told.print(ui)?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(exit),
    }
}

/// Checks all rows, unless the check is disabled.
fn check_rows(
    args: &SyncArgs,
    inputs: &Inputs,
    client: &Client,
    ui: Ui,
) -> Result<Option<Checked>> {
    if args.no_check {
        return Ok(None);
    }
    let checked = check::check(inputs, client, &ui)?;
    let wrong = checked.problems.rows;
    if wrong > 0 && args.reject_invalid {
        ui.words("These rows are rejected, and the others are sent.");
    } else {
        check::report(&checked, inputs, &ui).map_err(|failure| {
            let hint = if wrong > 0 {
                "; nothing was sent. Mend them, or send the others by --reject-invalid"
            } else {
                "; nothing was sent"
            };
            Failure { message: format!("{failure}{hint}"), ..failure }
        })?;
    }
    ui.print(&check::summary(&checked, inputs.mapping.duplicates));
    Ok(Some(checked))
}

/// The rows to send, and how.
struct Sending<'a> {
    inputs: &'a Inputs,
    checked: Option<&'a Checked>,
    client: &'a Client,
    run: &'a Run,
    changed_only: bool,
}

/// Sends the rows, and collects their outcomes.
fn send(
    what: Sending<'_>,
    batch: Batch,
    journal: &mut Journal,
    rejects: &mut [Rejects],
    max_errors: Option<MaxErrors>,
    progress: Progress,
    ui: Ui,
) -> Result<(collect::Counts, Ended)> {
    let signals = Signals::listen().doing(|| "listen for signals".into())?;
    let hasher = journal.hasher();
    let journal = Mutex::new(journal);
    let pending = Mutex::new(HashMap::new());
    let (left_out, stop) = (LeftOut::default(), AtomicBool::new(false));
    let (sender, wrong) = mpsc::channel();
    let superseded = what.checked.map(|checked| &checked.superseded);
    let feed = Feed {
        superseded: superseded
            .and_then(|found| feed::left_out(found, what.inputs.mapping.duplicates)),
        inputs: what.inputs,
        changed_only: what.changed_only,
        journal: &journal,
        hasher,
        run: what.run,
        batch: &batch,
        pending: &pending,
        wrong: sender,
        left_out: &left_out,
        stop: &stop,
    };
    let collect = Collect::new(
        collect::Given {
            client: what.client,
            batch: &batch,
            run: what.run,
            journal: &journal,
            pending: &pending,
            wrong,
            left_out: &left_out,
            stop: &stop,
            signals: &signals,
            max_errors,
            ui,
        },
        rejects,
        progress,
    );
    thread::scope(|scope| {
        let batch = &batch;
        let feeding = scope.spawn(move || {
            let outcome = feed.run();
            if outcome.is_err() {
                // Updates that are still queued are not sent.
                let _ = batch.cancel();
            }
            // This fails only in a forked child.
            let _ = batch.close();
            drop(feed);
            outcome
        });
        let (counts, mut ended) = collect.run();
        let fed =
            feeding.join().unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "a thread failed")));
        if let Err(failure) = fed {
            ended.failure.get_or_insert(failure);
        }
        Ok((counts, ended))
    })
}

/// Returns the path of the journal: beside the first file, or beside the file whose rejects the
/// first file contains.
fn journal_path(named: Option<&PathBuf>, files: &[PathBuf]) -> PathBuf {
    if let Some(path) = named {
        return path.clone();
    }
    let first = files.first().map_or(Path::new("-"), PathBuf::as_path);
    if first == Path::new("-") {
        return "stdin.journal".into();
    }
    let text = first.to_string_lossy();
    let base =
        [".rejects.csv", ".rejects.jsonl"].iter().find_map(|ending| text.strip_suffix(ending));
    match base {
        Some(base) => format!("{base}.journal").into(),
        None => appended(first, ".journal"),
    }
}

/// Returns a digest by which a later run detects that the files and the rules are unchanged.
fn fingerprint(inputs: &Inputs, changed_only: bool) -> Result<Vec<u8>> {
    let mut context = Context::new(&SHA256);
    context.update(inputs.mapping.fingerprint().as_bytes());
    context.update(&[u8::from(changed_only)]);
    for source in &inputs.sources {
        source.digest(&mut context)?;
    }
    Ok(context.finish().as_ref().to_vec())
}
