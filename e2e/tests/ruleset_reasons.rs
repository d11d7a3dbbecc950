//! Every reason that a RuleSet's conditions may have, brought about by a user. *Shared*: one fleet, a namespace per test.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use coraza_api::{RuleData, RuleSet, RuleSource};
use coraza_e2e::{Fleet, Namespace, until};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

const GOOD: &str = "SecRuleEngine On\nSecRule ARGS:a \"@streq x\" \"id:1,phase:1,deny\"";

/// A rule that can't be alone: its chain has no end.
/// Good by itself, but its id is that of [`GOOD`].
const SAME_ID: &str = "SecRule ARGS:b \"@streq x\" \"id:1,phase:1,deny\"";

/// Sends text that compiles and waits until all caches serve it: what must survive the rest of a test.
async fn last_good(namespace: &Namespace) -> String {
    namespace.source("rules", GOOD).await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let uuid = namespace.ready("crs").await.uuid;
    namespace.served(&Fleet::shared().await.caches, "crs", &uuid).await;
    uuid
}

/// The RuleSet is Degraded for this reason, and what was served before still is.
async fn degraded(namespace: &Namespace, reason: &str, last_good: &str) -> String {
    let condition = namespace
        .condition::<RuleSet>("crs", ("Degraded", "True", reason))
        .await;
    let ruleset = namespace.get_ruleset("crs").await;
    let status = ruleset.status.unwrap();
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.type_ != "Progressing")
    );
    assert_eq!(
        status.revision.unwrap().uuid,
        last_good,
        "the status names what is served"
    );
    namespace.served(&Fleet::shared().await.caches, "crs", last_good).await;
    condition.message
}

/// The events about an object, as `type reason`.
async fn events(namespace: &Namespace, kind: &str, name: &str) -> Vec<String> {
    let events = namespace.api::<Event>().list(&ListParams::default()).await.unwrap();
    let about = events.items.into_iter().filter(|event| {
        let regarding = event.regarding.clone().unwrap_or_default();
        regarding.kind.as_deref() == Some(kind) && regarding.name.as_deref() == Some(name)
    });
    about
        .map(|event| {
            format!(
                "{} {}",
                event.type_.unwrap_or_default(),
                event.reason.unwrap_or_default()
            )
        })
        .collect()
}

