//! The API server: clients, what has to be installed in it, and taking it away.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use crate::environment::{checkout, environment};
use crate::http;

/// A client with all rights. A test makes its own: a client ends with the runtime that made it.
///
/// # Panics
/// If the kubeconfig can't be read.
pub async fn client() -> Client {
    let kubeconfig = Kubeconfig::read_from(&environment().cluster.kubeconfig).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig");
    // A request to an API server that is away should fail within a test's patience.
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(30));
    Client::try_from(config).expect("a client")
}

/// Runs kubectl with all rights and returns what it printed.
///
/// # Panics
/// If it fails.
pub fn kubectl(args: &[&str]) -> String {
    try_kubectl(args).unwrap_or_else(|said| panic!("kubectl {}: {said}", args.join(" ")))
}

/// As [`kubectl`], for what may fail.
///
/// # Errors
/// What it said when it failed.
///
/// # Panics
/// If it can't be run.
pub fn try_kubectl(args: &[&str]) -> Result<String, String> {
    let environment = environment();
    let output = Command::new(&environment.cluster.kubectl)
        .env("KUBECONFIG", &environment.cluster.kubeconfig)
        .args(args)
        .output();
    let output = output.unwrap_or_else(|error| panic!("failed to run kubectl: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// Installs the CRDs and the rights of our two ServiceAccounts, once per process.
///
/// # Panics
/// If the API server refuses them.
pub async fn install() {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let crds = checkout("deploy/crds");
            apply(&[&crds, &checkout("deploy/rbac.yaml")]);
            established(&[&crds]);
        })
        .await;
}

/// Installs the CRDs of the Gateway API and of Istio, once per process. They stay for the suites that follow.
///
/// # Panics
/// If the API server refuses them.
pub async fn install_mesh() {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let environment = environment();
            let crds = [environment.gateway_api_crds.as_path(), &environment.istio_crds];
            apply(&crds);
            kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]);
        })
        .await;
}

/// Creates or changes what is in these files and folders.
///
/// # Panics
/// If the API server refuses it.
pub fn apply(paths: &[&Path]) {
    on_files(&["apply", "--server-side", "--force-conflicts"], paths);
}

fn established(paths: &[&Path]) {
    on_files(&["wait", "--for=condition=Established", "--timeout=30s"], paths);
}

fn on_files(command: &[&str], paths: &[&Path]) {
    let files = paths.iter().map(|path| format!("--filename={}", path.display()));
    let files: Vec<String> = files.collect();
    let all: Vec<&str> = command
        .iter()
        .copied()
        .chain(files.iter().map(String::as_str))
        .collect();
    kubectl(&all);
}

/// The time in which the API server is away. Dropping it, as a test that fails does, brings it back for those that follow.
#[derive(Debug)]
#[must_use = "the API server is back when this is dropped"]
pub struct Outage {
    over: bool,
}

impl Outage {
    /// Asks the API server to end; returns when it is gone.
    pub async fn begin() -> Self {
        control("apiserver stop").await;
        Self { over: false }
    }

    /// Kills the API server.
    pub async fn begin_by_crash() -> Self {
        control("apiserver kill").await;
        Self { over: false }
    }

    /// Starts the API server again, on the same port; returns when it is ready.
    pub async fn end(mut self) {
        control("apiserver start").await;
        self.over = true;
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if !self.over {
            control_from_drop("apiserver start");
        }
    }
}

/// Asks the supervisor for something that a test's failure must not leave undone. On a thread with a runtime of its own, since the test's may be ending.
pub(crate) fn control_from_drop(request: &str) {
    let request = request.to_owned();
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(control(&request));
    });
    if done.join().is_err() {
        eprintln!("the cluster is not as it was: what follows fails too");
    }
}

pub(crate) async fn control(request: &str) {
    let socket = &environment().cluster.control;
    let stream = UnixStream::connect(socket).await;
    let mut stream = stream.unwrap_or_else(|error| panic!("no supervisor listens on {}: {error}", socket.display()));
    stream
        .write_all(format!("{request}\n").as_bytes())
        .await
        .expect("the supervisor reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("the supervisor answers");
    assert_eq!(answer, "ok\n", "{request}");
}

/// Forgets all history: a watch that asks for an older resourceVersion is refused (410 Gone), once the API server has been started again and forgotten it too.
///
/// # Panics
/// If etcd refuses.
pub async fn compact() {
    let etcd = environment()
        .cluster
        .etcd
        .strip_prefix("http://")
        .expect("etcd's plain endpoint")
        .parse()
        .expect("an address");
    let any_key = json!({"key": "AA=="});
    let range = post(etcd, "/v3/kv/range", &any_key).await;
    let revision = range
        .pointer("/header/revision")
        .cloned()
        .unwrap_or_else(|| panic!("etcd has no revision: {range}"));
    post(
        etcd,
        "/v3/kv/compaction",
        &json!({"revision": revision, "physical": true}),
    )
    .await;
}

async fn post(address: std::net::SocketAddr, path: &str, body: &Value) -> Value {
    let request = ::http::Request::post(path).body(body.to_string()).expect("a request");
    let answer = http::send(address, request)
        .await
        .unwrap_or_else(|error| panic!("etcd {path}: {error}"));
    assert!(
        answer.status.is_success(),
        "etcd {path}: {} {}",
        answer.status,
        answer.text()
    );
    answer.json()
}
