//! What the leading controller knows of its caches: its page `/debug/caches`, read through the API server. Client, but for the values.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

/// The name of the Lease that controllers contend for.
const LEASE: &str = "waf.k8s.coraza.io";
/// The port of the page in the chart and in `deploy/`.
const METRICS_PORT: u16 = 8443;

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
        source: kube::Error,
    },
    /// The page is for those who show a token, and the API server's proxy passes none on.
    #[error("/debug/caches of Pod {namespace}/{pod} wants a token, which the API server does not pass on")]
    Guarded { namespace: String, pod: String },
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

/// Reads the leader's page, through the API server's proxy.
///
/// # Errors
/// [`CachesError`]
pub(crate) async fn read(client: &Client, leader: &Leader) -> Result<Document, CachesError> {
    let Leader { namespace, pod } = leader;
    let page =
        |scheme: &str| format!("/api/v1/namespaces/{namespace}/pods/{scheme}{pod}:{METRICS_PORT}/proxy/debug/caches");
    let fetch = async |path: String| {
        // A path of names that the API server gave us is one.
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        client.request_text(request).await
    };
    let text = match fetch(page("")).await {
        Ok(text) => text,
        // A server of TLS doesn't understand us, as one without it doesn't understand TLS.
        Err(plain) => fetch(page("https:")).await.map_err(|secure| match secure {
            kube::Error::Api(status) if status.code == 401 => CachesError::Guarded {
                namespace: namespace.clone(),
                pod: pod.clone(),
            },
            _ => CachesError::Page {
                namespace: namespace.clone(),
                pod: pod.clone(),
                source: plain,
            },
        })?,
    };
    serde_json::from_str(&text).map_err(|source| CachesError::Answer {
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
            source: kube::Error::Api(status),
            ..
        } if status.code == 403 => format!("{what}; it takes the right to get pods/proxy in namespace {namespace}"),
        CachesError::Guarded { .. } => format!(
            "{what}; kubectl port-forward does, or let metrics be read by anybody (metrics.secure=false of the chart)"
        ),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_names_the_pod_that_leads() {
        let lease = |holder: Option<&str>| -> Lease {
            let spec = holder.map(|holder| serde_json::json!({"holderIdentity": holder}));
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": LEASE, "namespace": "coraza-system"},
                "spec": spec,
            }))
            .unwrap()
        };
        let pod = |holder| Leader::of(&lease(holder)).map(|leader| leader.pod);
        assert_eq!(
            pod(Some("coraza-controller-7d9_x_0b6c")).as_deref(),
            Some("coraza-controller-7d9_x")
        );
        assert_eq!(pod(Some("")), None);
        assert_eq!(pod(Some("somebody")), None);
        assert_eq!(pod(None), None);
    }

    #[test]
    fn the_page_is_read_as_the_controller_writes_it() {
        let page = r#"{"leading": true, "epoch": 7, "caches": [{
            "replica": "cache-0", "processId": "p", "complete": true, "grants": 2, "inFlight": 0, "awaited": [],
            "held": {"shop/crs": {"uuid": "0b6c", "timestamp": "2026-05-01T10:00:00Z"}}, "refused": {}}]}"#;
        let document: Document = serde_json::from_str(page).unwrap();
        assert_eq!(document.caches[0].held["shop/crs"].uuid, "0b6c");
    }

    const PAGE: &str = r#"{"leading": true, "caches": []}"#;

    /// An API server that answers each path with a status and a body.
    fn played(answer: impl Fn(&str) -> (u16, String) + Clone + Send + 'static) -> Client {
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (status, body) = answer(&request.uri().to_string());
            async move {
                let answer = http::Response::builder()
                    .status(status)
                    .body(kube::client::Body::from(body.into_bytes()));
                Ok::<_, kube::Error>(answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn refused(status: u16, message: &str) -> (u16, String) {
        let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "reason": "x", "code": status});
        (status, body.to_string())
    }

    /// Two Leases, of which one was renewed last, and what its holder's page is answered with.
    fn cluster(page: impl Fn(&str) -> (u16, String) + Clone + Send + 'static) -> Client {
        played(move |path| {
            if !path.contains("/leases") {
                return page(path);
            }
            let lease = |namespace: &str, holder: &str, minute: u8| {
                serde_json::json!({
                    "metadata": {"name": LEASE, "namespace": namespace},
                    "spec": {"holderIdentity": holder, "renewTime": format!("2026-06-01T12:0{minute}:00.000000Z")},
                })
            };
            let leases = [
                lease("moved-away", "gone_1", 1),
                lease("coraza-system", "leader-0_1", 2),
            ];
            let list = serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": leases});
            (200, list.to_string())
        })
    }

    #[tokio::test]
    async fn the_page_is_the_leader_s_in_plain_or_by_tls() {
        for scheme in ["", "https:"] {
            let client = cluster(move |path| {
                let wanted = format!("/api/v1/namespaces/coraza-system/pods/{scheme}leader-0:8443/proxy/debug/caches");
                if path == wanted {
                    (200, PAGE.to_owned())
                } else {
                    refused(400, "no TLS, or TLS")
                }
            });
            let CachesView::Known { controller, document } = view(&client, None).await else {
                panic!("it is known");
            };
            assert_eq!(
                (controller.as_str(), document.leading),
                ("coraza-system/leader-0", true)
            );
        }
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_said() {
        let why = async |client: &Client| match view(client, None).await {
            CachesView::Unknown { why } => why,
            CachesView::Known { .. } => panic!("it isn't known"),
        };
        let no_rights = why(&cluster(|_| refused(403, "pods/proxy is forbidden"))).await;
        assert!(
            no_rights.contains("it takes the right to get pods/proxy in namespace coraza-system"),
            "{no_rights}"
        );
        let other = why(&cluster(|_| (200, "[]".to_owned()))).await;
        assert!(other.contains("is no /debug/caches of this version"), "{other}");
        let no_leases = why(&played(|_| refused(403, "leases is forbidden"))).await;
        assert!(no_leases.contains("--operator-namespace"), "{no_leases}");
        let empty = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": []}"#;
        let nobody = why(&played(|_| (200, empty.to_owned()))).await;
        assert!(nobody.contains("no controller leads"), "{nobody}");
    }
}
