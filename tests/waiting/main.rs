//! How long a call blocks, for what, and what ends it: deadlines, `Retry-After`, pauses, cancels
//! and callbacks.

#[path = "../faults/mod.rs"]
mod faults;

mod cancels;
mod deadlines;
mod pauses;
mod retry_after;

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use commbox::{Client, Error};
use faults::table::SLOWNESS;
use faults::{millis, timed, user, Fault, Share, Step};

const USER: i64 = 100_000_001;

/// What a call may be late.
const LATE: Duration = Duration::from_millis(500 * SLOWNESS as u64);

/// Updates another user each time: calls for the same one would stand behind each other.
fn call(client: &Client) -> (Result<commbox::UpdateReply, Error>, Duration) {
    static USERS: AtomicI64 = AtomicI64::new(USER + 1);
    let user_id = USERS.fetch_add(1, Ordering::SeqCst);
    timed(|| client.update_user_json(user_id, &user(10)))
}

fn never_replies() -> Fault {
    Fault::new(&[Step::Read(Share::All), Step::Hold])
}

fn throttled(retry_after: &str) -> Fault {
    Fault::status(429).header("Retry-After", retry_after)
}

/// A server whose connections are taken by nobody, and no more of which can be made.
fn full_backlog() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A listening socket may be told so again, with room for fewer.
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let waiting = fill(&listener);
    (listener, waiting)
}

/// Takes all the room that is left in a listener's backlog.
fn fill(listener: &TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 10, "the backlog has no end");
    }
    waiting
}

fn client_of(listener: &TcpListener, change: impl FnOnce(&mut commbox::Options)) -> Client {
    let mut options = commbox::Options::default();
    options.base_url = format!("http://{}", listener.local_addr().unwrap());
    options.proxy = Some(String::new());
    change(&mut options);
    Client::new("key-1", &options).unwrap()
}
