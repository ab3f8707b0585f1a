//! DNS lookups. One lookup of a host serves all calls that wait for it, and its result is cached.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::millis;
use crate::failpoint;
use crate::fork;
use crate::log::{Event, LogLevel};
use crate::options;
use crate::thread;
use crate::transport::attempt::Attempt;
use crate::transport::shortage::shortage;
use crate::transport::wire_error::WireError;

/// The minimum time to cache a lookup that completed after its waiters gave up. It lasts until the
/// next attempt, which would otherwise wait equally long in vain, as would all attempts after it.
const KEPT_FOR_NEXT: Duration = Duration::from_secs(10);

/// The maximum number of concurrent lookups of a host. There can be several, because the system may
/// never end one of them.
const MOST_AT_ONCE: usize = 4;

/// The hosts of a client: its server and its proxy.
#[derive(Clone)]
pub(super) struct Names {
    ttl: Duration,
    /// How long to wait for a lookup before another one begins.
    patience: Duration,
    hosts: Arc<Mutex<Vec<Arc<Host>>>>,
}

impl Names {
    /// Another lookup begins after two consecutive attempts have waited in vain. So a slow lookup
    /// still serves the second attempt.
    pub(super) fn new(ttl: Duration, connect_timeout: Duration) -> Self {
        Self { ttl, patience: 2 * connect_timeout, hosts: Arc::default() }
    }

    /// Returns the addresses of a host, at least one. The address to try first comes first.
    pub(super) fn look_up(
        &self,
        host: &str,
        port: u16,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<SocketAddr>, WireError> {
        failpoint::reach("look_up");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if options::is_loopback(host) {
            // The system's entry for this name is ignored: requests to this machine that may be
            // sent in the clear must stay on it (RFC 6761, section 6.3).
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(loopback.map(|address: IpAddr| SocketAddr::new(address, port)).into());
        }
        let known = self.host(host, port);
        attempt.looks_up(false);
        let began = Instant::now();
        let (found, is_new) = known.look_up(self, attempt)?;
        attempt.looks_up(true);
        if is_new {
            attempt.emit(LogLevel::Debug, || {
                let (count, took) = (found.len(), millis(began.elapsed()));
                let sentence = format!("looked up {host} in {took} ms: {count} addresses");
                let event =
                    Event::new("lookup", sentence).with("host", host).with("addresses", count);
                event.with("elapsed_ms", took)
            });
        }
        Ok(found)
    }

    /// Removes the cached addresses of a host, because they may have changed.
    pub(super) fn forget(&self, host: &str, port: u16) {
        if let Some(mut state) = self.host(host, port).state() {
            state.answer = None;
        }
    }

    /// Makes the next connection try this address first, even after another lookup.
    pub(super) fn prefer(&self, host: &str, port: u16, address: SocketAddr) {
        if let Some(mut state) = self.host(host, port).state() {
            state.preferred = Some(address);
        }
    }

    fn host(&self, name: &str, port: u16) -> Arc<Host> {
        fork::held(|| {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let generation = fork::generation();
            // A parent's lookups are of no use: its threads do not exist here, and its locks may be
            // held forever.
            hosts.retain(|host| host.generation == generation);
            match hosts.iter().find(|host| host.port == port && host.name == name) {
                Some(host) => host.clone(),
                None => {
                    let host = Arc::new(Host::new(name.to_owned(), port, generation));
                    hosts.push(host.clone());
                    host
                }
            }
        })
    }
}

/// The lookups of a host. A lookup by the system has no timeout. It runs on a thread of its own,
/// which continues if the waiting calls give up.
struct Host {
    name: String,
    port: u16,
    /// The process to which the threads belong.
    generation: u32,
    state: Mutex<State>,
    /// A channel is not used, because blocking on one allocates a few bytes for the main thread
    /// that are never freed.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    /// The number and the start of each running lookup.
    running: Vec<(u64, Instant)>,
    lookups: u64,
    waiting: usize,
    /// The threads, which the first call that receives the result joins.
    threads: Vec<JoinHandle<()>>,
    preferred: Option<SocketAddr>,
}

#[derive(Clone)]
struct Answer {
    /// The number of the lookup that returned it.
    number: u64,
    /// The addresses. Empty if the lookup failed.
    addresses: Vec<SocketAddr>,
    /// The system's error, if there was one.
    error: Option<i32>,
    until: Instant,
}

impl Host {
    fn new(name: String, port: u16, generation: u32) -> Self {
        Self { name, port, generation, state: Mutex::default(), answered: Condvar::new() }
    }

