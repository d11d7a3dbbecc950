//! The server behind Envoy: answers what the path asks for, and remembers what reached it.
//!
//! | path begins with | answer |
//! |---|---|
//! | `/status/N` | that status |
//! | `/body/TEXT` | that text, as text/html |
//! | `/large/N` | N bytes of text/html |
//! | `/download/N` | N bytes of application/octet-stream |
//! | `/events` | an event stream that begins and never ends |
//! | `/early` | 200 at once, before the body |
//! | `/header/NAME/VALUE` | that header field |
//! | anything else | 200, the request's body |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;

/// The server; it ends with its handle.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts one.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start() -> Self {
        Self::start_at(crate::port::free()).await
    }

    /// Starts one on the node of a mesh, where Pods reach it.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_on_node() -> Self {
        Self::start_at((crate::environment().cluster.istio().node, 0).into()).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                let service = service_fn(move |request| answer(request, Arc::clone(&record)));
                tokio::spawn(async move {
                    let connection = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    let _ = connection.await;
                });
            }
        });
        Self { address, seen, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Each request whose body came to its end: `METHOD path body`.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(mut request: Request<Incoming>, seen: Arc<Mutex<Vec<String>>>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    if let Some(upgrade) = request.headers().get(http::header::UPGRADE).cloned() {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgraded.await {
                let mut io = TokioIo::new(upgraded);
                let (mut reader, mut writer) = tokio::io::split(&mut io);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
        let mut response = Response::new(text(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(http::header::UPGRADE, upgrade);
        response
            .headers_mut()
            .insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
        return Ok(response);
    }
    let parts: Vec<&str> = path.split('/').collect();
    let number = || {
        parts
            .get(2)
            .and_then(|number| number.parse::<usize>().ok())
            .unwrap_or_default()
    };
    if parts.get(1) == Some(&"early") {
        // The body is left unread until the answer is on its way.
        tokio::spawn(async move { request.into_body().collect().await });
        return Ok(typed("text/plain", text("early")));
    }
    let method = request.method().clone();
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let line = format!(
        "{method} {path} {}",
        String::from_utf8_lossy(body.get(..64).unwrap_or(&body))
    );
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    Ok(match parts.get(1).copied().unwrap_or_default() {
        "status" => {
            let mut response = typed("text/plain", text(""));
            *response.status_mut() = u16::try_from(number())
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or_default();
            response
        }
        "body" => typed("text/html", text(parts.get(2).copied().unwrap_or_default())),
        "large" => typed("text/html", text(&"x".repeat(number()))),
        "download" => typed("application/octet-stream", text(&"x".repeat(number()))),
        "events" => {
            let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"data: first\n\n")))]);
            typed(
                "text/event-stream",
                BodyExt::boxed(StreamBody::new(first.chain(futures::stream::pending()))),
            )
        }
        "header" => {
            let mut response = typed("text/plain", text("ok"));
            let name = parts
                .get(2)
                .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            let value = parts.get(3).and_then(|value| HeaderValue::from_str(value).ok());
            if let (Some(name), Some(value)) = (name, value) {
                response.headers_mut().insert(name, value);
            }
            response
        }
        _ => typed("text/plain", BodyExt::boxed(Full::new(body))),
    })
}

fn text(text: &str) -> Body {
    BodyExt::boxed(Full::new(Bytes::copy_from_slice(text.as_bytes())))
}

fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
