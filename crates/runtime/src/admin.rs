//! The admin HTTP server: probes and metrics, a handful of GET routes that answer at once; metrics over TLS, to those who may.

pub mod access;
pub mod args;

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::drain;
use crate::readiness::Readiness;
use crate::tls::{InvalidPem, ServerTls};
use access::{Access, Verdict};
use args::MetricsArgs;

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

impl Guard {
    /// The one that the flags ask for, if they do: with the certificate of their directory, else one of its own for `name`.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn new(args: &MetricsArgs, name: &str, access: Access) -> Result<Option<Self>, InvalidPem> {
        if !args.metrics_secure || args.metrics_bind_address.socket().is_none() {
            return Ok(None);
        }
        let tls = match args.metrics_cert_path() {
            // Whether a process is ready doesn't depend on who looks at its metrics.
            Some(path) => {
                let ready = Readiness::default().latch("metrics");
                ServerTls::metrics(&path, &args.metrics_cert_name, &args.metrics_cert_key, ready)
            }
            None => ServerTls::metrics_self_signed(name)?,
        };
        Ok(Some(Self { tls, access }))
    }
}

/// A server that is bound but doesn't answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    routes: Arc<Routes>,
    guard: Option<Arc<Guard>>,
}

/// What stands before the routes.
#[derive(Debug)]
pub struct Guard {
    /// The certificate that is shown.
    pub tls: ServerTls,
    /// Who is let in.
    pub access: Access,
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
            guard: None,
        })
    }

    /// Answers over TLS only, and only those who may, if there is a guard.
    #[must_use]
    pub fn guarded(mut self, guard: Option<Guard>) -> Self {
        self.guard = guard.map(Arc::new);
        self
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
            let (routes, guard) = (Arc::clone(&self.routes), self.guard.clone());
            tokio::spawn(async move {
                match guard {
                    None => serve_connection(stream, routes, None).await,
                    Some(guard) => serve_guarded(stream, routes, guard).await,
                }
                drop(permit);
            });
        }
    }
}

async fn serve_guarded(stream: TcpStream, routes: Arc<Routes>, guard: Arc<Guard>) {
    // Without a certificate nobody is spoken to: the caller sees that the connection is closed.
    let Some(config) = guard.tls.current() else { return };
    match tokio::time::timeout(HEADER_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => serve_connection(stream, routes, Some(guard)).await,
        Ok(Err(error)) => tracing::debug!(%error, "an admin handshake failed"),
        Err(_elapsed) => tracing::debug!("an admin handshake took too long"),
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    routes: Arc<Routes>,
    guard: Option<Arc<Guard>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, guard) = (Arc::clone(&routes), guard.clone());
        async move { Ok::<_, Infallible>(respond(&routes, guard.as_deref(), &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

async fn respond(routes: &Routes, guard: Option<&Guard>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (method, path) = (request.method(), request.uri().path());
    let refusal = match guard {
        None => None,
        Some(guard) => {
            // As Kubernetes calls what methods do.
            let verb = method.as_str().to_ascii_lowercase();
            refusal(guard.access.judge(bearer(request), &verb, path).await)
        }
    };
    let Answer {
        status,
        content_type,
        body,
    } = refusal.unwrap_or_else(|| routes.answer(method, path));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let more = match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "GET, HEAD")),
        StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
        StatusCode::SERVICE_UNAVAILABLE if guard.is_some() => Some((header::RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What is said to who isn't let in.
fn refusal(verdict: Verdict) -> Option<Answer> {
    let (status, body) = match verdict {
        Verdict::Allowed => return None,
        Verdict::Unauthenticated => (StatusCode::UNAUTHORIZED, "a token of this cluster is needed"),
        Verdict::Forbidden => (StatusCode::FORBIDDEN, "the token's owner may not get this path"),
        Verdict::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "the token can't be reviewed now"),
    };
    Some(Answer::text(status, body))
}

fn bearer(request: &Request<Incoming>) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
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

    /// By an API server that knows one token.
    fn access() -> Access {
        Access::new(async |request: Request<Vec<u8>>| {
            let object: serde_json::Value = serde_json::from_slice(request.body())?;
            let good = object["kind"] == "SubjectAccessReview" || object["spec"]["token"] == "good";
            let status = serde_json::json!({"authenticated": good, "allowed": good, "user": {"username": "a"}});
            Ok::<_, serde_json::Error>(serde_json::json!({"status": status}))
        })
    }

    /// The answer to a GET over TLS, or why there is none.
    async fn ask(
        address: SocketAddr,
        root: &rustls::pki_types::CertificateDer<'static>,
        version: &'static rustls::SupportedProtocolVersion,
        header: &str,
    ) -> std::io::Result<String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "metrics".try_into().expect("a name");
        let mut stream = connector.connect(name, TcpStream::connect(address).await?).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn behind_a_guard_metrics_are_for_those_who_may() {
        let made = rcgen::generate_simple_self_signed(["metrics".to_owned()]).expect("a certificate");
        let files = tempfile::tempdir().expect("a folder");
        std::fs::write(files.path().join("a.crt"), made.cert.pem()).expect("written");
        std::fs::write(files.path().join("a.key"), made.signing_key.serialize_pem()).expect("written");
        let ready = Readiness::default().latch("metrics");
        let guard = Guard {
            tls: ServerTls::metrics(files.path(), "a.crt", "a.key", ready),
            access: access(),
        };
        let server = Server::bind("127.0.0.1:0".parse().expect("address"), routes(Readiness::default()));
        let server = server.await.expect("bound").guarded(Some(guard));
        let address = server.local_address().expect("address");
        let (_signal, watch) = drain::channel();
        tokio::spawn(server.serve(watch));
        let tls13 = &rustls::version::TLS13;
        for (header, status) in [
            (
                "",
                "401 Unauthorized\r\ncontent-type: text/plain; charset=utf-8\r\nwww-authenticate: Bearer",
            ),
            ("Authorization: Basic good\r\n", "401 Unauthorized"),
            ("Authorization: Bearer bad\r\n", "401 Unauthorized"),
            ("Authorization: bearer good\r\n", "200 OK"),
        ] {
            let answer = ask(address, made.cert.der(), tls13, header).await.expect("an answer");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{header}: {answer}");
            assert_eq!(
                answer.contains("requests_total 1"),
                status == "200 OK",
                "{header}: {answer}"
            );
        }
        let old = ask(address, made.cert.der(), &rustls::version::TLS12, "").await;
        assert!(old.is_err(), "as the Go operator, no TLS before 1.3: {old:?}");
        let mut plain = TcpStream::connect(address).await.expect("connected");
        plain
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_guard_without_files_makes_its_own_certificate() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: MetricsArgs,
        }
        for (flags, guarded) in [
            (&["--metrics-bind-address=:8443"][..], true),
            (&["--metrics-bind-address=:8443", "--metrics-cert-path="], true),
            (&["--metrics-bind-address=:8443", "--metrics-secure=false"], false),
            (&[], false),
        ] {
            let args = Command::parse_from(["x"].iter().chain(flags)).args;
            let guard = Guard::new(&args, "pod", access()).expect("a certificate");
            assert_eq!(guard.is_some(), guarded, "{flags:?}");
            assert!(guard.is_none_or(|guard| guard.tls.current().is_some()));
        }
    }
}
