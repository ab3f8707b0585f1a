//! Opens connections: to the server or its proxy, through the proxy's tunnel, and with TLS.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::error::{millis, Result as Made};
use crate::failpoint;
use crate::fork;
use crate::log::{Event, LogLevel};
use crate::options::Options;
use crate::stats::Connections;
use crate::transport::address::{Address, Target};
use crate::transport::attempt::Attempt;
use crate::transport::outgoing::Constants;
use crate::transport::proxy::{self, Proxy, Scheme};
use crate::transport::ready;
use crate::transport::resolver::Names;
use crate::transport::socket::Socket;
use crate::transport::stream::Stream;
use crate::transport::tls::{TlsStream, Trust};
use crate::transport::tunnel;
use crate::transport::wire_error::WireError;

/// How long to wait for an address before the next one is tried in parallel (RFC 8305, section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What the connections of a client are made from.
pub(super) struct Dialer {
    pub(super) target: Target,
    pub(super) proxy: Option<Proxy>,
    names: Names,
    trust: Trust,
    constants: Arc<Constants>,
    user_agent: String,
    /// Counts the open connections.
    pub(super) connections: Arc<Connections>,
    /// The additional header that may contain the request id.
    pub(super) request_id_header: Option<Arc<str>>,
}

impl Dialer {
    pub(super) fn new(
        options: &Options,
        users: &Address,
        connections: Arc<Connections>,
    ) -> Made<Self> {
        let user_agent = match options.user_agent.as_deref() {
            Some(suffix) => format!("commbox/{} {suffix}", env!("CARGO_PKG_VERSION")),
            None => format!("commbox/{}", env!("CARGO_PKG_VERSION")),
        };
        let target = users.target();
        Ok(Self {
            proxy: proxy::choose(options, &target)?,
            target,
            names: Names::new(options.dns_ttl, options.connect_timeout),
            trust: Trust::new(options)?,
            constants: Arc::new(Constants::new(users, &user_agent)),
            user_agent,
            connections,
            request_id_header: options.request_id_header.as_deref().map(Arc::from),
        })
    }

    /// Returns the parts that all requests have in common.
    pub(super) fn constants(&self) -> Arc<Constants> {
        self.constants.clone()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.target.is_tls
    }

    /// Opens a connection to the server.
    pub(super) fn connect(&self, attempt: &Attempt<'_>) -> Result<Stream, WireError> {
        failpoint::reach("connect");
        let (target, began) = (&self.target, Instant::now());
        let mut stream = match &self.proxy {
            None => self.dial(&target.host, target.port, attempt)?,
            Some(proxy) => self.tunnel(proxy, attempt)?,
        };
        if target.is_tls {
            stream = TlsStream::handshake(stream, &target.host, &self.trust, attempt)?;
        }
        attempt.emit(LogLevel::Debug, || {
            let (took, tls) = (millis(began.elapsed()), stream.tls_version());
            let way = if self.proxy.is_some() { " through the proxy" } else { "" };
            let under = tls.map_or(String::new(), |tls| format!(" under {tls}"));
            let sentence = format!(
                "opened a connection to {}, port {}{way}{under} in {took} ms",
                target.host, target.port
            );
            Event::new("connection_opened", sentence)
                .with("host", target.host.as_str())
                .with("port", target.port)
                .with("proxy", self.proxy.is_some())
                .with("tls", tls)
                .with("elapsed_ms", took)
        });
        Ok(stream)
    }

    /// Opens a connection to the server through the proxy.
    fn tunnel(&self, proxy: &Proxy, attempt: &Attempt<'_>) -> Result<Stream, WireError> {
        let stream = self.dial(&proxy.host, proxy.port, attempt)?;
        self.through(proxy, stream, attempt)
    }

    /// Asks a connected proxy to connect to the server.
    fn through(
        &self,
        proxy: &Proxy,
        mut stream: Stream,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        match proxy.scheme {
            Scheme::Http => {
                tunnel::http(&mut stream, proxy, &self.target, &self.user_agent, attempt)?
            }
            Scheme::Https => {
                stream = TlsStream::handshake(stream, &proxy.host, &self.trust, attempt)?;
                tunnel::http(&mut stream, proxy, &self.target, &self.user_agent, attempt)?;
            }
            Scheme::Socks5 => {
                let address = *self
                    .names
                    .look_up(&self.target.host, self.target.port, attempt)?
                    .first()
                    .ok_or(WireError::NameNotFound)?;
                tunnel::socks5(&mut stream, proxy, tunnel::Destination::Address(address), attempt)?;
            }
            Scheme::Socks5h => {
                let destination = tunnel::Destination::Name(&self.target.host, self.target.port);
                tunnel::socks5(&mut stream, proxy, destination, attempt)?;
            }
        }
        attempt.enters_tunnel();
        Ok(stream)
    }

    // The same steps as single operations, for diagnostics.

    pub(super) fn look_up(
        &self,
        host: &str,
        port: u16,
        attempt: &Attempt<'_>,
    ) -> Result<Vec<SocketAddr>, WireError> {
        self.names.look_up(host, port, attempt)
    }

    pub(super) fn dial_one(
        &self,
        address: SocketAddr,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        Ok(Box::new(Socket::new(race(&[address], attempt)?.1)?))
    }

    pub(super) fn through_proxy(
        &self,
        stream: Stream,
        attempt: &Attempt<'_>,
    ) -> Result<Stream, WireError> {
        match &self.proxy {
            Some(proxy) => self.through(proxy, stream, attempt),
            None => Ok(stream),
        }
    }

