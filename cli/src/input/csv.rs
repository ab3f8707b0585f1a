//! Rows of a table, whose cells are separated by commas, semicolons or tabs.

use std::io;
use std::str;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::body::{push_text, Body};
use super::mapping::{Mapping, Target};
use super::source::Source;
use super::{user_id, Original, Problem, Read, Row};
use crate::args::Empty;
use crate::failure::{Failure, Result};

/// Maximum length of a row. Without it, an unclosed quote would consume the rest of the file.
const LONGEST_ROW: u64 = 16 * 1024 * 1024;

/// The rows of a table, below the header line.
pub struct Rows {
    name: String,
    reader: Reader<Watched>,
    seen: Arc<Seen>,
    first_line: u64,
    columns: Vec<String>,
    targets: Vec<Target>,
    /// Columns of fields, sorted by the fields' names, so that the same user gives the same JSON
    /// whatever the order of the columns.
    fields: Vec<usize>,
    id: usize,
    origin: Option<usize>,
    constants: Vec<(super::mapping::Field, String)>,
    empty: Empty,
    record: ByteRecord,
    body: Body,
}

impl Rows {
    pub fn new(
        source: &Source,
        reader: Box<dyn io::Read + Send>,
        delimiter: u8,
        first_line: u64,
        mapping: &Mapping,
    ) -> Result<Self> {
        let seen = Arc::new(Seen::default());
        let watched = Watched { inner: reader, seen: seen.clone() };
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .buffer_capacity(64 * 1024)
            .from_reader(watched);
        let mut record = ByteRecord::new();
        let name = source.name.clone();
        let read = reader.read_byte_record(&mut record);
        if !read.map_err(|error| Failure::usage(format!("{name}: {error}")))? {
            return Err(Failure::usage(format!(
                "{name} is empty; its first line must name the columns"
            )));
        }
        let names: std::result::Result<Vec<_>, _> = record.iter().map(str::from_utf8).collect();
        let names =
            names.map_err(|_| Failure::usage(format!("{name} line {first_line}: {NOT_UTF_8}")))?;
        let columns: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let targets = mapping.targets(&name, &columns)?;
        let mut fields: Vec<usize> = (0..targets.len())
            .filter(|index| matches!(targets.get(*index), Some(Target::Field(_))))
            .collect();
        let key = |index: &usize| match targets.get(*index) {
            Some(Target::Field(field)) => Some(field),
            _ => None,
        };
        fields.sort_by(|left, right| key(left).cmp(&key(right)));
        let position = |target: Target| targets.iter().position(|other| *other == target);
        Ok(Self {
            name,
            reader,
            seen,
            first_line,
            id: position(Target::Id).unwrap_or_default(),
            origin: position(Target::Origin),
            constants: mapping.constants.clone(),
            empty: mapping.empty,
            columns,
            targets,
            fields,
            record,
            body: Body::default(),
        })
    }

