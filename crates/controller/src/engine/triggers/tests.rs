//! Which changes touch which Engines, through the index that applies them.

use std::collections::BTreeSet;

use coraza_api::istio::{Telemetry, WasmPlugin};
use coraza_compiler::Compiler;
use serde_json::{Value, json};

use super::*;
use crate::engine::child::Child;
use crate::watch::foreign::{GatewayClassView, GatewayView};
use crate::watch::index::{Index, Indexed};
use crate::watch::object::decode;
use crate::watch::store::Event;

/// Two Engines of one Gateway and one of another, and what they name.
struct Fixture {
    index: Index,
    version: u64,
}

fn engine(gateway: &str) -> Value {
    json!({"spec": {"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": gateway}}})
}

fn plugin(url: &str) -> Value {
    let owner = json!({"apiVersion": "waf.k8s.coraza.io/v1alpha1", "kind": "Engine", "name": "one", "uid": "u-one"});
    json!({"metadata": {"ownerReferences": [owner]}, "spec": {"url": url}})
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self {
            index: Index::default(),
            version: 0,
        };
        for (name, gateway) in [("one", "public"), ("two", "public"), ("three", "internal")] {
            fixture.apply::<EngineView>("shop", name, engine(gateway));
        }
        fixture.apply::<EngineView>("bank", "one", engine("public"));
        fixture.apply::<GatewayView>("shop", "public", json!({"spec": {"gatewayClassName": "istio"}}));
        fixture.apply::<GatewayClassView>("", "istio", json!({"spec": {"controllerName": "istio.io/x"}}));
        fixture.apply::<RuleSetView>("shop", "crs", json!({"spec": {"sources": [{"name": "a"}]}}));
        fixture
    }

    /// Applies a new version of an object and gives the Engines that must be reconciled, by name.
    fn apply<V: Indexed>(&mut self, namespace: &str, name: &str, body: Value) -> Vec<String> {
        self.version += 1;
        let version = self.version;
        self.apply_version::<V>(namespace, name, body, version)
    }

    fn apply_version<V: Indexed>(&mut self, namespace: &str, name: &str, mut body: Value, version: u64) -> Vec<String> {
        let metadata = body["metadata"].take();
        body["metadata"] = json!({"namespace": namespace, "name": name, "uid": format!("u-{name}"),
            "resourceVersion": version.to_string(), "ownerReferences": metadata["ownerReferences"],
            "annotations": metadata["annotations"], "labels": metadata["labels"], "creationTimestamp": metadata["created"],
            "deletionTimestamp": metadata["deleted"]});
        let object = serde_json::from_value(body).expect("a dynamic object");
        let (key, object) = decode::<V>(object, &Compiler::new()).expect("a name");
        text(self.index.apply(Event::Apply(key, object)))
    }

    fn delete<V: Indexed>(&mut self, namespace: &str, name: &str) -> Vec<String> {
        text(self.index.apply(Event::<V>::Delete(ObjectKey::new(namespace, name))))
    }

    /// The first Engine wants its WasmPlugin to be so.
    fn want(&mut self, url: &str) {
        let child = Child {
            key: ObjectKey::new("shop", "coraza-engine-one"),
            labels: Default::default(),
            annotations: Default::default(),
            owner: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                uid: "u-one".to_owned(),
                ..Default::default()
            }),
            spec: json!({"url": url}),
        };
        let by = Item::Engine(ObjectKey::new("shop", "one"));
        self.index.plugins.want(by, Arc::new(child));
    }

    fn plugin(&mut self, body: Value) -> Vec<String> {
        self.apply::<ChildView<WasmPlugin>>("shop", "coraza-engine-one", body)
    }
}

