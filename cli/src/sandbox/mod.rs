//! An offline CommBox: the documented "Update User" call on a loopback port, for demos and tests.
//!
//! ```sh
//! commbox sandbox --port 8080
//! ```
//!
//! Its address is the first and only line on standard output; SIGTERM or Ctrl-C ends it. A user
//! with any id exists, initially without fields. Users are kept in memory:
//!
//! ```sh
//! curl http://127.0.0.1:8080/users/94382332 -H 'Authorization: Bearer sandbox-key' \
//!     -d '{"data":{"FirstName":"John"}}'
//! curl http://127.0.0.1:8080/users/94382332        # shows the user; needs no key
//! ```
//!
//! A path may have a prefix: every path that ends in `/users/{id}` is the call.
//!
//! Answers can be scripted. Each of the next calls gets one of them, in order, and changes no user.
//! After the last one, the sandbox answers by its own rules again:
//!
//! ```sh
//! curl http://127.0.0.1:8080/sandbox/script \
//!     -d '[{"status":429,"headers":{"Retry-After":"1"}},{"reset":true},{}]'
//! curl http://127.0.0.1:8080/sandbox/requests      # all calls so far, with headers and exact body
//! curl -X POST http://127.0.0.1:8080/sandbox/reset # removes users, script and requests
//! ```
//!
//! | key of a scripted answer | meaning |
//! | --- | --- |
//! | `status` | HTTP status, 200 to 599; the default is 200 |
//! | `body` | exact text; by default the documented reply for the status, if any |
//! | `body_repeat` | number of times to repeat `body`, for large replies |
//! | `headers` | an object of headers; the default `Content-Type` is `application/json` |
//! | `delay_ms` | wait this long before answering |
//! | `chunked` | true: send no `Content-Length` |
//! | `cut` | close the connection after this many bytes of the body |
//! | `close` | true: send `Connection: close`, and close the connection |
//! | `reset` | true: reset the connection instead of answering |
//! | `own` | true: use the sandbox's own status and body, as without `status` and `body` |

mod api;
mod limit;
mod payload;
mod rules;
mod script;
mod server;

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::LocalSet;

use api::Sandbox;

/// The settings of a sandbox.
pub struct Settings {
    /// The port; 0 selects a free one.
    pub port: u16,
    pub host: IpAddr,
    /// The API key that calls must have.
    pub api_key: String,
    /// The file for the certificate (PEM) that clients must trust. Enables HTTPS.
    pub tls: Option<PathBuf>,
    /// The rate per second above which requests are answered with 429, and the burst.
    pub limit: Option<(f64, u32)>,
    /// Whether to record requests.
    pub record: bool,
}

/// Runs a sandbox until a signal ends it; its address is printed first.
///
/// # Errors
///
/// If the port is taken, or the certificate cannot be written.
#[tokio::main(flavor = "current_thread")]
pub async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let address = SocketAddr::new(settings.host, settings.port);
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr()?;
    let tls = settings.tls.as_deref().map(server::tls_acceptor).transpose()?;
    let url = match tls {
        None => format!("http://{address}"),
        Some(_) => format!("https://localhost:{}", address.port()),
    };
    // Listen for signals before printing the address, because its reader may stop the sandbox at
    // once.
    let stop = stop()?;
    println!("{url}");
    io::stdout().flush()?;

    let sandbox = Rc::new(Sandbox::new(settings.api_key, settings.limit, settings.record));
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                error = server::accept(listener, tls, sandbox) => Err(error.into()),
                () = stop => Ok(()),
            }
        })
        .await
}

/// Listens for the signals that end the sandbox. The future completes when one arrives.
#[cfg(unix)]
fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{signal, SignalKind};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens for Ctrl-C. The future completes when it arrives.
#[cfg(not(unix))]
fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler, Ctrl-C ends the process anyway.
        let _ = tokio::signal::ctrl_c().await;
    })
}
