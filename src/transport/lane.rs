//! A lane: an HTTP agent with at most one connection, and the attempt that it is making.
//!
//! While a call uses a lane, no other call does. So the state of the attempt (its deadline, its API
//! key, its progress) belongs to the lane and is passed down to the connection. Lanes share
//! nothing, and nothing is looked up by thread: in its callback, a program may switch stacks, fork,
//! or make other calls.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Arc;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use crate::failpoint;
use crate::fork;
use crate::log::{Event, LogLevel};
use crate::stats::OpenConnection;
use crate::transport::attempt::Attempt;
use crate::transport::connect::Dialer;
use crate::transport::incoming::Incoming;
use crate::transport::outgoing::Outgoing;
use crate::transport::stream::Stream;
use crate::transport::wire_error::WireError;

/// The size of the agent's input and output buffers. The head of a request fits.
const BUFFERS: usize = 10 << 10;

/// An agent, its connection, and its present attempt.
pub(super) struct Lane {
    agent: Agent,
    current: Arc<Current>,
    used: Instant,
    /// The process to which the lane belongs.
    generation: u32,
}

impl Lane {
    pub(super) fn new(dialer: &Arc<Dialer>) -> Self {
        let current = Arc::new(Current(AtomicPtr::default()));
        let connector = LaneConnector { dialer: dialer.clone(), current: current.clone() };
        // The agent needs no timeouts, because the connections check them. `User-Agent` and
        // `Accept` are among the constant headers.
        let config = Agent::config_builder()
            .proxy(None)
            .user_agent("")
            .accept("")
            .http_status_as_error(false)
            // Personal data and the API key must only be sent to the configured host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .input_buffer_size(BUFFERS)
            .output_buffer_size(BUFFERS)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            // The pool of lanes checks the age.
            .max_idle_age(std::time::Duration::MAX)
            .build();
        let agent = Agent::with_parts(config, connector, NoLookup);
        Self { agent, current, used: Instant::now(), generation: fork::generation() }
    }

    /// Runs `exchange` with the agent, for this attempt.
    pub(super) fn run<T>(
        &mut self,
        attempt: &Attempt<'_>,
        exchange: impl FnOnce(&Agent) -> T,
    ) -> T {
        struct Leave<'a>(&'a Current);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0 .0.store(ptr::null_mut(), Ordering::Relaxed);
            }
        }
        self.current.0.store(ptr::from_ref(attempt).cast_mut().cast(), Ordering::Relaxed);
        let _leave = Leave(&self.current);
        let outcome = exchange(&self.agent);
        self.used = attempt.ends();
        outcome
    }

    /// Returns when the lane was last used.
    pub(super) fn used(&self) -> Instant {
        self.used
    }

    /// Returns whether the lane was created before this process was forked. Its connection then
    /// belongs to the parent.
    pub(super) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }
}

