//! What a kubelet answers to `kubectl logs`, for the one node of a cluster with Istio: what the proxies of Gateways, which `cargo xtask cluster gateway`
//! runs as a kubelet would, have written. The API server asks it.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Authority;
use crate::gateway;

/// Where the API server looks for a kubelet whose node doesn't say where it is.
const PORT: u16 = 10_250;

/// A running one. It ends with its handle.
#[derive(Debug)]
pub struct Kubelet {
    server: JoinHandle<()>,
}

impl Kubelet {
    /// Starts it. There is one node, so that a suite can have one of these.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start() -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await;
        let listener = listener.expect("nobody else is the node's kubelet");
        let client = crate::client().await;
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client) = (acceptor.clone(), client.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| answer(request, client.clone()));
                    // Who asked may have gone.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { server }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The API server of such a cluster was told of no authority, and takes any certificate.
fn tls() -> ServerConfig {
    let identity = Authority::new().issue("kubelet");
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config
        .with_safe_default_protocol_versions()
        .expect("versions of the provider");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key);
    config.expect("a key of its certificate")
}

async fn answer(request: Request<Incoming>, client: Client) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::default();
    match log(request.uri().path(), client).await {
        Some(log) => *response.body_mut() = Full::new(log.into()),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

/// All that a Pod's only container has written: `/containerLogs/NAMESPACE/POD/CONTAINER`. Nobody here asks for a part of it.
async fn log(path: &str, client: Client) -> Option<String> {
    let mut parts = path.strip_prefix("/containerLogs/")?.split('/');
    let (namespace, pod) = (parts.next()?, parts.next()?);
    let pod = Api::<Pod>::namespaced(client, namespace).get(pod).await.ok()?;
    let address = pod.status?.pod_ip?.parse().ok()?;
    Some(gateway::log(namespace, address))
}
