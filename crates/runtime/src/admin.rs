//! The admin HTTP server: probes and metrics, a handful of GET routes that answer at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::drain;
use crate::readiness::Readiness;

/// How many connections are served at once: a kubelet, a few scrapers and a person need far fewer.
const MAX_CONNECTIONS: usize = 64;
/// How long a caller may take to send its request's header, and a kept-alive connection may stay silent.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What prometheus-client writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A plain text with this status.
    #[must_use]
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    /// A JSON document.
    #[must_use]
    pub fn json(body: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            body: body.into(),
        }
    }
}

type Handler = Box<dyn Fn() -> Answer + Send + Sync>;

/// Paths and what answers them.
#[derive(Default)]
pub struct Routes(BTreeMap<&'static str, Handler>);

impl Routes {
    /// Adds `/healthz`, which says that the process runs, and `/readyz`, which says whether it should get traffic.
    #[must_use]
    pub fn with_probes(self, readiness: Readiness) -> Self {
        self.with("/healthz", || Answer::text(StatusCode::OK, "ok"))
            .with("/readyz", move || {
                let missing = readiness.missing();
                if missing.is_empty() {
                    Answer::text(StatusCode::OK, "ok")
                } else {
                    Answer::text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        format!("not ready: {}", missing.join(", ")),
                    )
                }
            })
    }

    /// Adds `/metrics`: the registry in the OpenMetrics text format.
    #[must_use]
    pub fn with_metrics(self, registry: Registry) -> Self {
        self.with("/metrics", move || {
            let mut body = String::new();
            match encode(&mut body, &registry) {
                Ok(()) => Answer {
                    status: StatusCode::OK,
                    content_type: OPENMETRICS,
                    body,
                },
                Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            }
        })
    }

    /// Adds a path that `handler` answers. It is called on the server's task: it must not block.
    #[must_use]
    pub fn with(mut self, path: &'static str, handler: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        self.0.insert(path, Box::new(handler));
        self
    }

    /// The answer to a request for `path`.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str) -> Answer {
        match self.0.get(path) {
            None => Answer::text(StatusCode::NOT_FOUND, "not found"),
            Some(_) if method != Method::GET && method != Method::HEAD => {
                Answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
            }
            Some(handler) => handler(),
        }
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A server that is bound but doesn't answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    routes: Arc<Routes>,
}

impl Server {
    /// Binds `address`.
    ///
    /// # Errors
    /// [`BindError`] if that can't be done.
    pub async fn bind(address: SocketAddr, routes: Routes) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| BindError { address, source })?;
        Ok(Self {
            listener,
            routes: Arc::new(routes),
        })
    }

    /// The address that it listens on: of interest when the port was 0.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until the drain starts. Probes must see a process that drains as unready, so a process that has
    /// work to finish gives this server a drain of its own that starts last.
    pub async fn serve(self, mut drain: drain::Watch) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.signaled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: the next accept would fail at once too.
                    tracing::warn!(%error, "failed to accept an admin connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let routes = Arc::clone(&self.routes);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = respond(&routes, &request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an admin connection ended early");
                }
                drop(permit);
            });
        }
    }
}

fn respond(routes: &Routes, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let Answer {
        status,
        content_type,
        body,
    } = routes.answer(request.method(), request.uri().path());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// The admin server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn routes(readiness: Readiness) -> Routes {
        let mut registry = Registry::default();
        let requests = Counter::<u64>::default();
        registry.register("requests", "Requests", requests.clone());
        requests.inc();
        Routes::default().with_probes(readiness).with_metrics(registry)
    }

    #[test]
    fn probes_tell_running_from_ready() {
        let readiness = Readiness::default();
        let snapshot = readiness.latch("first snapshot");
        let routes = routes(readiness);
        let answer = |method: Method, path: &str| {
            let answer = routes.answer(&method, path);
            (answer.status.as_u16(), answer.body)
        };
        assert_eq!(answer(Method::GET, "/healthz"), (200, "ok".into()));
        assert_eq!(
            answer(Method::GET, "/readyz"),
            (503, "not ready: first snapshot".into())
        );
        snapshot.set();
        assert_eq!(answer(Method::GET, "/readyz"), (200, "ok".into()));
        assert_eq!(answer(Method::GET, "/metrics").0, 200);
        assert!(answer(Method::GET, "/metrics").1.contains("requests_total 1\n"));
        assert_eq!(answer(Method::POST, "/metrics").0, 405);
        assert_eq!(answer(Method::GET, "/").0, 404);
    }

    #[tokio::test]
    async fn a_socket_gets_the_answer_and_the_drain_ends_the_server() {
        let server = Server::bind("127.0.0.1:0".parse().expect("address"), routes(Readiness::default()))
            .await
            .expect("bound");
        let address = server.local_address().expect("address");
        let (signal, watch) = drain::channel();
        let task = tokio::spawn(server.serve(watch));
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
        signal.drain(Duration::from_secs(5)).await.expect("drained");
        task.await.expect("ended");
    }
}
