//! A server on a loopback port. It accepts connections in order, reads HTTP requests from each, and
//! records both.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Accepts connections until the test ends. Passes each one, with its number, to `serve` on its own
/// thread.
pub fn listen(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            // Otherwise, data after a reply would wait for the client's acknowledgement.
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve(stream, number));
        }
    });
    port
}

/// Returns a port on which nothing listens.
pub fn closed_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The entries so far. The server's threads add them, and the test reads them.
pub struct Record<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Record<T> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    pub fn add(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until there are `count` entries.
    pub fn wait_for(&self, count: usize) -> Vec<T> {
        let began = Instant::now();
        while self.all().len() < count {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{} of {count} entries came",
                self.all().len()
            );
            thread::sleep(Duration::from_millis(5));
        }
        self.all()
    }
}

impl<T> Clone for Record<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A request as it was received.
#[derive(Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }
}

/// The server's end of a connection.
pub struct Http<S> {
    pub stream: S,
    unread: Vec<u8>,
}

impl<S: Read + Write> Http<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Reads the next complete request. Returns `None` if the client has closed the connection.
    pub fn request(&mut self) -> Option<Request> {
        let end =
            self.fill_until(|bytes| bytes.windows(4).position(|four| four == b"\r\n\r\n"))? + 4;
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut request = Request { head, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.fill_until(|bytes| (bytes.len() >= length).then_some(length))?;
        request.body = self.unread.drain(..length).collect();
        Some(request)
    }

    fn fill_until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        let mut piece = [0; 16 << 10];
        loop {
            if let Some(end) = found(&self.unread) {
                return Some(end);
            }
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(amount) => self.unread.extend_from_slice(&piece[..amount]),
            }
        }
    }

    /// Confirms the update. `extra` contains additional header lines.
    pub fn confirm(&mut self, extra: &str) -> io::Result<()> {
        self.answer(extra, CONFIRMED)
    }

    pub fn answer(&mut self, extra: &str, body: &str) -> io::Result<()> {
        self.answer_with("200 OK", extra, body)
    }

    pub fn answer_with(&mut self, status: &str, extra: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{extra}\r\n{body}");
        self.stream.write_all(answer.as_bytes())?;
        self.stream.flush()
    }
}

/// The reply to a successful update.
pub const CONFIRMED: &str =
    r#"{"status":"200","description":"OK","response_time":"1 ms","data":{"Id":1}}"#;

/// Makes the connection end with a reset when it is dropped.
pub fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}
