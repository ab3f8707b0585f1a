//! Decodes any encoding to UTF-8.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// Number of bytes that are decoded at a time.
const CHUNK: usize = 64 * 1024;

/// Replaces bytes that are invalid in the file's encoding. This byte is never valid in UTF-8, so
/// that the row which contains it is detected.
const WRONG: u8 = 0xff;

/// A reader that decodes what it reads.
pub struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    read: Vec<u8>,
    /// The part of `read` that is not decoded yet.
    rest: std::ops::Range<usize>,
    decoded: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    pub fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            read: vec![0; CHUNK],
            rest: 0..0,
            decoded: Vec::with_capacity(CHUNK * 3 + 16),
            given: 0,
            ended: false,
        }
    }

    /// Decodes some more. Returns false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.given = 0;
        self.decoded.clear();
        while self.decoded.is_empty() {
            if self.ended {
                return Ok(false);
            }
            let mut last = false;
            if self.rest.is_empty() {
                let amount = self.inner.read(&mut self.read)?;
                self.rest = 0..amount;
                last = amount == 0;
            }
            self.decoded.resize(CHUNK * 3 + 16, 0);
            let source = self.read.get(self.rest.clone()).unwrap_or_default();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(source, &mut self.decoded, last);
            self.rest.start += read;
            self.decoded.truncate(written);
            match result {
                DecoderResult::Malformed(..) => self.decoded.push(WRONG),
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
            }
        }
        Ok(true)
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.decoded.len() && !self.fill()? {
            return Ok(0);
        }
        let rest = self.decoded.get(self.given..).unwrap_or_default();
        let amount = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..amount), rest.get(..amount)) {
            to.copy_from_slice(from);
        }
        self.given += amount;
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], label: &str) -> Vec<u8> {
        let encoding = Encoding::for_label(label.as_bytes()).unwrap();
        let mut decoded = Vec::new();
        Decoded::new(bytes, encoding).read_to_end(&mut decoded).unwrap();
        decoded
    }

    #[test]
    fn text_is_converted_to_utf_8_and_invalid_bytes_stay_invalid() {
        assert_eq!(decode(b"\xf9\xec\xe5\xed", "windows-1255"), "שלום".as_bytes());
        assert_eq!(decode(b"caf\xe9 \x80", "windows-1252"), "café €".as_bytes());
        assert_eq!(decode(b"a\xd9b", "windows-1255"), b"a\xffb");
        let utf16: Vec<u8> = "a,שלום\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16, "utf-16le"), "a,שלום\r\n".as_bytes());
        assert_eq!(decode(b"a\0\0\xd8b\0", "utf-16le"), b"a\xffb");
        assert_eq!(decode(b"a\0b", "utf-16le"), b"a\xff", "half a character");
        let long = "ש".repeat(200_000);
        let bytes: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&bytes, "utf-16be"), long.as_bytes());
    }
}
