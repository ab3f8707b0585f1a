//! What a server sends, put in order for the HTTP agent.
//!
//! The agent refuses answers that other clients take, though the update was made: `100 Continue` with headers, a chunk
//! with a long extension, more than 128 headers. So it gets the head in its shortest form (the status and where the body
//! ends), and the body as it came; the head as the server sent it stays with the attempt.

use std::io::Write;
use std::sync::Arc;

use crate::bytes::{decimal, find};
use crate::transport::attempt::Attempt;
use crate::transport::head::{Framing, Head, LONGEST};
use crate::transport::wire_error::WireError;

/// Bytes that are read at once.
const INPUT: usize = 16 << 10;

/// The longest line before a chunk: its size and its extensions.
const LONGEST_CHUNK_LINE: usize = 8 << 10;

/// Room for what is made here in one step: a head, or a line before a chunk.
const ROOM: usize = 128;

/// What came in and was not handed on.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// What is left lies between these.
    begin: usize,
    end: usize,
    state: State,
    /// The header that is to hold the request id.
    request_id: Option<Arc<str>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// The rest of a body, or of a chunk of one.
    Body {
        left: u64,
        is_chunk: bool,
    },
    UntilClose,
    ChunkLine,
    ChunkEnd,
    Trailer,
    Done,
}

impl Incoming {
    /// `request_id` is the header that is to hold the request id, beside the usual ones.
    pub(super) fn new(request_id: Option<Arc<str>>) -> Self {
        Self { bytes: Vec::new(), begin: 0, end: 0, state: State::Head, request_id }
    }

    /// An answer is expected.
    pub(super) fn expect_answer(&mut self) {
        self.state = State::Head;
    }

