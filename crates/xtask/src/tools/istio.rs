//! Istio's control plane and agent, and the files of its Go module and of the Gateway API's that a cluster with Istio has installed.

use std::path::PathBuf;

use anyhow::Result;

use super::go::{self, GoTool};
use super::store::Store;

const ISTIO: GoTool = GoTool {
    name: "istio",
    version: "1.31-dev",
    packages: &[
        "istio.io/istio/pilot/cmd/pilot-discovery",
        "istio.io/istio/pilot/cmd/pilot-agent",
    ],
    ldflags: "-s -w -X istio.io/istio/pkg/version.buildVersion=1.31-dev -X istio.io/istio/pkg/version.buildHub=local \
              -X istio.io/istio/pkg/version.buildTag=dev -X istio.io/istio/pkg/version.buildStatus=Clean",
    names: &["pilot-discovery", "pilot-agent"],
    cold_minutes: 9,
};

/// Istio's programs.
#[derive(Debug, Clone)]
pub(crate) struct IstioTools {
    /// `pilot-discovery`, which everybody calls istiod.
    pub(crate) istiod: PathBuf,
    /// `pilot-agent`, the program of a proxy's container.
    pub(crate) agent: PathBuf,
}

/// What `ISTIOD_BIN` and `PILOT_AGENT_BIN` say if both are set, else built.
pub(crate) async fn provide() -> Result<IstioTools> {
    if let (Some(istiod), Some(agent)) = (
        super::override_by("ISTIOD_BIN")?,
        super::override_by("PILOT_AGENT_BIN")?,
    ) {
        return Ok(IstioTools { istiod, agent });
    }
    let built = ISTIO.provide(&Store::of_user()?).await?;
    Ok(IstioTools {
        istiod: built.join("pilot-discovery"),
        agent: built.join("pilot-agent"),
    })
}

/// The folder of Istio's sources: its CRDs, the chart of istiod, Envoy's bootstrap.
pub(crate) async fn module() -> Result<PathBuf> {
    go::module("istio", "istio.io/istio").await
}

/// The file with all of Istio's CRDs.
pub(crate) async fn crds() -> Result<PathBuf> {
    Ok(module().await?.join("manifests/charts/base/files/crd-all.gen.yaml"))
}

/// The folder with the Gateway API's CRDs of the standard channel.
pub(crate) async fn gateway_api_crds() -> Result<PathBuf> {
    Ok(go::module("gateway-api", "sigs.k8s.io/gateway-api")
        .await?
        .join("config/crd/standard"))
}
