//! A registry of images, plain HTTP, and putting plugins into it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use ::http::{Method, Request, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
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

/// Who may use a private registry.
const USER: &str = "puller";
/// Their password.
pub const PASSWORD: &str = "opens-the-registry";
/// Both as `htpasswd -B` writes them.
const HTPASSWD: &str = "puller:$2b$04$pIfUv8CLC3DVqz7/N/aV/eb5RJ1dDY9Hq9YfF70b9csSmkj5su8FK\n";

/// A running registry. It ends with its handle.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    private: bool,
    _process: Process,
}

impl Registry {
    /// Starts an empty one, and waits until it answers.
    ///
    /// # Panics
    /// If it can't be started.
    pub async fn start() -> Self {
        Self::run(process::folder("registry"), None).await
    }

    /// Starts one that wants a password ([`PASSWORD`]), and names this realm to who gives none.
    ///
    /// # Panics
    /// If it can't be started.
    pub async fn start_private(realm: &str) -> Self {
        let folder = process::folder("registry");
        let passwords = folder.join("htpasswd");
        std::fs::write(&passwords, HTPASSWD).expect("the password can be written");
        let auth = json!({ "htpasswd": { "realm": realm, "path": passwords } });
        Self::run(folder, Some(auth)).await
    }

    async fn run(folder: PathBuf, auth: Option<Value>) -> Self {
        let node = environment().cluster.istio().node;
        let port = std::net::TcpListener::bind((node, 0)).and_then(|listener| listener.local_addr());
        let address = port.expect("the node has a free port");
        let private = auth.is_some();
        let mut configuration = json!({
            "version": 0.1,
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": folder } },
            "http": { "addr": address.to_string() },
        });
        if let Some(auth) = auth {
            configuration["auth"] = auth;
        }
        let file = folder.join("configuration.yml");
        std::fs::write(&file, configuration.to_string()).expect("the configuration can be written");
        let mut command = Process::command(environment().registry.as_ref().expect("suites named istio_* have one"));
        command.arg("serve").arg(file);
        let process = Process::start("registry", command);
        let closed = if private {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        };
        until("the registry", async || match http::get(address, "/v2/", None).await {
            Ok(answer) if answer.status == closed => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:#}")),
        })
        .await;
        Self {
            address,
            private,
            _process: process,
        }
    }

    /// What a pull secret of type `kubernetes.io/dockerconfigjson` says to get in with this password.
    #[must_use]
    pub fn docker_config(&self, password: &str) -> String {
        json!({ "auths": { (self.address.to_string()): { "auth": credentials(password) } } }).to_string()
    }

    /// Puts a plugin into it, and gives its URL.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub async fn push(&self, name: &str, tag: &str, module: &[u8]) -> String {
        let configuration = self.blob(name, CONFIGURATION, b"{}").await;
        let module = self.blob(name, MODULE, module).await;
        self.manifest(name, tag, &configuration, &[&configuration, &module])
            .await
    }

    /// As [`push`](Self::push), in a form that Istio doesn't know: the module is the only layer.
    pub async fn push_one_layer(&self, name: &str, tag: &str, module: &[u8]) -> String {
        let configuration = self.blob(name, CONFIGURATION, b"{}").await;
        let module = self.blob(name, MODULE, module).await;
        self.manifest(name, tag, &configuration, &[&module]).await
    }

    async fn manifest(&self, name: &str, tag: &str, configuration: &Value, layers: &[&Value]) -> String {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": configuration,
            "layers": layers,
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
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, media_type);
        if self.private {
            request = request.header(AUTHORIZATION, format!("Basic {}", credentials(PASSWORD)));
        }
        let request = request.body(body).expect("a request");
        http::send(self.address, request).await.expect("the registry answers")
    }
}

/// The user with a password, as HTTP's `Basic` scheme and pull secrets have them.
fn credentials(password: &str) -> String {
    BASE64.encode(format!("{USER}:{password}"))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
