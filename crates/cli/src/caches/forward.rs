//! A page of a Pod that listens on its loopback only, over a port-forward, as `kubectl port-forward` opens one. Client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long it may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The API server opens no port-forward.
    #[error("failed to forward a port of it")]
    Open(#[source] kube::Error),
    /// The Pod's node can't connect to the port.
    #[error("its node says: {0}")]
    Refused(String),
    /// There is no stream in it.
    #[error("the port-forward is closed")]
    Closed,
    /// Something else than HTTP, or the end, came back.
    #[error("failed to speak HTTP to it")]
    Http(#[source] hyper::Error),
    /// The path can't be asked for.
    #[error("failed to make a request")]
    Request(#[source] http::Error),
    /// Another answer than the page.
    #[error("it answered with {0}")]
    Status(StatusCode),
    /// Nobody answered.
    #[error("it did not answer within {TIMEOUT:?}")]
    Timeout,
}

/// Gets a page from a port of a Pod's loopback.
///
/// # Errors
/// [`ForwardError`]
pub(super) async fn get(pods: &Api<Pod>, pod: &str, port: u16, path: &str) -> Result<Bytes, ForwardError> {
    let page = forwarded(pods, pod, port, path);
    tokio::time::timeout(TIMEOUT, page)
        .await
        .unwrap_or(Err(ForwardError::Timeout))
}

async fn forwarded(pods: &Api<Pod>, pod: &str, port: u16, path: &str) -> Result<Bytes, ForwardError> {
    let mut forwarder = pods.portforward(pod, &[port]).await.map_err(ForwardError::Open)?;
    // Each is there, once.
    let (Some(stream), Some(refusal)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err(ForwardError::Closed);
    };
    tokio::select! {
        // It comes before the end of the stream, which says less.
        biased;
        Some(why) = refusal => Err(ForwardError::Refused(why.trim().to_owned())),
        page = fetch(stream, path) => page,
    }
}

async fn fetch(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> Result<Bytes, ForwardError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ForwardError::Http)?;
    // What ends it is told to whoever waits for the answer.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(ForwardError::Request)?;
    let answer = sender.send_request(request).await.map_err(ForwardError::Http)?;
    if answer.status() != StatusCode::OK {
        return Err(ForwardError::Status(answer.status()));
    }
    let body = answer.into_body().collect().await.map_err(ForwardError::Http)?;
    Ok(body.to_bytes())
}
