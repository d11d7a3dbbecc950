//! Whether this Kubernetes is one that the operator works with.

use crate::doctor::checks::known;
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Checked, Finding};

/// The chart's kubeVersion: the earliest that is compiled against.
const EARLIEST: (u32, u32) = (1, 33);

/// The API server's version.
pub(super) fn version(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let version = known(
        &facts.kubernetes,
        "the API server does not say its version",
        &mut findings,
    );
    if let Some(version) = version {
        let (major, minor) = EARLIEST;
        match numbers(version) {
            Some(found) if found < EARLIEST => findings.push(Finding::problem(
                format!("Kubernetes is older than {major}.{minor}"),
                format!("the API server is {version}"),
                format!("upgrade the cluster to Kubernetes {major}.{minor} or later"),
            )),
            Some(_) => {}
            None => findings.push(Finding::warning(
                "the API server's version can't be read",
                format!("it says {version:?}"),
                format!("see that it is Kubernetes {major}.{minor} or later: kubectl version"),
            )),
        }
    }
    Checked {
        check: "Kubernetes",
        looked_at: version.cloned().unwrap_or_default(),
        findings,
    }
}

/// Major and minor of `v1.37.2-vendor.3`.
pub(super) fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
