//! What the leading controller knows of its caches: its page `/debug/caches`, read over a port-forward. Client, but for the values.

pub(crate) mod forward;

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use forward::ForwardError;

/// The name of the Lease that controllers contend for.
const LEASE: &str = "waf.k8s.coraza.io";
/// The port of the page on the loopback of Pods, in the chart and in `deploy/`.
const DEBUG_PORT: u16 = 8082;
/// The page.
const PAGE: &str = "/debug/caches";

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    /// Whether the controller that answered publishes; another one's caches are not known to it.
    pub(crate) leading: bool,
    /// The caches that are subscribed to it.
    pub(crate) caches: Vec<Replica>,
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replica {
    /// Its name, which is its Pod's.
    pub(crate) replica: String,
    /// Whether it has had a complete snapshot.
    pub(crate) complete: bool,
    /// The revision of each RuleSet that it serves, by `namespace/name`.
    pub(crate) held: BTreeMap<String, HeldRevision>,
    /// Why it refused a RuleSet's revision.
    pub(crate) refused: BTreeMap<String, String>,
    /// What was sent to it and not answered yet.
    pub(crate) awaited: Vec<String>,
    /// The tokens that it lets in.
    pub(crate) grants: usize,
}

/// A revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldRevision {
    pub(crate) uuid: String,
    pub(crate) timestamp: String,
}

/// What is known of the caches, or why it isn't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "CachesJson")]
pub(crate) enum CachesView {
    /// The leader's page.
    Known {
        /// `namespace/name` of its Pod.
        controller: String,
        /// What it said.
        document: Document,
    },
    /// There is none to be read.
    Unknown {
        /// What is in the way, and what to do about it.
        why: String,
    },
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CachesJson {
    known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<String>,
    #[serde(flatten)]
    document: Option<Document>,
}

impl From<CachesView> for CachesJson {
    fn from(view: CachesView) -> Self {
        match view {
            CachesView::Known { controller, document } => Self {
                known: true,
                why: None,
                controller: Some(controller),
                document: Some(document),
            },
            CachesView::Unknown { why } => Self {
                known: false,
                why: Some(why),
                controller: None,
                document: None,
            },
        }
    }
}

impl CachesView {
    /// The page, if there is one.
    pub(crate) const fn document(&self) -> Option<&Document> {
        match self {
            Self::Known { document, .. } => Some(document),
            Self::Unknown { .. } => None,
        }
    }
}

/// Where the leading controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

impl Leader {
    /// The leader that a Lease names. Its identity is its Pod's name, an underscore, and a number of its process.
    pub(crate) fn of(lease: &Lease) -> Option<Self> {
        let identity = lease.spec.as_ref()?.holder_identity.as_deref()?;
        let (pod, _) = identity.rsplit_once('_')?;
        Some(Self {
            namespace: lease.metadata.namespace.clone()?,
            pod: pod.to_owned(),
        })
    }
}

/// Why the caches aren't known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CachesError {
    /// The API server doesn't say who leads.
    #[error("failed to read the Lease {LEASE}")]
    Lease(#[source] kube::Error),
    /// Nobody does.
    #[error("no controller leads: no Lease {LEASE} names one")]
    NoLeader,
    /// The page isn't to be had.
    #[error("failed to read /debug/caches of Pod {namespace}/{pod}")]
    Page {
        namespace: String,
        pod: String,
        #[source]
        source: ForwardError,
    },
    /// It isn't what it should be.
    #[error("the answer of Pod {namespace}/{pod} is no /debug/caches of this version")]
    Answer {
        namespace: String,
        pod: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Finds who leads: in the operator's namespace if it is said, else in any.
///
/// # Errors
/// [`CachesError`]
pub(crate) async fn leader(client: &Client, operator_namespace: Option<&str>) -> Result<Leader, CachesError> {
    let leases: Api<Lease> = match operator_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let only = ListParams::default().fields(&format!("metadata.name={LEASE}"));
    let leases = leases.list(&only).await.map_err(CachesError::Lease)?;
    // Of several, as after a move to another namespace, the one that was renewed last.
    let renewed = |lease: &&Lease| {
        lease
            .spec
            .as_ref()
            .and_then(|spec| spec.renew_time.clone())
            .map(|time| time.0)
    };
    let latest = leases.items.iter().max_by_key(renewed);
    latest.and_then(Leader::of).ok_or(CachesError::NoLeader)
}

/// Reads the leader's page.
///
/// # Errors
/// [`CachesError`]
pub(crate) async fn read(client: &Client, leader: &Leader) -> Result<Document, CachesError> {
    let Leader { namespace, pod } = leader;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let page = forward::get(&pods, pod, DEBUG_PORT, PAGE).await;
    let page = page.map_err(|source| CachesError::Page {
        namespace: namespace.clone(),
        pod: pod.clone(),
        source,
    })?;
    serde_json::from_slice(&page).map_err(|source| CachesError::Answer {
        namespace: namespace.clone(),
        pod: pod.clone(),
        source,
    })
}

/// What is known of the caches.
pub(crate) async fn view(client: &Client, operator_namespace: Option<&str>) -> CachesView {
    let found = async {
        let leader = leader(client, operator_namespace).await?;
        let document = read(client, &leader).await?;
        Ok::<_, CachesError>((leader, document))
    };
    match found.await {
        Ok((Leader { namespace, pod }, document)) => CachesView::Known {
            controller: format!("{namespace}/{pod}"),
            document,
        },
        Err(error) => CachesView::Unknown { why: why(&error) },
    }
}

/// What is in the way, and what to do about it.
fn why(error: &CachesError) -> String {
    let what = crate::output::chain(error);
    match error {
        CachesError::Lease(kube::Error::Api(status)) if status.code == 403 => format!(
            "{what}; name the operator's namespace with --operator-namespace, or ask for the right to list Leases"
        ),
        CachesError::Page {
            namespace,
            source: ForwardError::Open(kube::Error::Api(status)),
            ..
        } if status.code == 403 => {
            format!("{what}; it takes the rights to get and create pods/portforward in namespace {namespace}")
        }
        CachesError::Page {
            source: ForwardError::Refused(_),
            ..
        } => format!("{what}; it serves the page if it is started with --debug-bind-address=127.0.0.1:{DEBUG_PORT}"),
        _ => what,
    }
}

#[cfg(test)]
mod tests;
