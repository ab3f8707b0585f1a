//! Opens the files that rows are read from, and detects their format and encoding.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, UTF_8};
use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA256};

use super::mapping::Mapping;
use super::text::Decoded;
use crate::args::Format;
use crate::failure::{Doing, Failure, Result};

/// Number of bytes at the start of a file that are examined to detect its format.
const HEAD: usize = 64 * 1024;

/// A file, or a copy of standard input, because it is read more than once.
pub struct Source {
    /// The name for messages.
    pub name: String,
    /// None for standard input.
    pub path: Option<PathBuf>,
    file: File,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Csv { delimiter: u8, first_line: u64 },
    Json { array: bool },
}

/// An opened file, decoded to UTF-8 without a byte order mark.
pub struct Head {
    pub format: Kind,
    pub encoding: &'static Encoding,
    pub has_mark: bool,
    pub reader: Box<dyn Read + Send>,
}

impl Source {
    /// Opens a file. `-` is standard input, which is copied to an unnamed temporary file.
    pub fn new(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let mut file = tempfile::tempfile().doing(|| "make a temporary file".into())?;
            io::copy(&mut io::stdin().lock(), &mut file).doing(|| "read standard input".into())?;
            return Ok(Self { name: "standard input".into(), path: None, file });
        }
        let name = path.display().to_string();
        let file = File::open(path).doing(|| format!("read {name}"))?;
        if file.metadata().doing(|| format!("read {name}"))?.is_dir() {
            return Err(Failure::usage(format!("{name} is a directory")));
        }
        Ok(Self { name, path: Some(path.to_owned()), file })
    }

    fn rewound(&self) -> Result<File> {
        let again = || -> io::Result<File> {
            let mut file = match &self.path {
                Some(path) => File::open(path)?,
                None => self.file.try_clone()?,
            };
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        again().doing(|| format!("read {}", self.name))
    }

    /// Adds all bytes of the file to a digest.
    pub fn digest(&self, into: &mut Context) -> Result<()> {
        let mut file = self.rewound()?;
        let mut buffer = vec![0; HEAD];
        let mut own = Context::new(&SHA256);
        loop {
            let amount = file.read(&mut buffer).doing(|| format!("read {}", self.name))?;
            if amount == 0 {
                into.update(own.finish().as_ref());
                return Ok(());
            }
            own.update(buffer.get(..amount).unwrap_or_default());
        }
    }

    /// Opens, decompresses and decodes the file, and detects its format.
    pub fn open(&self, mapping: &Mapping) -> Result<Head> {
        let reading = || format!("read {}", self.name);
        let mut reader: Box<dyn Read + Send> = Box::new(self.rewound()?);
        let mut head = peek(&mut reader).doing(reading)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            let whole = Cursor::new(head).chain(reader);
            reader = Box::new(MultiGzDecoder::new(whole));
            head = peek(&mut reader).doing(reading)?;
        }
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xd0\xcf\x11\xe0") {
            let why = "is a workbook or an archive; save it as CSV (in Excel: CSV UTF-8)";
            return Err(Failure::usage(format!("{} {why}", self.name)));
        }
        let marked = Encoding::for_bom(&head).map(|(encoding, _)| encoding);
        let encoding = marked.or(mapping.encoding).unwrap_or_else(|| without_mark(&head));
        let whole = Cursor::new(head).chain(reader);
        let mut reader: Box<dyn Read + Send> = match encoding {
            // UTF-8 is validated later, row by row.
            encoding if encoding == UTF_8 => Box::new(whole),
            encoding => Box::new(Decoded::new(whole, encoding)),
        };
        let mut head = peek(&mut reader).doing(reading)?;
        if head.starts_with("\u{feff}".as_bytes()) {
            head.drain(..3);
        }
        let (format, read) = recognise(&head, mapping);
        head.drain(..read);
        let has_mark = marked.is_some();
        let reader = Box::new(Cursor::new(head).chain(reader));
        Ok(Head { format, encoding, has_mark, reader })
    }
}

/// Detects UTF-16 by its zero bytes.
fn without_mark(head: &[u8]) -> &'static Encoding {
    match head {
        [0, second, ..] if *second != 0 => UTF_16BE,
        [first, 0, ..] if *first != 0 => UTF_16LE,
        _ => UTF_8,
    }
}

fn peek(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Returns the format, and the length of a first line that is not a row: Excel's `sep=;`.
fn recognise(head: &[u8], mapping: &Mapping) -> (Kind, usize) {
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
    let format = mapping.format.unwrap_or(match first {
        Some(b'[') => Format::Json,
        Some(b'{') => Format::Jsonl,
        _ => Format::Csv,
    });
    match format {
        Format::Json => (Kind::Json { array: true }, 0),
        Format::Jsonl => (Kind::Json { array: false }, 0),
        Format::Csv => {
            let (stated, read) = stated_delimiter(head);
            let rest = head.get(read..).unwrap_or_default();
            let delimiter = mapping.delimiter.or(stated).unwrap_or_else(|| delimiter(rest));
            (Kind::Csv { delimiter, first_line: 1 + u64::from(read > 0) }, read)
        }
    }
}

/// Parses the first line in which Excel states the delimiter.
fn stated_delimiter(head: &[u8]) -> (Option<u8>, usize) {
    let Some((start, rest)) = head.split_at_checked(4) else { return (None, 0) };
    if !start.eq_ignore_ascii_case(b"sep=") {
        return (None, 0);
    }
    match rest {
        [delimiter, b'\r', b'\n', ..] => (Some(*delimiter), 7),
        [delimiter, b'\n' | b'\r', ..] => (Some(*delimiter), 6),
        _ => (None, 0),
    }
}

/// Detects the delimiter of the first line, outside of quotes.
fn delimiter(head: &[u8]) -> u8 {
    let (mut counts, mut quoted) = ([0_u32; 4], false);
    for byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            byte if !quoted => {
                let known = CANDIDATES.iter().zip(&mut counts).find(|(known, _)| *known == byte);
                if let Some((_, count)) = known {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    // If several are equally frequent, take the first of them.
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = CANDIDATES.iter().zip(&counts).find(|(_, count)| **count == most);
    found.map_or(b',', |(delimiter, _)| *delimiter)
}

const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_recognised() {
        for (head, expected) in [
            ("a,b,c\n1;2;3", b','),
            ("a;b;c\r\n", b';'),
            ("a\tb,c\td\n", b'\t'),
            ("\"a;b\",c\n", b','),
            ("\"a\n;;;\",b", b','),
            ("lonely\n", b','),
        ] {
            assert_eq!(delimiter(head.as_bytes()), expected, "{head}");
        }
        assert_eq!(stated_delimiter(b"sep=;\r\na;b"), (Some(b';'), 7));
        assert_eq!(stated_delimiter(b"SEP=,\na,b"), (Some(b','), 6));
        assert_eq!(stated_delimiter(b"separate,b"), (None, 0));
    }
}
