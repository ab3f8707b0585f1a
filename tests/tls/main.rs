//! TLS: which certificates the library trusts, how it reports the others, and how it handles
//! connections.

#[path = "../loopback/mod.rs"]
mod loopback;
#[path = "../tls_server/mod.rs"]
mod tls_server;

mod connection;
mod handshake;
mod trust;

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use loopback::{listen, Record};
use tls_server::file;

const BODY: &str = r#"{"FirstName": "John"}"#;

/// Options for a server on this port, trying again as often as by default, though sooner.
fn options(port: u16) -> Options {
    let mut options = Options::default();
    options.base_url = format!("https://127.0.0.1:{port}");
    options.proxy = Some(String::new());
    options.retry_base = Duration::from_millis(1);
    options.retry_cap = Duration::from_millis(1);
    options
}

/// The same with this PEM trusted.
fn trusting(port: u16, pem: &str) -> Options {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let mut options = options(port);
    options.ca_file = Some(file(&format!("tls-{}.pem", FILES.fetch_add(1, Ordering::SeqCst)), pem));
    options
}

fn call(options: &Options) -> Result<commbox::UpdateReply, Error> {
    Client::new("key", options).unwrap().update_user_json(1, BODY)
}

/// Calls a server that is wrong in its TLS, while `pem` is trusted: the call is not tried again,
/// sends nothing, and says these words.
fn refused(pem: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static, words: &[&str]) {
    let connections = Record::new();
    let seen = connections.clone();
    let port = listen(move |stream, number| {
        seen.add(number);
        serve(stream);
    });
    let error = call(&trusting(port, pem)).unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery(), error.attempts()),
        (ErrorKind::Tls, Delivery::NotSent, 1),
        "{error}"
    );
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert_eq!(connections.all().len(), 1);
}
