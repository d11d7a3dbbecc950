//! A registry of images, plain HTTP, and putting plugins into it.

use std::net::SocketAddr;

use ::http::header::{CONTENT_TYPE, LOCATION};
use ::http::{Method, Request, StatusCode, Uri};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::environment;
use crate::http::{self, Answer};
use crate::process::{self, Process};
use crate::wait::until;

/// The media types of an image whose two layers are a plugin's configuration and the plugin itself: the form that is made without archives.
const CONFIGURATION: &str = "application/vnd.module.wasm.config.v1+json";
const MODULE: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry. It ends with its handle.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    _process: Process,
}

impl Registry {
    /// Starts an empty one, and waits until it answers.
    ///
    /// # Panics
    /// If it can't be started.
    pub async fn start() -> Self {
        let folder = process::folder("registry");
        let node = environment().cluster.istio().node;
        let port = std::net::TcpListener::bind((node, 0)).and_then(|listener| listener.local_addr());
        let address = port.expect("the node has a free port");
        let configuration = json!({
            "version": 0.1,
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": folder } },
            "http": { "addr": address.to_string() },
        });
        let file = folder.join("configuration.yml");
        std::fs::write(&file, configuration.to_string()).expect("the configuration can be written");
        let mut command = Process::command(environment().registry.as_ref().expect("suites named istio_* have one"));
        command.arg("serve").arg(file);
        let process = Process::start("registry", command);
        until("the registry", async || match http::get(address, "/v2/", None).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:#}")),
        })
        .await;
        Self {
            address,
            _process: process,
        }
    }

    /// Puts a plugin into it, and gives its URL.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub async fn push(&self, name: &str, tag: &str, module: &[u8]) -> String {
        let configuration = self.blob(name, CONFIGURATION, b"{}").await;
        let module = self.blob(name, MODULE, module).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": configuration,
            "layers": [configuration, module],
        });
        let path = format!("/v2/{name}/manifests/{tag}");
        let put = self
            .send(Method::PUT, &path, MANIFEST, manifest.to_string().into_bytes())
            .await;
        assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
        self.image(name, tag)
    }

    /// The URL of an image, whether it is there or not.
    #[must_use]
    pub fn image(&self, name: &str, tag: &str) -> String {
        format!("oci://{}/{name}:{tag}", self.address)
    }

    /// Uploads a layer, and describes it as manifests do.
    async fn blob(&self, name: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", hex(&Sha256::digest(bytes)));
        let begin = format!("/v2/{name}/blobs/uploads/");
        let begun = self.send(Method::POST, &begin, media_type, Vec::new()).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
        let location: Uri = begun.header(LOCATION.as_str()).parse().expect("where to upload to");
        let path = location.path_and_query().expect("a path").as_str();
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}digest={digest}");
        let put = self
            .send(Method::PUT, &path, "application/octet-stream", bytes.to_vec())
            .await;
        assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    async fn send(&self, method: Method, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, media_type);
        let request = request.body(body).expect("a request");
        http::send(self.address, request).await.expect("the registry answers")
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
