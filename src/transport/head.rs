//! Parses the head of a reply leniently, because servers and proxies deviate from the standard:
//! folded lines, blanks before a colon, bare line feeds, lines that are not headers. Other clients
//! accept these too, and the server has made the update.

mod syntax;

use std::time::SystemTime;

use crate::bytes::find;
use crate::delivery::advice::{self, Advice};
use crate::transport::head::syntax::{elements, is, number, status, Lines};
use crate::transport::wire_error::WireError;

/// The maximum size of a head, in bytes and in lines.
pub(super) const LONGEST: usize = 64 << 10;
const MOST_LINES: usize = 512;

/// The maximum length of a request id. A longer one is ignored.
const LONGEST_ID: usize = 128;

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The status line, and the headers that matter.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(super) framing: Framing,
    /// Whether the connection cannot be reused.
    pub(super) closes: bool,
    /// The encodings of the body, except `identity`.
    pub(super) encoding: Option<String>,
    /// The value of `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// The authentication schemes that a proxy accepts.
    pub(super) schemes: Option<String>,
    length: Option<u64>,
    is_chunked: bool,
    is_kept: bool,
    /// The rate-limit headers: their names in lower case, and their values.
    limits: Vec<(&'static str, String)>,
    /// The request id, and the rank of its header. A lower rank is preferred.
    request_id: Option<(u8, String)>,
    /// The value of `Date`, in the format that servers use today.
    date: Option<[u8; 29]>,
}

impl Head {
    /// Parses the head at the start of `input`. Returns the head and its length, or `None` if it is
    /// incomplete.
    ///
    /// `request_id` is the additional header that may contain the request id.
    pub(super) fn read(
        input: &[u8],
        request_id: Option<&str>,
    ) -> Result<Option<(Self, usize)>, WireError> {
        let mut lines = Lines { input, place: 0 };
        let status_line = loop {
            match lines.next() {
                // Ignore empty lines left over from a former body, as RFC 9112, section 2.2,
                // allows.
                Some([]) => {}
                Some(line) => break line,
                None => return Self::incomplete(input),
            }
        };
        let (status, is_old) = status(status_line).ok_or(WireError::NotHttp)?;
        let mut head = Self {
            status,
            framing: Framing::UntilClose,
            closes: false,
            encoding: None,
            retry_after: None,
            schemes: None,
            length: None,
            is_chunked: false,
            is_kept: false,
            limits: Vec::new(),
            request_id: None,
            date: None,
        };
        let mut count = 0;
        loop {
            let Some(line) = lines.next() else {
                return Self::incomplete(input);
            };
            count += 1;
            if line.is_empty() {
                break;
            }
            if count > MOST_LINES {
                return Err(WireError::HeadTooLong);
            }
            head.take_line(line, request_id)?;
        }
        if lines.place > LONGEST {
            return Err(WireError::HeadTooLong);
        }
        head.conclude(is_old);
        Ok(Some((head, lines.place)))
    }

    /// Checks whether an incomplete input can be a head at all.
    fn incomplete(input: &[u8]) -> Result<Option<(Self, usize)>, WireError> {
        let begun = input
            .iter()
            .position(|byte| !b"\r\n".contains(byte))
            .and_then(|at| input.get(at..))
            .unwrap_or_default();
        let expected = b"HTTP/1.";
        let compared = begun.len().min(expected.len());
        if begun.get(..compared) != expected.get(..compared) {
            return Err(WireError::NotHttp);
        }
        let lines = input.iter().filter(|byte| **byte == b'\n').take(MOST_LINES + 2).count();
        if input.len() > LONGEST || lines > MOST_LINES + 1 {
            return Err(WireError::HeadTooLong);
        }
        Ok(None)
    }

