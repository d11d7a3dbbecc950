//! The HTTP server that data planes poll: listeners, limits, time-outs, drain. HTTP/1.1, over TLS if it is given certificates.
//!
//! | route | answer |
//! |---|---|
//! | `GET /rules/{namespace}/{name}/latest` | which revision is the latest |
//! | `GET /rules/{namespace}/{name}` | the revision itself |
//!
//! One thread with a runtime of its own for each core, each with its own listening socket: a connection stays on the core that
//! accepted it, and no request meets a lock that another could hold for longer than a look-up takes.

mod body;
pub mod capacity;
mod connection;
mod identity;
pub mod listen;
pub mod metrics;
mod negotiate;
mod phase;
pub mod respond;
pub mod route;
mod service;
mod wait;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coraza_runtime::drain;
use coraza_runtime::tls::ServerTls;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticate;
use crate::pollers::Pollers;
use crate::store::Store;
use body::SendBody;
use capacity::{Connections, Permit};
use connection::{Deadlined, Observed};
pub use listen::BindError;
use phase::Phases;
pub use phase::Timeouts;
use service::Service;
pub use wait::Waiters;

/// The largest head of a request, in bytes; the Go operator's limit.
const MAX_HEAD: usize = 64 << 10;
/// What a connection gets for which there is no room.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// How long accepting pauses when the system has no file descriptor left: the next try would fail at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the server behaves.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The longest wait that is granted.
    pub max_wait: Duration,
    /// The time-outs of connections.
    pub timeouts: Timeouts,
    /// How long connections are still accepted after the drain began: until load balancers know that this replica ends.
    pub drain_delay: Duration,
    /// How many connections there may be.
    pub max_connections: usize,
}

/// A server that is bound but doesn't answer yet.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listeners: Vec<TcpListener>,
    settings: Settings,
    tls: Option<ServerTls>,
    gauges: Gauges,
}

/// What the server can say about itself.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// Requests answered.
    pub requests: metrics::Requests,
    /// Waiting polls.
    pub waiters: Arc<Waiters>,
    /// Data planes of Engines.
    pub pollers: Pollers,
    /// Connections.
    pub connections: Arc<Connections>,
}

/// What the threads share.
#[derive(Debug)]
struct Shared<A> {
    service: Service<A>,
    settings: Settings,
    tls: Option<ServerTls>,
    connections: Arc<Connections>,
    /// Cancelled when connections must end after the request that they are at.
    closing: CancellationToken,
}

impl Server {
    /// Binds `address` for `threads` threads, to speak TLS if there are certificates for it.
    ///
    /// # Errors
    /// [`BindError`] if that can't be done.
    pub fn bind(
        address: SocketAddr,
        threads: usize,
        tls: Option<ServerTls>,
        settings: Settings,
    ) -> Result<Self, BindError> {
        let (address, listeners) = listen::listen(address, threads)?;
        let gauges = Gauges {
            requests: metrics::Requests::new(threads),
            waiters: Arc::default(),
            pollers: Pollers::default(),
            connections: Arc::new(Connections::new(settings.max_connections)),
        };
        Ok(Self {
            address,
            listeners,
            settings,
            tls,
            gauges,
        })
    }

    /// The address that it listens on: of interest when the port was 0.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.gauges.clone()
    }

    /// Answers requests until the drain starts, then ends kindly: waiting polls are answered at once, connections accepted for
    /// [`Settings::drain_delay`] more, and closed between requests. Returns when all are.
    ///
    /// # Errors
    /// If a thread can't be started, or its runtime.
    pub async fn serve<A: Authenticate>(
        self,
        store: Store,
        authenticate: A,
        mut drain: drain::Watch,
    ) -> io::Result<()> {
        let service = Service {
            store,
            authenticate,
            waiters: self.gauges.waiters,
            pollers: self.gauges.pollers,
            max_wait: self.settings.max_wait,
            drain: drain.clone(),
            draining: AtomicBool::new(false),
        };
        let (connections, closing) = (self.gauges.connections, CancellationToken::new());
        let shared = Arc::new(Shared {
            service,
            settings: self.settings,
            tls: self.tls,
            connections,
            closing,
        });
        let mut threads = Vec::new();
        for (listener, shard) in self.listeners.into_iter().zip(self.gauges.requests.shards()) {
            threads.push(spawn_thread(listener, Arc::clone(&shared), shard)?);
        }
        drain.signaled().await;
        shared.service.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.settings.drain_delay).await;
        shared.closing.cancel();
        for thread in threads {
            // An error says that the thread has ended, however.
            let _ = thread.await;
        }
        Ok(())
    }
}