/// The present attempt of a lane, or null between attempts.
struct Current(AtomicPtr<Attempt<'static>>);

impl Current {
    /// Runs `step` with the attempt.
    fn with<T>(&self, step: impl FnOnce(&Attempt<'_>) -> Result<T, WireError>) -> Result<T, Error> {
        // SAFETY: the pointer is null, or points to the attempt that `Lane::run` borrows until it
        // stores null here again. Only code that runs within `Lane::run` gets here, on the same
        // thread: one call at a time changes a lane, and neither its agent nor this pointer is
        // given to anyone else.
        let attempt = unsafe { self.0.load(Ordering::Relaxed).as_ref() };
        // Outside of an attempt, there is no I/O.
        step(attempt.ok_or(WireError::Closed)?).map_err(Error::from)
    }
}

/// The resolver of the agent, which returns nothing. The agent calls it before every request, even
/// if a connection is open already.
#[derive(Debug)]
struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Opens the connections of a lane.
struct LaneConnector {
    dialer: Arc<Dialer>,
    current: Arc<Current>,
}

impl Connector for LaneConnector {
    type Out = Connection;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let stream = self.current.with(|attempt| self.dialer.connect(attempt))?;
        let exchanges = Exchanges {
            stream,
            buffers: LazyBuffers::new(BUFFERS, BUFFERS),
            outgoing: Outgoing::new(self.dialer.constants()),
            incoming: Incoming::new(self.dialer.request_id_header.clone()),
            requests: 0,
            is_busy: false,
            refusal: None,
        };
        let is_tls = self.dialer.is_tls();
        let counted = self.dialer.connections.opens();
        Ok(Some(Connection { current: self.current.clone(), exchanges, is_tls, _counted: counted }))
    }
}

/// A connection, as the agent sees it.
struct Connection {
    current: Arc<Current>,
    exchanges: Exchanges,
    is_tls: bool,
    _counted: OpenConnection,
}

/// The requests and replies on a connection.
struct Exchanges {
    stream: Stream,
    buffers: LazyBuffers,
    outgoing: Outgoing,
    incoming: Incoming,
    requests: u32,
    /// Whether a request was sent since `is_open` was last called.
    is_busy: bool,
    /// Why the server accepts no more of the request. The rest of the request is dropped, because
    /// the reply may already be there.
    refusal: Option<WireError>,
}

impl Exchanges {
    /// Sends the buffered bytes. If the server does not accept them, the reply may already be
    /// there.
    fn send(&mut self, attempt: &Attempt<'_>) -> Result<(), WireError> {
        if !self.outgoing.is_empty() && self.refusal.is_none() {
            match self.stream.write_all(self.outgoing.bytes(), attempt) {
                Err(WireError::Stopped) => return Err(WireError::Stopped),
                sent => self.refusal = sent.err(),
            }
        }
        self.outgoing.forget();
        Ok(())
    }

    fn take_output(&mut self, amount: usize, attempt: &Attempt<'_>) -> Result<(), WireError> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        if attempt.begin_request(self.requests > 0) {
            if self.requests > 0 {
                attempt.emit(LogLevel::Trace, || {
                    let sentence =
                        format!("reuses a connection, for request {} on it", self.requests + 1);
                    Event::new("connection_reused", sentence).with("requests", self.requests)
                });
            }
            self.is_busy = true;
            self.incoming.expect_answer();
            self.outgoing.take_head(
                output,
                attempt.user_id(),
                attempt.api_key(),
                attempt.headers(),
            )?;
        } else {
            self.outgoing.take(output);
        }
        if self.outgoing.is_long() {
            self.send(attempt)?;
        }
        Ok(())
    }

    fn get_input(&mut self, attempt: &Attempt<'_>) -> Result<bool, WireError> {
        self.send(attempt)?;
        loop {
            let handed_on = self.incoming.hand_on(self.buffers.input_append_buf(), attempt)?;
            if handed_on > 0 {
                self.buffers.input_appended(handed_on);
                return Ok(true);
            }
            match self.stream.read(self.incoming.room(), attempt) {
                Ok(amount) if amount > 0 => {
                    self.incoming.came(amount);
                    attempt.bytes_came();
                }
                Err(WireError::Stopped) => return Err(WireError::Stopped),
                end => {
                    let cleanly = end.is_ok();
                    // If no reply was received, the reason why the request was not accepted is more
                    // helpful.
                    match (self.incoming.ends(cleanly), self.refusal.take(), end) {
                        (Ok(()), ..) => {}
                        (Err(_), Some(refusal), _) => return Err(refusal),
                        (Err(WireError::Cut), ..) => return Err(WireError::Cut),
                        (Err(_), None, Err(error)) => return Err(error),
                        (Err(error), None, Ok(_)) => return Err(error),
                    }
                    if self.incoming.is_over() {
                        return Ok(false);
                    }
                }
            }
        }
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.exchanges.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.current.with(|attempt| self.exchanges.take_output(amount, attempt))
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.current.with(|attempt| self.exchanges.get_input(attempt))
    }

    /// The agent calls this when it keeps the connection, and again when it reuses it. Only the
    /// second call checks the socket, because the server may close the connection in between.
    fn is_open(&mut self) -> bool {
        failpoint::reach("probe");
        let exchanges = &mut self.exchanges;
        if exchanges.is_busy {
            exchanges.is_busy = false;
            exchanges.requests += 1;
            let is_kept = exchanges.refusal.is_none() && exchanges.incoming.is_over();
            if is_kept {
                let _ = self.current.with(|attempt| {
                    attempt.keeps_connection();
                    Ok(())
                });
            }
            return is_kept;
        }
        let is_usable = exchanges.stream.is_usable();
        if !is_usable {
            let _ = self.current.with(|attempt| {
                attempt.emit(LogLevel::Debug, || {
                    let sentence =
                        "closed 1 connection: the server had closed it, or sent something unasked";
                    Event::new("connection_closed", sentence)
                        .with("connections", 1)
                        .with("why", "stale")
                });
                Ok(())
            });
        }
        is_usable
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Debug for LaneConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("requests", &self.exchanges.requests)
            .finish_non_exhaustive()
    }
}
