//! Name lookups: kept for a while, bounded by the deadline, and made only where a connection is.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::Error;

use crate::failpoint;
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

/// The names that were looked up.
#[derive(Clone)]
pub(crate) struct Names {
    ttl: Duration,
    /// A client talks to one host, through one proxy at most.
    known: Arc<Mutex<Vec<Known>>>,
}

struct Known {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Names {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, known: Arc::default() }
    }

    /// The addresses of a host, of which there is one at least.
    pub(crate) fn look_up(&self, host: &str, port: u16, attempt: &Attempt) -> Result<Vec<SocketAddr>, Error> {
        failpoint::reach("look_up");
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let now = Instant::now();
        if let Some(known) = self.lock().iter().find(|known| known.is(host, port) && known.until > now) {
            return Ok(known.addresses.clone());
        }
        let addresses = ask_system(host.to_owned(), port, attempt)?;
        self.forget(host, port);
        self.lock().push(Known { host: host.to_owned(), port, addresses: addresses.clone(), until: now + self.ttl });
        Ok(addresses)
    }

    /// Drops what is known of a host: its addresses may have changed.
    pub(crate) fn forget(&self, host: &str, port: u16) {
        self.lock().retain(|known| !known.is(host, port));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host.eq_ignore_ascii_case(host)
    }
}

/// The system's lookup cannot be given a time, so it runs on a thread that is left to itself where it takes too long.
fn ask_system(host: String, port: u16, attempt: &Attempt) -> Result<Vec<SocketAddr>, Error> {
    // Not a channel: waiting on one keeps a few bytes for the main thread that are never freed.
    let answer = Arc::new((Mutex::new(None), Condvar::new()));
    let theirs = answer.clone();
    let look_up = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        *theirs.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        theirs.1.notify_one();
    };
    let thread = thread::spawn("commbox-lookup", look_up)?;
    let (found, changed) = &*answer;
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let addresses = loop {
        if let Some(found) = found.take() {
            break found;
        }
        let slice = attempt.slice()?;
        found = changed.wait_timeout(found, slice).unwrap_or_else(PoisonError::into_inner).0;
    };
    // It has nothing left to do but to end; a program that ends now finds it gone.
    let _ = thread.join();
    match addresses {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Err(error) if shortage(&error).is_some() => Err(error.into()),
        // What else the system says differs from one to the next; it always means this.
        _ => Err(Error::HostNotFound),
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
