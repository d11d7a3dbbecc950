//! Stands in for a cluster where only the cache is of interest, as in `cargo xtask bench cache`: publishes the files of a folder as
//! one RuleSet through the controller's own publisher, and answers every TokenReview as if the token were good.
//!
//! Arguments: the address for gRPC, the folder with its certificates, the address for TokenReviews, the RuleSet's key, the folder.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coraza_controller::publish::{Publisher, serve};
use coraza_ruleset::limits::DEFAULT_MAX_RULESET_BYTES;
use coraza_ruleset::{Content, DataFiles, RuleSetKey, RulesText};
use coraza_runtime::readiness::Readiness;
use coraza_runtime::{drain, tls::ServerTls};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [grpc, tls_dir, reviews, key, folder] = arguments.as_slice() else {
        return Err("usage: publish_files GRPC_ADDRESS TLS_DIR REVIEW_ADDRESS NAMESPACE/NAME FOLDER".into());
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let key: RuleSetKey = key.parse()?;
    let content = read(Path::new(folder))?;
    let digest = content.digest();

    let publisher = Publisher::new(Duration::from_secs(15));
    publisher.serve(&key, content, digest, None);
    publisher.open();
    publisher.open_grants();
    publisher.lead(Some(1));
    tokio::spawn(answer_reviews(
        TcpListener::bind(reviews.parse::<SocketAddr>()?).await?,
        key,
    ));
    let listener = TcpListener::bind(grpc.parse::<SocketAddr>()?).await?;
    let (_signal, watch) = drain::channel();
    serve(
        publisher,
        listener,
        ServerTls::mutual(Path::new(tls_dir), Readiness::default().latch("certificates")),
        DEFAULT_MAX_RULESET_BYTES,
        watch,
    )
    .await;
    Ok(())
}

/// `*.conf` are the rules, in the order of their names, and `*.data` the data files.
fn read(folder: &Path) -> Result<Content, Box<dyn Error>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let (mut sources, mut data_files) = (Vec::new(), DataFiles::new());
    for path in &paths {
        match (
            path.extension().and_then(|extension| extension.to_str()),
            path.file_name().and_then(|name| name.to_str()),
        ) {
            (Some("conf"), _) => sources.push(Arc::from(std::fs::read_to_string(path)?)),
            (Some("data"), Some(name)) => drop(data_files.insert(name.into(), std::fs::read(path)?.into())),
            _ => {}
        }
    }
    Ok(Content {
        rules: RulesText::new(sources),
        data_files: Arc::new(data_files),
    })
}

async fn answer_reviews(listener: TcpListener, key: RuleSetKey) {
    while let Ok((stream, _)) = listener.accept().await {
        let key = key.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let key = key.clone();
            async move {
                let _ = request.into_body().collect().await;
                let review = serde_json::json!({
                    "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                    "status": {
                        "authenticated": true,
                        "audiences": [key.audience()],
                        "user": { "username": format!("system:serviceaccount:{}:gateway", key.namespace()) },
                    },
                });
                let mut response = Response::new(Full::new(Bytes::from(review.to_string())));
                response
                    .headers_mut()
                    .insert("content-type", http::HeaderValue::from_static("application/json"));
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
