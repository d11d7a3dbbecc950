//! What the controller keeps of an object: its view, and nothing else of it. Pure.
//!
//! Objects arrive as JSON and are decoded here, so that one that can't be decoded is known to exist all the same.

use std::fmt;
use std::sync::Arc;

use coraza_api::metadata::annotation;
use coraza_api::status::RevisionStatus;
use coraza_api::{
    Engine, EngineSpec, EngineStatus, RuleData, RuleDataSpec, RuleSet, RuleSetSpec, RuleSetStatus, RuleSource,
    RuleSourceSpec,
};
use coraza_compiler::{Compiler, data_file};
use coraza_ruleset::{DataFiles, Revision};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::{ApiResource, DynamicObject};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::watch::store::{Object, Unreadable};

/// The namespace and name of an object of any kind. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of an object of this name in this namespace.
    #[must_use]
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What of the metadata matters. Two views with the same uid and resourceVersion are of the same state of the same object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Which object of this name it is.
    pub uid: String,
    /// The version of its specification.
    pub generation: i64,
    /// Its version.
    pub resource_version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether its deletion was asked for, and waits for finalizers.
    pub deleting: bool,
}

impl Meta {
    /// The version as a number, by which those of one object can be compared (KEP-5504); 0 if it is none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }
}

/// A kind that the controller watches, as the controller sees it.
pub trait View: Sized + Send + Sync + 'static {
    /// The kind's name.
    const KIND: &'static str;

    /// Where the API server has it.
    fn resource() -> ApiResource;

    /// Decodes the object without its metadata.
    ///
    /// # Errors
    /// If the object isn't what its kind should be.
    fn decode(meta: &ObjectMeta, body: Value, compiler: &Compiler) -> Result<Self, Undecodable>;
}

/// An object as the watch delivers it, decoded if it can be. Nothing if it has no name, which the API server never sends.
#[must_use]
pub fn decode<V: View>(object: DynamicObject, compiler: &Compiler) -> Option<(ObjectKey, Object<V>)> {
    let DynamicObject {
        types: _,
        metadata,
        data,
    } = object;
    // An object of the cluster has the empty namespace.
    let key = ObjectKey::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref()?,
    );
    let revision = data
        .pointer("/status/revision")
        .and_then(|status| RevisionStatus::deserialize(status).ok());
    let conditions = data.pointer("/status/conditions");
    let conditions = conditions
        .and_then(|status| Vec::deserialize(status).ok())
        .unwrap_or_default();
    let object = match V::decode(&metadata, data, compiler) {
        Ok(view) => Object::Known(Arc::new(view)),
        Err(error) => {
            let revision = revision.as_ref().and_then(parse_revision);
            Object::Unknown(Arc::new(Unreadable {
                why: error.to_string(),
                meta: meta(&metadata),
                revision,
                conditions,
            }))
        }
    };
    Some((key, object))
}

/// Why an object isn't what its kind should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Undecodable {
    /// The field, as `kubectl explain` takes it.
    path: String,
    /// What is wrong with it, without its value.
    why: String,
}

/// What a decoder says without the values that it quotes, which may be rules.
fn redacted(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) = (message.get(..first), message.get(last.saturating_add(1)..));
            format!("{}…{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => message.to_owned(),
    }
}

/// A revision as a status has it; nothing if a person wrote something else there.
#[must_use]
pub fn parse_revision(status: &RevisionStatus) -> Option<Revision> {
    Some(Revision {
        digest: status.digest.parse().ok()?,
        timestamp: status.timestamp.parse().ok()?,
    })
}

/// A RuleSet.
#[derive(Debug)]
pub struct RuleSetView {
    /// Its metadata.
    pub meta: Meta,
    /// The names of its RuleSources, in order.
    pub sources: Vec<Arc<str>>,
    /// The names of its RuleData, in order.
    pub data: Vec<Arc<str>>,
    /// Whether it is to be served in spite of rules that the engine can't run.
    pub allow_unsupported: bool,
    /// Its status as we read it last.
    pub status: RuleSetStatus,
}

impl RuleSetView {
    /// The revision that its status names.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.status.revision.as_ref().and_then(parse_revision)
    }
}

impl View for RuleSetView {
    const KIND: &'static str = "RuleSet";

    fn resource() -> ApiResource {
        ApiResource::erase::<RuleSet>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, _compiler: &Compiler) -> Result<Self, Undecodable> {
        let spec: RuleSetSpec = part(&mut body, "spec")?;
        let allowed = annotation_of(metadata, annotation::SKIP_UNSUPPORTED_RULES_CHECK);
        Ok(Self {
            meta: meta(metadata),
            sources: spec
                .sources
                .iter()
                .map(|reference| reference.name.as_str().into())
                .collect(),
            data: spec
                .data()
                .iter()
                .map(|reference| reference.name.as_str().into())
                .collect(),
            allow_unsupported: allowed == Some(annotation::SKIP_UNSUPPORTED_RULES_CHECK_ON),
            status: optional_part(&mut body, "status")?,
        })
    }
}