async fn annotate<K: coraza_e2e::namespace::Namespaced>(
    namespace: &Namespace,
    name: &str,
    annotation: &str,
    value: &str,
) {
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    namespace
        .api::<K>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_cached() {
    let (fleet, namespace) = (Fleet::shared().await, Namespace::create().await);
    namespace.data("files", &[("bad.data", "evil")]).await;
    namespace
        .source("rules", "SecRule ARGS \"@pmFromFile bad.data\" \"id:1,phase:2,deny\"")
        .await;
    namespace.ruleset("crs", &["rules"], &["files"]).await;
    let revision = namespace.ready("crs").await;
    namespace.served(&fleet.caches, "crs", &revision.uuid).await;
    assert_eq!(revision.rules, 1);
    let conditions = namespace.get_ruleset("crs").await.status.unwrap().conditions;
    assert_eq!(
        conditions
            .iter()
            .map(|condition| condition.type_.as_str())
            .collect::<Vec<_>>(),
        ["Ready"]
    );
    namespace
        .condition::<RuleSource>("rules", ("Ready", "True", "Validated"))
        .await;
    namespace
        .condition::<RuleData>("files", ("Ready", "True", "Loaded"))
        .await;
    until("the event", async || match events(&namespace, "RuleSet", "crs").await {
        events if events == ["Normal RulesCached"] => Ok(()),
        events => Err(format!("{events:?}")),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn duplicate_reference() {
    let namespace = Namespace::create().await;
    let uuid = last_good(&namespace).await;
    namespace
        .ruleset("crs", &["rules", "b", "a", "rules", "a"], &["d", "d"])
        .await;
    let message = degraded(&namespace, "DuplicateReference", &uuid).await;
    assert!(
        message.contains("a, rules") && message.contains("RuleData name(s): d"),
        "{message}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn missing_references_are_named_and_healed_by_creating_them() {
    let (fleet, namespace) = (Fleet::shared().await, Namespace::create().await);
    let uuid = last_good(&namespace).await;
    namespace.ruleset("crs", &["rules", "absent"], &["nowhere"]).await;
    let message = degraded(&namespace, "RuleDataNotFound", &uuid).await;
    assert!(message.contains("nowhere"), "{message}");
    namespace.data("nowhere", &[("f", "x")]).await;
    let message = degraded(&namespace, "RuleSourceNotFound", &uuid).await;
    assert!(message.contains("absent"), "{message}");
    namespace.source("absent", "SecAction \"id:9,phase:1,pass\"").await;
    let healed = namespace.ready("crs").await;
    assert_ne!(healed.uuid, uuid);
    namespace.served(&fleet.caches, "crs", &healed.uuid).await;
    namespace.delete::<RuleSource>("absent").await;
    degraded(&namespace, "RuleSourceNotFound", &healed.uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_source_with_a_syntax_error_says_where_on_itself_and_on_the_ruleset() {
    let namespace = Namespace::create().await;
    let uuid = last_good(&namespace).await;
    namespace
        .source(
            "rules",
            "SecRuleEngine On\nSecRule ARGS \"@nothing x\" \"id:1,phase:1\"",
        )
        .await;
    let message = degraded(&namespace, "ReferencedRuleSourceInvalid", &uuid).await;
    assert!(message.contains("rules") && message.contains('^'), "{message}");
    let diagnostic = namespace.get_ruleset("crs").await.status.unwrap().diagnostics.remove(0);
    assert_eq!((diagnostic.source.as_str(), diagnostic.line), ("rules", 2));
    namespace
        .condition::<RuleSource>("rules", ("Degraded", "True", "InvalidRules"))
        .await;

    annotate::<RuleSource>(&namespace, "rules", "waf.k8s.coraza.io/rule-validation", "false").await;
    namespace
        .condition::<RuleSource>("rules", ("Ready", "True", "ValidationSkipped"))
        .await;
    degraded(&namespace, "InvalidRuleSet", &uuid).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_is_wrong_only_together_is_told_the_ruleset_and_by_an_event_the_source() {
    let namespace = Namespace::create().await;
    let uuid = last_good(&namespace).await;
    namespace.source("same", SAME_ID).await;
    namespace.ruleset("crs", &["rules", "same"], &[]).await;
    degraded(&namespace, "InvalidRuleSet", &uuid).await;
    namespace
        .condition::<RuleSource>("same", ("Ready", "True", "Validated"))
        .await;
    until("the source's event", async || {
        match events(&namespace, "RuleSource", "same").await {
            events if events.contains(&"Warning InvalidRuleSet".to_owned()) => Ok(()),
            events => Err(format!("{events:?}")),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn oversized_rules_have_the_numbers() {
    let namespace = Namespace::create().await;
    let uuid = last_good(&namespace).await;
    // Seven times 1.3 MiB of one-line comments: each source is within its own limit.
    let names: Vec<_> = (0..7).map(|number| format!("large-{number}")).collect();
    for name in &names {
        namespace
            .source(name, &format!("# {}\n", "x".repeat(98)).repeat(13_000))
            .await;
    }
    namespace
        .ruleset("crs", &names.iter().map(String::as_str).collect::<Vec<_>>(), &[])
        .await;
    let message = degraded(&namespace, "OversizedRules", &uuid).await;
    assert!(
        message.contains("--max-ruleset-bytes") && message.contains("8388608"),
        "{message}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn bombs_are_refused_where_they_are_and_hold_up_nobody() {
    let (namespace, other) = (Namespace::create().await, Namespace::create().await);
    let uuid = last_good(&namespace).await;
    let rule = |id: usize, pattern: &str| format!("SecRule ARGS \"@rx {pattern}\" \"id:{id},phase:2,deny\"");
    let nested = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    let many: Vec<_> = (10..5_000)
        .map(|id| rule(id, &format!("(?:b{{{},1000}}){{1000}}", id % 1_000)))
        .collect();
    let text = [
        GOOD,
        &rule(2, "(?:(?:a{1000}){1000}){1000}"),
        &rule(3, &nested),
        &many.join("\n"),
    ]
    .join("\n");
    namespace.source("rules", &text).await;
    other.source("rules", GOOD).await;
    other.ruleset("crs", &["rules"], &[]).await;
    other.ready("crs").await;
    let message = degraded(&namespace, "InvalidRuleSet", &uuid).await;
    assert!(message.contains('^') && message.len() <= 32_768, "{message}");
    let diagnostics = namespace.get_ruleset("crs").await.status.unwrap().diagnostics;
    let lines: Vec<_> = diagnostics
        .iter()
        .map(|found| (found.source.as_str(), found.line))
        .collect();
    assert!(lines.starts_with(&[("rules", 3), ("rules", 4)]), "{lines:?}");
    assert!(diagnostics.len() <= 50 && diagnostics.iter().all(|found| found.message.len() <= 1024));
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_nul_in_a_data_file_is_served_as_it_is() {
    let (fleet, namespace) = (Fleet::shared().await, Namespace::create().await);
    let content = "evil\u{0}word\n\u{0}";
    namespace.data("files", &[("bad.data", content)]).await;
    namespace
        .source("rules", "SecRule ARGS \"@pmFromFile bad.data\" \"id:1,phase:2,deny\"")
        .await;
    namespace.ruleset("crs", &["rules"], &["files"]).await;
    let uuid = namespace.ready("crs").await.uuid;
    namespace.served(&fleet.caches, "crs", &uuid).await;
    let token = namespace.token("crs").await;
    for cache in &fleet.caches {
        let path = format!("/rules/{}/crs", namespace.name);
        let body: serde_json::Value = cache.get(&path, &token).await.unwrap().json();
        assert_eq!(body["dataFiles"]["bad.data"], json!("ZXZpbAB3b3JkCgA="), "{body}");
    }
}
