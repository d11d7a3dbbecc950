//! What a schema needs beyond its derivation, and the CRDs that come of it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt as _;
use schemars::transform::transform_subschemas;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{Engine, RuleData, RuleSet, RuleSource};

/// The CRDs of all four kinds, as they are installed.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![Engine::crd(), RuleSet::crd(), RuleSource::crd(), RuleData::crd()]
}

/// Makes a schema say what the API server's own types say, where the derivation says something that only looks alike:
///
/// - An optional field may be absent, not null. The API server then drops a null before it fills in the default; of a nullable
///   field it keeps the null, which would turn `failurePolicy: null` from "the default" into "no value".
/// - Integers have a format that Kubernetes knows. The unsigned ones draw a warning at installation; their minimum says it all.
pub(crate) fn kubernetes(schema: &mut Schema) {
    transform_subschemas(&mut kubernetes, schema);
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => drop(schema.insert("format".to_owned(), "int32".into())),
        Some("uint64") => drop(schema.insert("format".to_owned(), "int64".into())),
        _ => {}
    }
}

/// The list of conditions: Kubernetes' own Condition with its own limits, which the Rust type doesn't carry.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When `status` last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What it is, where, and what to do about it.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The metadata.generation that this was found for.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "Why the condition has its status, in one word.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "Whether the condition holds.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "What the condition is about.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}