/// A RuleSource.
#[derive(Debug)]
pub struct SourceView {
    /// Its metadata.
    pub meta: Meta,
    /// Its text, shared with every other object that has the same.
    pub text: Arc<str>,
    /// Whether its own syntax is judged on itself too.
    pub validate: bool,
    /// Its conditions as we read them last.
    pub conditions: Vec<Condition>,
}

impl View for SourceView {
    const KIND: &'static str = "RuleSource";

    fn resource() -> ApiResource {
        ApiResource::erase::<RuleSource>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, compiler: &Compiler) -> Result<Self, Undecodable> {
        let RuleSourceSpec { rules } = part(&mut body, "spec")?;
        let validation = annotation_of(metadata, annotation::RULE_VALIDATION);
        Ok(Self {
            meta: meta(metadata),
            text: compiler.intern(&rules),
            validate: validation != Some(annotation::RULE_VALIDATION_OFF),
            conditions: conditions(&mut body)?,
        })
    }
}

/// A RuleData.
#[derive(Debug)]
pub struct DataView {
    /// Its metadata.
    pub meta: Meta,
    /// Its files, each shared with every other object that has the same.
    pub files: DataFiles,
    /// Its conditions as we read them last.
    pub conditions: Vec<Condition>,
}

impl View for DataView {
    const KIND: &'static str = "RuleData";

    fn resource() -> ApiResource {
        ApiResource::erase::<RuleData>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, compiler: &Compiler) -> Result<Self, Undecodable> {
        let RuleDataSpec { files } = part(&mut body, "spec")?;
        let file = |(name, text): (&Arc<str>, &Arc<str>)| (Arc::clone(name), data_file(compiler.intern(text)));
        Ok(Self {
            meta: meta(metadata),
            files: files.iter().map(file).collect(),
            conditions: conditions(&mut body)?,
        })
    }
}

/// An Engine.
#[derive(Debug)]
pub struct EngineView {
    /// Its metadata.
    pub meta: Meta,
    /// The name of its RuleSet.
    pub ruleset: Arc<str>,
    /// What it asks for. An Engine that asks for something strange keeps its RuleSet, and what was made for it.
    pub spec: Result<EngineSpec, Undecodable>,
    /// Its status as we read it last.
    pub status: EngineStatus,
    /// Who has to agree to its deletion.
    pub finalizers: Vec<String>,
}

impl EngineView {
    /// The name of its Gateway, if it can be read.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.spec.as_ref().ok().map(|spec| spec.target.name.as_str())
    }
}

impl View for EngineView {
    const KIND: &'static str = "Engine";

    fn resource() -> ApiResource {
        ApiResource::erase::<Engine>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, _compiler: &Compiler) -> Result<Self, Undecodable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Named {
            rule_set: coraza_api::engine::RuleSetReference,
        }
        let mut whole = body.clone();
        let named: Named = part(&mut body, "spec")?;
        Ok(Self {
            meta: meta(metadata),
            ruleset: named.rule_set.name.into(),
            spec: part(&mut whole, "spec"),
            status: optional_part(&mut body, "status")?,
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
        })
    }
}

macro_rules! equal_by_version {
    ($($view:ty),*) => {$(
        /// The API server changes the version with anything else.
        impl PartialEq for $view {
            fn eq(&self, other: &Self) -> bool {
                self.meta == other.meta
            }
        }
    )*};
}

equal_by_version!(RuleSetView, SourceView, DataView, EngineView);

pub(super) fn meta(metadata: &ObjectMeta) -> Meta {
    Meta {
        uid: metadata.uid.clone().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        deleting: metadata.deletion_timestamp.is_some(),
    }
}

pub(super) fn annotation_of<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn part<T: DeserializeOwned>(body: &mut Value, name: &str) -> Result<T, Undecodable> {
    let part = body.get_mut(name).map(Value::take).unwrap_or_default();
    serde_path_to_error::deserialize(part).map_err(|error| {
        let within = error.path().to_string();
        Undecodable {
            // The decoder's name of the whole is a dot.
            path: if within == "." {
                name.to_owned()
            } else {
                format!("{name}.{within}")
            },
            why: redacted(&error.into_inner().to_string()),
        }
    })
}

/// As [`part`], but what isn't there is empty.
fn optional_part<T: DeserializeOwned + Default>(body: &mut Value, name: &str) -> Result<T, Undecodable> {
    part::<Option<T>>(body, name).map(Option::unwrap_or_default)
}

