//! Which changes touch which RuleSets, through the index that applies them.

use std::collections::BTreeSet;

use coraza_compiler::Compiler;
use serde_json::{Value, json};

use crate::watch::index::{Index, Indexed};
use crate::watch::object::{DataView, EngineView, RuleSetView, SourceView, decode};
use crate::watch::store::Event;

/// An index with two RuleSets that share a source, in one namespace, and one of the same names in another.
struct Fixture {
    index: Index,
    version: u64,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self {
            index: Index::default(),
            version: 0,
        };
        for (namespace, name, sources) in [
            ("a", "one", vec!["shared", "own"]),
            ("a", "two", vec!["shared"]),
            ("b", "one", vec!["shared"]),
        ] {
            let sources: Vec<_> = sources.into_iter().map(|name| json!({"name": name})).collect();
            fixture.apply::<RuleSetView>(
                namespace,
                name,
                json!({"spec": {"sources": sources, "data": [{"name": "files"}]}}),
            );
        }
        fixture.apply::<SourceView>("a", "shared", json!({"spec": {"rules": "SecRuleEngine On"}}));
        fixture.apply::<DataView>("a", "files", json!({"spec": {"files": {"f": "x"}}}));
        fixture.apply::<EngineView>("a", "gateway", json!({"spec": {"ruleSet": {"name": "one"}}}));
        fixture
    }

    /// Applies a new version of an object and gives what must be reconciled, as text.
    fn apply<V: Indexed>(&mut self, namespace: &str, name: &str, mut body: Value) -> BTreeSet<String> {
        self.version += 1;
        let annotations = body["metadata"]["annotations"].take();
        body["metadata"] = json!({"namespace": namespace, "name": name, "uid": "u", "resourceVersion": self.version.to_string(), "annotations": annotations});
        let object = serde_json::from_value(body).expect("a dynamic object");
        let (key, object) = decode::<V>(object, &Compiler::new()).expect("a name");
        text(self.index.apply(Event::Apply(key, object)))
    }

    fn delete<V: Indexed>(&mut self, namespace: &str, name: &str) -> BTreeSet<String> {
        text(
            self.index
                .apply(Event::<V>::Delete(crate::watch::object::ObjectKey::new(
                    namespace, name,
                ))),
        )
    }
}

fn text(items: Vec<super::Item>) -> BTreeSet<String> {
    items.into_iter().map(|item| format!("{item:?}")).collect()
}

fn set<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
    items.into_iter().map(str::to_owned).collect()
}

const BOTH: [&str; 2] = ["RuleSet(RuleSetKey(a/one))", "RuleSet(RuleSetKey(a/two))"];

#[test]
fn an_edit_of_a_source_touches_the_rulesets_of_its_namespace_that_name_it() {
    let mut fixture = Fixture::new();
    let touched = fixture.apply::<SourceView>("a", "shared", json!({"spec": {"rules": "SecRuleEngine Off"}}));
    assert_eq!(touched, set([BOTH[0], BOTH[1], "RuleSource(a/shared)"]));
    let touched = fixture.delete::<SourceView>("a", "shared");
    assert_eq!(touched, set([BOTH[0], BOTH[1], "RuleSource(a/shared)"]));
    let touched = fixture.apply::<SourceView>("a", "nobodys", json!({"spec": {"rules": "SecRuleEngine Off"}}));
    assert_eq!(touched, set(["RuleSource(a/nobodys)"]));
}

#[test]
fn a_status_of_a_source_touches_the_source_only() {
    let mut fixture = Fixture::new();
    let touched = fixture.apply::<SourceView>(
        "a",
        "shared",
        json!({"spec": {"rules": "SecRuleEngine On"}, "status": {}}),
    );
    assert_eq!(touched, set(["RuleSource(a/shared)"]));
    let touched = fixture.apply::<DataView>("a", "files", json!({"spec": {"files": {"f": "x"}}, "status": {}}));
    assert_eq!(touched, set(["RuleData(a/files)"]));
}

#[test]
fn who_judges_a_source_matters_to_the_rulesets_that_name_it() {
    let mut fixture = Fixture::new();
    let metadata = json!({"annotations": {"waf.k8s.coraza.io/rule-validation": "false"}});
    let body = json!({"metadata": metadata, "spec": {"rules": "SecRuleEngine On"}});
    assert_eq!(fixture.apply::<SourceView>("a", "shared", body.clone()).len(), 3);
    assert_eq!(fixture.apply::<SourceView>("a", "shared", body).len(), 1);
}

#[test]
fn a_source_that_becomes_unreadable_or_readable_touches_its_rulesets() {
    let mut fixture = Fixture::new();
    for body in [
        json!({"spec": {"rules": 7}}),
        json!({"spec": {"rules": "SecRuleEngine On"}}),
    ] {
        assert_eq!(fixture.apply::<SourceView>("a", "shared", body).len(), 3);
    }
}

#[test]
fn an_edit_of_data_touches_the_rulesets_that_name_it() {
    let mut fixture = Fixture::new();
    let touched = fixture.apply::<DataView>("a", "files", json!({"spec": {"files": {"f": "y"}}}));
    assert_eq!(touched, set([BOTH[0], BOTH[1], "RuleData(a/files)"]));
}

#[test]
fn a_ruleset_that_names_other_data_touches_both() {
    let mut fixture = Fixture::new();
    let body = json!({"spec": {"sources": [{"name": "shared"}], "data": [{"name": "more"}]}});
    let touched = fixture.apply::<RuleSetView>("a", "one", body);
    assert_eq!(touched, set([BOTH[0], "RuleData(a/files)", "RuleData(a/more)"]));
    let touched = fixture.apply::<SourceView>("a", "own", json!({"spec": {"rules": "SecRuleEngine Off"}}));
    assert_eq!(touched, set(["RuleSource(a/own)"]), "it is not named any more");
}

#[test]
fn an_engine_that_turns_to_another_ruleset_touches_both() {
    let mut fixture = Fixture::new();
    let key = super::RuleSetKey::new("a", "one").expect("a key");
    assert!(fixture.index.is_named(&key));
    let touched = fixture.apply::<EngineView>("a", "gateway", json!({"spec": {"ruleSet": {"name": "two"}}}));
    let engine = "Engine(a/gateway)";
    assert_eq!(touched, set([BOTH[0], BOTH[1], engine]));
    assert!(!fixture.index.is_named(&key));
    assert_eq!(
        fixture.apply::<EngineView>("a", "gateway", json!({"spec": {"ruleSet": {"name": "two"}}})),
        set([engine])
    );
    assert_eq!(
        fixture.apply::<EngineView>("a", "gateway", json!({"spec": 1})),
        set([engine]),
        "unreadable: it names what it named"
    );
    assert_eq!(fixture.delete::<EngineView>("a", "gateway"), set([BOTH[1], engine]));
}
