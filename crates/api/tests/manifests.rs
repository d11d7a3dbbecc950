//! Manifests as users write them, and statuses as we do: read, and written back as they were.
#![cfg(test)]

use coraza_api::engine::{DriverType, FailurePolicy, ObservabilityMode, Provider, TargetType};
use coraza_api::{Engine, RuleData, RuleSet, RuleSource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object(kind: &str, spec: &Value, status: Option<&Value>) -> Value {
    let mut object = json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sample", "namespace": "default", "generation": 3},
        "spec": spec,
    });
    if let Some(status) = status {
        object["status"] = status.clone();
    }
    object
}

fn assert_round_trip<T: Serialize + DeserializeOwned>(kind: &str, spec: &Value, status: Option<&Value>) {
    let manifest = object(kind, spec, status);
    let decoded: T = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), manifest);
}

fn engine(spec: &Value) -> Engine {
    serde_json::from_value(object("Engine", spec, None)).unwrap()
}

fn condition(condition_type: &str) -> Value {
    json!({"type": condition_type, "status": "True", "reason": "R", "message": "m", "observedGeneration": 3,
           "lastTransitionTime": "2026-04-01T10:00:00Z"})
}

fn ready() -> Value {
    json!({"conditions": [condition("Ready")]})
}

fn revision() -> Value {
    json!({"uuid": "0b8f1c5e-9a37-8d21-b6c4-55e0d1a2f3b4", "digest": "0b8f", "timestamp": "2026-04-01T10:00:00.000000001Z",
           "bytes": 1_500_000, "rules": 640})
}

#[test]
fn full_objects_are_written_back_as_they_were() {
    assert_round_trip::<Engine>(
        "Engine",
        &json!({
            "ruleSet": {"name": "crs"},
            "target": {"type": "Gateway", "name": "gw", "provider": "Istio"},
            "failurePolicy": "allow",
            "ruleSetCacheServer": {"pollIntervalSeconds": 5},
            "driver": {"type": "wasm", "wasm": {"image": "oci://r/p:1", "imagePullSecret": "s"}},
            "observability": {"mode": "Enabled"},
        }),
        Some(&json!({
            "conditions": [condition("Ready"), condition("Enforced")],
            "revision": revision(),
            "enforcement": {"desired": "0b8f", "expected": 3, "current": 2, "stale": 1, "since": "2026-04-01T10:00:00Z"},
        })),
    );
    assert_round_trip::<RuleSet>(
        "RuleSet",
        &json!({"sources": [{"name": "b"}, {"name": "a"}], "data": [{"name": "d"}]}),
        Some(&json!({
            "conditions": [condition("Ready")],
            "revision": revision(),
            "diagnostics": [{"source": "a", "line": 3, "column": 17, "severity": "error", "message": "unknown operator @foo"}],
        })),
    );
    assert_round_trip::<RuleSource>(
        "RuleSource",
        &json!({"rules": "SecRuleEngine On\n\u{0}ä"}),
        Some(&ready()),
    );
    assert_round_trip::<RuleData>(
        "RuleData",
        &json!({"files": {"a.data": "x\r\n\u{0}", "b": ""}}),
        Some(&ready()),
    );
}

#[test]
fn absent_is_not_empty() {
    assert_round_trip::<RuleSet>("RuleSet", &json!({"sources": [{"name": "a"}]}), None);
    assert_round_trip::<RuleSet>("RuleSet", &json!({"sources": [{"name": "a"}]}), Some(&ready()));
    let target = json!({"type": "Gateway", "name": "gw"});
    let minimal = engine(&json!({"ruleSet": {"name": "crs"}, "target": target})).spec;
    assert_eq!(minimal.rule_set_cache_server, None);
    assert_eq!(minimal.driver, None);
    let empty = json!({"ruleSet": {"name": "crs"}, "target": target, "ruleSetCacheServer": {}, "driver": {"type": "wasm", "wasm": {}}});
    let empty = engine(&empty).spec;
    assert_eq!(empty.rule_set_cache_server.unwrap().poll_interval_seconds, 15);
    assert_eq!(empty.driver.unwrap().wasm.unwrap().image, None);
}

/// An object that was stored before a field had a default reads as if it had been there.
#[test]
fn defaults_are_the_schemas() {
    let spec = engine(&json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "gw"}})).spec;
    assert_eq!(spec.failure_policy, FailurePolicy::Fail);
    assert_eq!(spec.target.provider, Provider::Istio);
    assert_eq!(spec.target.target_type, TargetType::Gateway);
    assert_eq!(spec.poll_interval_seconds(), 15);
}

#[test]
fn enums_have_the_words_of_the_go_operator() {
    let with = |field: &str, value: Value| {
        let mut spec = json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "gw"}});
        spec[field] = value;
        engine(&spec).spec
    };
    for (word, mode) in [
        ("Enabled", ObservabilityMode::Enabled),
        ("Disabled", ObservabilityMode::Disabled),
    ] {
        assert_eq!(
            with("observability", json!({"mode": word})).observability.unwrap().mode,
            mode
        );
    }
    for (word, policy) in [("fail", FailurePolicy::Fail), ("allow", FailurePolicy::Allow)] {
        assert_eq!(with("failurePolicy", json!(word)).failure_policy, policy);
    }
    assert_eq!(
        with("driver", json!({"type": "wasm", "wasm": {}}))
            .driver
            .unwrap()
            .driver_type,
        DriverType::Wasm
    );
}

/// Such an object is "present but unknown" to the controller; it must not be taken for one with defaults.
#[test]
fn what_the_schema_would_refuse_does_not_decode() {
    let engines = [
        json!({"ruleSet": {"name": "crs"}, "target": {"type": "Ingress", "name": "gw"}}),
        json!({"ruleSet": {"name": "crs"}}),
        json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "gw"}, "driver": {}}),
    ];
    for spec in engines {
        assert!(
            serde_json::from_value::<Engine>(object("Engine", &spec, None)).is_err(),
            "{spec}"
        );
    }
    assert!(serde_json::from_value::<RuleSource>(object("RuleSource", &json!({}), None)).is_err());
    assert!(serde_json::from_value::<RuleData>(object("RuleData", &json!({"files": {"a": 1}}), None)).is_err());
}