/// Starts a thread that serves `listener`; what is returned resolves when it has ended.
fn spawn_thread<A: Authenticate>(
    listener: TcpListener,
    shared: Arc<Shared<A>>,
    shard: Arc<metrics::Shard>,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, receiver) = oneshot::channel();
    std::thread::Builder::new().name("http".into()).spawn(move || {
        if let Err(error) = runtime.block_on(accept(listener, shared, shard)) {
            tracing::error!(%error, "failed to accept connections");
        }
        drop(ended);
    })?;
    Ok(receiver)
}

async fn accept<A: Authenticate>(
    listener: TcpListener,
    shared: Arc<Shared<A>>,
    shard: Arc<metrics::Shard>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // The same caller over IPv4 has one address, whichever family the socket is of.
                let address = peer.ip().to_canonical();
                match shared.connections.admit(address) {
                    Some(permit) => {
                        tasks.spawn(serve_stream(
                            stream,
                            address,
                            permit,
                            Arc::clone(&shared),
                            Arc::clone(&shard),
                        ));
                    }
                    // Best effort: the caller sees a closed connection otherwise.
                    None => drop(stream.try_write(NO_ROOM)),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn serve_stream<A: Authenticate>(
    stream: TcpStream,
    address: IpAddr,
    permit: Permit,
    shared: Arc<Shared<A>>,
    shard: Arc<metrics::Shard>,
) {
    // Answers are written whole: there is nothing to gather.
    let _ = stream.set_nodelay(true);
    match &shared.tls {
        None => serve_connection(stream, address, &shared, shard).await,
        // Apart, or every plain connection would take the space of an encrypted one too.
        Some(tls) => Box::pin(serve_tls(stream, tls, address, &shared, shard)).await,
    }
    drop(permit);
}

async fn serve_tls<A: Authenticate>(
    stream: TcpStream,
    tls: &ServerTls,
    address: IpAddr,
    shared: &Arc<Shared<A>>,
    shard: Arc<metrics::Shard>,
) {
    // Without certificates nobody is spoken to: the caller sees that the connection is closed.
    let Some(config) = tls.current() else { return };
    let handshake = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(shared.settings.timeouts.head, handshake).await {
        Ok(Ok(stream)) => serve_connection(stream, address, shared, shard).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_elapsed) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

async fn serve_connection<A: Authenticate, Io: AsyncRead + AsyncWrite + Unpin>(
    io: Io,
    address: IpAddr,
    shared: &Arc<Shared<A>>,
    shard: Arc<metrics::Shard>,
) {
    let phases = Arc::new(Phases::new(shared.settings.timeouts, Instant::now()));
    let service = service_fn(|request| {
        phases.request_read(Instant::now());
        let (shared, shard, phases) = (Arc::clone(shared), Arc::clone(&shard), Arc::clone(&phases));
        async move {
            let response = shared.service.answer(&request, address, &shard).await;
            Ok::<_, Infallible>(response.map(|pieces| SendBody::new(pieces, phases)))
        }
    });
    let connection = http1::Builder::new()
        // The first alone would let a head through that comes in one piece.
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Observed::new(io, Arc::clone(&phases))), service);
    let mut connection = Deadlined::new(connection, Arc::clone(&phases));
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = shared.closing.cancelled() => {
            connection.connection().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%address, %error, "a connection ended early"),
        Err(timeout) => tracing::debug!(%address, %timeout, "closed a connection"),
    }
}

#[cfg(test)]
mod tests;
