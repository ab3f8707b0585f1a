//! Asks a proxy to open a tunnel to the server: by `CONNECT` (RFC 9110, section 9.3.6) or SOCKS5
//! (RFC 1928, 1929).

use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use crate::transport::address::Target;
use crate::transport::attempt::Attempt;
use crate::transport::head::Head;
use crate::transport::proxy::Proxy;
use crate::transport::stream::Stream;
use crate::transport::wire_error::WireError;

/// Asks an HTTP proxy. Any 2xx status opens the tunnel.
pub(super) fn http(
    stream: &mut Stream,
    proxy: &Proxy,
    target: &Target,
    user_agent: &str,
    attempt: &Attempt<'_>,
) -> Result<(), WireError> {
    let place = format!("{}:{}", target.host, target.port);
    let mut request = Zeroizing::new(format!(
        "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: {user_agent}\r\nProxy-Connection: Keep-Alive\r\n"
    ));
    if let Some(credentials) = proxy.basic_credentials() {
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&credentials);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes(), attempt)?;

    // Only reading byte by byte would be entirely safe, because the server's first bytes may
    // follow. But TLS and HTTP servers do not send first.
    let mut input = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match Head::read(&input, None)? {
            None => {
                let amount = stream.read(&mut piece, attempt)?;
                if amount == 0 {
                    return Err(WireError::NotHttp);
                }
                input.extend_from_slice(piece.get(..amount).unwrap_or_default());
            }
            // This is an informational response. The reply follows.
            Some((head, length)) if head.status < 200 => {
                input.drain(..length);
            }
            Some((head, _)) if head.status < 300 => return Ok(()),
            Some((head, _)) => {
                return Err(WireError::ProxyRefused {
                    status: head.status,
                    schemes: head.schemes.unwrap_or_default(),
                })
            }
        }
    }
}

/// Where a SOCKS proxy must connect to.
pub(super) enum Destination<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

/// Asks a SOCKS5 proxy.
pub(super) fn socks5(
    stream: &mut Stream,
    proxy: &Proxy,
    destination: Destination<'_>,
    attempt: &Attempt<'_>,
) -> Result<(), WireError> {
    const VERSION: u8 = 5;
    const NO_CREDENTIALS: u8 = 0;
    const PASSWORD: u8 = 2;

    let credentials = proxy.credentials();
    let method = if credentials.is_some() { PASSWORD } else { NO_CREDENTIALS };
    stream.write_all(&[VERSION, 1, method], attempt)?;
    let [version, chosen] = read_exact::<2>(stream, attempt)?;
    if version != VERSION {
        return Err(WireError::Socks("it does not speak SOCKS5"));
    }
    match (chosen == method, credentials) {
        (true, Some((user, password))) => {
            let length = |text: &str| {
                u8::try_from(text.len())
                    .map_err(|_| WireError::Socks("its user or password has more than 255 bytes"))
            };
            let mut request = Zeroizing::new(vec![1, length(user)?]);
            request.extend_from_slice(user.as_bytes());
            request.push(length(password)?);
            request.extend_from_slice(password.as_bytes());
            stream.write_all(&request, attempt)?;
            let [_, status] = read_exact::<2>(stream, attempt)?;
            if status != 0 {
                return Err(WireError::Socks("it does not accept the user and the password"));
            }
        }
        (true, None) => {}
        (false, None) => return Err(WireError::Socks("it asks for a user and a password")),
        (false, Some(_)) => {
            return Err(WireError::Socks("it does not accept a user and a password"))
        }
    }

    let mut request = vec![VERSION, 1, 0];
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let port = match destination {
        Destination::Address(address) => {
            push_address(&mut request, address.ip());
            address.port()
        }
        Destination::Name(host, port) => {
            match bare(host) {
                Ok(address) => push_address(&mut request, address),
                Err(_) => {
                    let length = u8::try_from(host.len()).map_err(|_| {
                        WireError::Socks("the name of the host has more than 255 bytes")
                    })?;
                    request.extend([3, length]);
                    request.extend_from_slice(host.as_bytes());
                }
            }
            port
        }
    };
    request.extend(port.to_be_bytes());
    stream.write_all(&request, attempt)?;
    let [_, reply, _, kind] = read_exact::<4>(stream, attempt)?;
    match reply {
        0 => {}
        2 => return Err(WireError::Socks("its rules do not allow this host")),
        3 | 4 => return Err(WireError::Socks("it cannot reach the host")),
        5 => return Err(WireError::Socks("the host refused its connection")),
        6 => return Err(WireError::Socks("the host did not answer it in time")),
        _ => return Err(WireError::Socks("it failed")),
    }
    // The address from which the proxy connects is ignored.
    match kind {
        1 => read_exact::<6>(stream, attempt).map(|_| ()),
        4 => read_exact::<18>(stream, attempt).map(|_| ()),
        3 => {
            let [length] = read_exact::<1>(stream, attempt)?;
            (0..usize::from(length) + 2)
                .try_for_each(|_| read_exact::<1>(stream, attempt).map(|_| ()))
        }
        _ => Err(WireError::Socks("it does not speak SOCKS5")),
    }
}

fn push_address(request: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            request.push(1);
            request.extend(address.octets());
        }
        IpAddr::V6(address) => {
            request.push(4);
            request.extend(address.octets());
        }
    }
}

fn read_exact<const COUNT: usize>(
    stream: &mut Stream,
    attempt: &Attempt<'_>,
) -> Result<[u8; COUNT], WireError> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest, attempt)? {
            0 => return Err(WireError::Socks("it closed the connection")),
            amount => filled += amount,
        }
    }
    Ok(bytes)
}
