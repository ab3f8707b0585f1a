//! Makes one HTTP attempt, and explains its failure.
//!
//! A client owns a pool of **lanes**. A lane is a `ureq` agent with at most one connection, and the
//! attempt that it is making. A call takes a lane for itself (the one used last is taken first),
//! sends on it, and returns it if its connection can be reused. So calls share nothing except the
//! pool, whose lock is held only briefly. What is learned about one connection concerns only that
//! connection, and a fresh connection is a lane without one.
//!
//! `ureq` writes the request and reads the reply. Below it, this library has its own connector
//! ([`lane`]), which opens the connection ([`connect`], [`resolver`], [`tunnel`], [`tls`]), adds
//! the path of the user, the API key and the headers to the request ([`outgoing`]), and normalizes
//! the reply before the agent reads it ([`incoming`], [`head`]). All of them block only for short
//! slices, so that a call notices its deadline, a cancel or its callback ([`attempt`]).

mod address;
mod attempt;
mod certificate;
mod connect;
mod diagnose;
mod failure;
mod head;
mod incoming;
#[cfg(any(windows, test))]
mod internet_settings;
mod lane;
mod outgoing;
mod pool;
mod proxy;
mod ready;
mod resolver;
mod shortage;
mod socket;
mod stream;
mod tls;
mod trust;
mod tunnel;
mod wire_error;
mod x509;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{Method, Request, Uri};

use crate::delivery::advice::Advice;
use crate::delivery::watch::Stop;
use crate::error::Result;
use crate::log::{Event, LogLevel};
use crate::options::Options;
use crate::secret::{self, ApiKey};
use crate::stats::Connections;
use crate::transport::connect::Dialer;
use crate::transport::lane::Lane;
use crate::transport::pool::Pool;
use crate::transport::wire_error::WireError;

pub(crate) use address::Address;
pub(crate) use attempt::{Attempt, Limits};
pub(crate) use failure::cancelled;

/// The maximum length of a reply that is read.
const REPLY_LIMIT: usize = 1 << 20;

/// The initial capacity for a body of unknown length. Usual replies fit.
const USUAL_REPLY: usize = 511;

/// Why a connection that has been idle for long is closed.
const AGED: &str = "idle_timeout";

/// The reply of a server.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// What the headers say about when to send the next request.
    pub(crate) advice: Advice,
    /// The encoding of the body, although none was requested.
    pub(crate) encoding: Option<String>,
    /// The request id from the server.
    pub(crate) request_id: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Whether `body` is the whole body. It is not if the body exceeds [`REPLY_LIMIT`].
    pub(crate) complete: bool,
}

impl Reply {
    /// Removes the request id if it contains the API key, which some servers echo.
    pub(crate) fn without_echo(mut self, api_key: &ApiKey) -> Self {
        self.request_id = self.request_id.filter(|id| !secret::reveals(id, api_key.bytes()));
        self
    }
}

/// The lanes of a client, and what they are made from.
pub(crate) struct Transport {
    pool: Pool,
    dialer: Arc<Dialer>,
    users: Address,
    /// The agent uses this address for every user.
    stand_in: Uri,
}

impl Transport {
    pub(crate) fn new(
        options: &Options,
        users: Address,
        connections: &Arc<Connections>,
    ) -> Result<Self> {
        let dialer = Dialer::new(options, &users, connections.clone())?;
        let idle = usize::try_from(options.max_idle_connections).unwrap_or(usize::MAX);
        Ok(Self {
            pool: Pool::new(idle, options.idle_timeout),
            dialer: Arc::new(dialer),
            stand_in: outgoing::stand_in(users.is_https()),
            users,
        })
    }

    /// Returns the address of the users.
    pub(crate) fn users(&self) -> &Address {
        &self.users
    }

    /// Returns the log event about the chosen proxy.
    pub(crate) fn proxy_event(&self) -> Event {
        let event = |sentence: String| Event::new("proxy", sentence);
        match &self.dialer.proxy {
            None => event("no proxy is used".into()).with("host", None::<&str>),
            Some(proxy) => event(format!(
                "the proxy is {}, port {}, from {}",
                proxy.host, proxy.port, proxy.source
            ))
            .with("host", proxy.host.as_str())
            .with("port", proxy.port)
            .with("source", proxy.source),
        }
    }

    /// Returns how long an idle connection is kept.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.pool.idle_timeout()
    }

    /// Closes the connections that have been idle for longer than `idle_timeout`. Returns the event
    /// to log, if any were closed.
    pub(crate) fn close_aged(&self) -> Option<Event> {
        let closed = self.pool.close_aged(Instant::now());
        (closed > 0).then(|| closed_event(closed, AGED))
    }

    fn request<'a>(&self, body: &'a str) -> Request<&'a [u8]> {
        let mut request = Request::new(body.as_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.stand_in.clone();
        request
    }

    /// Posts `body` once and reads the reply. If `fresh`, a new connection is opened.
    pub(crate) fn post(&self, body: &str, attempt: &Attempt<'_>, fresh: bool) -> Result<Reply> {
        let request = self.request(body);
        let (idle, aged) = if fresh { (None, 0) } else { self.pool.take(attempt.began()) };
        log_closed(attempt, aged, AGED);
        let mut lane = idle.unwrap_or_else(|| Lane::new(&self.dialer));
        let used = lane.used();
        // If the agent panics, the lane is dropped here.
        let reply = lane.run(attempt, |agent| -> std::result::Result<Reply, ureq::Error> {
            let response = agent.run(request)?;
            let mut reader = response.into_body().into_reader().take(REPLY_LIMIT as u64 + 1);
            // One byte is reserved for the terminating NUL in C.
            let length = attempt
                .body_length()
                .map_or(USUAL_REPLY, |length| length.min(REPLY_LIMIT as u64) as usize);
            let mut body = Vec::with_capacity(length + 1);
            reader.read_to_end(&mut body).map_err(ureq::Error::from)?;
            let complete = body.len() <= REPLY_LIMIT;
            let mut head = attempt.take_head().ok_or(WireError::NotHttp)?;
            let request_id = head.take_request_id();
            Ok(Reply {
                status: head.status,
                advice: head.advice(),
                encoding: head.encoding,
                request_id,
                body,
                complete,
            })
        });
        if attempt.kept_connection() {
            log_closed(attempt, self.pool.put(lane), "idle_timeout_or_limit");
        } else if !attempt.is_connecting() {
            drop(lane);
            let why = match &reply {
                Err(_) if attempt.met_a_stale_connection() => "stale",
                Err(_) => "failed",
                Ok(_) => "not_reusable",
            };
            log_closed(attempt, 1, why);
        }
        if attempt.stopped() == Some(Stop::Late) && attempt.reused_connection() {
            // A NAT or a VPN that lost this connection may have lost older ones too.
            log_closed(attempt, self.pool.close_older(used), "as_old_as_a_dead_one");
        }
        let context = failure::Context { dialer: &self.dialer, attempt };
        reply.map_err(|error| context.explain(error))
    }
}

fn log_closed(attempt: &Attempt<'_>, count: usize, why: &'static str) {
    if count > 0 {
        attempt.emit(LogLevel::Debug, || closed_event(count, why));
    }
}

fn closed_event(count: usize, why: &'static str) -> Event {
    let sentence = format!("closed {count} connection{}: {why}", if count == 1 { "" } else { "s" });
    Event::new("connection_closed", sentence).with("connections", count).with("why", why)
}
