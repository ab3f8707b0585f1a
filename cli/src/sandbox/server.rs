//! Connections: accepts them, handles TLS, and ends them abruptly if a script asks for it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

use super::api::Sandbox;
use super::payload::Fault;

/// Serves every connection until the listener fails.
pub async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sandbox: Rc<Sandbox>,
) -> io::Error {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The client disconnected before it was accepted; continue with the next one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return error,
        };
        let (tls, sandbox) = (tls.clone(), sandbox.clone());
        tokio::task::spawn_local(async move {
            // Only this client is affected if its connection cannot be set up.
            if stream.set_nodelay(true).is_err() {
                return;
            }
            match tls {
                None => serve(stream, sandbox).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, sandbox).await;
                    }
                }
            }
        });
    }
}

/// Answers the requests of one connection until either side ends it.
async fn serve<S: Stream>(stream: S, sandbox: Rc<Sandbox>) {
    let service = service_fn(|request| Box::pin(sandbox.answer(request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let outcome = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    if outcome.is_err_and(|error| is_reset(&error)) {
        // With a linger time of zero, dropping the socket sends RST instead of FIN.
        let _ = stream.tcp().set_zero_linger();
    } else {
        let _ = stream.shutdown().await;
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    matches!(error.source().and_then(|source| source.downcast_ref()), Some(Fault::Reset))
}

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Creates a TLS acceptor with a new certificate for this machine, and writes the certificate to
/// `path` for clients to trust.
pub fn tls_acceptor(path: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(path, made.cert.pem())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
