//! Objects that can't be decoded, as a CRD of another version may let through. *Faults*: the schema is the run's only one, and so is the fleet.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use coraza_api::{RuleData, RuleSet, RuleSource};
use coraza_e2e::namespace::Namespaced;
use coraza_e2e::{Fleet, Namespace, Size, until};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

/// The kinds whose specifications may be anything for a while, by their CRDs' names.
const LOOSENED: [&str; 3] = [
    "rulesets.waf.k8s.coraza.io",
    "rulesources.waf.k8s.coraza.io",
    "ruledata.waf.k8s.coraza.io",
];

fn rule(id: u32) -> String {
    format!("SecRule ARGS:a \"@streq {id}\" \"id:{id},phase:1,deny\"")
}

/// CRDs without a schema for what users write. Dropping it, as a test that fails does, brings the schemas back for those that follow.
struct Loosened {
    original: Vec<CustomResourceDefinition>,
}

impl Loosened {
    async fn begin(client: &Client) -> Self {
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let mut original = Vec::new();
        for name in LOOSENED {
            original.push(crds.get(name).await.unwrap());
        }
        let guard = Self { original };
        for crd in &guard.original {
            let mut loose = crd.clone();
            for version in &mut loose.spec.versions {
                let schema = version
                    .schema
                    .as_mut()
                    .and_then(|schema| schema.open_api_v3_schema.as_mut());
                let properties = schema.unwrap().properties.as_mut().unwrap();
                let anything = JSONSchemaProps {
                    type_: Some("object".to_owned()),
                    x_kubernetes_preserve_unknown_fields: Some(true),
                    ..JSONSchemaProps::default()
                };
                properties.insert("spec".to_owned(), anything);
            }
            replace(&crds, loose).await;
        }
        guard
    }
}

impl Drop for Loosened {
    fn drop(&mut self) {
        let original = std::mem::take(&mut self.original);
        // A thread with a runtime of its own, since the test's may be ending.
        let back = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let crds = Api::all(coraza_e2e::client().await);
                for crd in original {
                    replace(&crds, crd).await;
                }
            });
        });
        assert!(
            back.join().is_ok() || std::thread::panicking(),
            "the schemas did not come back"
        );
    }
}

/// Gives a CRD this specification, whatever its version is by now.
async fn replace(crds: &Api<CustomResourceDefinition>, mut wanted: CustomResourceDefinition) {
    let name = wanted.metadata.name.clone().unwrap();
    until(&format!("{name} to be replaced"), async || {
        let current = crds.get(&name).await.map_err(|error| error.to_string())?;
        wanted.metadata.resource_version = current.metadata.resource_version;
        let replaced = crds.replace(&name, &PostParams::default(), &wanted).await;
        replaced.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// The objects of a kind as JSON: a typed client can't read them.
fn untyped<K: Namespaced>(namespace: &Namespace) -> Api<DynamicObject> {
    Api::namespaced_with(namespace.client.clone(), &namespace.name, &ApiResource::erase::<K>(&()))
}

/// Applies a specification that the loosened schema lets through. The API server takes a moment to follow a CRD.
async fn apply<K: Namespaced>(namespace: &Namespace, name: &str, spec: Value) {
    let object =
        json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
    let parameters = PatchParams::apply("e2e").force();
    until(&format!("{name} to be accepted"), async || {
        let applied = untyped::<K>(namespace)
            .patch(name, &parameters, &Patch::Apply(&object))
            .await;
        applied.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// Waits until an object is Degraded for this reason with a message that has all of these parts.
async fn degraded<K: Namespaced>(namespace: &Namespace, name: &str, reason: &str, parts: &[&str]) {
    let what = format!("{} {name} to be Degraded ({reason}), with {parts:?}", K::kind(&()));
    until(&what, async || {
        let object = untyped::<K>(namespace)
            .get(name)
            .await
            .map_err(|error| error.to_string())?;
        let conditions = object.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let degraded = conditions
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Degraded");
        let message = degraded
            .filter(|condition| condition["status"] == "True" && condition["reason"] == reason)
            .and_then(|condition| condition["message"].as_str())
            .unwrap_or_default();
        if !message.is_empty() && parts.iter().all(|part| message.contains(part)) {
            Ok(())
        } else {
            Err(conditions.to_string())
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_can_not_be_decoded_is_told_itself_and_stops_nobody() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let (namespace, other) = (Namespace::create().await, Namespace::create().await);
    namespace.data("words", &[("bad.data", "evil")]).await;
    let mut served = Vec::new();
    for (id, name) in [(1, "of-source"), (2, "of-data"), (3, "itself")] {
        namespace.source(name, &rule(id)).await;
        let data: &[_] = if name == "of-data" { &["words"] } else { &[] };
        namespace.ruleset(name, &[name], data).await;
        let uuid = namespace.ready(name).await.uuid;
        namespace.served(&fleet.caches, name, &uuid).await;
        served.push((name, uuid));
    }

    let schemas = Loosened::begin(&namespace.client).await;
    apply::<RuleSource>(&namespace, "of-source", json!({"rules": {"text": rule(9)}})).await;
    apply::<RuleData>(&namespace, "words", json!({"files": {"bad.data": 7}})).await;
    apply::<RuleSet>(&namespace, "itself", json!({"sources": "all"})).await;
    let (rules, files) = (
        "spec.rules: invalid type: map, expected a string",
        "spec.files.bad.data: invalid type",
    );
    degraded::<RuleSource>(
        &namespace,
        "of-source",
        "RuleSourceAccessError",
        &[rules, "kubectl explain"],
    )
    .await;
    degraded::<RuleData>(&namespace, "words", "RuleDataAccessError", &[files, "kubectl explain"]).await;
    degraded::<RuleSet>(&namespace, "itself", "InvalidRuleSet", &["spec.sources: invalid type"]).await;
    degraded::<RuleSet>(
        &namespace,
        "of-source",
        "RuleSourceAccessError",
        &["RuleSource of-source", rules],
    )
    .await;
    degraded::<RuleSet>(&namespace, "of-data", "RuleDataAccessError", &["RuleData words", files]).await;

    // The watches go on, for these kinds as well.
    other.source("rules", &rule(4)).await;
    other.ruleset("waf", &["rules"], &[]).await;
    let uuid = other.ready("waf").await.uuid;
    other.served(&fleet.caches, "waf", &uuid).await;
    for (name, uuid) in &served {
        namespace.served(&fleet.caches, name, uuid).await;
    }

    // Mended, they are as good as before.
    namespace.source("of-source", &rule(1)).await;
    namespace.data("words", &[("bad.data", "evil")]).await;
    namespace.ruleset("itself", &["itself"], &[]).await;
    for (name, uuid) in &served {
        assert_eq!(&namespace.ready(name).await.uuid, uuid);
    }
    namespace
        .condition::<RuleSource>("of-source", ("Ready", "True", "Validated"))
        .await;
    drop(schemas);
}