    /// Stores the server's certificates in `seen`, whether they are accepted or not.
    pub(super) fn recorded_handshake(
        &self,
        stream: Stream,
        attempt: &Attempt<'_>,
        seen: &mut Vec<Vec<u8>>,
    ) -> Result<Stream, WireError> {
        let (config, verifier) = self.trust.recording(attempt)?;
        let under = TlsStream::handshake_with(stream, &self.target.host, config, attempt);
        *seen = verifier.take_seen();
        under
    }

    /// Connects to one of the addresses of a host.
    fn dial(&self, host: &str, port: u16, attempt: &Attempt<'_>) -> Result<Stream, WireError> {
        let addresses = self.names.look_up(host, port, attempt)?;
        match race(&addresses, attempt) {
            Ok((address, stream)) => {
                self.names.prefer(host, port, address);
                Ok(Box::new(Socket::new(stream)?))
            }
            Err(error) => {
                // The addresses may have changed.
                self.names.forget(host, port);
                Err(error)
            }
        }
    }
}

/// Connects to the address that answers first. Each address gets a head start over the next one.
fn race(
    addresses: &[SocketAddr],
    attempt: &Attempt<'_>,
) -> Result<(SocketAddr, fork::Socket), WireError> {
    let until = Instant::now() + attempt.connect_time();
    let mut waiting = addresses.iter();
    let mut next = Instant::now();
    let mut begun: Vec<(SocketAddr, fork::Socket)> = Vec::new();
    let mut failure = WireError::NoAddressAnswered;
    loop {
        let slice = attempt.slice()?;
        let now = Instant::now();
        if now >= until {
            return Err(WireError::NoAddressAnswered);
        }
        if now >= next || begun.is_empty() {
            match waiting.next() {
                None if begun.is_empty() => return Err(failure),
                None => {}
                Some(address) => {
                    match fork::Socket::make(|| begin_connect(address)) {
                        Ok(socket) => begun.push((*address, socket)),
                        Err(error) => failure = error.into(),
                    }
                    next = now + NEXT_ADDRESS;
                    continue;
                }
            }
        }
        let mut slice = slice.min(until - now);
        if waiting.len() > 0 {
            slice = slice.min(next.saturating_duration_since(now));
        }
        let ready = ready::writable(begun.iter().map(|(_, socket)| &**socket), slice)?;
        for ((address, socket), is_ready) in mem::take(&mut begun).into_iter().zip(ready) {
            match socket.take_error().map(|error| {
                error.or_else(|| (!is_ready).then(|| io::ErrorKind::WouldBlock.into()))
            }) {
                Ok(None) => return Ok((address, socket)),
                Ok(Some(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    begun.push((address, socket))
                }
                Ok(Some(error)) | Err(error) => {
                    failure = error.into();
                    // An address has failed, so try the next one at once.
                    next = Instant::now();
                }
            }
        }
    }
}

/// Creates a socket and starts to connect it.
fn begin_connect(address: &SocketAddr) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Type};

    let socket =
        socket2::Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&(*address).into()) {
        Err(error) if !ready::is_under_way(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::watch::{Canceller, Watch};
    use crate::secret::ApiKey;
    use crate::transport::attempt::Limits;
    use std::net::TcpListener;

    /// Returns a listener whose queue is full and which accepts nothing more, so that connecting to
    /// it takes forever.
    fn deaf() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
        }
        (listener, queue, address)
    }

    #[test]
    fn each_unresponsive_address_delays_the_next_by_a_head_start() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = good.local_addr().unwrap();
        let (_listener, _queue, dead) = deaf();
        let watch = Watch::new(Duration::from_secs(20), Canceller::default(), None);
        let key = ApiKey::new("key").unwrap();
        let limits = Limits { attempt: Duration::from_secs(20), connect: Duration::from_secs(10) };
        for count in [0, 1, 3] {
            let mut addresses = vec![dead; count];
            addresses.push(good);
            let began = Instant::now();
            let (address, _) =
                race(&addresses, &Attempt::new(&watch, 1, &key, b"", limits)).unwrap();
            assert_eq!(address, good);
            let took = began.elapsed();
            let head_starts = NEXT_ADDRESS * u32::try_from(count).unwrap();
            assert!(
                took >= head_starts && took < head_starts + Duration::from_secs(2),
                "{count}: {took:?}"
            );
        }
        let limits = Limits { connect: Duration::from_millis(400), ..limits };
        let error = race(&[dead], &Attempt::new(&watch, 1, &key, b"", limits)).unwrap_err();
        assert!(matches!(error, WireError::Stopped | WireError::NoAddressAnswered), "{error}");
    }

    #[test]
    fn an_address_that_refuses_causes_no_delay() {
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let watch = Watch::new(Duration::from_secs(20), Canceller::default(), None);
        let key = ApiKey::new("key").unwrap();
        let limits = Limits { attempt: Duration::from_secs(20), connect: Duration::from_secs(10) };
        let addresses = [refusing, refusing, good.local_addr().unwrap()];
        assert_eq!(
            race(&addresses, &Attempt::new(&watch, 1, &key, b"", limits)).unwrap().0,
            addresses[2]
        );
        let error = race(&addresses[..2], &Attempt::new(&watch, 1, &key, b"", limits)).unwrap_err();
        assert!(
            matches!(error, WireError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
        );
    }
}