    fn take_line(&mut self, line: &[u8], request_id: Option<&str>) -> Result<(), WireError> {
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            // A folded line continues the header before it. None of the headers that matter is long
            // enough to be folded.
            return Ok(());
        }
        let Some(colon) = find(b':', line) else {
            self.closes = true;
            return Ok(());
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii_end();
        let value = || value.get(1..).unwrap_or_default().trim_ascii();
        if request_id.is_some_and(|wanted| is(name, wanted.as_bytes())) {
            self.keep_request_id(0, value());
        }
        // Compare the length first, because most headers match none of these.
        match name.len() {
            10 if is(name, b"Connection") => {
                for word in elements(value()) {
                    self.closes |= is(word, b"close");
                    self.is_kept |= is(word, b"keep-alive");
                }
            }
            14 if is(name, b"Content-Length") => {
                for text in elements(value()) {
                    let length = number(text).ok_or(WireError::NotHttp)?;
                    if self.length.replace(length).is_some_and(|other| other != length) {
                        return Err(WireError::NotHttp);
                    }
                }
            }
            17 if is(name, b"Transfer-Encoding") => {
                self.is_chunked = elements(value()).last().is_some_and(|word| is(word, b"chunked"));
                self.add_encodings(value());
            }
            16 if is(name, b"Content-Encoding") => self.add_encodings(value()),
            11 if is(name, b"Retry-After") && self.retry_after.is_none() => {
                self.retry_after = Some(String::from_utf8_lossy(value()).into_owned());
            }
            18 if is(name, b"Proxy-Authenticate") => {
                let scheme = value().split(u8::is_ascii_whitespace).next().unwrap_or_default();
                add(&mut self.schemes, known(&SCHEMES, scheme));
            }
            4 if is(name, b"Date") => self.date = value().try_into().ok(),
            // Most replies contain another header of this length, so check the first byte.
            12 if name.first().is_some_and(|first| b"Xx".contains(first))
                && is(name, b"X-Request-Id") =>
            {
                self.keep_request_id(1, value());
            }
            10 if is(name, b"Request-Id") => self.keep_request_id(2, value()),
            16 if is(name, b"X-Correlation-Id") => self.keep_request_id(3, value()),
            _ => {
                if let Some(name) = advice::known(name) {
                    self.limits.push((name, String::from_utf8_lossy(value()).into_owned()));
                }
            }
        }
        Ok(())
    }

    fn keep_request_id(&mut self, rank: u8, value: &[u8]) {
        let is_id = !value.is_empty()
            && value.len() <= LONGEST_ID
            && value.iter().all(u8::is_ascii_graphic);
        if is_id && self.request_id.as_ref().is_none_or(|(other, _)| rank < *other) {
            self.request_id = Some((rank, String::from_utf8_lossy(value).into_owned()));
        }
    }

    pub(super) fn take_request_id(&mut self) -> Option<String> {
        self.request_id.take().map(|(_, id)| id)
    }

    fn add_encodings(&mut self, value: &[u8]) {
        for word in elements(value).filter(|word| !is(word, b"identity") && !is(word, b"chunked")) {
            add(&mut self.encoding, known(&ENCODINGS, word));
        }
    }

    /// Returns the server's date.
    pub(super) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.date_text()?).ok()
    }

    fn date_text(&self) -> Option<&str> {
        std::str::from_utf8(self.date.as_ref()?).ok()
    }

    /// Returns what the headers say about when to send the next request.
    pub(crate) fn advice(&self) -> Advice {
        if self.retry_after.is_none() && self.limits.is_empty() {
            return Advice::default();
        }
        Advice::read(self.retry_after.as_deref(), &self.limits, self.date_text(), SystemTime::now())
    }

    /// Determines what follows the head.
    fn conclude(&mut self, is_old: bool) {
        self.closes |= is_old && !self.is_kept;
        self.framing = match self.length {
            _ if matches!(self.status, 100..=199 | 204 | 304) => Framing::Length(0),
            _ if self.is_chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
    }
}

/// The values that messages may contain. Other text from a server is never put into a message.
const ENCODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"];
const SCHEMES: [&str; 6] = ["Basic", "Digest", "NTLM", "Negotiate", "Kerberos", "Bearer"];

