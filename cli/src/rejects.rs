//! The file of rejects: rows that failed, unchanged, with the error in front of them.
//!
//! Rows are appended during a run, each with a stamp, which the journal also records after the row
//! was written. When a run starts or ends, the file is rewritten with the rows that have still
//! failed, each once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Writer, WriterBuilder};
use serde_json::value::RawValue;

use crate::failure::{Doing, Result};
use crate::input::source::Kind;
use crate::input::{Original, REJECT_COLUMNS};
use crate::journal::{appended, Failed, Journal, Run};

/// The format of rejects, which is that of the rows.
#[derive(Clone)]
pub struct Style {
    pub kind: Kind,
    /// The header line of a table.
    pub columns: Vec<String>,
    /// Start with a byte order mark, without which Excel does not recognize UTF-8.
    pub mark: bool,
}

/// The rejects of one file.
pub struct Rejects {
    path: PathBuf,
    style: Style,
    file: Option<File>,
}

/// The columns that precede a rejected row.
pub struct Front<'a> {
    pub failed: &'a Failed,
    /// The server's message.
    pub description: Option<&'a str>,
    pub sequence: i64,
}

impl Rejects {
    /// Opens the rejects of a file. A resumed run appends to an existing file; any other run
    /// renames it, because someone may have corrected its rows.
    pub fn new(path: PathBuf, style: Style, keep: bool) -> Result<Self> {
        if !keep && path.exists() {
            let aside = appended(&path, ".old");
            fs::rename(&path, aside).doing(|| format!("rename {}", path.display()))?;
        }
        Ok(Self { path, style, file: None })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a row.
    pub fn add(&mut self, original: &Original, front: &Front<'_>, journal: &str) -> Result<()> {
        let doing = || format!("write {}", self.path.display());
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path, &self.style).doing(doing)?,
        };
        let row = self.style.row(original, front, journal).doing(doing)?;
        file.write_all(&row).doing(doing)?;
        self.file = Some(file);
        Ok(())
    }

    /// Rewrites the file with the rows that have still failed, and returns their number.
    pub fn settle(&mut self, journal: &Journal, run: &Run) -> Result<u64> {
        self.file = None;
        if !self.path.exists() {
            return Ok(0);
        }
        let doing = || format!("write {}", self.path.display());
        let is_kept = |tag: &[u8]| -> io::Result<bool> {
            let Some((sequence, stamp)) = read_tag(tag, journal.name()) else { return Ok(false) };
            if sequence < run.sequence(0) {
                return Ok(false);
            }
            let known = journal.reject_stamp(sequence);
            known.map(|known| known == Some(stamp)).map_err(|error| io::Error::other(error.message))
        };
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        let mut new =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).doing(doing)?;
        let kept = match self.style.kind {
            Kind::Csv { delimiter, .. } => {
                copy_table(&self.path, new.as_file_mut(), delimiter, &self.style, is_kept)
            }
            Kind::Json { .. } => copy_lines(&self.path, new.as_file_mut(), is_kept),
        };
        let kept = kept.doing(doing)?;
        if kept == 0 {
            fs::remove_file(&self.path).doing(doing)?;
        } else {
            new.persist(&self.path).doing(doing)?;
        }
        Ok(kept)
    }
}

/// Opens a file for appending. A new file gets its first line.
fn open(path: &Path, style: &Style) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(&style.head()?)?;
    }
    Ok(file)
}

impl Style {
    fn writer<W: Write>(&self, to: W) -> Writer<W> {
        let delimiter = match self.kind {
            Kind::Csv { delimiter, .. } => delimiter,
            Kind::Json { .. } => b',',
        };
        WriterBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .terminator(csv::Terminator::CRLF)
            .from_writer(to)
    }

    /// Returns the first bytes of the file.
    fn head(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        if matches!(self.kind, Kind::Json { .. }) {
            return Ok(head);
        }
        if self.mark {
            head.extend_from_slice("\u{feff}".as_bytes());
        }
        let mut writer = self.writer(&mut head);
        let own = self.columns.iter().map(String::as_str).filter(|name| !is_front(name));
        writer.write_record(REJECT_COLUMNS.into_iter().chain(own))?;
        writer.flush()?;
        drop(writer);
        Ok(head)
    }

