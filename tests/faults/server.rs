//! Serves each connection on its own thread, and each request with the next fault of a plan.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::fault::{Fault, Place, Share, Step};
use super::table::SLOWNESS;

/// How often a waiting connection checks whether the server has stopped.
const SLICE: Duration = Duration::from_millis(50);

/// What the server recorded about one request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the first bytes were read.
    pub at: Instant,
    /// The number of the connection, from 0.
    pub connection: usize,
    pub user_id: i64,
    pub key: String,
    pub bytes: usize,
    pub complete: bool,
    /// Whether a complete reply, or an endless one, was being sent.
    pub replied: bool,
}

type Plan = Box<dyn FnMut() -> Fault + Send>;

pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    plan: Mutex<Plan>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Connections that were dropped, or ignored, before anything was read from them.
    unread: AtomicUsize,
    stopped: AtomicBool,
}

impl Server {
    /// Serves each request according to the plan. The plan is called for each new connection and
    /// for each further request on a connection.
    pub fn start(plan: impl FnMut() -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            plan: Mutex::new(Box::new(plan)),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let served = shared.clone();
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else {
                    // The process cannot open more files until others are closed.
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let number = served.connections.fetch_add(1, Ordering::SeqCst);
                let shared = served.clone();
                thread::spawn(move || {
                    // An error only ends the connection.
                    let _ = Connection::new(stream, number, &shared).and_then(Connection::serve);
                });
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Serves these faults in order, and then correct responses.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut faults = faults.into_iter().collect::<Vec<_>>().into_iter();
        Self::start(move || faults.next().unwrap_or_else(Fault::good))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    pub fn seen_of(&self, user_id: i64) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.user_id == user_id).collect()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub fn unread(&self) -> usize {
        self.shared.unread.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let Some(accepting) = self.accepting.take() else { return };
        // Connecting wakes the accepting thread, once the process can open a file. From then on,
        // connections are refused.
        while !accepting.is_finished() {
            let _ = TcpStream::connect(self.address);
            thread::sleep(Duration::from_millis(1));
        }
        let _ = accepting.join();
    }
}

struct Connection<'a> {
    stream: TcpStream,
    number: usize,
    shared: &'a Shared,
    /// The bytes of the current request that were read, and its index in `seen`.
    input: Vec<u8>,
    request: Option<usize>,
}

