//! What comes of an Engine in its surroundings.

use super::*;
use crate::watch::object::{View, decode};
use crate::watch::store::{Event, Unreadable};
use coraza_compiler::Compiler;
use serde_json::{Value, json};

fn object<V: View>(name: &str, mut body: Value) -> (ObjectKey, Object<V>) {
    let created = body["created"].take();
    body["metadata"] = json!({"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "creationTimestamp": created, "deletionTimestamp": body["deleted"].take(), "annotations": body["annotations"].take()});
    let object = serde_json::from_value(body).expect("a dynamic object");
    decode::<V>(object, &Compiler::new()).expect("a name")
}

fn spec() -> Value {
    json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "public"}})
}

/// An Engine and what there is around it: by default all that it needs.
struct World {
    spec: Value,
    status: Value,
    gateways: Option<Vec<&'static str>>,
    absent: bool,
    class: Value,
    classes_listed: bool,
    others: Vec<(&'static str, Value)>,
    ruleset: Option<Value>,
    enforced: Option<&'static str>,
}

impl World {
    fn new() -> Self {
        Self {
            spec: spec(),
            status: json!({}),
            gateways: Some(vec!["public"]),
            absent: false,
            class: json!({"spec": {"controllerName": "istio.io/gateway-controller"}}),
            classes_listed: true,
            others: Vec::new(),
            ruleset: Some(json!({"conditions": [], "revision": revision()})),
            enforced: None,
        }
    }

    fn resolve(&self) -> Resolved {
        let mut gateways = Store::<GatewayView>::default();
        gateways.apply(Event::Init);
        for name in self.gateways.iter().flatten() {
            let (key, gateway) = object(name, json!({"spec": {"gatewayClassName": "istio"}}));
            gateways.apply(Event::InitApply(key, gateway));
        }
        if self.gateways.is_some() {
            gateways.apply(Event::InitDone);
        }
        if self.absent {
            gateways.set_absent();
        }
        let mut classes = Store::<GatewayClassView>::default();
        classes.apply(Event::Init);
        if !self.class.is_null() {
            let (_, class) = object("istio", self.class.clone());
            classes.apply(Event::InitApply(ObjectKey::new("", "istio"), class));
        }
        if self.classes_listed {
            classes.apply(Event::InitDone);
        }
        let body = json!({"spec": self.spec, "status": self.status, "created": "2026-05-01T10:00:00Z"});
        let (key, engine) = object::<EngineView>("waf", body);
        let others = self.others.iter().map(|(name, body)| {
            let mut body = body.clone();
            if body.get("spec").is_none() {
                body["spec"] = spec();
            }
            object::<EngineView>(name, body)
        });
        let claimants = others.chain([(key.clone(), engine.clone())]).collect();
        let ruleset = self.ruleset.as_ref().map(|status| {
            let body = json!({"spec": {"sources": [{"name": "a"}]}, "status": status});
            object::<RuleSetView>("crs", body).1
        });
        let around = Surroundings {
            gateways: &gateways,
            classes: &classes,
            claimants,
            ruleset,
            enforced: self.enforced.map(|key| key.parse().expect("a key")),
        };
        resolve(&key, engine.known().expect("decoded"), &around)
    }

    fn accepted(&self) -> (ResolvedEngine, Option<&'static str>, Provision) {
        match self.resolve() {
            Resolved::Accepted(engine, trouble, provision) => {
                (*engine, trouble.map(|trouble| trouble.reason), provision)
            }
            other => panic!("{other:?}"),
        }
    }

