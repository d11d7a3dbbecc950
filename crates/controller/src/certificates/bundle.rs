//! Tells gateways whom to trust when they poll over TLS: the leader keeps a ConfigMap at the `ca.crt` that it reads itself, whoever made that.
//!
//! Istio hands a ConfigMap's `ca.crt` to any proxy whose DestinationRule names it, in any namespace, since 1.26.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coraza_runtime::drain;
use coraza_runtime::log::chain;
use coraza_runtime::tls::x509;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use crate::lease::Leadership;

/// How often the file is read. A CA's successor must be here as soon as everybody else has it.
const FILE_INTERVAL: Duration = Duration::from_secs(2);
/// How often the ConfigMap is looked at, whatever the file says, and how soon after a failure.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const FILE: &str = "ca.crt";

/// What keeps the ConfigMap.
#[derive(Clone)]
pub struct Bundle {
    api: Api<ConfigMap>,
    name: String,
    file: PathBuf,
    leadership: Leadership,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
enum BundleError {
    #[error("failed to read the configmap {name}")]
    Read {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("the configmap {name} doesn't exist; it is part of the installation")]
    Absent { name: String },
    #[error("failed to write the configmap {name}")]
    Write {
        name: String,
        #[source]
        source: kube::Error,
    },
}

impl Bundle {
    /// Keeps the ConfigMap of this name at what is in the directory, from when it is run on.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, directory: &Path, leadership: Leadership) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            file: directory.join(FILE),
            leadership,
        }
    }

    /// Does so while this process leads, until the drain.
    pub async fn run(mut self, mut drain: drain::Watch) {
        let (mut kept, mut said) = (None, None);
        let mut look = Instant::now();
        loop {
            // A file that isn't there, or no certificates, is said by who needs it to connect.
            let file = tokio::fs::read_to_string(&self.file).await.ok();
            let bundle = file.filter(|text| x509::certificates(text.as_bytes()).is_ok_and(|found| !found.is_empty()));
            if let Some(bundle) = bundle
                && self.leadership.epoch().is_some()
                && (kept.as_ref() != Some(&bundle) || Instant::now() >= look)
            {
                match self.keep(&bundle).await {
                    Ok(()) => (kept, said) = (Some(bundle), None),
                    Err(error) => {
                        kept = None;
                        let error = chain(&error);
                        if said.as_ref() != Some(&error) {
                            tracing::error!(
                                error,
                                "gateways are not told whom to trust; they go on with what they know"
                            );
                            said = Some(error);
                        }
                    }
                }
                look = Instant::now() + LOOK_INTERVAL;
            }
            tokio::select! {
                () = tokio::time::sleep(FILE_INTERVAL) => {}
                () = self.leadership.changed() => kept = None,
                () = drain.signaled() => return,
            }
        }
    }

    async fn keep(&self, bundle: &str) -> Result<(), BundleError> {
        let named = || self.name.clone();
        let found = self.api.get_opt(&self.name).await;
        let found = found.map_err(|source| BundleError::Read { name: named(), source })?;
        let found = found.ok_or_else(|| BundleError::Absent { name: named() })?;
        if found
            .data
            .as_ref()
            .and_then(|data| data.get(FILE))
            .is_some_and(|text| text == bundle)
        {
            return Ok(());
        }
        let patch = json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "data": {FILE: bundle}});
        let written = self
            .api
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        written.map_err(|source| BundleError::Write { name: named(), source })?;
        tracing::info!(configmap = self.name, "gateways are told whom to trust");
        Ok(())
    }
}
