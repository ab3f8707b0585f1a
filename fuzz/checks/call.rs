//! Whatever a server answers, a call ends in time, with a documented result, and reports the
//! delivery of the request correctly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Delivery, Error, ErrorKind, Options, Result};

use super::check_error;

/// Separates the answers.
const NEXT: u8 = 0x1e;

/// The server's behaviour, read from the input: a byte for how it ends connections, one for the
/// position of a pause in an answer, then the answers.
struct Script<'a> {
    ending: Ending,
    pause: usize,
    answers: Vec<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Close,
    Reset,
    /// The server waits for the next request.
    Keep,
    /// The server closes the connection without reading the request.
    Refuse,
}

/// The bytes that the server has received and sent.
#[derive(Default)]
struct Seen {
    received: usize,
    sent: usize,
}

pub fn check(data: &[u8]) {
    let Some((&[ending, pause], answers)) = data.split_first_chunk() else { return };
    let script = Script {
        // Rarely keep a connection open, because most of those cases wait for a timeout.
        ending: match ending % 16 {
            0 => Ending::Reset,
            1 => Ending::Refuse,
            2 => Ending::Keep,
            _ => Ending::Close,
        },
        pause: pause.into(),
        answers: answers.split(|byte| *byte == NEXT).take(3).collect(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let (outcome, seen) = thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, &script, &done));
        let outcome = call(address.port(), script.answers.len());
        done.store(true, Ordering::SeqCst);
        // Connect once more, because the server may be waiting for a connection.
        drop(TcpStream::connect(address));
        (outcome, server.join().expect("the server ends"))
    });
    assert!(began.elapsed() < Duration::from_secs(5), "the call took {:?}", began.elapsed());
    match outcome {
        Ok(reply) => assert!(seen.received > 0 && seen.sent > reply.len()),
        Err(error) => check_failure(&error, &seen, script.answers.len()),
    }
}

fn call(port: u16, answers: usize) -> Result<String> {
    let retries = answers - 1;
    let options = Options::from_json(&format!(
        r#"{{"base_url":"http://127.0.0.1:{port}","proxy":"","max_retries":{retries},"retry_base_ms":1,"retry_cap_ms":1,
            "attempt_timeout_ms":5,"total_timeout_ms":10}}"#
    ))?;
    Client::new("CANARY-key", &options)?
        .update_user_json(1, r#"{"FirstName":"CANARY-value"}"#)
        .map(String::from)
}

fn check_failure(error: &Error, seen: &Seen, answers: usize) {
    check_error(error);
    match error.kind() {
        ErrorKind::Http(_) => assert_eq!(error.delivery(), Delivery::Answered),
        ErrorKind::BadResponse => assert_ne!(error.delivery(), Delivery::NotSent),
        ErrorKind::Connection | ErrorKind::Timeout => {}
        other => panic!("a server causes {other:?}: {error}"),
    }
    match error.delivery() {
        Delivery::NotSent => assert_eq!(seen.received, 0, "bytes left: {error:?}"),
        Delivery::Unknown => {}
        Delivery::Answered => {
            assert!(seen.received > 0 && seen.sent > 0, "nothing was answered: {error:?}")
        }
    }
    // One more attempt is allowed for a connection that the server had closed while it was idle.
    assert!(
        (1..=answers as u32 + 1).contains(&error.attempts()) || error.kind() == ErrorKind::Timeout
    );
}

fn serve(listener: &TcpListener, script: &Script, done: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut answers = script.answers.iter().peekable();
    while !done.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else { break };
        while !done.load(Ordering::SeqCst) && answers.peek().is_some() {
            if script.ending == Ending::Refuse {
                answers.next();
                reset(&stream);
                break;
            }
            if !read_request(&mut stream, &mut seen) {
                break;
            }
            let answer = answers.next().copied().unwrap_or_default();
            let (first, second) = answer.split_at(script.pause.min(answer.len()));
            for piece in [first, second] {
                seen.sent += if stream.write_all(piece).is_ok() { piece.len() } else { 0 };
            }
            match script.ending {
                Ending::Keep => continue,
                Ending::Reset => reset(&stream),
                _ => drop(stream.shutdown(Shutdown::Write)),
            }
            break;
        }
    }
    seen
}

/// Reads a request to its end. Returns false if the client disconnects before.
fn read_request(stream: &mut TcpStream, seen: &mut Seen) -> bool {
    const LAST: &[u8] = b"\"CANARY-value\"}}";
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(LAST) {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(amount) => {
                seen.received += amount;
                request.extend_from_slice(&piece[..amount]);
            }
        }
    }
    true
}

/// Makes the connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}