fn text(items: Vec<Item>) -> Vec<String> {
    let engines = items.into_iter().filter_map(|item| match item {
        Item::Engine(key) => Some(key.to_string()),
        _ => None,
    });
    engines.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn an_engine_that_changes_its_claim_touches_its_rivals() {
    let mut fixture = Fixture::new();
    let all = ["shop/one", "shop/two"];
    let mut edited = engine("public");
    edited["spec"]["failurePolicy"] = "allow".into();
    assert_eq!(fixture.apply::<EngineView>("shop", "one", edited.clone()), ["shop/one"]);
    edited["metadata"] = json!({"deleted": "2026-05-01T10:00:00Z"});
    assert_eq!(fixture.apply::<EngineView>("shop", "one", edited), all);
    assert_eq!(fixture.delete::<EngineView>("shop", "one"), all);
    assert_eq!(fixture.apply::<EngineView>("shop", "one", engine("public")), all);
    let retargeted = fixture.apply::<EngineView>("shop", "one", engine("internal"));
    assert_eq!(
        retargeted,
        ["shop/one", "shop/three", "shop/two"],
        "those with the old target and with the new one"
    );
}

#[test]
fn an_engine_that_can_not_be_read_any_more_keeps_its_target() {
    let mut fixture = Fixture::new();
    let strange = json!({"spec": {"ruleSet": {"name": "crs"}, "target": 7}});
    fixture.apply::<EngineView>("shop", "one", strange);
    let touched = fixture.delete::<GatewayView>("shop", "public");
    assert_eq!(touched, ["shop/one", "shop/two"]);
}

#[test]
fn a_gateway_touches_its_engines_when_it_comes_goes_or_changes_its_class() {
    let mut fixture = Fixture::new();
    let body = |class: &str| json!({"spec": {"gatewayClassName": class}, "status": {"addresses": []}});
    assert!(
        fixture.apply::<GatewayView>("shop", "public", body("istio")).is_empty(),
        "a status"
    );
    assert_eq!(
        fixture.apply::<GatewayView>("shop", "public", body("other")),
        ["shop/one", "shop/two"]
    );
    assert_eq!(
        fixture.apply::<GatewayView>("shop", "internal", body("istio")),
        ["shop/three"]
    );
    assert_eq!(fixture.delete::<GatewayView>("shop", "internal"), ["shop/three"]);
}

#[test]
fn a_class_touches_the_engines_of_its_gateways() {
    let mut fixture = Fixture::new();
    let mut class = json!({"spec": {"controllerName": "istio.io/x"}, "status": {}});
    assert!(fixture.apply::<GatewayClassView>("", "istio", class.clone()).is_empty());
    class["metadata"] = json!({"annotations": {"internal.do-not-use.openshift.io/waf-otel-collector": "c"}});
    assert_eq!(
        fixture.apply::<GatewayClassView>("", "istio", class),
        ["shop/one", "shop/two"]
    );
}

#[test]
fn a_ruleset_touches_its_engines_when_it_comes_goes_breaks_or_is_revised() {
    let mut fixture = Fixture::new();
    let all = ["shop/one", "shop/three", "shop/two"];
    let condition = |condition_type: &str, status: &str, message: &str| {
        json!({"type": condition_type, "status": status,
        "reason": "R", "message": message, "lastTransitionTime": "2026-05-01T10:00:00Z"})
    };
    let body = |conditions: Vec<Value>, uuid: &str| {
        let revision = json!({"uuid": uuid, "digest": "d", "timestamp": "t", "bytes": 1, "rules": 1});
        json!({"spec": {"sources": [{"name": "a"}]}, "status": {"conditions": conditions, "revision": revision}})
    };
    let ready = vec![condition("Ready", "True", "")];
    let broken = |message| {
        vec![
            condition("Ready", "False", message),
            condition("Degraded", "True", message),
        ]
    };
    for (body, touched) in [
        (body(ready.clone(), "1"), true),
        (body(vec![condition("Ready", "True", "said otherwise")], "1"), false),
        (body(ready.clone(), "2"), true),
        (body(broken("line 1"), "2"), true),
        (body(broken("line 2"), "2"), true),
        (body(broken("line 2"), "2"), false),
        (body(ready, "2"), true),
    ] {
        let expected: &[&str] = if touched { &all } else { &[] };
        assert_eq!(
            fixture.apply::<RuleSetView>("shop", "crs", body.clone()),
            expected,
            "{body}"
        );
    }
    assert_eq!(fixture.delete::<RuleSetView>("shop", "crs"), all);
}

#[test]
fn a_wasm_plugin_touches_its_engine_when_it_is_not_as_wanted() {
    let mut fixture = Fixture::new();
    fixture.want("oci://a");
    assert!(
        fixture.plugin(plugin("oci://a")).is_empty(),
        "the echo of our own write"
    );
    let mut with_status = plugin("oci://a");
    with_status["status"] = json!({"conditions": []});
    assert!(fixture.plugin(with_status).is_empty(), "a status");
    assert_eq!(fixture.plugin(plugin("oci://evil")), ["shop/one"], "drift");
    assert!(fixture.plugin(plugin("oci://a")).is_empty(), "repaired");
    let mut disowned = plugin("oci://a");
    disowned["metadata"] = json!({});
    assert_eq!(fixture.plugin(disowned), ["shop/one"]);
    assert_eq!(
        fixture.delete::<ChildView<WasmPlugin>>("shop", "coraza-engine-one"),
        ["shop/one"]
    );
    assert!(
        fixture
            .apply::<ChildView<WasmPlugin>>("shop", "other", json!({"spec": {}}))
            .is_empty(),
        "somebody else's"
    );
}

#[test]
fn a_standby_wants_nothing_and_follows_each_change() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.plugin(plugin("oci://a")), ["shop/one"]);
    assert_eq!(fixture.plugin(plugin("oci://b")), ["shop/one"]);
    assert_eq!(
        fixture.apply::<ChildView<Telemetry>>("shop", "coraza-engine-one-telemetry", plugin("x")),
        ["shop/one"]
    );
}

