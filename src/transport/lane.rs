//! A lane: one HTTP agent that keeps one connection at most, and the attempt that it makes now.
//!
//! A call has a lane for itself, so what belongs to the attempt (its deadline, its API key, how far it came) is the
//! lane's own and is handed down to the connection. Nothing is shared between lanes or found by thread: a program may
//! switch stacks or fork in its interrupt callback, and make other calls there.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Arc;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
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

/// Of the agent, for what comes in and goes out; the head of a request fits.
const BUFFERS: usize = 10 << 10;

/// One agent, its connection, and the attempt that it makes.
pub(super) struct Lane {
    agent: Agent,
    current: Arc<Current>,
    used: Instant,
    /// The process that it belongs to.
    generation: u32,
}

impl Lane {
    pub(super) fn new(dialer: &Arc<Dialer>) -> Self {
        let current = Arc::new(Current(AtomicPtr::default()));
        let connector = LaneConnector { dialer: dialer.clone(), current: current.clone() };
        // No time-outs here: the connections see to them, and to more. What agents tell of themselves is among the
        // constant headers.
        let config = Agent::config_builder()
            .proxy(None)
            .user_agent("")
            .accept("")
            .http_status_as_error(false)
            // Personal data and the key go to the configured host only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .input_buffer_size(BUFFERS)
            .output_buffer_size(BUFFERS)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            // The pool of lanes sees to their age.
            .max_idle_age(std::time::Duration::MAX)
            .build();
        let agent = Agent::with_parts(config, connector, NoLookup);
        Self { agent, current, used: Instant::now(), generation: fork::generation() }
    }

    /// Runs `exchange` with the agent, as this attempt.
    pub(super) fn run<T>(&mut self, attempt: &Attempt<'_>, exchange: impl FnOnce(&Agent) -> T) -> T {
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

    /// When it was last used.
    pub(super) fn used(&self) -> Instant {
        self.used
    }

    /// Whether it was made before a fork that this process came from: its connection is the parent's then.
    pub(super) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }
}

/// The attempt that a lane makes; null between attempts.
struct Current(AtomicPtr<Attempt<'static>>);

impl Current {
    /// Runs `step` with the attempt.
    fn with<T>(&self, step: impl FnOnce(&Attempt<'_>) -> Result<T, WireError>) -> Result<T, Error> {
        // SAFETY: null, or the attempt that `Lane::run` borrows until it puts null here again. Only what runs within
        // that comes here, on the same thread: a lane is changed by one call at a time, and neither its agent nor this
        // are given to anyone else.
        let attempt = unsafe { self.0.load(Ordering::Relaxed).as_ref() };
        // Outside of one there is no I/O.
        step(attempt.ok_or(WireError::Closed)?).map_err(Error::from)
    }
}

/// The agent's resolver, which it asks before every request: most of them find a connection that is open already.
#[derive(Debug)]
struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Makes a lane's connections.
struct LaneConnector {
    dialer: Arc<Dialer>,
    current: Arc<Current>,
}

impl Connector for LaneConnector {
    type Out = Connection;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Connection>, Error> {
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

/// What goes over a connection.
struct Exchanges {
    stream: Stream,
    buffers: LazyBuffers,
    outgoing: Outgoing,
    incoming: Incoming,
    requests: u32,
    /// Whether a request was sent since the connection was last looked at.
    is_busy: bool,
    /// Why the server takes no more of the request. What is left of that is dropped, for the answer may be there.
    refusal: Option<WireError>,
}

impl Exchanges {
    /// Sends what was held back. If the server takes no more of it, the answer may be there.
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
                    let sentence = format!("reuses a connection, for request {} on it", self.requests + 1);
                    Event::new("connection_reused", sentence).with("requests", self.requests)
                });
            }
            self.is_busy = true;
            self.incoming.expect_answer();
            self.outgoing.take_head(output, attempt.user_id(), attempt.api_key(), attempt.headers())?;
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
                    // Where no answer came, why nothing more was taken tells more.
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

    /// The agent asks when it keeps the connection, and when it takes it for the next request: only then the system is
    /// asked, for between the two the server may close it.
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
                    let sentence = "closed 1 connection: the server had closed it, or sent something unasked";
                    Event::new("connection_closed", sentence).with("connections", 1).with("why", "stale")
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
        f.debug_struct("Connection").field("requests", &self.exchanges.requests).finish_non_exhaustive()
    }
}
