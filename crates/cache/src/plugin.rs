//! The plugin's module, served to gateways over plain HTTP on a port of its own: a cluster needs no registry.
//!
//! `GET /plugins/coraza-<sha256>.wasm`. Nobody needs a token: it is the same for all and no secret, and whoever loads it is told its
//! SHA-256 beside the address. The name holds the digest, so what it names never changes and may be kept for ever.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coraza_runtime::drain;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How many gateways are served at once; the others wait in the kernel. All of a cluster may ask in the same second.
const MAX_CONNECTIONS: usize = 256;
/// How long a caller may take to send its request's header, and a kept-alive connection may stay silent.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last: three megabytes take a second on a slow link.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long accepting pauses when the system has no file descriptor left: the next try would fail at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How every module begins.
const MAGIC: &[u8] = b"\0asm";

/// The file can't be served.
#[derive(Debug, thiserror::Error)]
pub enum PluginFileError {
    /// It can't be read.
    #[error("failed to read the plugin file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("the plugin file {} is not a WebAssembly module", path.display())]
    NoModule {
        /// Which.
        path: PathBuf,
    },
    /// The port is taken.
    #[error("failed to listen on {address} for the plugin")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The module, with what its answers have in common.
#[derive(Debug)]
pub struct Module {
    bytes: Bytes,
    digest: [u8; 32],
    path: String,
    etag: HeaderValue,
}

impl Module {
    /// Reads it.
    ///
    /// # Errors
    /// [`PluginFileError`].
    pub fn read(path: &Path) -> Result<Self, PluginFileError> {
        let bytes = std::fs::read(path).map_err(|source| PluginFileError::Read {
            path: path.into(),
            source,
        })?;
        Self::new(bytes).ok_or_else(|| PluginFileError::NoModule { path: path.into() })
    }

    fn new(bytes: Vec<u8>) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self {
            bytes: bytes.into(),
            digest,
            path: format!("/plugins/coraza-{hex}.wasm"),
            etag: HeaderValue::try_from(format!("\"{hex}\"")).ok()?,
        })
    }

    /// Its SHA-256, which the controller is told.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if path != self.path {
            return refused(StatusCode::NOT_FOUND, "this cache has no such plugin");
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let known = headers.get(IF_NONE_MATCH).is_some_and(|tags| {
            tags.to_str().is_ok_and(|tags| {
                tags.split(',')
                    .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == self.etag)
            })
        });
        let mut response = if known {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Full::new(self.bytes.clone()))
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
        fields.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        );
        fields.insert(ETAG, self.etag.clone());
        response
    }
}

fn refused(status: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let name = status.canonical_reason().unwrap_or("error");
    let body = serde_json::json!({ "error": name, "reason": reason });
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A server that is bound but doesn't answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    module: Arc<Module>,
    drain_delay: Duration,
}

impl Server {
    /// Binds `address`. After the drain began, connections are still accepted for `drain_delay`.
    ///
    /// # Errors
    /// [`PluginFileError::Bind`].
    pub async fn bind(address: SocketAddr, module: Module, drain_delay: Duration) -> Result<Self, PluginFileError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| PluginFileError::Bind { address, source })?;
        Ok(Self {
            listener,
            module: Arc::new(module),
            drain_delay,
        })
    }

    /// The address that it listens on: of interest when the port was 0.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until the drain is over.
    pub async fn serve(self, drain: drain::Watch) {
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut signal = drain.clone();
        let over = async {
            signal.signaled().await;
            tokio::time::sleep(self.drain_delay).await;
        };
        tokio::pin!(over);
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut over => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (module, drain) = (Arc::clone(&self.module), drain.clone());
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, module)).await;
                        // The process ends when nobody watches the drain any more.
                        drop((permit, drain));
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection for the plugin");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, module: Arc<Module>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = module.answer(request.method(), request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(response) }
    });
    // One module per connection: whoever has it comes back for another one, if at all.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection for the plugin ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn module() -> Module {
        Module::new(b"\0asm\x01\0\0\0".to_vec()).expect("a module")
    }

    #[tokio::test]
    async fn the_module_is_served_under_its_digest_and_nothing_else_is() {
        let module = module();
        let path = module.path().to_owned();
        assert_eq!(
            path,
            format!("/plugins/coraza-{:x}.wasm", Sha256::digest(b"\0asm\x01\0\0\0"))
        );
        let none = HeaderMap::new();
        let answer = module.answer(&Method::GET, &path, &none);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/wasm");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        let etag = answer.headers()["etag"].clone();
        assert_eq!(
            answer.into_body().collect().await.expect("body").to_bytes(),
            &b"\0asm\x01\0\0\0"[..]
        );
        let known = HeaderMap::from_iter([(IF_NONE_MATCH, etag)]);
        assert_eq!(module.answer(&Method::GET, &path, &known).status(), 304);
        for (method, path, status) in [
            (Method::HEAD, &*path, 200),
            (Method::POST, &path, 405),
            (Method::GET, "/plugins/coraza.wasm", 404),
            (Method::GET, "/", 404),
            (Method::GET, &format!("{path}/"), 404),
        ] {
            assert_eq!(module.answer(&method, path, &none).status(), status, "{method} {path}");
        }
    }

    #[test]
    fn only_a_module_is_served() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("plugin.wasm");
        assert!(
            Module::read(&file)
                .expect_err("absent")
                .to_string()
                .starts_with("failed to read the plugin file")
        );
        std::fs::write(&file, "#!/bin/sh").expect("written");
        assert!(
            Module::read(&file)
                .expect_err("no module")
                .to_string()
                .ends_with("is not a WebAssembly module")
        );
        std::fs::write(&file, "\0asm").expect("written");
        assert!(Module::read(&file).is_ok());
    }

    #[tokio::test]
    async fn a_gateway_gets_it_over_a_socket_and_the_drain_ends_it() {
        let module = module();
        let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", module.path());
        let address = "127.0.0.1:0".parse().expect("address");
        let server = Server::bind(address, module, Duration::ZERO).await.expect("bound");
        let address = server.local_address().expect("address");
        let (signal, watch) = drain::channel();
        let serving = tokio::spawn(server.serve(watch));
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("answered");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\0asm\x01\0\0\0"));
        signal.drain(Duration::from_secs(10)).await.expect("drained");
        serving.await.expect("ended");
    }
}
