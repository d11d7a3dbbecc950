//! The controller's own CA: the leader fills and renews the certificates of controller and caches, in Secrets that the chart makes empty.
//!
//! [`plan`] decides, this reads and writes. Everybody else, standbys too, only reads the files that Secrets are mounted as. Secrets whose
//! annotation doesn't say that they are ours are never written if they hold anything.

pub mod bundle;
pub mod content;
pub mod issue;
pub mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use coraza_runtime::backoff::{Backoff, random};
use coraza_runtime::drain;
use coraza_runtime::log::chain;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::lease::Leadership;
use content::{Authority, CERTIFICATES, Data, Leaf, OURS};
use issue::IssueError;
use plan::{Observed, Peer, Policy, Step, next};

/// How often the leader looks at the Secrets: somebody may have emptied one.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// How soon it tries again, and how late at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The most writes in a row: a succession has five.
const MAX_STEPS: usize = 10;

/// The names of the Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Of the CA, with its key.
    pub authority: String,
    /// Of each peer.
    pub peers: BTreeMap<Peer, String>,
}

/// What is counted.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    written: Family<Written, Counter>,
    failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    secret: &'static str,
}

impl Metrics {
    /// Adds them.
    pub fn register(&self, registry: &mut Registry) {
        let Self { written, failures } = self;
        registry.register(
            "coraza_certificate_secret_writes",
            "Writes of Secrets with certificates by the controller's own CA",
            written.clone(),
        );
        registry.register(
            "coraza_certificate_rotation_failures",
            "Failed attempts to fill or renew certificates by the controller's own CA",
            failures.clone(),
        );
    }

    /// A Secret was written: `ca`, `controller` or `cache`.
    pub(crate) fn wrote(&self, secret: &'static str) {
        self.written.get_or_create(&Written { secret }).inc();
    }
}

/// What keeps the Secrets filled.
#[derive(Clone)]
pub struct Keeper {
    /// The API of Secrets in the operator's namespace.
    api: Api<Secret>,
    secrets: Secrets,
    policy: Policy,
    leadership: Leadership,
    metrics: Metrics,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// Why the Secrets can't be kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("failed to read the secret {name}")]
    Read {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("the secret {name} doesn't exist; it is part of the installation")]
    Absent { name: String },
    #[error(
        "the secret {name} holds something and isn't annotated {CERTIFICATES}={OURS}: it is somebody else's, and left alone"
    )]
    Foreign { name: String },
    #[error("failed to write the secret {name}")]
    Write {
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("certificates don't come to rest; somebody else may write them")]
    Restless,
    #[error("this process leads no longer")]
    NotLeading,
}

/// A Secret that is ours to write.
struct Found {
    data: Data,
    annotations: BTreeMap<String, String>,
    version: Option<String>,
}