    /// Returns the addresses, and whether they are from a new lookup.
    fn look_up(
        self: &Arc<Self>,
        names: &Names,
        attempt: &Attempt<'_>,
    ) -> Result<(Vec<SocketAddr>, bool), WireError> {
        /// Decrements the number of waiting calls, however the wait ends.
        struct Waiting<'a>(&'a Host);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                if let Some(mut state) = self.0.state() {
                    state.waiting -= 1;
                }
            }
        }

        let seen = {
            let mut state = self.state().ok_or(WireError::Closed)?;
            if let Some(answer) =
                state.answer.as_ref().filter(|answer| answer.until > Instant::now())
            {
                return Ok((in_order(&answer.addresses, state.preferred), false));
            }
            state.waiting += 1;
            // Results up to this number have expired.
            state.answer.as_ref().map_or(0, |answer| answer.number)
        };
        let _waiting = Waiting(self);
        let (answer, preferred, threads): (_, _, Vec<_>) = loop {
            // Do not hold the lock here, because a callback may make a call itself.
            let slice = attempt.slice()?;
            let is_new =
                |state: &State| state.answer.as_ref().is_some_and(|answer| answer.number > seen);
            self.start(names, is_new)?;
            // If the callback forks, the call fails in the child, and the next attempt starts a new
            // lookup.
            let state = self.state().ok_or(WireError::Closed)?;
            let waited = self.answered.wait_timeout_while(state, slice, |state| !is_new(state));
            let state = &mut *waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(answer) = state.answer.clone().filter(|answer| answer.number > seen) {
                let is_over =
                    |thread: &JoinHandle<()>| thread.is_finished() || state.running.is_empty();
                let (over, running) = mem::take(&mut state.threads).into_iter().partition(is_over);
                state.threads = running;
                break (answer, state.preferred, over);
            }
        };
        // These threads are about to end. They are joined so that they are gone if the program ends
        // now.
        for thread in threads {
            let _ = thread.join();
        }
        match answer.error.map(io::Error::from_raw_os_error) {
            _ if !answer.addresses.is_empty() => Ok((in_order(&answer.addresses, preferred), true)),
            Some(error) if shortage(&error).is_some() => Err(error.into()),
            // Other errors differ between systems, and all mean that the name was not found.
            _ => Err(WireError::NameNotFound),
        }
    }

    /// Starts a lookup if none is running or all running ones take too long, unless the result is
    /// there.
    fn start(
        self: &Arc<Self>,
        names: &Names,
        is_answered: impl Fn(&State) -> bool,
    ) -> Result<(), WireError> {
        fork::held(|| {
            let mut state = self.state().ok_or(WireError::Closed)?;
            if is_answered(&state) {
                return Ok(());
            }
            let is_recent = |(_, began): &(u64, Instant)| began.elapsed() < names.patience;
            if state.running.len() >= MOST_AT_ONCE || state.running.iter().any(is_recent) {
                return Ok(());
            }
            state.lookups += 1;
            let number = state.lookups;
            let (host, ttl) = (self.clone(), names.ttl);
            let thread = thread::spawn("commbox-lookup", move || host.run(number, ttl))
                .map_err(|_| WireError::NoThread)?;
            state.running.push((number, Instant::now()));
            state.threads.push(thread);
            Ok(())
        })
    }

    fn run(&self, number: u64, ttl: Duration) {
        let (addresses, error) = match (self.name.as_str(), self.port).to_socket_addrs() {
            Ok(addresses) => (addresses.collect(), None),
            Err(error) => (Vec::new(), error.raw_os_error().or_else(shortage_of_sockets)),
        };
        fork::held(|| {
            let mut state = self.lock();
            state.running.retain(|(running, _)| *running != number);
            let ttl = match addresses.is_empty() {
                true => Duration::ZERO,
                false if state.waiting > 0 => ttl,
                false => ttl.max(KEPT_FOR_NEXT),
            };
            if state.answer.as_ref().is_none_or(|answer| answer.number < number) {
                state.answer =
                    Some(Answer { number, addresses, error, until: Instant::now() + ttl });
            }
        });
        self.answered.notify_all();
    }

    /// Returns `None` if the host belongs to the parent, whose lock may be held forever.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        (self.generation == fork::generation()).then(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // In a forked child, the handles may refer to other threads, so they must not be
            // dropped.
            mem::forget(mem::take(
                &mut self.state.get_mut().unwrap_or_else(PoisonError::into_inner).threads,
            ));
        }
    }
}

/// Returns the system's error if no socket can be created now. The lookup then wrongly reports that
/// the name does not exist.
fn shortage_of_sockets() -> Option<i32> {
    let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err()?;
    shortage(&error).and(error.raw_os_error())
}

/// Returns the address that answered last, then the others in the system's order, but with
/// alternating families (RFC 8305, section 4). So a family without a route costs only one head
/// start.
fn in_order(addresses: &[SocketAddr], preferred: Option<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = preferred.filter(|preferred| addresses.contains(preferred));
    let first = preferred.or(addresses.first().copied());
    let Some(first) = first else {
        return Vec::new();
    };
    let others = || addresses.iter().copied().filter(|address| *address != first);
    let mut same = others().filter(|address| address.is_ipv4() == first.is_ipv4());
    let mut other = others().filter(|address| address.is_ipv4() != first.is_ipv4());
    let mut order = vec![first];
    loop {
        let (one, two) = (other.next(), same.next());
        if one.is_none() && two.is_none() {
            return order;
        }
        order.extend(one);
        order.extend(two);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_alternate_after_the_last_good_address() {
        let of = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|one| one.parse().unwrap()).collect()
        };
        let all = of("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1");
        assert_eq!(in_order(&all, None), of("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"));
        assert_eq!(in_order(&all, Some(all[4])), of("2.2.2.2:1 [::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"));
        assert_eq!(in_order(&all[..1], Some(all[4])), of("[::1]:1"));
        assert!(in_order(&[], None).is_empty());
    }
}