fn known(names: &[&'static str], word: &[u8]) -> &'static str {
    names.iter().find(|name| is(word, name.as_bytes())).copied().unwrap_or("an unknown one")
}

fn add(all: &mut Option<String>, name: &str) {
    *all = Some(match all.take() {
        Some(before) => format!("{before}, {name}"),
        None => name.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn read(text: &str) -> Result<Option<(Head, usize)>, WireError> {
        Head::read(text.as_bytes(), None)
    }

    fn head(text: &str) -> Head {
        read(text).unwrap().unwrap().0
    }

    #[test]
    fn heads_that_other_clients_accept_are_accepted() {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length : 12\r\nX-Long: a\r\n  folded\r\nno header\r\nRETRY-AFTER:7\r\n\r\nrest";
        let (head, length) = read(text).unwrap().unwrap();
        assert_eq!((head.status, head.framing, length), (200, Framing::Length(12), text.len() - 4));
        assert_eq!(head.advice().retry_after, Some(Duration::from_secs(7)));
        assert!(head.closes, "a line that is no header says that something is odd");
        for odd in ["\r\n\r\nHTTP/1.1 204\nFoo: bar\n\n", "HTTP/1.1 204 \r\n\r\n"] {
            assert_eq!(self::head(odd).framing, Framing::Length(0));
        }
    }

    #[test]
    fn the_framing_of_the_body_is_determined() {
        for (headers, framing, closes) in [
            ("", Framing::UntilClose, false),
            ("content-length: 5\r\nContent-Length: 5\r\n", Framing::Length(5), false),
            ("content-length: 5, 5\r\nconnection: Keep-Alive, Close\r\n", Framing::Length(5), true),
            ("content-length: 5\r\ntransfer-encoding: Chunked\r\n", Framing::Chunked, false),
        ] {
            let head = head(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"));
            assert_eq!((head.framing, head.closes), (framing, closes), "{headers}");
        }
        assert!(head("HTTP/1.0 200 OK\r\n\r\n").closes);
        assert!(!head("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n").closes);
        for odd in [
            "content-length: -1",
            "content-length: 5\r\ncontent-length: 6",
            "content-length: 99999999999999999999",
        ] {
            assert!(
                matches!(
                    read(&format!("HTTP/1.1 200 OK\r\n{odd}\r\n\r\n")),
                    Err(WireError::NotHttp)
                ),
                "{odd}"
            );
        }
    }

    #[test]
    fn encodings_and_authentication_schemes_are_recognised() {
        let head = head(
            "HTTP/1.1 407 x\r\nContent-Encoding: gzip\r\nProxy-Authenticate: NTLM\r\n\
                         Proxy-Authenticate: Basic realm=\"canary\"\r\nTransfer-Encoding: identity\r\n\r\n",
        );
        assert_eq!(head.encoding.as_deref(), Some("gzip"));
        assert_eq!(head.schemes.as_deref(), Some("NTLM, Basic"));
        let odd = self::head("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\u{2}canary\r\n\r\n");
        assert_eq!(odd.encoding.as_deref(), Some("an unknown one"));
    }

    #[test]
    fn the_request_id_is_taken_from_the_preferred_header() {
        let text = "HTTP/1.1 200 OK\r\nX-Correlation-Id: c\r\nx-request-id: x\r\nRequest-Id: r\r\nDate: d\r\nTrace: t u\r\n\r\n";
        let id = |name| Head::read(text.as_bytes(), name).unwrap().unwrap().0.take_request_id();
        for (name, expected) in
            [(None, "x"), (Some("date"), "d"), (Some("Other"), "x"), (Some("REQUEST-ID"), "r")]
        {
            assert_eq!(id(name).as_deref(), Some(expected), "{name:?}");
        }
        // The value contains a blank, so it is not a request id.
        assert_eq!(id(Some("trace")).as_deref(), Some("x"));
        let long = format!("HTTP/1.1 200 OK\r\nRequest-Id: {}\r\n\r\n", "i".repeat(129));
        assert_eq!(head(&long).take_request_id(), None);
    }

    #[test]
    fn incomplete_heads_need_more_bytes_and_invalid_ones_are_rejected() {
        let whole = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).unwrap().is_none(), "{length}");
        }
        for odd in [
            "SSH-2.0",
            "HTTP/2 200",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 \r\n\r\n",
            "<html>",
        ] {
            let read = read(odd);
            let is_complete = odd.contains('\n') || !odd.starts_with("HTTP/1.");
            assert!(!is_complete || matches!(read, Err(WireError::NotHttp)), "{odd}");
        }
    }

    #[test]
    fn the_size_of_a_head_is_limited() {
        let of_lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(read(&of_lines(MOST_LINES)).unwrap().is_some());
        assert!(matches!(read(&of_lines(MOST_LINES + 1)), Err(WireError::HeadTooLong)));
        let of_bytes = |count| format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(count));
        assert!(read(&of_bytes(LONGEST - 100)).unwrap().is_none());
        assert!(matches!(read(&of_bytes(LONGEST)), Err(WireError::HeadTooLong)));
        assert!(matches!(
            read(&format!("{}\r\n\r\n", of_bytes(LONGEST))),
            Err(WireError::HeadTooLong)
        ));
    }
}
