//! A web server of the test's own on the node's network: what a Gateway routes to, and what plugins are fetched from.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::environment;

/// What it answers where it has no file.
pub const GREETING: &str = "hello from the origin";

/// A running server. It ends with its handle.
#[derive(Debug)]
pub struct Origin {
    /// Where Pods reach it.
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Origin {
    /// A server that has these files, and answers everything else with [`GREETING`].
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start(files: &[(&str, &[u8])]) -> Self {
        let files = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), Bytes::copy_from_slice(bytes)));
        let files: Arc<BTreeMap<String, Bytes>> = Arc::new(files.collect());
        let node = environment().cluster.istio().node;
        let listener = TcpListener::bind((node, 0)).await.expect("the node can be listened on");
        let address = listener.local_addr().expect("a listener has an address");
        let server = tokio::spawn(serve(listener, files));
        Self { address, server }
    }

    /// The URL of a file of its.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, files: Arc<BTreeMap<String, Bytes>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let files = Arc::clone(&files);
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(answer(&request, &files)));
            // Who asked may have gone.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a service returns")]
fn answer(request: &Request<Incoming>, files: &BTreeMap<String, Bytes>) -> Result<Response<Full<Bytes>>, Infallible> {
    let file = files.get(request.uri().path()).cloned();
    let mut response = Response::new(Full::new(
        file.unwrap_or_else(|| Bytes::from_static(GREETING.as_bytes())),
    ));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
