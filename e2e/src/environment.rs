//! What `cargo xtask test` gave us: the API server and our programs.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::nodes::Nodes;

/// What the tests run against.
#[derive(Debug)]
pub struct Environment {
    /// The cluster that `cargo xtask` runs.
    pub cluster: Cluster,
    /// `coraza-controller`
    pub controller: PathBuf,
    /// `coraza-cache`
    pub cache: PathBuf,
    /// `kubectl-coraza`
    pub kubectl_plugin: PathBuf,
    /// `xtask` itself, for tests of the demo.
    pub xtask: PathBuf,
    /// The folder of the Core Rule Set's Go module.
    pub core_rule_set: PathBuf,
    /// The folder with the Gateway API's CRDs.
    pub gateway_api_crds: PathBuf,
    /// The file with Istio's CRDs.
    pub istio_crds: PathBuf,
    /// `envoy`
    pub envoy: PathBuf,
    /// The plugin's module, as tests run it.
    pub plugin: PathBuf,
    /// The same with a way to make it trap.
    pub plugin_with_trap: PathBuf,
    /// nftables' program; with real nodes only.
    pub nft: Option<PathBuf>,
    /// `docker-registry`; with Istio only.
    pub registry: Option<PathBuf>,
    /// `helm`
    pub helm: PathBuf,
    /// The folder with cert-manager's CRDs.
    pub cert_manager_crds: PathBuf,
    /// `prometheus`, with `promtool` beside it.
    pub prometheus: PathBuf,
    /// The folder with the Prometheus operator's CRDs.
    pub prometheus_operator_crds: PathBuf,
    /// Where the logs of the processes go.
    pub logs: PathBuf,
}

/// What `cluster.json` says, as far as tests use it; `cargo xtask cluster` writes it.
#[derive(Debug, Deserialize)]
pub struct Cluster {
    /// Its folder.
    pub dir: PathBuf,
    /// `https://127.0.0.1:port`
    pub server: String,
    /// The API server's certificate authority.
    pub ca: PathBuf,
    /// Of a member of `system:masters`.
    pub kubeconfig: PathBuf,
    /// With the controller's rights.
    pub controller_kubeconfig: PathBuf,
    /// With the cache's rights.
    pub cache_kubeconfig: PathBuf,
    /// The key that ServiceAccount tokens are signed with.
    pub service_account_key: PathBuf,
    /// The issuer that they name.
    pub service_account_issuer: String,
    /// etcd's client endpoint, with its JSON gateway.
    pub etcd: String,
    /// A kubectl of the API server's version.
    pub kubectl: PathBuf,
    /// The supervisor's Unix socket.
    pub control: PathBuf,
    /// With Istio only, as in suites named `istio_*`.
    pub istio: Option<Istio>,
    /// With real nodes only, as in suites named `node_*`.
    pub nodes: Option<Nodes>,
}

/// What a cluster with Istio has besides.
#[derive(Debug, Deserialize)]
pub struct Istio {
    /// The node, where Pods reach what listens on all addresses here.
    pub node: Ipv4Addr,
    /// Of istiod's debug pages, on loopback.
    pub debug_port: u16,
}

impl Cluster {
    /// What only a cluster with Istio has.
    ///
    /// # Panics
    /// In suites that aren't named `istio_*`.
    #[must_use]
    pub fn istio(&self) -> &Istio {
        self.istio
            .as_ref()
            .expect("only suites named istio_* run in a cluster with Istio")
    }

    /// The address that a server binds which tests, and Pods if there are any, have to reach.
    #[must_use]
    pub fn bind_address(&self) -> Ipv4Addr {
        self.istio
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |_| Ipv4Addr::UNSPECIFIED)
    }
}

/// The environment of this run.
///
/// # Panics
/// Where there is none.
pub fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let cluster = path("CORAZA_E2E_CLUSTER");
        let text =
            std::fs::read(&cluster).unwrap_or_else(|error| panic!("failed to read {}: {error}", cluster.display()));
        Environment {
            cluster: serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("failed to read {}: {error}", cluster.display())),
            controller: path("CORAZA_E2E_CONTROLLER"),
            cache: path("CORAZA_E2E_CACHE"),
            kubectl_plugin: path("CORAZA_E2E_KUBECTL_PLUGIN"),
            xtask: path("CORAZA_E2E_XTASK"),
            core_rule_set: path("CORAZA_CORE_RULE_SET"),
            gateway_api_crds: path("CORAZA_E2E_GATEWAY_API_CRDS"),
            istio_crds: path("CORAZA_E2E_ISTIO_CRDS"),
            envoy: path("CORAZA_E2E_ENVOY"),
            plugin: path("CORAZA_E2E_PLUGIN"),
            plugin_with_trap: path("CORAZA_E2E_PLUGIN_WITH_TRAP"),
            nft: std::env::var_os("CORAZA_E2E_NFT").map(PathBuf::from),
            registry: std::env::var_os("CORAZA_E2E_REGISTRY").map(PathBuf::from),
            helm: path("CORAZA_E2E_HELM"),
            cert_manager_crds: path("CORAZA_E2E_CERT_MANAGER_CRDS"),
            prometheus: path("CORAZA_E2E_PROMETHEUS"),
            prometheus_operator_crds: path("CORAZA_E2E_PROMETHEUS_OPERATOR_CRDS"),
            logs: path("CORAZA_E2E_LOGS"),
        }
    })
}

fn path(variable: &str) -> PathBuf {
    let missing = || panic!("{variable} is not set: run this test by `cargo xtask test e2e`");
    std::env::var_os(variable).map_or_else(missing, PathBuf::from)
}

/// A path in this checkout.
#[must_use]
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
