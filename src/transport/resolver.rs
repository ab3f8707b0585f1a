//! Name lookups: one of a name at a time, for all who wait for it; kept for a while, and made where a connection is.

use std::fmt;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::Error;

use crate::failpoint;
use crate::fork;
use crate::thread;
use crate::transport::attempt::Attempt;
use crate::transport::failure::shortage;

/// The agent's resolver, which it asks before every request: it leaves the lookup to the connector, for most requests
/// find a connection that is open already.
#[derive(Debug)]
pub(crate) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// How long an answer is kept at least that came when nobody waited for it any more: until the next attempt, which would
/// wait as long in vain otherwise, and so would every one after it.
const KEPT_FOR_NEXT: Duration = Duration::from_secs(10);

/// The lookups of names, under way or answered.
#[derive(Clone)]
pub(crate) struct Names {
    ttl: Duration,
    /// One of each name. A client talks to one host, through one proxy at most.
    lookups: Arc<Mutex<Vec<Arc<Lookup>>>>,
}

impl Names {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, lookups: Arc::default() }
    }

    /// The addresses of a host, of which there is one at least.
    pub(crate) fn look_up(&self, host: &str, port: u16, attempt: &Attempt) -> Result<Vec<SocketAddr>, Error> {
        failpoint::reach("look_up");
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let lookup = self.held(|lookups| {
            let now = Instant::now();
            let known = lookups.iter().position(|lookup| lookup.is(host, port));
            match known.and_then(|place| lookups.get_mut(place)) {
                Some(lookup) if lookup.serves(now) => Ok(lookup.clone()),
                former => {
                    let lookup = Arc::new(Lookup::new(host.to_owned(), port));
                    match former {
                        Some(former) => *former = lookup.clone(),
                        None => lookups.push(lookup.clone()),
                    }
                    // Not before: it may have its answer at once, and then looks who has it.
                    lookup.start(self.ttl)?;
                    io::Result::Ok(lookup)
                }
            }
        })?;
        lookup.wait(attempt)
    }

    /// Drops what is known of a host: its addresses may have changed.
    pub(crate) fn forget(&self, host: &str, port: u16) {
        self.learn(host, port, None);
    }

    /// Has the next connection try first what this one came to after others.
    pub(crate) fn prefer(&self, host: &str, port: u16, address: &SocketAddr) {
        self.learn(host, port, Some(address));
    }

    /// Learns which address is good, or that none is.
    fn learn(&self, host: &str, port: u16, good: Option<&SocketAddr>) {
        let Some(lookup) = self.held(|lookups| lookups.iter().find(|lookup| lookup.is(host, port)).cloned()) else {
            return;
        };
        let mut state = lookup.state();
        if let Some(answer) = state.as_mut().and_then(|state| state.answer.as_mut()) {
            match good {
                None => answer.until = Instant::now(),
                Some(good) => {
                    if let Some(place) = answer.addresses.iter().position(|known| known == good) {
                        answer.addresses.swap(0, place);
                    }
                }
            }
        }
    }

    fn held<T>(&self, section: impl FnOnce(&mut Vec<Arc<Lookup>>) -> T) -> T {
        fork::held(|| section(&mut self.lookups.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A lookup by the system, which cannot be given a time: it runs on a thread that is left to itself where it takes too
/// long for those who wait.
struct Lookup {
    host: String,
    port: u16,
    /// The process that the thread belongs to.
    generation: u32,
    state: Mutex<State>,
    /// Not a channel: waiting on one keeps a few bytes for the main thread that are never freed.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    /// None while it is under way.
    answer: Option<Answer>,
    /// For the first who gets the answer to join.
    thread: Option<JoinHandle<()>>,
}

struct Answer {
    /// None where it failed.
    addresses: Vec<SocketAddr>,
    /// The system's error, where it told one.
    error: Option<i32>,
    until: Instant,
}

impl Lookup {
    fn new(host: String, port: u16) -> Self {
        Self { host, port, generation: fork::generation(), state: Mutex::default(), answered: Condvar::new() }
    }

    fn start(self: &Arc<Self>, ttl: Duration) -> io::Result<()> {
        let theirs = self.clone();
        let started = thread::spawn("commbox-lookup", move || theirs.run(ttl));
        let mut state = self.lock();
        match started {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                // It serves nobody, so the next attempt starts another.
                state.answer = Some(Answer { addresses: Vec::new(), error: None, until: Instant::now() });
                return Err(error);
            }
        }
        Ok(())
    }

    fn run(self: &Arc<Self>, ttl: Duration) {
        let (addresses, error) = match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(addresses) => (addresses.collect(), None),
            Err(error) => (Vec::new(), error.raw_os_error()),
        };
        fork::held(|| {
            let mut state = self.lock();
            let ttl = match addresses.is_empty() {
                true => Duration::ZERO,
                // But for this thread and the list, who has it waits for it.
                false if Arc::strong_count(self) > 2 => ttl,
                false => ttl.max(KEPT_FOR_NEXT),
            };
            state.answer = Some(Answer { addresses, error, until: Instant::now() + ttl });
        });
        self.answered.notify_all();
    }

    fn wait(&self, attempt: &Attempt) -> Result<Vec<SocketAddr>, Error> {
        let (found, thread) = loop {
            // Without the lock, for an interrupt may make a call of its own.
            let slice = attempt.slice()?;
            // In the child of an interrupt that forks, the next attempt looks up anew.
            let state = self.state().ok_or(Error::ConnectionFailed)?;
            let waited = self.answered.wait_timeout_while(state, slice, |state| state.answer.is_none());
            let state = &mut *waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(answer) = &state.answer {
                let found = match answer.error.map(io::Error::from_raw_os_error) {
                    _ if !answer.addresses.is_empty() => Ok(answer.addresses.clone()),
                    Some(error) if shortage(&error).is_some() => Err(error.into()),
                    // What else the system says differs from one to the next; it always means this.
                    _ => Err(Error::HostNotFound),
                };
                break (found, state.thread.take());
            }
        };
        // It has nothing left to do but to end; a program that ends now finds it gone.
        let _ = thread.map(JoinHandle::join);
        found
    }

    fn is(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host == host
    }

    /// Whether it has an answer at this time, or will have one.
    fn serves(&self, now: Instant) -> bool {
        self.state().is_some_and(|state| state.answer.as_ref().is_none_or(|answer| answer.until > now))
    }

    /// None of one that a parent made: its thread is not here, and its lock may be held for ever.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        (self.generation == fork::generation()).then(|| self.lock())
    }

    // Several ask, and none is in a hurry.
    #[inline(never)]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // What it names may be another thread here, which is not to be let go.
            mem::forget(self.state.get_mut().unwrap_or_else(PoisonError::into_inner).thread.take());
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
