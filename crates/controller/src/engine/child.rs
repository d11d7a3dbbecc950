//! `Child`: an object that we make, as it should be, and how one that exists differs from that. Pure.

use std::collections::BTreeMap;

use coraza_api::istio::{DestinationRule, ServiceEntry, Telemetry, WasmPlugin};
use coraza_api::metadata::{FIELD_MANAGER, annotation, label};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};

use crate::watch::foreign::{ChildKind, ChildView};
use crate::watch::object::ObjectKey;

/// How the names of the objects begin that belong to an Engine.
pub const PREFIX: &str = "coraza-engine-";

macro_rules! child_kinds {
    ($($kind:ident: $may_be_ours:expr),*) => {$(
        impl ChildKind for $kind {
            const KIND: &'static str = stringify!($kind);

            fn may_be_ours(metadata: &ObjectMeta) -> bool {
                $may_be_ours(metadata)
            }
        }
    )*};
}

child_kinds!(
    WasmPlugin: is_an_engines,
    Telemetry: is_an_engines,
    // Of these only our own namespace is watched.
    NetworkPolicy: |_| true,
    ServiceEntry: |_| true,
    DestinationRule: |_| true
);

fn is_an_engines(metadata: &ObjectMeta) -> bool {
    let named = metadata.name.as_ref().is_some_and(|name| name.starts_with(PREFIX));
    named
        || metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.kind == "Engine")
}

/// An object as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Its namespace and name.
    pub key: ObjectKey,
    /// Its labels; others may add theirs.
    pub labels: BTreeMap<String, String>,
    /// Its annotations; others may add theirs.
    pub annotations: BTreeMap<String, String>,
    /// Whom it belongs to, where there can be an owner.
    pub owner: Option<OwnerReference>,
    /// All of its specification.
    pub spec: Value,
}

/// How an object differs from what it should be.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    /// Something is missing or other than it should be: to be applied.
    pub lacks: bool,
    /// The merge patch that takes away what shouldn't be in its specification: applying takes away only what we had put there.
    pub surplus: Option<Value>,
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        !self.lacks && self.surplus.is_none()
    }
}

impl Child {
    /// Whether an object of this name is ours to change: by its owner or, where there can be none, by what we write into its metadata.
    /// One of the two marks is enough, so that one that a person took away comes back.
    #[must_use]
    pub fn owns<K>(&self, live: &ChildView<K>) -> bool {
        let owned = self
            .owner
            .as_ref()
            .is_some_and(|owner| live.owners.iter().any(|live| live.uid == owner.uid));
        let marked = |ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>, name: &str| {
            ours.get(name).is_some_and(|mark| theirs.get(name) == Some(mark))
        };
        owned
            || marked(&self.labels, &live.labels, label::MANAGED_BY)
            || marked(&self.annotations, &live.annotations, annotation::ENGINE_UID)
    }

    /// How an object that is ours differs.
    #[must_use]
    pub fn difference<K>(&self, live: &ChildView<K>) -> Difference {
        let Self {
            key: _,
            labels,
            annotations,
            owner,
            spec,
        } = self;
        let missing = |ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            ours.iter().any(|(name, value)| theirs.get(name) != Some(value))
        };
        let disowned = owner
            .as_ref()
            .is_some_and(|owner| !live.owners.iter().any(|live| live.uid == owner.uid));
        Difference {
            lacks: missing(labels, &live.labels)
                || missing(annotations, &live.annotations)
                || disowned
                || lacks(spec, &live.spec),
            surplus: surplus(spec, &live.spec).map(|spec| json!({"spec": spec})),
        }
    }

    /// The object as the API server takes it. `uid` is the one that it is applied to: another one of that name is not.
    #[must_use]
    pub fn body<K: ChildKind>(&self, uid: Option<&str>) -> Value {
        let Self {
            key,
            labels,
            annotations,
            owner,
            spec,
        } = self;
        let metadata = ObjectMeta {
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: uid.map(ToOwned::to_owned),
            labels: (!labels.is_empty()).then(|| labels.clone()),
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            owner_references: owner.clone().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        json!({"apiVersion": K::api_version(&()), "kind": K::KIND, "metadata": metadata, "spec": spec})
    }
}

/// The label that says that an object is ours.
#[must_use]
pub fn managed_by() -> (String, String) {
    (label::MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned())
}

/// Whether anything that should be there isn't, or is other. Lists are compared whole: none of ours is merged by key.
fn lacks(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted
            .iter()
            .any(|(name, wanted)| live.get(name).is_none_or(|live| lacks(wanted, live))),
        _ => wanted != live,
    }
}