    /// Returns the names of the columns, and what each is mapped to.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.columns.iter().map(String::as_str).zip(&self.targets)
    }

    fn next(&mut self) -> Result<bool> {
        loop {
            self.seen.bytes.store(0, Relaxed);
            let more = self.reader.read_byte_record(&mut self.record).map_err(|error| {
                let line = self.line();
                let why = match error.into_kind() {
                    csv::ErrorKind::Io(error) => error.to_string(),
                    _ => "is not a table".into(),
                };
                Failure::usage(format!("{} line {line}: {why}", self.name))
            })?;
            // Skip blank lines, and lines that contain only delimiters, as Excel writes them.
            if !more || !self.record.as_slice().iter().all(u8::is_ascii_whitespace) {
                return Ok(more);
            }
        }
    }

    fn line(&self) -> u64 {
        let line = self.record.position().map_or(1, csv::Position::line);
        line + self.first_line - 1
    }

    pub fn skip(&mut self) -> Result<bool> {
        self.next()
    }

    pub fn read(&mut self, row: &mut Row) -> Result<Read> {
        if !self.next()? {
            return Ok(Read::End);
        }
        row.line = self.line();
        let outcome = self.fill(row);
        // Reuse the row's buffer for the next row.
        let former = match std::mem::take(&mut row.original) {
            Original::Cells(former) => former,
            Original::Json(_) => ByteRecord::new(),
        };
        row.original = Original::Cells(std::mem::replace(&mut self.record, former));
        Ok(match outcome {
            Ok(()) => Read::Update,
            Err(problem) => Read::Wrong(problem),
        })
    }

    /// Builds an update from the record.
    fn fill(&mut self, row: &mut Row) -> Result<(), Problem> {
        row.origin = None;
        row.id = 0;
        self.check_length()?;
        let text = |index: usize| text(&self.record, &self.columns, index);
        row.id = user_id(text(self.id)?).map_err(|why| {
            Problem::new(self.columns.get(self.id).map_or("", String::as_str), why)
        })?;
        if let Some(origin) = self.origin {
            row.origin = Some(text(origin)?.to_owned()).filter(|origin| !origin.is_empty());
        }
        self.body.clear();
        for index in &self.fields {
            let Some(Target::Field(field)) = self.targets.get(*index) else { continue };
            let cell = text(*index)?;
            match (cell.is_empty(), self.empty) {
                (true, Empty::Skip) => {}
                (true, Empty::Null) => self.body.member(&field.json, field.custom).push_str("null"),
                _ => push_text(self.body.member(&field.json, field.custom), cell),
            }
        }
        for (field, value) in &self.constants {
            self.body.member(&field.json, field.custom).push_str(value);
        }
        row.is_empty = self.body.is_empty();
        self.body.write(&mut row.json);
        Ok(())
    }

    fn check_length(&self) -> Result<(), Problem> {
        let cells = self.record.iter().enumerate();
        let mut nameless = cells.filter(|(index, cell)| {
            let target = self.targets.get(*index);
            matches!(target, None | Some(Target::Unnamed)) && !cell.is_empty()
        });
        if nameless.next().is_some() {
            let why = format!(
                "the row has more cells than the first line has names: {} and {}",
                self.record.len(),
                self.columns.len()
            );
            return Err(Problem::new("", why));
        }
        // Excel omits empty cells at the end of a row. An unclosed quote looks the same.
        let open = self.seen.ended.load(Relaxed) && self.seen.quotes.load(Relaxed) % 2 == 1;
        let short = self.record.len() < self.columns.len();
        if (short || open) && self.record.as_slice().contains(&b'\n') {
            let why = "the row holds a line break, and cells are missing: is a quote not closed?";
            return Err(Problem::new("", why));
        }
        Ok(())
    }
}

const NOT_UTF_8: &str =
    "is not UTF-8; name the file's encoding, such as --encoding windows-1255 for \
                         Hebrew or windows-1252 for Western Europe, or save it as UTF-8";

/// Returns the text of a cell; an empty one if the row has no such cell.
fn text<'a>(record: &'a ByteRecord, columns: &[String], index: usize) -> Result<&'a str, Problem> {
    let cell = record.get(index).unwrap_or_default();
    let column = || columns.get(index).map_or("", String::as_str);
    match str::from_utf8(cell) {
        Ok(text) if text.is_ascii() || !text.contains('\u{fffd}') => Ok(text),
        Ok(_) => {
            let why =
                "holds a replacement character (U+FFFD): an earlier conversion lost what was \
                       there";
            Err(Problem::new(column(), why))
        }
        Err(error) => {
            let place = cell.get(..error.valid_up_to()).map(String::from_utf8_lossy);
            let character = place.map_or(0, |before| before.chars().count()) + 1;
            // If the file's encoding is not UTF-8, the decoder has replaced undecodable bytes by
            // one invalid byte.
            Err(Problem::new(column(), format!("at character {character} {NOT_UTF_8}")))
        }
    }
}

/// What was read of a file.
#[derive(Default)]
struct Seen {
    /// Since the last row.
    bytes: AtomicU64,
    quotes: AtomicU64,
    ended: std::sync::atomic::AtomicBool,
}

/// Counts the bytes and quotes that are read.
struct Watched {
    inner: Box<dyn io::Read + Send>,
    seen: Arc<Seen>,
}

impl io::Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.seen.bytes.load(Relaxed) > LONGEST_ROW {
            let why = "the row is longer than 16 MiB: is a quote not closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let amount = self.inner.read(buffer)?;
        let read = buffer.get(..amount).unwrap_or_default();
        let quotes = read.iter().filter(|byte| **byte == b'"').count();
        self.seen.bytes.fetch_add(amount as u64, Relaxed);
        self.seen.quotes.fetch_add(quotes as u64, Relaxed);
        self.seen.ended.fetch_or(amount == 0, Relaxed);
        Ok(amount)
    }
}
