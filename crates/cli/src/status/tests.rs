//! From objects to what people and programs read, and to whether to go on waiting.

use std::collections::BTreeMap;

use coraza_api::{Engine, RuleSet};
use serde_json::{Value, json};

use super::*;
use crate::caches::{Document as Page, HeldRevision, Replica};
use crate::status::goal::WaitFor;

const UUID: &str = "0b6c7a4e-0000-8000-8000-000000000001";
const OTHER: &str = "5f6c7a4e-0000-8000-8000-000000000002";

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 2, "lastTransitionTime": "2026-06-01T11:00:00Z"})
}

fn revision(uuid: &str) -> Value {
    json!({"uuid": uuid, "digest": "d", "timestamp": "2026-06-01T11:58:00Z", "bytes": 788_480, "rules": 563})
}

fn engine(name: &str, generation: i64, current: u32, conditions: &[Value]) -> Engine {
    let enforcement =
        json!({"desired": UUID, "expected": 2, "current": current, "stale": 0, "since": "2026-06-01T11:59:00Z"});
    serde_json::from_value(json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "Engine",
        "metadata": {"name": name, "namespace": "shop", "generation": generation, "creationTimestamp": "2026-05-29T12:00:00Z"},
        "spec": {"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "public"}},
        "status": {"conditions": conditions, "revision": revision(UUID), "enforcement": enforcement},
    }))
    .unwrap()
}

fn good_engine() -> Engine {
    let said = [
        condition("Accepted", "True", "Accepted", "the Gateway exists"),
        condition("Ready", "True", "Configured", "applied"),
        condition("Enforced", "True", "RevisionEnforced", "each pod runs it"),
    ];
    engine("waf", 2, 2, &said)
}

fn silent_engine() -> Engine {
    let said = [
        condition("Accepted", "True", "Accepted", "the Gateway exists"),
        condition("Ready", "True", "Configured", "applied"),
        condition("Enforced", "False", "PodsSilent", "1 of 2 pods does not poll"),
    ];
    engine("inner", 2, 1, &said)
}

fn rule_set(name: &str, status: &Value) -> RuleSet {
    serde_json::from_value(json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "RuleSet",
        "metadata": {"name": name, "namespace": "shop", "generation": 2, "creationTimestamp": "2026-06-01T09:00:00Z"},
        "spec": {"sources": [{"name": "base"}]},
        "status": status,
    }))
    .unwrap()
}

fn good_rule_set() -> RuleSet {
    rule_set(
        "crs",
        &json!({"conditions": [condition("Ready", "True", "RulesCached", "cached")], "revision": revision(UUID)}),
    )
}

fn broken_rule_set() -> RuleSet {
    let diagnostic = |line: u32, severity: &str| json!({"source": "base", "line": line, "column": 3, "severity": severity, "message": "unknown operator @foo\nwith a caret"});
    let diagnostics = [
        diagnostic(9, "warning"),
        diagnostic(1, "error"),
        diagnostic(2, "error"),
        diagnostic(3, "error"),
        diagnostic(4, "error"),
        diagnostic(5, "error"),
    ];
    let said = [
        condition("Ready", "False", "InvalidRuleSet", "5 errors, the first:\nbase:1:3"),
        condition("Degraded", "True", "InvalidRuleSet", "5 errors, the first:\nbase:1:3"),
    ];
    rule_set("own", &json!({"conditions": said, "diagnostics": diagnostics}))
}

fn objects() -> Objects {
    let engines = [good_engine(), silent_engine()];
    let rule_sets = [good_rule_set(), broken_rule_set()];
    let key = |name: &str| ("shop".to_owned(), name.to_owned());
    Objects {
        engines: engines
            .into_iter()
            .map(|engine| (key(&engine.metadata.name.clone().unwrap()), engine))
            .collect(),
        rule_sets: rule_sets
            .into_iter()
            .map(|rule_set| (key(&rule_set.metadata.name.clone().unwrap()), rule_set))
            .collect(),
    }
}

fn caches() -> CachesView {
    let replica = |name: &str, uuid: &str, refused: &[(&str, &str)]| Replica {
        replica: name.to_owned(),
        complete: true,
        held: [(
            "shop/crs".to_owned(),
            HeldRevision {
                uuid: uuid.to_owned(),
                timestamp: "t".to_owned(),
            },
        )]
        .into(),
        refused: refused
            .iter()
            .map(|(key, why)| ((*key).to_owned(), (*why).to_owned()))
            .collect(),
        awaited: Vec::new(),
        grants: 2,
    };
    CachesView::Known {
        controller: "coraza-system/coraza-controller-0".to_owned(),
        document: Page {
            leading: true,
            caches: vec![
                replica("cache-0", UUID, &[]),
                replica("cache-1", OTHER, &[("shop/crs", "too large")]),
            ],
        },
    }
}

