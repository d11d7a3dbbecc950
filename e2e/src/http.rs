//! An HTTP/1.1 client, plain or over TLS: one connection per request, so that a test sees exactly what it caused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::Tls;

/// Longer than any answer of a live server, but for a waiting poll, which has its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, as it came: not decompressed.
    pub body: Bytes,
}

impl Answer {
    /// The body as text, with what isn't UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it isn't.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header field's value; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// GET with an optional bearer token.
///
/// # Errors
/// If there is no whole answer.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Result<Answer> {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    send(address, request.body(String::new())?).await
}

/// Sends any request.
///
/// # Errors
/// If there is no whole answer within 10 s.
pub async fn send(address: SocketAddr, request: Request<impl Into<Bytes>>) -> Result<Answer> {
    send_within(PATIENCE, address, request).await
}

/// Sends any request, with a patience of the test's own: for waiting polls.
///
/// # Errors
/// If there is no whole answer within that time.
pub async fn send_within(
    patience: Duration,
    address: SocketAddr,
    request: Request<impl Into<Bytes>>,
) -> Result<Answer> {
    match tokio::time::timeout(patience, exchange(address, request)).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer from {address} within {patience:?}"),
    }
}

/// GET over TLS, with an optional bearer token.
///
/// # Errors
/// If there is no whole answer within 10 s.
pub async fn get_over(tls: &Tls, address: SocketAddr, path: &str, token: Option<&str>) -> Result<Answer> {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(String::new())?;
    let exchange = async {
        let stream = TlsConnector::from(Arc::clone(&tls.config))
            .connect(tls.name.clone(), connect(address).await?)
            .await?;
        over(stream, address, request).await
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer from {address} within {PATIENCE:?}"),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect(address)
        .await
        .with_context(|| format!("failed to connect to {address}"))
}

async fn exchange(address: SocketAddr, request: Request<impl Into<Bytes>>) -> Result<Answer> {
    over(connect(address).await?, address, request).await
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    request: Request<impl Into<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    if !parts.headers.contains_key(HOST) {
        parts.headers.insert(HOST, HeaderValue::from_str(&address.to_string())?);
    }
    let response = sender
        .send_request(Request::from_parts(parts, Full::new(body.into())))
        .await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}
