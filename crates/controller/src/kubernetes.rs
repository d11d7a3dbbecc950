//! Whether the API server is of a version that this operator is made for: said once in the log, and on each Engine. Client, but for the comparison.

use std::time::Duration;

use coraza_runtime::backoff::{Backoff, random};
use coraza_runtime::log::chain;

use crate::context::Context;

/// The earliest that we compile against, and the chart's kubeVersion.
const EARLIEST: (u32, u32) = (1, 33);
/// Between two tries to ask it: what it says can wait.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Asks the API server until it answers.
pub async fn look(context: Context) {
    let (min, max) = RETRY;
    let mut backoff = Backoff::new(min, max);
    let version = loop {
        match context.client.apiserver_version().await {
            Ok(info) => break info.git_version,
            Err(error) => tracing::debug!(error = chain(&error), "failed to ask for the version of kubernetes"),
        }
        tokio::time::sleep(backoff.next(random())).await;
    };
    let Some(note) = too_old(&version) else { return };
    tracing::warn!(
        version,
        "this kubernetes is older than what this operator is made for, going on"
    );
    context.set_kubernetes_note(note);
    let engines = context.watched.index().engine_items();
    context.queue.add(engines);
}

/// What a person should know of a version, if it is too old. One that can't be read is none of our business.
fn too_old(version: &str) -> Option<String> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    let found: (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (major, minor) = EARLIEST;
    // Builds of developers call themselves 0.0.
    (found.0 > 0 && found < EARLIEST)
        .then(|| format!("Kubernetes is {version}, and this operator is made for {major}.{minor} or later"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_too_old_or_nobody_s_business() {
        for (version, old) in [
            ("v1.32.9", true),
            ("v1.9.0-gke.3", true),
            ("v1.33.0", false),
            ("v1.37.2+k3s1", false),
            ("v2.0.0", false),
            ("", false),
            ("v0.0.0-master", false),
            ("unknown", false),
        ] {
            assert_eq!(too_old(version).is_some(), old, "{version}");
        }
    }
}
