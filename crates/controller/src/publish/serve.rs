//! Serves the distribution protocol on a listener until the process drains: connections, TLS handshakes and HTTP/2, all bounded.
//!
//! On hyper itself: tonic's own server knows certificates that never change only.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coraza_proto::v1alpha1::distribution_server::DistributionServer;
use coraza_proto::{CACHE_IDENTITY, limits};
use coraza_runtime::log::{News, chain};
use coraza_runtime::tls::{self, ServerTls};
use coraza_runtime::{drain, drain::Watch};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;

use super::Publisher;
use super::exchange::MAX_SESSIONS;
use super::service::Service;

/// How often a silent peer is asked whether it lives, and how long it may take to answer: a dead one is gone after 15 s, about
/// when a Lease would be.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once: a cache's new one may overlap with the end of its old one.
const MAX_CONNECTIONS: usize = 2 * MAX_SESSIONS;
/// Streams of a connection: a cache opens one.
const MAX_STREAMS: u32 = 4;
/// Header bytes of a request; ours have a few hundred.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// How long a handshake may take: several round trips between distant zones on a busy machine.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whether its certificate says so.
    pub(super) is_cache: bool,
}

/// Lets caches subscribe to `publisher` until the drain starts; then ends their streams kindly. The connections hold the drain
/// until they are closed.
///
/// `max_ruleset_bytes` bounds what a cache may send back.
pub async fn serve(
    publisher: Publisher,
    listener: TcpListener,
    tls: ServerTls,
    max_ruleset_bytes: u64,
    mut drain: drain::Watch,
) {
    let service = DistributionServer::new(Service::new(publisher.clone()))
        .max_decoding_message_size(limits::max_request_bytes(max_ruleset_bytes))
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Zstd);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = drain.signaled() => break,
        };
        let Some((socket, address, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        // Without certificates nobody is spoken to: a cache tries again.
        let Some(config) = tls.current() else { continue };
        let (acceptor, service, drain) = (TlsAcceptor::from(config), service.clone(), drain.clone());
        let failures = failures.clone();
        tokio::spawn(async move {
            let _permit = permit;
            if let Some(stream) = handshake(acceptor, socket, address, &failures).await {
                connection(stream, address, service, drain).await;
            }
        });
    }
    publisher.update(|exchange, _| exchange.drain());
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((socket, address)) => Some((socket, address, permit)),
        Err(error) => {
            tracing::warn!(%error, "connection not accepted");
            None
        }
    }
}

/// Handshakes that failed, by who came and why: a cache with a bad certificate comes again every few seconds, and each reason is said once.
#[derive(Debug, Clone, Default)]
struct Failures(Arc<Mutex<News>>);

impl Failures {
    fn tell(&self, address: SocketAddr, error: &str) {
        let mut news = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if news.is(address.ip(), error) {
            tracing::warn!(%address, error, "tls handshake failed");
        } else {
            tracing::debug!(%address, error, "tls handshake failed");
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    address: SocketAddr,
    failures: &Failures,
) -> Option<TlsStream<TcpStream>> {
    // Messages are small at the ends of a change, and must not wait for each other.
    let _ = socket.set_nodelay(true);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            failures.tell(address, &chain(&error));
            None
        }
        Err(_) => {
            failures.tell(address, "it took too long");
            None
        }
    }
}

async fn connection(
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    service: DistributionServer<Service>,
    mut drain: Watch,
) {
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first());
    let is_cache = certificate.is_some_and(|certificate| tls::is_for(certificate, CACHE_IDENTITY));
    let peer = Peer { address, is_cache };
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(peer);
        service.clone().call(request)
    });
    let mut connection = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = drain.signaled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}