    /// Whether all of the answer was handed on, and nothing more came.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Done && self.begin == self.end
    }

    /// Where to put what comes in.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
        if self.end == self.bytes.len() {
            if self.begin > 0 {
                self.bytes.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            } else if self.bytes.len() <= LONGEST {
                self.bytes.resize(self.bytes.len() + INPUT, 0);
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put there.
    pub(super) fn came(&mut self, amount: usize) {
        self.end += amount;
    }

    /// Hands on what it can, and returns how much that is: 0 if more must come in, or all was handed on.
    pub(super) fn hand_on(&mut self, output: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        let mut written = 0;
        loop {
            let Some(room) = output.get_mut(written..).filter(|room| room.len() >= ROOM) else {
                return Ok(written);
            };
            let before = (self.state, self.begin);
            written += match self.state {
                State::Head => self.hand_on_head(room, attempt)?,
                State::Body { left, is_chunk } => {
                    let copied = self.copy(left, room);
                    self.state = match left - copied as u64 {
                        0 if is_chunk => State::ChunkEnd,
                        0 => State::Done,
                        left => State::Body { left, is_chunk },
                    };
                    copied
                }
                State::UntilClose => self.copy(u64::MAX, room),
                State::ChunkLine => self.hand_on_chunk_line(room)?,
                State::ChunkEnd => match self.line(LONGEST_CHUNK_LINE)? {
                    Some([]) => {
                        self.state = State::ChunkLine;
                        write(room, format_args!("\r\n"))?
                    }
                    Some(_) => return Err(WireError::NotHttp),
                    None => 0,
                },
                State::Trailer => match self.line(LONGEST)? {
                    Some([]) => {
                        self.state = State::Done;
                        write(room, format_args!("\r\n"))?
                    }
                    // What a server says behind the body is of no use here.
                    _ => 0,
                },
                State::Done => 0,
            };
            if (self.state, self.begin) == before {
                return Ok(written);
            }
        }
    }

    /// The connection has ended. Returns whether the answer ends with it as it may.
    pub(super) fn ends(&mut self, cleanly: bool) -> Result<(), WireError> {
        match self.state {
            State::Head if self.begin == self.end => Err(WireError::Closed),
            State::UntilClose if cleanly => {
                self.state = State::Done;
                Ok(())
            }
            // All of the body is there, and the rest tells nothing; what it misses is made up.
            State::Trailer if cleanly => {
                self.bytes = b"\r\n".to_vec();
                (self.begin, self.end) = (0, 2);
                Ok(())
            }
            State::Done => Ok(()),
            _ => Err(WireError::Cut),
        }
    }

    fn left(&self) -> &[u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }

    fn copy(&mut self, most: u64, output: &mut [u8]) -> usize {
        let left = self.left();
        let amount = left.len().min(output.len()).min(usize::try_from(most).unwrap_or(usize::MAX));
        if let (Some(to), Some(from)) = (output.get_mut(..amount), left.get(..amount)) {
            to.copy_from_slice(from);
        }
        self.begin += amount;
        amount
    }

    /// The next line of a body in chunks, without its end; `None` if it has not all come. Here a bare line feed is no end:
    /// who stands between may take it for none, and see other chunks.
    fn line(&mut self, longest: usize) -> Result<Option<&[u8]>, WireError> {
        let length = match find(b'\n', self.left()) {
            Some(length) => length,
            None if self.left().len() > longest => return Err(WireError::NotHttp),
            None => return Ok(None),
        };
        let begin = self.begin;
        self.begin += length + 1;
        let line = self.bytes.get(begin..begin + length).unwrap_or_default();
        line.strip_suffix(b"\r").map(Some).ok_or(WireError::NotHttp)
    }

    fn hand_on_head(&mut self, output: &mut [u8], attempt: &Attempt<'_>) -> Result<usize, WireError> {
        let Some((head, length)) = Head::read(self.left(), self.request_id.as_deref())? else {
            return Ok(0);
        };
        self.begin += length;
        if head.status < 200 && head.status != 101 {
            // Informational: the answer is still to come.
            return Ok(0);
        }
        let mut text = Text { output, length: 0 };
        text.add(b"HTTP/1.1 ");
        text.add(decimal(head.status.into(), &mut [0; 20]));
        self.state = match head.framing {
            Framing::Length(length) => {
                text.add(b" \r\ncontent-length: ");
                text.add(decimal(length, &mut [0; 20]));
                if length == 0 {
                    State::Done
                } else {
                    State::Body { left: length, is_chunk: false }
                }
            }
            Framing::Chunked => {
                text.add(b" \r\ntransfer-encoding: chunked");
                State::ChunkLine
            }
            Framing::UntilClose => {
                text.add(b" ");
                State::UntilClose
            }
        };
        text.add(if head.closes { b"\r\nconnection: close\r\n\r\n" } else { b"\r\n\r\n" });
        attempt.head_came(head);
        Ok(text.length)
    }

    fn hand_on_chunk_line(&mut self, output: &mut [u8]) -> Result<usize, WireError> {
        let Some(line) = self.line(LONGEST_CHUNK_LINE)? else {
            return Ok(0);
        };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
        let size = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(WireError::NotHttp)?;
        self.state = if size == 0 { State::Trailer } else { State::Body { left: size, is_chunk: true } };
        write(output, format_args!("{size:x}\r\n"))
    }
}

/// A text in a buffer that [`ROOM`] is enough for; made by hand, since the formatting of the standard library would take
/// more than all else that happens to an answer here.
struct Text<'a> {
    output: &'a mut [u8],
    length: usize,
}

impl Text<'_> {
    fn add(&mut self, part: &[u8]) {
        if let Some(place) = self.output.get_mut(self.length..self.length + part.len()) {
            place.copy_from_slice(part);
            self.length += part.len();
        }
    }
}

/// Writes what [`ROOM`] is enough for.
fn write(mut output: &mut [u8], text: std::fmt::Arguments<'_>) -> Result<usize, WireError> {
    let room = output.len();
    output.write_fmt(text)?;
    Ok(room - output.len())
}
