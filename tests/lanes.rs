//! The connections of a client: a failure of one does not affect the others, the most recently used
//! ones are reused first, and unused ones are closed.

mod faults;
mod loopback;

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use commbox::{Client, Options};
use faults::eventually_within;
use loopback::{listen, Http, Record};

const BODY: &str = "{}";

/// A server and the state of its connections.
#[derive(Default)]
struct Server {
    /// Connections that the server neither answers nor closes, like those that a NAT has dropped.
    dead: Mutex<HashSet<usize>>,
    open: AtomicUsize,
    accepted: AtomicUsize,
    served: Mutex<Vec<usize>>,
    slow: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Server {
    fn start() -> (Arc<Self>, u16) {
        let server = Arc::new(Self::default());
        let shared = server.clone();
        let port = listen(move |stream, number| shared.serve(stream, number));
        (server, port)
    }

    fn serve(&self, stream: TcpStream, number: usize) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        self.streams.lock().unwrap().push(stream.try_clone().unwrap());
        let mut http = Http::new(stream);
        while http.request().is_some() {
            if self.dead.lock().unwrap().contains(&number) {
                continue;
            }
            if self.slow.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(100));
            }
            self.served.lock().unwrap().push(number);
            http.confirm("").unwrap();
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn client(port: u16, change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options::default();
    options.base_url = format!("http://127.0.0.1:{port}");
    change(&mut options);
    Client::new("key", &options).unwrap()
}

/// Opens `count` connections, which are idle afterwards.
fn fill(client: &Client, server: &Server, count: usize) {
    server.slow.store(true, Ordering::SeqCst);
    let all = Barrier::new(count);
    thread::scope(|scope| {
        for user_id in (1_000_i64..).take(count) {
            let all = &all;
            scope.spawn(move || {
                all.wait();
                // Each call has its own user, because updates of one user are sent one after the
                // other.
                client.update_user_json(user_id, BODY).unwrap();
            });
        }
    });
    server.slow.store(false, Ordering::SeqCst);
}

#[test]
fn silently_dead_connections_cost_one_attempt() {
    let (server, port) = Server::start();
    let client = client(port, |options| {
        options.attempt_timeout = Duration::from_millis(700);
        options.retry_base = Duration::from_millis(1);
        options.retry_cap = Duration::from_millis(1);
    });
    fill(&client, &server, 8);
    let before = server.accepted.load(Ordering::SeqCst);
    assert!(before > 1, "{before} connections");
    server.dead.lock().unwrap().extend(0..before);
    let began = Instant::now();
    client.update_user_json(2, BODY).unwrap();
    assert!(began.elapsed() < Duration::from_millis(700 + 1500), "{:?}", began.elapsed());
    assert_eq!(server.accepted.load(Ordering::SeqCst), before + 1, "one new connection");
    // The next call must not use one of the dead connections either.
    let began = Instant::now();
    client.update_user_json(3, BODY).unwrap();
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
}

#[test]
fn a_stale_connection_closes_only_itself() {
    let (server, port) = Server::start();
    let client = client(port, |options| options.max_retries = 0);
    fill(&client, &server, 6);
    let before = server.accepted.load(Ordering::SeqCst);
    client.update_user_json(1, BODY).unwrap();
    let last = *server.served.lock().unwrap().last().unwrap();
    server.streams.lock().unwrap().iter().for_each(|stream| {
        // Only the connection that is used next is affected.
        let is_it = server.served.lock().unwrap().len() > before && stream.peer_addr().is_ok();
        assert!(is_it);
    });
    let stream = server.streams.lock().unwrap()[last].try_clone().unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    eventually_within(Duration::from_secs(5), "the connection is closed", || {
        server.open.load(Ordering::SeqCst) == before - 1
    });
    client.update_user_json(1, BODY).unwrap();
    // The call found its connection closed and opened another one. The others are still open.
    assert!(server.open.load(Ordering::SeqCst) >= before - 1);
    assert!(server.accepted.load(Ordering::SeqCst) <= before + 1);
}

#[test]
fn unneeded_connections_expire() {
    let (server, port) = Server::start();
    let client = client(port, |options| options.idle_timeout = Duration::from_millis(600));
    fill(&client, &server, 16);
    assert!(server.open.load(Ordering::SeqCst) > 8);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) && server.open.load(Ordering::SeqCst) > 1 {
        client.update_user_json(1, BODY).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.open.load(Ordering::SeqCst), 1);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// The most recently used connection is the most likely to be still open.
#[test]
fn the_most_recently_used_connection_is_reused_first() {
    let (server, port) = Server::start();
    let client = client(port, |_| {});
    fill(&client, &server, 4);
    client.update_user_json(1, BODY).unwrap();
    server.served.lock().unwrap().clear();
    for _ in 0..5 {
        client.update_user_json(1, BODY).unwrap();
    }
    let served = server.served.lock().unwrap().clone();
    assert!(served.iter().all(|number| *number == served[0]), "{served:?}");
}

#[test]
fn calls_in_a_poll_callback_use_their_own_client() {
    let keys = [Record::new(), Record::new()];
    let ports = keys.clone().map(|seen| {
        listen(move |stream: TcpStream, _| {
            let mut http = Http::new(stream);
            while let Some(request) = http.request() {
                seen.add(request.header("authorization").unwrap().to_owned());
                thread::sleep(Duration::from_millis(300));
                http.confirm("").unwrap();
            }
        })
    });
    let of = |port: u16, key: &str| {
        let mut options = Options::default();
        options.base_url = format!("http://127.0.0.1:{port}");
        Arc::new(Client::new(key, &options).unwrap())
    };
    let (outer, inner) = (of(ports[0], "outer"), of(ports[1], "inner"));
    let made = Arc::new(AtomicBool::new(false));
    let (within, once) = (inner.clone(), made.clone());
    outer.set_interrupt(Some(Arc::new(move || {
        if !once.swap(true, Ordering::SeqCst) {
            within.update_user_json(2, BODY).unwrap();
        }
        false
    })));
    outer.update_user_json(1, BODY).unwrap();
    outer.update_user_json(1, BODY).unwrap();
    assert!(made.load(Ordering::SeqCst));
    assert_eq!(keys[0].all(), ["Bearer outer", "Bearer outer"]);
    assert_eq!(keys[1].all(), ["Bearer inner"]);
}

/// If the server answers with an error, its connection works and is used for the retry.
#[test]
fn a_retry_after_a_reply_reuses_the_connection() {
    let requests = Record::new();
    let seen = requests.clone();
    let port = listen(move |stream: TcpStream, number| {
        let mut http = Http::new(stream);
        while http.request().is_some() {
            seen.add(number);
            if seen.all().len() == 2 {
                let refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}";
                std::io::Write::write_all(&mut http.stream, refusal).unwrap();
            } else {
                http.confirm("").unwrap();
            }
        }
    });
    let client = client(port, |options| {
        options.retry_base = Duration::from_millis(1);
        options.retry_cap = Duration::from_millis(1);
    });
    client.update_user_json(1, BODY).unwrap();
    client.update_user_json(1, BODY).unwrap();
    assert_eq!(requests.all(), [0, 0, 0]);
}
