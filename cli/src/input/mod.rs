//! Reads rows: files and standard input, formats, encodings, and the mapping of columns.
//!
//! A file is read as bytes ([`source`]), decompressed and decoded to UTF-8 ([`text`]), and split
//! into rows ([`csv`], [`json`]). Each row becomes an update according to the [`mapping`]. Memory
//! does not grow with the file.

mod body;
pub mod csv;
pub mod json;
pub mod mapping;
pub mod source;
mod text;

use std::fmt;

use crate::failure::Result;
use mapping::Mapping;
use source::{Head, Source};

/// The columns that this command inserts before those of a rejected row.
pub const REJECT_COLUMNS: [&str; 5] =
    ["commbox_code", "commbox_message", "commbox_delivery", "commbox_attempts", "commbox_sequence"];

/// A row, in buffers that are reused.
#[derive(Default)]
pub struct Row {
    /// The line where the row starts in its file, from 1.
    pub line: u64,
    /// The user.
    pub id: i64,
    /// The user's fields as JSON for the library.
    pub json: String,
    /// Whether the row has no field but the id.
    pub is_empty: bool,
    /// The row's position in an earlier run, if it comes from a file of rejects.
    pub origin: Option<String>,
    /// The unchanged row, for the file of rejects.
    pub original: Original,
}

/// A row as it was read.
#[derive(Clone)]
pub enum Original {
    Cells(::csv::ByteRecord),
    Json(String),
}

impl Default for Original {
    fn default() -> Self {
        Self::Json(String::new())
    }
}

/// What is wrong with a row. It contains the name of the column, but never a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    pub column: String,
    pub message: String,
}

impl Problem {
    pub fn new(column: &str, message: impl Into<String>) -> Self {
        Self { column: column.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "column \"{}\" {}", self.column, self.message)
    }
}

/// The result of reading.
pub enum Read {
    /// An update.
    Update,
    /// An invalid row.
    Wrong(Problem),
    End,
}

/// The rows of one file.
pub enum Rows<'a> {
    Csv(csv::Rows),
    Json(json::Rows<'a>),
}

impl<'a> Rows<'a> {
    /// Opens a file, detects its format, and maps its columns.
    pub fn open(source: &Source, mapping: &'a Mapping) -> Result<Self> {
        let Head { format, reader, .. } = source.open(mapping)?;
        match format {
            source::Kind::Csv { delimiter, first_line } => {
                csv::Rows::new(source, reader, delimiter, first_line, mapping).map(Self::Csv)
            }
            source::Kind::Json { array } => Ok(Self::Json(json::Rows::new(reader, array, mapping))),
        }
    }

    /// Reads the next row. An error concerns the whole file and ends it.
    pub fn read(&mut self, row: &mut Row) -> Result<Read> {
        match self {
            Self::Csv(rows) => rows.read(row),
            Self::Json(rows) => rows.read(row),
        }
    }

    /// Skips a row without interpreting it. Returns false if it was the last one.
    pub fn skip(&mut self) -> Result<bool> {
        match self {
            Self::Csv(rows) => rows.skip(),
            Self::Json(rows) => rows.skip(),
        }
    }
}

/// Parses a user's id.
fn user_id(text: &str) -> Result<i64, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty; it must be the user's id");
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        return Err(if text.bytes().all(number) {
            "must be a whole number above 0, written in digits; format the column as a number \
             without decimals"
        } else {
            "must be a whole number above 0"
        });
    }
    match text.parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("must be from 1 to 9223372036854775807"),
    }
}