#[test]
fn an_event_that_is_older_than_our_own_write_is_passed_over() {
    let mut fixture = Fixture::new();
    fixture.want("oci://b");
    let mut apply = |url, version| {
        fixture.apply_version::<ChildView<WasmPlugin>>("shop", "coraza-engine-one", plugin(url), version)
    };
    assert_eq!(apply("oci://a", 101), ["shop/one"]);
    assert!(apply("oci://b", 103).is_empty());
    assert!(apply("oci://a", 102).is_empty(), "what the watch tells late");
    assert_eq!(apply("oci://a", 104), ["shop/one"]);
}

#[test]
fn a_policy_touches_the_engine_that_it_names_in_whoevers_words() {
    let mut fixture = Fixture::new();
    let ours = json!({"annotations": {"waf.k8s.coraza.io/engine-namespace": "shop", "waf.k8s.coraza.io/engine-name": "one"},
        "labels": {"app.kubernetes.io/managed-by": "coraza-kubernetes-operator", "waf.k8s.coraza.io/engine-name": "cut"}});
    let go = json!({"labels": {"app.kubernetes.io/managed-by": "coraza-kubernetes-operator",
        "waf.k8s.coraza.io/engine-namespace": "shop", "waf.k8s.coraza.io/engine-name": "gone"}});
    for (name, metadata, touched) in [
        ("coraza-cache-u", ours, vec!["shop/one"]),
        ("coraza-cache-x7k2p", go, vec!["shop/gone"]),
        ("default-deny", json!({}), vec![]),
    ] {
        let body = json!({"metadata": metadata, "spec": {}});
        assert_eq!(
            fixture.apply::<ChildView<NetworkPolicy>>("coraza-system", name, body),
            touched
        );
    }
    let named = text(fixture.index.items());
    assert!(
        named.contains(&"shop/gone".to_owned()),
        "what vanished while nobody watched is swept: {named:?}"
    );
    let policies = fixture.index.policies_of(&ObjectKey::new("shop", "gone")).count();
    assert_eq!(policies, 1);
}

#[test]
fn a_kind_that_appears_or_is_known_to_be_absent_touches_every_engine() {
    let mut fixture = Fixture::new();
    let all = ["bank/one", "shop/one", "shop/three", "shop/two"];
    assert_eq!(text(fixture.index.absent::<ChildView<WasmPlugin>>()), all);
    assert!(fixture.index.absent::<ChildView<WasmPlugin>>().is_empty(), "once");
    let list = |fixture: &mut Fixture| {
        fixture.index.apply(Event::<ChildView<WasmPlugin>>::Init);
        text(fixture.index.apply(Event::<ChildView<WasmPlugin>>::InitDone))
    };
    assert_eq!(list(&mut fixture), all);
    assert!(list(&mut fixture).is_empty());
    assert!(!fixture.index.is_synced() && !fixture.index.knows_tokens());
}