fn status(names: &[&str], objects: &Objects, caches: CachesView) -> Status {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let names = Names::parse(&names).unwrap();
    let (engines, rule_sets) = names.select(objects);
    let all: Vec<_> = objects.engines.values().collect();
    Status::of(&engines, &rule_sets, &all, caches)
}

fn text(status: &Status, wide: bool, namespaces: bool) -> String {
    let style = Style {
        wide,
        namespaces,
        now: "2026-06-01T12:00:00Z".parse().unwrap(),
    };
    let mut text = Vec::new();
    status.write(style, &mut text).unwrap();
    anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string()
}

#[test]
fn people_read_tables_and_what_is_wrong() {
    insta::assert_snapshot!(text(&status(&[], &objects(), caches()), false, false));
    insta::assert_snapshot!(text(&status(&["engine/waf"], &objects(), caches()), true, true));
    let unknown = CachesView::Unknown {
        why: "no controller leads".to_owned(),
    };
    insta::assert_snapshot!(text(&status(&["own"], &objects(), unknown), false, false));
}

#[test]
fn programs_read_all_of_it() {
    insta::assert_json_snapshot!(status(&["own", "inner"], &objects(), caches()));
}

#[test]
fn names_that_nobody_has_are_told() {
    let names = ["waf", "ruleset/waf", "own", "nobody"].map(ToOwned::to_owned);
    assert_eq!(
        Names::parse(&names).unwrap().missing(&objects()),
        ["ruleset/waf", "nobody"]
    );
}

#[test]
fn a_watch_without_a_terminal_tells_what_changed() {
    let before = status(&[], &objects(), not_asked());
    let mut objects = objects();
    objects.rule_sets.remove(&("shop".to_owned(), "own".to_owned()));
    objects.engines.insert(
        ("shop".to_owned(), "inner".to_owned()),
        engine("inner", 2, 2, &[condition("Ready", "True", "Configured", "x")]),
    );
    let after = status(&[], &objects, not_asked());
    let mut text = Vec::new();
    Changes {
        before: None,
        after: &before,
    }
    .write_text(&mut text)
    .unwrap();
    writeln!(text, "---").unwrap();
    Changes {
        before: Some(&before),
        after: &after,
    }
    .write_text(&mut text)
    .unwrap();
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}

#[test]
fn what_is_waited_for_has_come_or_something_is_missing() {
    let judge = |goal: WaitFor, engine: Engine, rule_set: RuleSet, revision: Option<&str>| {
        let key = |name: &str| ("shop".to_owned(), name.to_owned());
        let objects = Objects {
            engines: BTreeMap::from([(key("e"), engine)]),
            rule_sets: BTreeMap::from([(key("r"), rule_set)]),
        };
        match goal.judge(&status(&[], &objects, not_asked()), revision) {
            Verdict::Met => "met".to_owned(),
            Verdict::NotYet(missing) => missing,
        }
    };
    use WaitFor::{Enforced, Ready};
    let newer = || {
        rule_set(
            "crs",
            &json!({"conditions": [condition("Ready", "True", "RulesCached", "cached")], "revision": revision(OTHER)}),
        )
    };
    let old = || {
        let mut engine = good_engine();
        engine.metadata.generation = Some(3);
        engine
    };
    let unseen = || engine("waf", 2, 0, &[]);
    let table: [(WaitFor, Engine, RuleSet, Option<&str>, &str); 9] = [
        (Ready, good_engine(), good_rule_set(), None, "met"),
        (Ready, silent_engine(), good_rule_set(), None, "met"),
        (Enforced, good_engine(), good_rule_set(), None, "met"),
        (Enforced, good_engine(), good_rule_set(), Some(UUID), "met"),
        (
            Enforced,
            silent_engine(),
            good_rule_set(),
            None,
            "Engine shop/inner: Enforced=False (PodsSilent): 1 of 2 pods does not poll",
        ),
        (
            Enforced,
            good_engine(),
            newer(),
            None,
            "Engine shop/waf: its revision is 0b6c7a4e-0000-8000-8000-000000000001, not 5f6c",
        ),
        (
            Ready,
            good_engine(),
            good_rule_set(),
            Some(OTHER),
            "RuleSet shop/crs: its revision is 0b6c",
        ),
        (
            Ready,
            old(),
            good_rule_set(),
            None,
            "Engine shop/waf: Accepted=True (Accepted), said of the object before its last change",
        ),
        (
            Ready,
            unseen(),
            good_rule_set(),
            None,
            "Engine shop/waf: Accepted=Unknown: nobody has said",
        ),
    ];
    for (goal, engine, rule_set, revision, expected) in table {
        let verdict = judge(goal, engine, rule_set, revision);
        assert!(verdict.starts_with(expected), "{verdict}\n{expected}");
    }
    let verdict = judge(Ready, good_engine(), broken_rule_set(), None);
    assert_eq!(
        verdict,
        "RuleSet shop/own: Ready=False (InvalidRuleSet): 5 errors, the first:"
    );
}
