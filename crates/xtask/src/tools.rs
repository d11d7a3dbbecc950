//! Tools of others that tests and the demo need: what the user points at, else a build of a pinned version, kept in the user's cache directory.
//!
//! A tool that should build and doesn't is an error, never a reason to skip.

pub(crate) mod debian;
mod go;
mod store;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use self::go::GoTool;
use self::store::Store;
use crate::workspace;

/// Kubernetes 1.37: 1.38 drops what containerd 1.6 (Debian 12) needs.
const KUBERNETES: GoTool = GoTool {
    name: "kubernetes",
    version: "1.37.2",
    package: ".",
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
    package: "go.etcd.io/etcd/server/v3",
    ldflags: "-s -w",
    names: &["etcd"],
    cold_minutes: 2,
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

/// What `go mod download -json` says of a module; the rest of it is of no interest here.
#[derive(Deserialize)]
struct DownloadedModule {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

/// The folder of the Core Rule Set's Go module: its rules are in `rules/@owasp_crs`. Go checks it against the committed go.sum.
pub(crate) async fn core_rule_set() -> Result<PathBuf> {
    let json = go::command("coreruleset")?
        .args(["mod", "download", "-json", CORE_RULE_SET])
        .stdout()
        .await?;
    let module: DownloadedModule =
        serde_json::from_str(&json).context("failed to read what `go mod download -json` printed")?;
    Ok(module.dir)
}

/// `cargo xtask tools`: provides everything and says where it is.
pub(crate) async fn print() -> Result<()> {
    let tools = cluster().await?;
    println!("core rule set            {}", core_rule_set().await?.display());
    println!("etcd                     {}", tools.etcd.display());
    println!("kube-apiserver           {}", tools.apiserver.display());
    match tools.controller_manager {
        Some(path) => println!("kube-controller-manager  {}", path.display()),
        None => println!("kube-controller-manager  none: {KUBEBUILDER_ASSETS} has none"),
    }
    println!("kubectl                  {}", tools.kubectl.display());
    Ok(())
}

/// The committed folder of a tool: its go.mod and go.sum pin and verify all that goes into it.
fn recipe(name: &str) -> PathBuf {
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
