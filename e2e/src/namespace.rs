//! A namespace per test, and our resources in it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use coraza_api::status::RevisionStatus;
use coraza_api::{Engine, RuleData, RuleSet, RuleSource};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace as KubernetesNamespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cache::Latest;
use crate::environment::checkout;
use crate::fleet::Fleet;
use crate::mesh::Mesh;
use crate::process::suite;
use crate::wait::{self, until, until_within};
use crate::{Cache, cluster, token};

/// Who owns the fields that tests apply.
const FIELD_MANAGER: &str = "e2e";

/// The ServiceAccount that tests call caches as.
const CALLER: &str = "caller";

/// A namespace of the API server. Dropping it deletes it, its RuleSets first.
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// A client with all rights.
    pub client: Client,
}

/// Kinds that live in namespaces and need no further word to name them.
pub trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug
{
}
impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug> Namespaced
    for K
{
}

impl Namespace {
    /// A new one, named after the test's file. Our CRDs are installed afterwards.
    ///
    /// # Panics
    /// If it can't be created.
    pub async fn create() -> Self {
        cluster::install().await;
        let client = crate::client().await;
        let name = unique_name("");
        create(&client, &name).await;
        Self { name, client }
    }

    /// The objects of a kind in it.
    #[must_use]
    pub fn api<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates or changes a RuleSource.
    pub async fn source(&self, name: &str, rules: &str) -> RuleSource {
        self.apply(name, json!({"rules": rules})).await
    }

    /// Creates or changes a RuleData.
    pub async fn data(&self, name: &str, files: &[(&str, &str)]) -> RuleData {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        self.apply(name, json!({"files": files})).await
    }

    /// Creates or changes a RuleSet.
    pub async fn ruleset(&self, name: &str, sources: &[&str], data: &[&str]) -> RuleSet {
        let named = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let mut spec = json!({"sources": named(sources)});
        if !data.is_empty() {
            spec["data"] = json!(named(data));
        }
        self.apply(name, spec).await
    }

    /// Creates or changes an object of ours to have this spec.
    ///
    /// # Panics
    /// If the API server refuses it; [`try_apply`](Self::try_apply) says how.
    pub async fn apply<K: Namespaced>(&self, name: &str, spec: Value) -> K {
        let applied = self.try_apply(name, spec).await;
        applied.unwrap_or_else(|error| panic!("{} {}/{name} was refused: {error}", K::kind(&()), self.name))
    }

    /// As [`apply`](Self::apply), for what may be refused.
    ///
    /// # Errors
    /// The API server's.
    pub async fn try_apply<K: Namespaced>(&self, name: &str, spec: Value) -> kube::Result<K> {
        let object =
            json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
        self.api::<K>()
            .patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
            .await
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// If there is none.
    pub async fn delete<K: Namespaced>(&self, name: &str) {
        let deleted = self.api::<K>().delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("failed to delete {} {}/{name}: {error}", K::kind(&()), self.name));
    }

    /// A RuleSet as it is now.
    ///
    /// # Panics
    /// If there is none.
    pub async fn get_ruleset(&self, name: &str) -> RuleSet {
        self.api()
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("failed to get RuleSet {}/{name}: {error}", self.name))
    }

    /// Waits until a RuleSet is Ready as it is specified now, and gives its revision.
    pub async fn ready(&self, name: &str) -> RevisionStatus {
        let what = format!("RuleSet {}/{name} to be Ready", self.name);
        until(&what, async || {
            let ruleset = self
                .api::<RuleSet>()
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = ruleset
                .status
                .as_ref()
                .map(|status| status.conditions.as_slice())
                .unwrap_or_default();
            let current = ruleset.metadata.generation;
            let ready = conditions.iter().any(|condition| {
                condition.type_ == "Ready" && condition.status == "True" && condition.observed_generation == current
            });
            let revision = ruleset
                .status
                .as_ref()
                .and_then(|status| status.revision.clone())
                .filter(|_| ready);
            revision.ok_or_else(|| describe(conditions))
        })
        .await
    }

    /// Waits until a RuleSet is Ready as a revision other than this one, and gives it.
    pub async fn revised(&self, name: &str, before: &str) -> RevisionStatus {
        let what = format!("RuleSet {}/{name} to be revised", self.name);
        until(&what, async || {
            let shown = self.ready(name).await;
            if shown.uuid == before {
                Err("the revision from before")
            } else {
                Ok(shown)
            }
        })
        .await
    }

    /// Waits until a RuleSet's status shows this revision as Ready. An edit of a source doesn't change the RuleSet, so [`ready`](Self::ready) right after
    /// one may still give the revision from before.
    pub async fn shows(&self, name: &str, uuid: &str) {
        let what = format!("RuleSet {}/{name} to show {uuid}", self.name);
        until(&what, async || {
            let shown = self.ready(name).await.uuid;
            if shown == uuid { Ok(()) } else { Err(shown) }
        })
        .await;
    }

    /// Waits until an object has a condition of this type, status and reason, and gives it.
    pub async fn condition<K: Namespaced + HasConditions>(&self, name: &str, wanted: (&str, &str, &str)) -> Condition {
        self.condition_within::<K>(wait::PATIENCE, name, wanted).await
    }

    /// As [`condition`](Self::condition), for what takes longer than most.
    pub async fn condition_within<K: Namespaced + HasConditions>(
        &self,
        patience: Duration,
        name: &str,
        wanted: (&str, &str, &str),
    ) -> Condition {
        let (type_, status, reason) = wanted;
        let what = format!(
            "{} {}/{name} to have {type_}={status} ({reason})",
            K::kind(&()),
            self.name
        );
        until_within(patience, &what, async || {
            let object = self.api::<K>().get(name).await.map_err(|error| error.to_string())?;
            let found = object
                .conditions()
                .iter()
                .find(|condition| condition.type_ == type_ && condition.status == status && condition.reason == reason);
            found.cloned().ok_or_else(|| describe(object.conditions()))
        })
        .await
    }

    /// A token that may read one RuleSet of this namespace.
    pub async fn token(&self, ruleset: &str) -> String {
        token::request(&self.client, &self.name, CALLER, &token::audience(&self.name, ruleset)).await
    }

    /// Waits until each of these caches serves a revision of a RuleSet.
    pub async fn served(&self, caches: &[Cache], ruleset: &str, uuid: &str) {
        let token = self.token(ruleset).await;
        for cache in caches {
            let what = format!("{} to serve {}/{ruleset} at {uuid}", cache.process.name(), self.name);
            until(&what, async || match cache.latest(&self.name, ruleset, &token).await {
                Ok(latest) if latest.uuid == uuid => Ok(()),
                Ok(Latest { uuid, .. }) => Err(uuid),
                Err(error) => Err(error),
            })
            .await;
        }
    }
}

