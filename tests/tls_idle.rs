//! Messages that a TLS server sends on an idle connection, or while a request is being sent to it.

mod loopback;
mod tls_server;

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use commbox::{Client, ErrorKind, Options};
use loopback::{listen, Http, Record};
use tls_server::{accept, file, records::Records, serve, Authority};

fn client(port: u16, authority: &Authority) -> Client {
    let mut options = Options::default();
    options.base_url = format!("https://127.0.0.1:{port}");
    options.proxy = Some(String::new());
    options.max_retries = 0;
    options.ca_file = Some(file(&format!("idle-{port}.pem"), &authority.pem()));
    Client::new("key", &options).unwrap()
}

/// Makes calls with pauses, in which `say` sends messages. All calls must use the same connection.
fn over_one_connection(say: impl Fn(&mut rustls::ServerConnection) + Send + Sync + Copy + 'static) {
    let authority = Authority::new();
    let config = Arc::new(authority.issue(|_| ()).config());
    let connections = Record::new();
    let seen = connections.clone();
    let port = listen(move |stream, connection| {
        let mut http = accept(&config, stream);
        while http.request().is_some() {
            seen.add(connection);
            http.confirm("").unwrap();
            thread::sleep(Duration::from_millis(30));
            say(&mut http.stream.conn);
            http.stream.flush().unwrap();
        }
    });
    let client = client(port, &authority);
    for _ in 0..5 {
        client.update_user_json(1, "{}").unwrap();
        thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(connections.all(), [0; 5]);
}

#[test]
fn a_tls_key_update_is_accepted() {
    over_one_connection(|connection| connection.refresh_traffic_keys().unwrap());
}

/// Some servers send tickets late, because they create them on another thread or only after some
/// use of the session.
#[test]
fn tickets_after_each_reply_end_no_connection() {
    const CALLS: u8 = 10;

    let authority = Authority::new();
    let mut config = authority.issue(|_| ()).config_of(&[&rustls::version::TLS13]);
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    let config = Arc::new(config);
    let handshakes = Record::new();
    let seen = handshakes.clone();
    let (tickets, sent) = (Record::new(), Record::new());
    let (counted, answered) = (tickets.clone(), sent.clone());
    let port = listen(move |stream, connection| {
        let mut http = accept(&config, stream);
        http.request().unwrap();
        seen.add(connection);
        http.confirm("").unwrap();
        answered.add(connection);
        let mut http = Http::new(Records::take_over(http.stream));
        for number in 0.. {
            thread::sleep(Duration::from_millis(30));
            http.stream.send_ticket(number);
            counted.add(number);
            if http.request().is_none() {
                return;
            }
            http.confirm("").unwrap();
            answered.add(connection);
        }
    });
    let client = client(port, &authority);
    for call in 1..=usize::from(CALLS) {
        client.update_user_json(1, "{}").unwrap();
        // The ticket arrives before the next call.
        tickets.wait_for(call);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(sent.all(), [0; CALLS as usize]);
    assert_eq!(handshakes.all(), [0]);
}

#[test]
fn an_unsolicited_reply_ends_the_connection() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| {
        http.confirm("").unwrap();
        thread::sleep(Duration::from_millis(30));
        http.confirm("").is_ok()
    });
    let client = client(port, &authority);
    for _ in 0..3 {
        client.update_user_json(1, "{}").unwrap();
        thread::sleep(Duration::from_millis(150));
    }
    let connections: Vec<_> = seen.all().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

/// The server answers after reading the head, and then neither reads nor closes the connection.
#[test]
fn a_reply_before_the_end_of_a_large_body_is_read() {
    let authority = Authority::new();
    let config = Arc::new(authority.issue(|_| ()).config());
    let port = listen(move |stream, _| {
        let mut http = accept(&config, stream);
        let mut piece = [0; 1024];
        let _ = std::io::Read::read(&mut http.stream, &mut piece).unwrap();
        http.stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        http.stream.flush().unwrap();
        thread::sleep(Duration::from_secs(30));
    });
    let client = client(port, &authority);
    let user = format!("{{\"Remarks\":\"{}\"}}", "x".repeat(16 << 20));
    let error = client.update_user_json(1, &user).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Http(413), "{error}");
}
