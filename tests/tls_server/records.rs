//! The server's end of a TLS 1.3 connection, record by record. It can send any record at any time,
//! which `rustls` does not support.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM};
use rustls::ConnectionTrafficSecrets;

use super::Tls;

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const NEW_SESSION_TICKET: u8 = 4;

pub struct Records {
    socket: TcpStream,
    sealing: Direction,
    opening: Direction,
}

impl Records {
    /// Takes over after the handshake. The settings must allow the secrets to be extracted.
    pub fn take_over(tls: Tls) -> Self {
        let secrets = tls.conn.dangerous_extract_secrets().unwrap();
        Self {
            socket: tls.sock,
            sealing: Direction::new(secrets.tx),
            opening: Direction::new(secrets.rx),
        }
    }

    /// Sends a session ticket that cannot be resumed.
    pub fn send_ticket(&mut self, number: u8) {
        let lifetime_and_age = [0, 0, 14, 16, 1, 2, 3, 4];
        let (nonce, ticket, extensions) = ([1, number], [0, 4, 1, 2, 3, 4], [0, 0]);
        let body = [&lifetime_and_age[..], &nonce, &ticket, &extensions].concat();
        let message =
            [&[NEW_SESSION_TICKET, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat();
        self.send(HANDSHAKE, &message).unwrap();
    }

    fn send(&mut self, content: u8, bytes: &[u8]) -> io::Result<()> {
        let mut record = [bytes, &[content]].concat();
        let header = header(record.len() + AES_256_GCM.tag_len());
        let nonce = self.sealing.nonce();
        self.sealing.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut record).unwrap();
        self.socket.write_all(&[&header, &record[..]].concat())
    }
}

impl Read for Records {
    /// Reads one record, which must fit into the buffer.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut header = [0; 5];
        self.socket.read_exact(&mut header)?;
        let mut record = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
        self.socket.read_exact(&mut record)?;
        let nonce = self.opening.nonce();
        let opened = self.opening.key.open_in_place(nonce, Aad::from(header), &mut record).unwrap();
        match opened.split_last() {
            Some((&APPLICATION_DATA, text)) => {
                buffer[..text.len()].copy_from_slice(text);
                Ok(text.len())
            }
            // A closing alert.
            _ => Ok(0),
        }
    }
}

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(APPLICATION_DATA, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header(length: usize) -> [u8; 5] {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

impl Direction {
    fn new((number, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("the first cipher of both sides is AES-256-GCM");
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        Self { key, iv: iv.as_ref().try_into().unwrap(), number }
    }

    /// Returns the nonce of the next record (RFC 8446, 5.3).
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, of_number) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= of_number;
        }
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}