    /// What it came to, why, and a part of what is said.
    fn refused(&self) -> (&'static str, &'static str, String) {
        match self.resolve() {
            Resolved::Invalid(outcome) => ("invalid", outcome.reason, outcome.message),
            Resolved::Rejected(outcome) => ("rejected", outcome.reason, outcome.message),
            Resolved::Undetermined(outcome) => ("undetermined", outcome.reason, outcome.message),
            Resolved::Accepted(engine, ..) => panic!("{engine:?}"),
        }
    }
}

fn revision() -> Value {
    json!({"uuid": "x", "digest": "ab".repeat(32), "timestamp": "2026-05-01T10:00:00.123456789Z", "bytes": 9, "rules": 1})
}

fn condition(condition_type: &str, status: &str, message: &str) -> Value {
    json!({"type": condition_type, "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-05-01T10:00:00Z"})
}

#[test]
fn an_engine_that_says_little_gets_the_defaults() {
    let (engine, trouble, provision) = World::new().accepted();
    let expected = ResolvedEngine {
        key: ObjectKey::new("shop", "waf"),
        uid: "uid-waf".to_owned(),
        gateway: "public".into(),
        ruleset: "shop/crs".parse().expect("a key"),
        failure_policy: FailurePolicy::Fail,
        poll_interval_seconds: 15,
        image: None,
        pull_secret: None,
        logs: Logs::Off,
        note: None,
    };
    assert_eq!((engine, trouble, provision), (expected, None, Provision::Full));
}

#[test]
fn an_engine_that_says_all_gets_that() {
    let mut world = World::new();
    world.spec["failurePolicy"] = "allow".into();
    world.spec["ruleSetCacheServer"] = json!({"pollIntervalSeconds": 5});
    world.spec["driver"] = json!({"type": "wasm", "wasm": {"image": "oci://own", "imagePullSecret": "regcred"}});
    let (engine, ..) = world.accepted();
    assert_eq!(
        (engine.failure_policy, engine.poll_interval_seconds),
        (FailurePolicy::Allow, 5)
    );
    assert_eq!(
        (engine.image.as_deref(), engine.pull_secret.as_deref()),
        (Some("oci://own"), Some("regcred"))
    );
    world.spec["ruleSetCacheServer"] = json!({});
    assert_eq!(world.accepted().0.poll_interval_seconds, 15);
}

#[test]
fn a_specification_that_can_not_be_provisioned_is_invalid() {
    type Edit = fn(&mut Value);
    let table: [(&str, Edit); 7] = [
        ("spec.target.type", |spec| spec["target"]["type"] = "Service".into()),
        ("spec.driver.type", |spec| {
            spec["driver"] = json!({"type": "dynamicModule"});
        }),
        ("spec.target.provider", |spec| {
            spec["target"]["provider"] = "Other".into();
        }),
        ("spec.target.name", |spec| {
            spec["target"]["name"] = "a".repeat(64).into();
        }),
        ("spec.target.name", |spec| spec["target"]["name"] = "a.b".into()),
        ("spec.target.name", |spec| spec["target"]["name"] = "".into()),
        ("spec.ruleSet.name", |spec| spec["ruleSet"]["name"] = "A".into()),
    ];
    for (part, edit) in table {
        let mut world = World::new();
        edit(&mut world.spec);
        let (what, reason, message) = world.refused();
        assert_eq!((what, reason), ("invalid", "InvalidConfiguration"), "{part}");
        assert!(message.contains(part), "{part}: {message}");
    }
    for name in ["1a", "a-", "-a", "A", "a b", "é"] {
        assert!(!is_label(name), "{name}");
    }
    assert!(is_label("a") && is_label("a-1") && is_label(&"a".repeat(63)));
}

#[test]
fn a_target_is_missing_only_where_all_gateways_are_known() {
    let missing = World {
        gateways: Some(vec!["other"]),
        ..World::new()
    };
    let (what, reason, message) = missing.refused();
    assert_eq!((what, reason), ("rejected", "TargetNotFound"));
    assert!(message.contains("Gateway public in namespace shop"), "{message}");

    let unknown = |absent, status: Value| World {
        gateways: None,
        absent,
        status,
        ..World::new()
    };
    for (absent, part) in [(false, "not listed"), (true, "not installed")] {
        let (what, reason, message) = unknown(absent, json!({})).refused();
        assert_eq!((what, reason), ("undetermined", "Reconciling"));
        assert!(message.contains(part), "{message}");
        let before = json!({"conditions": [condition("Accepted", "True", "")]});
        assert_eq!(
            unknown(absent, before).accepted().2,
            Provision::Full,
            "who was accepted stays it"
        );
    }
}

#[test]
fn the_oldest_engine_has_the_target_and_ties_go_by_name() {
    let rival = |name, created: &str, rest: Value| {
        let mut body = rest;
        body["created"] = created.into();
        World {
            others: vec![(name, body)],
            ..World::new()
        }
    };
    let (older, same, younger) = ("2026-05-01T09:59:59Z", "2026-05-01T10:00:00Z", "2026-05-01T10:00:01Z");
    for (name, created, wins) in [
        ("zzz", older, false),
        ("aaa", same, false),
        ("zzz", same, true),
        ("aaa", younger, true),
    ] {
        let world = rival(name, created, json!({}));
        if wins {
            world.accepted();
        } else {
            let (what, reason, message) = world.refused();
            assert_eq!((what, reason), ("rejected", "TargetConflict"));
            assert!(
                message.contains("Gateway public") && message.contains(name),
                "{message}"
            );
        }
    }
    rival("zzz", older, json!({"deleted": "2026-05-02T00:00:00Z"})).accepted();
}

#[test]
fn an_engine_that_can_not_be_read_keeps_its_claim() {
    let meta = crate::watch::object::Meta::default();
    let unreadable = Object::Unknown(std::sync::Arc::new(Unreadable {
        meta,
        ..Unreadable::default()
    }));
    let (key, engine) = object::<EngineView>("waf", json!({"spec": spec(), "created": "2026-05-01T10:00:00Z"}));
    let other = ObjectKey::new("shop", "old");
    assert_eq!(winner(&[(other.clone(), unreadable), (key, engine)]), Some(&other));
}

#[test]
fn a_ruleset_in_trouble_leaves_what_enforces_its_last_good_rules() {
    let degraded = json!([
        condition("Degraded", "True", "line 3"),
        condition("Ready", "False", "line 3")
    ]);
    let (full, hold) = (Provision::Full, Provision::Hold);
    let ready = json!([condition("Ready", "True", "")]);
    let progressing = json!([condition("Ready", "False", ""), condition("Progressing", "True", "")]);
    let (none, here, elsewhere) = (None, Some("shop/crs"), Some("shop/old"));
    for (conditions, revised, enforced, reason, provision) in [
        (Some(&ready), true, none, None, full),
        (Some(&progressing), false, none, None, full),
        (Some(&degraded), true, none, Some("RuleSetDegraded"), full),
        (Some(&degraded), false, none, Some("RuleSetDegraded"), hold),
        (Some(&degraded), false, here, Some("RuleSetDegraded"), full),
        (Some(&degraded), false, elsewhere, Some("RuleSetDegraded"), hold),
        (None, false, none, Some("RuleSetNotFound"), hold),
        (None, false, here, Some("RuleSetNotFound"), full),
        (None, false, elsewhere, Some("RuleSetNotFound"), hold),
    ] {
        let status = |conditions: &Value| {
            let mut status = json!({"conditions": conditions});
            if revised {
                status["revision"] = revision();
            }
            status
        };
        let world = World {
            ruleset: conditions.map(status),
            enforced,
            ..World::new()
        };
        let (_, said, done) = world.accepted();
        assert_eq!(
            (said, done),
            (reason, provision),
            "{conditions:?} {revised} {enforced:?}"
        );
    }
    // After its WasmPlugin was deleted while the RuleSet was: caches keep the rules for as long as the Engine names them.
    let world = World {
        ruleset: None,
        status: json!({"revision": revision()}),
        ..World::new()
    };
    assert_eq!(world.accepted().2, full);
    let world = World {
        ruleset: Some(json!({"conditions": degraded})),
        ..World::new()
    };
    let message = match world.resolve() {
        Resolved::Accepted(_, Some(trouble), _) => trouble.message,
        other => panic!("{other:?}"),
    };
    assert!(
        message.contains("RuleSet crs") && message.contains("line 3"),
        "{message}"
    );
}

#[test]
fn access_logs_go_to_the_collector_that_the_class_declares() {
    let mut world = World::new();
    world.spec["observability"] = json!({"mode": "Disabled"});
    assert_eq!(world.accepted().0.logs, Logs::Off);
    world.spec["observability"] = json!({"mode": "Enabled"});
    let Logs::Impossible(why) = world.accepted().0.logs else {
        panic!("declared")
    };
    assert!(why.contains("GatewayClass istio does not declare internal.do-not-use.openshift.io/waf-otel-collector"));
    for (collector, logs) in [("otel", Some(Logs::Collected)), ("", None)] {
        world.class["annotations"] = json!({"internal.do-not-use.openshift.io/waf-otel-collector": collector});
        let found = world.accepted().0.logs;
        assert!(logs.as_ref().is_none_or(|logs| *logs == found), "{found:?}");
        assert_eq!(logs.is_some(), found == Logs::Collected);
    }
    world.class = Value::Null;
    assert!(
        matches!(world.accepted().0.logs, Logs::Impossible(_)),
        "there is no such class"
    );
    world.classes_listed = false;
    assert_eq!(world.accepted().0.logs, Logs::Unknown, "there may be");
}

#[test]
fn a_gateway_of_a_class_that_is_not_istio_s_is_told_of() {
    let note = |controller: &str| {
        let world = World {
            class: json!({"spec": {"controllerName": controller}}),
            ..World::new()
        };
        world.accepted().0.note
    };
    assert_eq!(note("istio.io/gateway-controller"), None);
    assert_eq!(note("openshift.io/gateway-controller/v1"), None);
    let told = note("gateway.envoyproxy.io/gatewayclass-controller").expect("told");
    assert!(
        told.contains("gateway.envoyproxy.io") && told.contains("istio"),
        "{told}"
    );
}