/// Our kinds' status conditions.
pub trait HasConditions {
    /// Those that it has.
    fn conditions(&self) -> &[Condition];
}

macro_rules! has_conditions {
    ($($kind:ty),*) => {$(
        impl HasConditions for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
            }
        }
    )*};
}
has_conditions!(Engine, RuleSet, RuleSource, RuleData);

/// Conditions on a line, for a failure's message.
fn describe(conditions: &[Condition]) -> String {
    let each = conditions.iter().map(|condition| {
        let Condition {
            type_,
            status,
            reason,
            message,
            observed_generation,
            ..
        } = condition;
        format!(
            "{type_}={status} ({reason}, generation {}): {message}",
            observed_generation.unwrap_or_default()
        )
    });
    let text = each.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        "no conditions".to_owned()
    } else {
        text
    }
}

/// A namespace for a fleet, as `deploy/rbac.yaml` has one: the controller's ServiceAccount has the same rights in it, and there is one for
/// the gateways' tokens.
pub(crate) async fn operator_namespace() -> String {
    let client = crate::client().await;
    let name = unique_name("operator-");
    create(&client, &name).await;
    let path = checkout("deploy/rbac.yaml");
    let manifest =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()));
    for document in manifest.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).expect("YAML");
        match object["kind"].as_str() {
            Some("Role") => copy::<Role>(&client, &name, object).await,
            Some("RoleBinding") => copy::<RoleBinding>(&client, &name, object).await,
            Some("ServiceAccount") if object["metadata"]["name"] == "coraza-plugin" => {
                copy::<ServiceAccount>(&client, &name, object).await;
            }
            _ => {}
        }
    }
    name
}

/// Creates an object of the manifest in another namespace.
async fn copy<K: Namespaced + serde::Serialize>(client: &Client, namespace: &str, mut object: Value) {
    object["metadata"]["namespace"] = namespace.into();
    let object: K = serde_json::from_value(object).expect("an object of the kind");
    let created = Api::<K>::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &object)
        .await;
    created.unwrap_or_else(|error| panic!("failed to create a {}: {error}", K::kind(&())));
}

/// A name that no other test has, in this run or another on the same API server.
fn unique_name(kind: &str) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    format!(
        "{kind}{}-{}",
        suite().replace('_', "-"),
        unique.get(..8).unwrap_or_default()
    )
}

async fn create(client: &Client, name: &str) {
    let namespace = KubernetesNamespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..KubernetesNamespace::default()
    };
    let created = Api::<KubernetesNamespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await;
    created.unwrap_or_else(|error| panic!("failed to create namespace {name}: {error}"));
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(fleet) = Fleet::shared_if_started().or_else(Mesh::shared_fleet_if_started)
        {
            fleet.show_logs_about(&self.name);
        }
        let name = self.name.clone();
        // A thread with a runtime of its own, since the test's may be ending; its client's connections belong to that.
        let cleanup = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(remove(&name));
        });
        if cleanup.join().is_err() {
            eprintln!("namespace {} was not cleaned up", self.name);
        }
    }
}

/// Deletes the RuleSets at once, so that the controller forgets them, and the rest when the API server gets to it. A test may have left that stopped.
async fn remove(name: &str) {
    let client = crate::client().await;
    let rulesets: Api<RuleSet> = Api::namespaced(client.clone(), name);
    if let Ok(list) = rulesets.list(&ListParams::default()).await {
        for ruleset in list {
            let _ = rulesets.delete(&ruleset.name_any(), &DeleteParams::default()).await;
        }
    }
    let _ = Api::<KubernetesNamespace>::all(client)
        .delete(name, &DeleteParams::default())
        .await;
}