    /// Returns a row preceded by its error.
    fn row(&self, original: &Original, front: &Front<'_>, journal: &str) -> io::Result<Vec<u8>> {
        let Failed { code, message, delivery, attempts, stamp } = front.failed;
        let message = match front.description {
            Some(words) => format!("{message} (the server: {words})"),
            None => message.clone(),
        };
        let tag = format!("{journal}-{}-{stamp}", front.sequence);
        let mut row = Vec::new();
        match original {
            Original::Cells(cells) => {
                let (code, attempts) = (code.to_string(), attempts.to_string());
                let fronts = [&code, &message, *delivery, &attempts, &tag].map(str::as_bytes);
                let own = cells.iter().enumerate().filter(|(index, _)| {
                    self.columns.get(*index).is_none_or(|name| !is_front(name))
                });
                let mut writer = self.writer(&mut row);
                writer.write_record(fronts.into_iter().chain(own.map(|(_, cell)| cell)))?;
                writer.flush()?;
                drop(writer);
            }
            Original::Json(text) => {
                let fronts = serde_json::json!({
                    REJECT_COLUMNS[0]: code, REJECT_COLUMNS[1]: message,
                    REJECT_COLUMNS[2]: delivery, REJECT_COLUMNS[3]: attempts,
                    REJECT_COLUMNS[4]: tag,
                })
                .to_string();
                let fronts = fronts.trim_end_matches('}');
                // Compacts JSON to one line. If the row is not an object, it is kept as text.
                let raw: Option<Box<RawValue>> = serde_json::from_str(text).ok();
                let compact =
                    raw.filter(|_| text.starts_with('{')).and_then(|_| without_fronts(text));
                match compact {
                    Some(members) if members.is_empty() => writeln!(row, "{fronts}}}")?,
                    Some(members) => writeln!(row, "{fronts},{members}}}")?,
                    None => {
                        let text = serde_json::Value::from(text.as_str());
                        writeln!(row, "{fronts},\"commbox_row\":{text}}}")?;
                    }
                }
            }
        }
        Ok(row)
    }
}

fn is_front(name: &str) -> bool {
    REJECT_COLUMNS.contains(&name)
}

/// Returns the members of an object in one line, without those of an earlier rejection.
fn without_fronts(text: &str) -> Option<String> {
    let members = crate::input::json::members(text)?;
    let own = members.iter().filter(|(name, _)| !is_front(name));
    let texts: Vec<_> = own
        .map(|(name, value)| {
            let mut compact = value.clone();
            compact.retain(|c| c != '\n' && c != '\r');
            format!("{}:{compact}", serde_json::Value::from(name.as_str()))
        })
        .collect();
    Some(texts.join(","))
}

/// Parses a row's sequence and stamp, if they are of this journal.
pub fn read_tag(tag: &[u8], journal: &str) -> Option<(i64, u64)> {
    let tag = std::str::from_utf8(tag).ok()?;
    let (sequence, stamp) = tag.strip_prefix(journal)?.strip_prefix('-')?.split_once('-')?;
    Some((sequence.parse().ok()?, stamp.parse().ok()?))
}

fn copy_table(
    from: &Path,
    to: &mut File,
    delimiter: u8,
    style: &Style,
    is_kept: impl Fn(&[u8]) -> io::Result<bool>,
) -> io::Result<u64> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_path(from)?;
    let mut to = BufWriter::new(to);
    let head = style.head()?;
    to.write_all(&head)?;
    let mut writer = style.writer(to);
    let (mut record, mut kept) = (ByteRecord::new(), 0);
    while reader.read_byte_record(&mut record)? {
        let tag = record.get(REJECT_COLUMNS.len() - 1).unwrap_or_default();
        if is_kept(tag)? {
            writer.write_byte_record(&record)?;
            kept += 1;
        }
    }
    writer.flush()?;
    Ok(kept)
}

fn copy_lines(
    from: &Path,
    to: &mut File,
    is_kept: impl Fn(&[u8]) -> io::Result<bool>,
) -> io::Result<u64> {
    let mut reader = io::BufReader::new(File::open(from)?);
    let mut to = BufWriter::new(to);
    let (mut line, mut kept) = (Vec::new(), 0);
    while io::BufRead::read_until(&mut reader, b'\n', &mut line)? > 0 {
        let tag = std::str::from_utf8(&line)
            .ok()
            .and_then(crate::input::json::members)
            .and_then(|members| members.into_iter().find(|(name, _)| name == REJECT_COLUMNS[4]))
            .and_then(|(_, value)| serde_json::from_str::<String>(&value).ok());
        if is_kept(tag.unwrap_or_default().as_bytes())? {
            to.write_all(&line)?;
            kept += 1;
        }
        line.clear();
    }
    to.flush()?;
    Ok(kept)
}