impl<'a> Connection<'a> {
    fn new(stream: TcpStream, number: usize, shared: &'a Shared) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Self { stream, number, shared, input: Vec::new(), request: None })
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            let fault = (lock(&self.shared.plan))();
            self.play(&fault)?;
            self.retry(|stream| match stream.peek(&mut [0])? {
                0 => Err(gone()),
                _ => Ok(()),
            })?;
            self.begin();
        }
    }

    fn play(&mut self, fault: &Fault) -> io::Result<()> {
        let mut sent = 0;
        for step in &fault.steps {
            let (reply, place) = fault.reply(self.user_id());
            match step {
                Step::Read(share) => self.read(*share)?,
                Step::Wait(time) => self.wait(*time)?,
                Step::SendTo(to) => {
                    let end = place(*to);
                    // Recorded before sending, because the client may see the reply before the
                    // record is written.
                    self.note(|seen| seen.replied |= end == reply.len());
                    self.send(&reply[sent..end])?;
                    sent = end;
                }
                Step::Drip(pause) => {
                    for byte in &reply[sent..] {
                        self.send(&[*byte])?;
                        self.wait(*pause)?;
                    }
                }
                Step::Endless(text, pause) => {
                    // In an emulator, sending each piece takes long.
                    let text = if pause.is_zero() && SLOWNESS > 1 {
                        text.repeat(64)
                    } else {
                        text.to_string()
                    };
                    loop {
                        self.note(|seen| seen.replied = true);
                        self.send(text.as_bytes())?;
                        self.wait(*pause)?;
                    }
                }
                Step::Fin => {
                    self.stream.shutdown(Shutdown::Write)?;
                    loop {
                        self.read(Share::All)?;
                    }
                }
                Step::Reset => {
                    self.leave_unread();
                    close_by_reset(&self.stream);
                    return Err(gone());
                }
                Step::Hold => {
                    self.leave_unread();
                    loop {
                        self.wait(SLICE)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// If the current request is complete, begins another one.
    fn begin(&mut self) {
        if self.request.is_none()
            || length(&self.input).is_some_and(|length| self.input.len() >= length)
        {
            self.input.clear();
            self.request = None;
        }
    }

    /// Continues to read the current request. If it is complete, reads the next one.
    fn read(&mut self, share: Share) -> io::Result<()> {
        self.begin();
        let mut buffer = [0; 16 << 10];
        loop {
            let length = length(&self.input);
            if let Some(length) = length {
                let enough = match share {
                    Share::Head => true,
                    Share::Half => self.input.len() >= length / 2,
                    Share::All => self.input.len() >= length,
                };
                if enough {
                    return Ok(());
                }
            }
            // Do not read bytes of the following request.
            let room =
                length.map_or(buffer.len(), |length| buffer.len().min(length - self.input.len()));
            let amount = self.retry(|stream| stream.read(&mut buffer[..room]))?;
            if amount == 0 {
                return Err(gone());
            }
            self.input.extend_from_slice(&buffer[..amount]);
            self.saw();
        }
    }

    fn saw(&mut self) {
        let mut all = lock(&self.shared.seen);
        let index = *self.request.get_or_insert_with(|| {
            let at = Instant::now();
            all.push(Seen {
                at,
                connection: self.number,
                user_id: 0,
                key: String::new(),
                bytes: 0,
                complete: false,
                replied: false,
            });
            all.len() - 1
        });
        let seen = &mut all[index];
        seen.bytes = self.input.len();
        seen.complete = length(&self.input).is_some_and(|length| self.input.len() >= length);
        if seen.user_id == 0 {
            let head = String::from_utf8_lossy(&self.input);
            let between =
                |from: &str, to: char| Some(head.split_once(from)?.1.split_once(to)?.0.to_owned());
            seen.user_id =
                between("/users/", ' ').and_then(|id| id.parse().ok()).unwrap_or_default();
            seen.key = between("authorization: Bearer ", '\r').unwrap_or_default();
        }
    }

    fn leave_unread(&self) {
        if self.request.is_none() {
            self.shared.unread.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Some(index) = self.request {
            note(&mut lock(&self.shared.seen)[index]);
        }
    }

    fn user_id(&self) -> i64 {
        self.request.map_or(0, |index| lock(&self.shared.seen)[index].user_id)
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.retry(|stream| stream.write(bytes))?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Waits without reading until the time has passed or the client has closed the connection.
    fn wait(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.shared.stopped.load(Ordering::SeqCst) || is_gone(&self.stream) {
                return Err(gone());
            }
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(SLICE));
        }
    }

    /// Repeats `run` while it times out and the server has not stopped.
    fn retry<T>(&mut self, mut run: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match run(&mut self.stream) {
                // Windows reports a timeout with a different error kind.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if self.shared.stopped.load(Ordering::SeqCst) {
                        return Err(gone());
                    }
                }
                result => return result,
            }
        }
    }
}

/// Returns the length of a request, head and body, once its head is complete.
fn length(input: &[u8]) -> Option<usize> {
    let head = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let body =
        text.split_once("content-length:")?.1.lines().next()?.trim().parse::<usize>().ok()?;
    Some(head + body)
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Returns whether the client has closed or reset the connection, even if unread data remains.
#[cfg(target_os = "linux")]
fn is_gone(stream: &TcpStream) -> bool {
    let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
    let mut poll = libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one pollfd, which lives during the call.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}

/// Like the above, on systems without such a system call: peeking sees the end only after
/// everything has been read.
#[cfg(not(target_os = "linux"))]
fn is_gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket can be set so");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket can be set so");
    match peeked {
        Ok(unread) => unread == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Makes closing the connection send a reset.
fn close_by_reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