impl Keeper {
    /// One that does nothing until it is run.
    #[must_use]
    pub fn new(client: Client, namespace: &str, secrets: Secrets, policy: Policy, leadership: Leadership) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            secrets,
            policy,
            leadership,
            metrics: Metrics::default(),
        }
    }

    /// What it counts.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Keeps the Secrets filled while this process leads, until the drain.
    pub async fn run(mut self, mut drain: drain::Watch) {
        let (min, max) = BACKOFF;
        let mut backoff = Backoff::new(min, max);
        let mut said = None;
        loop {
            let delay = match self.round().await {
                Ok(until) => {
                    backoff.reset();
                    if said.take().is_some() {
                        tracing::info!("certificates are kept again");
                    }
                    until.min(LOOK_INTERVAL)
                }
                // The next leader does it.
                Err(KeepError::NotLeading) => LOOK_INTERVAL,
                Err(error) => {
                    self.metrics.failures.inc();
                    let error = chain(&error);
                    if said.as_ref() != Some(&error) {
                        tracing::error!(error, "certificates are not kept; those in use stay until they expire");
                        said = Some(error);
                    }
                    backoff.next(random())
                }
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.leadership.changed() => {}
                () = drain.signaled() => return,
            }
        }
    }

    /// Does what is due. Gives how long nothing else will be.
    async fn round(&self) -> Result<Duration, KeepError> {
        for _ in 0..MAX_STEPS {
            if self.leadership.epoch().is_none() {
                return Err(KeepError::NotLeading);
            }
            // 1. Read. Client. One that can't be used keeps others from nothing that doesn't need it.
            let (mut problem, mut found) = (None, BTreeMap::new());
            for name in self.names() {
                match self.read(name).await {
                    Ok(secret) => drop(found.insert(name, secret)),
                    Err(error) => problem = problem.or(Some(error)),
                }
            }
            // 2. Decide. No client.
            let now = Timestamp::now();
            let step = next(&self.observed(&found), &self.policy, now)?;
            // 3. Write. Client.
            match step {
                Step::Authority(authority, why) => {
                    let annotations = authority.annotations();
                    self.write(
                        &self.secrets.authority,
                        "ca",
                        why,
                        (authority.data(), &annotations),
                        &found,
                    )
                    .await?;
                }
                Step::Leaf(peer, leaf, why) => {
                    let name = self.secrets.peers.get(&peer).map(String::as_str).unwrap_or_default();
                    self.write(name, peer.name(), why, (leaf.data(), &[]), &found).await?;
                }
                Step::Wait(until) => {
                    let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                    return problem.map_or(Ok(wait.max(Duration::from_secs(1))), Err);
                }
            }
        }
        Err(KeepError::Restless)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let peers = self.secrets.peers.values().map(String::as_str);
        std::iter::once(self.secrets.authority.as_str()).chain(peers)
    }

    async fn read(&self, name: &str) -> Result<Found, KeepError> {
        let named = || name.to_owned();
        let secret = self.api.get_opt(name).await;
        let secret = secret.map_err(|source| KeepError::Read { name: named(), source })?;
        found(secret.ok_or_else(|| KeepError::Absent { name: named() })?)
            .ok_or_else(|| KeepError::Foreign { name: named() })
    }

    fn observed(&self, found: &BTreeMap<&str, Found>) -> Observed {
        let peers = self.secrets.peers.iter();
        Observed {
            authority: found
                .get(self.secrets.authority.as_str())
                .map(|secret| Authority::read(&secret.data, &secret.annotations)),
            leaves: peers
                .filter_map(|(peer, name)| Some((*peer, Leaf::read(&found.get(name.as_str())?.data))))
                .collect(),
        }
    }

    async fn write(
        &self,
        name: &str,
        what: &'static str,
        why: &'static str,
        (data, annotations): (Data, &[(&'static str, Option<String>)]),
        found: &BTreeMap<&str, Found>,
    ) -> Result<(), KeepError> {
        // What is written was decided by what was read.
        let Some(before) = found.get(name) else { return Ok(()) };
        let patch = patch(before, data, annotations);
        let written = self
            .api
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        written.map_err(|source| KeepError::Write {
            name: name.to_owned(),
            source,
        })?;
        self.metrics.wrote(what);
        tracing::info!(secret = name, why, "certificates written");
        Ok(())
    }
}

/// What a Secret has, if it is ours to write.
fn found(secret: Secret) -> Option<Found> {
    let annotations = secret.annotations().clone();
    let version = secret.resource_version();
    let data = secret.data.unwrap_or_default();
    let data: Data = data.into_iter().map(|(key, ByteString(bytes))| (key, bytes)).collect();
    let ours = annotations.get(CERTIFICATES).is_some_and(|value| value == OURS);
    (ours || data.values().all(Vec::is_empty)).then_some(Found {
        data,
        annotations,
        version,
    })
}

/// Changes a Secret to this data, if nobody has written it since it was read.
fn patch(before: &Found, data: Data, annotations: &[(&'static str, Option<String>)]) -> Value {
    let mut fields: Map<String, Value> = before.data.keys().map(|key| (key.clone(), Value::Null)).collect();
    for (key, bytes) in data {
        fields.insert(key, json!(ByteString(bytes)));
    }
    let mut marks: Map<String, Value> = annotations
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    // One that was empty may have come without.
    marks.insert(CERTIFICATES.to_owned(), json!(OURS));
    json!({"metadata": {"resourceVersion": before.version, "annotations": marks}, "data": fields})
}

#[cfg(test)]
mod tests;
