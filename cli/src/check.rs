//! The check of all rows before anything is sent: `commbox check`, and the first step of `sync`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use commbox::Client;
use serde_json::json;

use crate::args::{CheckArgs, Duplicates};
use crate::duplicates::{Ids, Superseded};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::input::mapping::{Mapping, Target};
use crate::input::source::{Kind, Source};
use crate::input::{Problem, Read, Row, Rows};
use crate::rejects::Style;
use crate::settings;
use crate::ui::Ui;
use crate::units::counted;

/// Maximum number of problems that are shown individually.
const SHOWN: u64 = 10;

/// Maximum number of kinds of problems that are counted separately.
const KINDS: usize = 50;

/// The files to read, and how to read them.
pub struct Inputs {
    pub sources: Vec<Source>,
    pub mapping: Mapping,
}

impl Inputs {
    pub fn open(files: &[PathBuf], mapping: Mapping) -> Result<Self> {
        let sources: Result<Vec<_>> = files.iter().map(|file| Source::new(file)).collect();
        Ok(Self { sources: sources?, mapping })
    }

    /// Returns the format in which the rejects of each file are written.
    pub fn styles(&self) -> Result<Vec<Style>> {
        let style = |source: &Source| {
            let head = source.open(&self.mapping)?;
            let mark = head.has_mark || head.encoding != encoding_rs::UTF_8;
            let columns = match Rows::open(source, &self.mapping)? {
                Rows::Csv(rows) => rows.columns().map(|(name, _)| name.to_owned()).collect(),
                Rows::Json(_) => Vec::new(),
            };
            Ok(Style { kind: head.format, columns, mark })
        };
        self.sources.iter().map(style).collect()
    }
}

/// The results of the check.
#[derive(Default)]
pub struct Checked {
    pub rows: u64,
    /// Rows without a field to send.
    pub empty: u64,
    pub superseded: Superseded,
    pub problems: Problems,
}

impl Checked {
    /// Returns the number of rows to send.
    pub fn to_send(&self, duplicates: Duplicates) -> u64 {
        let left_out = if duplicates == Duplicates::All { 0 } else { self.superseded.rows };
        self.rows - self.empty - self.problems.rows - left_out
    }
}

/// Invalid rows.
#[derive(Default)]
pub struct Problems {
    pub rows: u64,
    /// For each kind, the number of problems and the place of the first one.
    kinds: BTreeMap<String, (u64, String)>,
}

impl Problems {
    fn add(&mut self, ui: &Ui, file: &str, line: u64, problem: &Problem) {
        self.rows += 1;
        if ui.is_json() {
            ui.event(&json!({
                "event": "problem", "file": file, "line": line, "column": problem.column,
                "message": problem.message,
            }));
        } else if self.rows <= SHOWN {
            ui.words(&format!("{file} line {line}: {problem}"));
        }
        let kind: String = problem.to_string().split(|c: char| c.is_ascii_digit()).collect();
        if let Some((count, _)) = self.kinds.get_mut(&kind) {
            *count += 1;
        } else if self.kinds.len() < KINDS {
            self.kinds.insert(kind, (1, format!("{problem}; first in line {line}")));
        }
    }

    /// Returns the kinds, with the number of problems of each.
    fn summary(&self) -> Vec<String> {
        let mut kinds: Vec<_> = self.kinds.values().collect();
        kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        kinds.iter().map(|(count, what)| format!("{}: {what}", counted(*count, "row"))).collect()
    }
}

/// Checks every row.
pub fn check(inputs: &Inputs, client: &Client, ui: &Ui) -> Result<Checked> {
    let mut checked = Checked::default();
    let mut ids = Ids::default();
    let mut row = Row::default();
    for source in &inputs.sources {
        let mut rows = Rows::open(source, &inputs.mapping)?;
        loop {
            let problem = match rows.read(&mut row).map_err(|error| in_file(source, error))? {
                Read::End => break,
                Read::Wrong(problem) => Some(problem),
                Read::Update if row.is_empty => {
                    checked.empty += 1;
                    None
                }
                Read::Update => match client.validate_user_json(row.id, &row.json) {
                    Ok(()) => {
                        let kept = ids.add(row.id, checked.rows);
                        kept.doing(|| "write a temporary file".into())?;
                        None
                    }
                    Err(error) => Some(Problem::new("", error.to_string())),
                },
            };
            if let Some(problem) = problem {
                checked.problems.add(ui, &source.name, row.line, &problem);
            }
            checked.rows += 1;
        }
    }
    checked.superseded = ids.finish().doing(|| "read a temporary file".into())?;
    Ok(checked)
}

/// Adds the name of the file to an error that contains only a line number.
pub fn in_file(source: &Source, error: Failure) -> Failure {
    let named = error.message.contains(&source.name);
    let message = if named { error.message } else { format!("{} {}", source.name, error.message) };
    Failure { message, ..error }
}