fn conditions(body: &mut Value) -> Result<Vec<Condition>, Undecodable> {
    #[derive(Default, Deserialize)]
    struct Status {
        #[serde(default)]
        conditions: Vec<Condition>,
    }
    optional_part::<Status>(body, "status").map(|status| status.conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decoded<V: View>(body: Value) -> Object<V> {
        let metadata =
            json!({"namespace": "default", "name": "a", "uid": "u", "generation": 3, "resourceVersion": "7"});
        let mut object = json!({"apiVersion": "waf.k8s.coraza.io/v1alpha1", "kind": V::KIND, "metadata": metadata});
        let (Value::Object(whole), Value::Object(body)) = (&mut object, body) else {
            panic!("objects")
        };
        whole.extend(body);
        let object = serde_json::from_value(object).expect("a dynamic object");
        decode::<V>(object, &Compiler::new()).expect("a name").1
    }

    fn revision() -> Value {
        json!({"uuid": "x", "digest": "ab".repeat(32), "timestamp": "2026-05-01T10:00:00.123456789Z", "bytes": 9, "rules": 1})
    }

    #[test]
    fn a_ruleset_without_status_is_a_ruleset() {
        let object = decoded::<RuleSetView>(json!({"spec": {"sources": [{"name": "b"}, {"name": "a"}]}}));
        let view = object.known().expect("decoded");
        assert_eq!(view.sources, ["b".into(), "a".into()]);
        assert!(view.data.is_empty() && view.status == RuleSetStatus::default());
        assert_eq!(
            view.meta,
            Meta {
                uid: "u".into(),
                generation: 3,
                resource_version: "7".into(),
                ..Meta::default()
            }
        );
    }

    #[test]
    fn what_can_not_be_decoded_exists_and_keeps_its_revision() {
        let body = json!({"spec": {"sources": "all"}, "status": {"revision": revision()}});
        let Object::Unknown(unreadable) = decoded::<RuleSetView>(body) else {
            panic!("decoded")
        };
        assert_eq!(
            unreadable.why,
            "spec.sources: invalid type: string …, expected a sequence"
        );
        assert!(unreadable.revision.is_some());
    }

    fn why<V: View>(body: Value) -> String {
        match decoded::<V>(body) {
            Object::Known(_) => panic!("decoded"),
            Object::Unknown(unreadable) => unreadable.why.clone(),
        }
    }

    #[test]
    fn what_can_not_be_decoded_is_told_by_its_field_without_its_value() {
        for (why, message) in [
            (why::<SourceView>(json!({})), "spec: invalid type: null"),
            (why::<SourceView>(json!({"spec": {}})), "spec: missing field `rules`"),
            (
                why::<SourceView>(json!({"spec": {"rules": 1}})),
                "spec.rules: invalid type: integer",
            ),
            (
                why::<RuleSetView>(json!({"spec": {"sources": [{"name": "a"}, {"name": ["a rule"]}]}})),
                "spec.sources[1].name: invalid type: sequence",
            ),
            (
                why::<RuleSetView>(json!({"spec": {"sources": []}, "status": {"revision": "a rule"}})),
                "status.revision: invalid type: string …",
            ),
            (
                why::<DataView>(json!({"spec": {"files": {"bad.data": 1}}})),
                "spec.files.bad.data: invalid type: integer",
            ),
        ] {
            assert!(why.starts_with(message) && !why.contains("a rule"), "{why}");
        }
    }

    #[test]
    fn what_can_not_be_decoded_keeps_its_conditions() {
        let ready = json!({"type": "Ready", "status": "True", "reason": "Validated", "message": "", "lastTransitionTime": "2026-05-01T10:00:00Z"});
        let body = |conditions: Value| json!({"spec": {"rules": 1}, "status": {"conditions": conditions}});
        for (conditions, count) in [(json!([ready]), 1), (json!("none"), 0)] {
            let Object::Unknown(unreadable) = decoded::<SourceView>(body(conditions)) else {
                panic!("decoded")
            };
            assert_eq!(unreadable.conditions.len(), count);
        }
    }

    #[test]
    fn an_engine_that_says_something_strange_keeps_its_ruleset() {
        let body = json!({"spec": {"ruleSet": {"name": "crs"}, "target": 7}, "status": {"revision": revision()}});
        let object = decoded::<EngineView>(body);
        let view = object.known().expect("decoded");
        assert_eq!(&*view.ruleset, "crs");
        let why = view.spec.as_ref().expect_err("strange").to_string();
        assert!(why.starts_with("spec.target: invalid type: integer"), "{why}");
        assert!(view.status.revision.as_ref().and_then(parse_revision).is_some());
    }
}
