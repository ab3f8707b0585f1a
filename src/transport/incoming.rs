//! Converts what the server sends into a form that the HTTP agent accepts.
//!
//! The agent rejects replies that other clients accept, although the server has made the update:
//! `100 Continue` with headers, a chunk with a long extension, more than 128 headers. So the agent
//! gets a minimal head (the status and the framing of the body) and the unchanged body. The attempt
//! keeps the head that the server sent.

use std::io::Write;
use std::sync::Arc;

use crate::bytes::{decimal, find};
use crate::transport::attempt::Attempt;
use crate::transport::head::{Framing, Head, LONGEST};
use crate::transport::wire_error::WireError;

/// The number of bytes that are read at once.
const INPUT: usize = 16 << 10;

/// The maximum length of the line before a chunk, which contains its size and its extensions.
const LONGEST_CHUNK_LINE: usize = 8 << 10;

/// The room for what is generated in one step: a head, or the line before a chunk.
const ROOM: usize = 128;

/// The bytes that were received but not yet passed to the agent.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// The remaining bytes lie between `begin` and `end`.
    begin: usize,
    end: usize,
    state: State,
    /// The header that may contain the request id.
    request_id: Option<Arc<str>>,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// The rest of a body, or of a chunk.
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
    /// `request_id` is the additional header that may contain the request id.
    pub(super) fn new(request_id: Option<Arc<str>>) -> Self {
        Self { bytes: Vec::new(), begin: 0, end: 0, state: State::Head, request_id }
    }

    /// Expects a reply.
    pub(super) fn expect_answer(&mut self) {
        self.state = State::Head;
    }

    /// Returns whether the whole reply was passed on, and nothing follows it.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Done && self.begin == self.end
    }

    /// Returns the buffer for received bytes.
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

    /// Records how many bytes were received into the buffer.
    pub(super) fn came(&mut self, amount: usize) {
        self.end += amount;
    }

    /// Passes bytes to the agent, and returns how many. 0 means that more bytes must be received,
    /// or that the reply is complete.
    pub(super) fn hand_on(
        &mut self,
        output: &mut [u8],
        attempt: &Attempt<'_>,
    ) -> Result<usize, WireError> {
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
                    // Anything after the body is ignored.
                    _ => 0,
                },
                State::Done => 0,
            };
            if (self.state, self.begin) == before {
                return Ok(written);
            }
        }
    }

    /// Handles the end of the connection. Fails if the reply must not end here.
    pub(super) fn ends(&mut self, cleanly: bool) -> Result<(), WireError> {
        match self.state {
            State::Head if self.begin == self.end => Err(WireError::Closed),
            State::UntilClose if cleanly => {
                self.state = State::Done;
                Ok(())
            }
            // The body is complete, and the missing end of the trailer contains nothing of
            // interest. Generate it.
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

    /// Returns the next line of a chunked body, without its ending, or `None` if it is incomplete.
    /// A bare line feed does not end a line here, because an intermediary may not treat it as an
    /// ending, and would see other chunks.
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

    fn hand_on_head(
        &mut self,
        output: &mut [u8],
        attempt: &Attempt<'_>,
    ) -> Result<usize, WireError> {
        let Some((head, length)) = Head::read(self.left(), self.request_id.as_deref())? else {
            return Ok(0);
        };
        self.begin += length;
        if head.status < 200 && head.status != 101 {
            // This is an informational response. The reply follows.
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
        let size = digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or(WireError::NotHttp)?;
        self.state =
            if size == 0 { State::Trailer } else { State::Body { left: size, is_chunk: true } };
        write(output, format_args!("{size:x}\r\n"))
    }
}

/// Text in a buffer of [`ROOM`] bytes. It is written by hand, because the formatting of the
/// standard library would take longer than the rest of the handling of a reply here.
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

/// Writes text for which [`ROOM`] bytes are enough.
fn write(mut output: &mut [u8], text: std::fmt::Arguments<'_>) -> Result<usize, WireError> {
    let room = output.len();
    output.write_fmt(text)?;
    Ok(room - output.len())
}