/// The merge patch that removes what isn't wanted, if there is any.
fn surplus(wanted: &Value, live: &Value) -> Option<Value> {
    let (Value::Object(wanted), Value::Object(live)) = (wanted, live) else {
        return None;
    };
    let patch: Map<String, Value> = live
        .iter()
        .filter_map(|(name, live)| {
            let patch = match wanted.get(name) {
                None => Value::Null,
                Some(wanted) => surplus(wanted, live)?,
            };
            Some((name.clone(), patch))
        })
        .collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::object::decode;
    use crate::watch::store::Object;
    use coraza_compiler::Compiler;

    fn child() -> Child {
        Child {
            key: ObjectKey::new("shop", "coraza-engine-waf"),
            labels: [("istio.io/rev".to_owned(), "canary".to_owned())].into(),
            annotations: BTreeMap::new(),
            owner: Some(OwnerReference {
                api_version: "waf.k8s.coraza.io/v1alpha1".into(),
                kind: "Engine".into(),
                name: "waf".into(),
                uid: "u1".into(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }),
            spec: json!({"url": "oci://a", "priority": 7, "pluginConfig": {"engine": "waf"}, "ports": [1]}),
        }
    }

    /// The object that the API server has after the child was created, with an edit.
    fn live(edit: impl FnOnce(&mut Value)) -> ChildView<WasmPlugin> {
        let mut body = child().body::<WasmPlugin>(Some("u2"));
        edit(&mut body);
        let object = serde_json::from_value(body).expect("an object");
        let (_, object) = decode::<ChildView<WasmPlugin>>(object, &Compiler::new()).expect("a name");
        let Object::Known(view) = object else { panic!("decoded") };
        std::sync::Arc::into_inner(view).expect("one owner")
    }

    #[test]
    fn what_was_created_does_not_differ() {
        let live = live(|body| {
            body["metadata"]["labels"]["team"] = "shop".into();
            body["metadata"]["annotations"] = json!({"note": "x"});
            body["status"] = json!({"conditions": []});
        });
        assert!(child().owns(&live));
        assert_eq!(child().difference(&live), Difference::default());
    }

    #[test]
    fn each_edit_is_seen() {
        type Edit = fn(&mut Value);
        let lacking: [(&str, Edit); 6] = [
            ("another value", |body| body["spec"]["url"] = "oci://evil".into()),
            ("a field that is gone", |body| {
                body["spec"].as_object_mut().unwrap().remove("priority");
            }),
            ("another list", |body| body["spec"]["ports"] = json!([1, 2])),
            ("a map that is none", |body| body["spec"]["pluginConfig"] = "".into()),
            ("another label", |body| {
                body["metadata"]["labels"]["istio.io/rev"] = "x".into();
            }),
            ("no specification", |body| {
                body.as_object_mut().unwrap().remove("spec");
            }),
        ];
        for (what, edit) in lacking {
            let difference = child().difference(&live(edit));
            assert!(
                difference.lacks && difference.surplus.is_none(),
                "{what}: {difference:?}"
            );
        }
        let narrowed = live(|body| {
            body["spec"]["match"] = json!([{"ports": [{"number": 1}]}]);
            body["spec"]["pluginConfig"]["rules"] = json!([]);
        });
        let surplus = json!({"spec": {"match": null, "pluginConfig": {"rules": null}}});
        let difference = child().difference(&narrowed);
        assert_eq!((difference.lacks, difference.surplus), (false, Some(surplus)));
    }

    #[test]
    fn somebody_else_s_object_is_not_ours() {
        let other = live(|body| body["metadata"]["ownerReferences"][0]["uid"] = "u9".into());
        assert!(!child().owns(&other));
        let marked = Child {
            labels: [managed_by()].into(),
            annotations: [(annotation::ENGINE_UID.to_owned(), "u1".to_owned())].into(),
            owner: None,
            ..child()
        };
        assert!(!marked.owns(&other));
        for mark in [
            json!({"labels": {"app.kubernetes.io/managed-by": "coraza-kubernetes-operator"}}),
            json!({"annotations": {"waf.k8s.coraza.io/engine-uid": "u1"}}),
        ] {
            assert!(marked.owns(&live(|body| {
                body["metadata"]["labels"] = mark["labels"].clone();
                body["metadata"]["annotations"] = mark["annotations"].clone();
            })));
        }
    }
}