/// Reports the problems. Fails if rows may not be sent.
pub fn report(checked: &Checked, inputs: &Inputs, ui: &Ui) -> Result<()> {
    if checked.problems.rows > 0 {
        if checked.problems.rows > SHOWN && !ui.is_json() {
            ui.words(&format!("… and {}", counted(checked.problems.rows - SHOWN, "more row")));
            for kind in checked.problems.summary() {
                ui.words(&format!("  {kind}"));
            }
        }
        let wrong = counted(checked.problems.rows, "wrong row");
        return Err(Failure::usage(format!("{wrong} of {}", counted(checked.rows, "row"))));
    }
    if checked.superseded.rows > 0 && inputs.mapping.duplicates == Duplicates::Error {
        let examples = checked.superseded.examples.iter();
        let examples: Vec<_> =
            examples.map(|(row, later)| format!("rows {} and {}", row + 1, later + 1)).collect();
        let rows = counted(checked.superseded.rows, "row");
        return Err(Failure::usage(format!(
            "{rows} with an id that a later row has, too: {}; --duplicates last sends the last of \
             them",
            examples.join(", ")
        )));
    }
    Ok(())
}

/// Runs the command `check`.
pub fn run(args: &CheckArgs) -> Result<Exit> {
    let ui = Ui::new(args.output, false);
    let file = settings::read_file(args.client.config.as_deref())?;
    let options = settings::options(&args.client, &file)?;
    let client = settings::keyless(&options)?;
    let mapping = Mapping::new(&args.input, &file.sync, &options)?;
    let inputs = Inputs::open(&args.input.files, mapping)?;
    for source in &inputs.sources {
        describe(source, &inputs.mapping, &ui)?;
    }
    let began = Instant::now();
    let checked = check(&inputs, &client, &ui)?;
    let seconds = began.elapsed().as_secs_f64();
    let to_send = checked.to_send(inputs.mapping.duplicates);
    if ui.is_json() {
        ui.event(&json!({
            "event": "checked", "rows": checked.rows, "users": checked.superseded.users,
            "to_send": to_send, "superseded": checked.superseded.rows, "empty": checked.empty,
            "wrong": checked.problems.rows, "elapsed_ms": (seconds * 1000.0).round(),
        }));
    }
    report(&checked, &inputs, &ui)?;
    ui.print(&summary(&checked, inputs.mapping.duplicates));
    Ok(Exit::Done)
}

/// Shows which field each column of a file is mapped to.
fn describe(source: &Source, mapping: &Mapping, ui: &Ui) -> Result<()> {
    let head = source.open(mapping)?;
    let written = match head.format {
        Kind::Csv { delimiter: b'\t', .. } => "table, tab-separated".to_owned(),
        Kind::Csv { delimiter, .. } => format!("table, separated by \"{}\"", char::from(delimiter)),
        Kind::Json { array: true } => "JSON array".into(),
        Kind::Json { array: false } => "JSON Lines".into(),
    };
    let encoding = head.encoding.name();
    let columns: Vec<(String, String)> = match Rows::open(source, mapping)? {
        Rows::Csv(rows) => {
            rows.columns().map(|(name, target)| (name.to_owned(), becomes(target))).collect()
        }
        Rows::Json(_) => Vec::new(),
    };
    if ui.is_json() {
        let columns: serde_json::Map<_, _> =
            columns.into_iter().map(|(name, target)| (name, target.into())).collect();
        ui.event(&json!({
            "event": "file", "file": source.name, "format": written, "encoding": encoding,
            "columns": columns,
        }));
        return Ok(());
    }
    ui.print(&format!("{}: {written}, {encoding}", source.name));
    let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, target) in columns {
        ui.print(&format!("  {name:width$}  {target}"));
    }
    for (field, _) in &mapping.constants {
        ui.print(&format!("  {:width$}  {}, the same for all", "--set", field.shown()));
    }
    Ok(())
}

fn becomes(target: &Target) -> String {
    match target {
        Target::Id => "the user's id".into(),
        Target::Field(field) => field.shown(),
        Target::Skipped => "left out".into(),
        Target::Origin => "the row's place in an earlier run".into(),
        Target::Unnamed => "left out: it has no name and no cells".into(),
        Target::Content => "Content".into(),
    }
}

/// Formats the counts of a check.
pub fn summary(checked: &Checked, duplicates: Duplicates) -> String {
    let mut text = format!(
        "{} of {}: {} to send",
        counted(checked.rows, "row"),
        counted(checked.superseded.users, "user"),
        counted(checked.to_send(duplicates), "update"),
    );
    if checked.superseded.rows > 0 {
        let rows = counted(checked.superseded.rows, "row");
        text.push_str(&match duplicates {
            Duplicates::All => {
                format!("; {rows} before a later one of the same user, sent in order")
            }
            _ => format!("; {rows} left out for a later one of the same user"),
        });
    }
    if checked.empty > 0 {
        text.push_str(&format!("; {} without a field", counted(checked.empty, "row")));
    }
    if checked.problems.rows > 0 {
        text.push_str(&format!("; {} rejected", counted(checked.problems.rows, "wrong row")));
    }
    text
}
