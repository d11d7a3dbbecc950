//! RuleSets when caches, objects or the way to the API server are missing. *Faults*: each test has a fleet of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use coraza_api::{Engine, RuleSet, RuleSource};
use coraza_e2e::cluster::Outage;
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Cache, Fleet, Link, Namespace, Size, cluster, environment, until};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

fn rule(id: u32) -> String {
    format!("SecRule ARGS:a \"@streq {id}\" \"id:{id},phase:1,deny\"")
}

/// The status code of `/latest`.
async fn answers(cache: &Cache, namespace: &Namespace, ruleset: &str, wanted: u16) {
    let token = namespace.token(ruleset).await;
    let path = format!("/rules/{}/{ruleset}/latest", namespace.name);
    until(&format!("{path} to answer {wanted}"), async || {
        let status = cache
            .get(&path, &token)
            .await
            .map_err(|error| error.to_string())?
            .status
            .as_u16();
        if status == wanted {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_waits_for_its_first_cache() {
    let mut fleet = Fleet::start(Size::of(1, 0)).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &rule(1)).await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    namespace
        .condition::<RuleSet>("crs", ("Progressing", "True", "Reconciling"))
        .await;
    namespace
        .condition::<RuleSet>("crs", ("Ready", "False", "AwaitingCache"))
        .await;
    fleet.add_cache().ready().await;
    let uuid = namespace.ready("crs").await.uuid;
    namespace.served(&fleet.caches, "crs", &uuid).await;
    let conditions = namespace.get_ruleset("crs").await.status.unwrap().conditions;
    assert_eq!(conditions.len(), 1, "{conditions:?}");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_that_the_plugin_can_not_run_are_refused_unless_the_annotation_overrides() {
    let _fleet = Fleet::start(Size::of(1, 1).controller_flags(&["--engine-profile=wasm"])).await;
    let namespace = Namespace::create().await;
    namespace
        .source("rules", &format!("{}\n{}", rule(949_110), rule(1)))
        .await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let condition = namespace
        .condition::<RuleSet>("crs", ("Degraded", "True", "UnsupportedRules"))
        .await;
    assert!(
        condition.message.contains("949110") && !condition.message.contains("rule 1 "),
        "{}",
        condition.message
    );
    let annotations = json!({"waf.k8s.coraza.io/skip-unsupported-rules-check": "true"});
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    namespace
        .api::<RuleSet>()
        .patch("crs", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let condition = namespace
        .condition::<RuleSet>("crs", ("Ready", "True", "RulesCached"))
        .await;
    assert!(
        condition.message.contains("[annotation override]"),
        "{}",
        condition.message
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_keeps_the_rules_of_a_deleted_ruleset() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let namespace = Namespace::create().await;
    for name in ["kept", "dropped"] {
        namespace.source("rules", &rule(1)).await;
        namespace.ruleset(name, &["rules"], &[]).await;
        let uuid = namespace.ready(name).await.uuid;
        namespace.served(&fleet.caches, name, &uuid).await;
    }
    let engine = json!({"ruleSet": {"name": "kept"}, "target": {"type": "Gateway", "name": "gateway"}});
    namespace.apply::<Engine>("engine", engine).await;
    let [cache] = fleet.caches.as_slice() else {
        panic!("one cache")
    };
    // What the controller learns first it does first: once one is gone the other one would be, too.
    namespace.delete::<RuleSet>("kept").await;
    namespace.delete::<RuleSet>("dropped").await;
    answers(cache, &namespace, "dropped", 404).await;
    answers(cache, &namespace, "kept", 200).await;
    namespace.delete::<Engine>("engine").await;
    answers(cache, &namespace, "kept", 404).await;
}

/// A fleet of one controller, whose way to the API server the test can cut, and one cache.
async fn behind_a_link() -> (Fleet, Link) {
    let mut fleet = Fleet::start(Size::of(0, 0)).await;
    let cluster = &environment().cluster;
    let server = cluster.server.strip_prefix("https://").unwrap();
    let link = Link::to(server.parse().unwrap()).await;
    let kubeconfig = std::fs::read_to_string(&cluster.controller_kubeconfig).unwrap();
    assert!(kubeconfig.contains(server));
    let path = environment().logs.join("behind-a-link.kubeconfig");
    std::fs::write(&path, kubeconfig.replace(server, &link.address().to_string())).unwrap();
    fleet.add_controller(path);
    fleet.add_cache();
    fleet.ready().await;
    (fleet, link)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn edits_and_deletions_while_the_watch_is_down_are_seen_afterwards() {
    let (fleet, link) = behind_a_link().await;
    let [cache] = fleet.caches.as_slice() else {
        panic!("one cache")
    };
    let namespace = Namespace::create().await;
    for name in ["edited", "deleted", "source-deleted"] {
        namespace.source(name, &rule(1)).await;
        namespace.ruleset(name, &[name], &[]).await;
        let uuid = namespace.ready(name).await.uuid;
        namespace.served(&fleet.caches, name, &uuid).await;
    }
    let before = namespace.ready("edited").await.uuid;
    link.cut();
    namespace.source("edited", &rule(2)).await;
    namespace.delete::<RuleSet>("deleted").await;
    namespace.delete::<RuleSource>("source-deleted").await;
    // No watch can go on where it was: the API server has forgotten that, too.
    let outage = Outage::begin().await;
    cluster::compact().await;
    outage.end().await;
    let token = namespace.token("edited").await;
    holds_for(Duration::from_millis(500), "the last good rules", async || {
        let latest = cache.latest(&namespace.name, "edited", &token).await?;
        if latest.uuid == before {
            Ok(())
        } else {
            Err(latest.uuid)
        }
    })
    .await;
    link.mend();
    until("the edit", async || match namespace.ready("edited").await.uuid {
        uuid if uuid != before => Ok(()),
        uuid => Err(uuid),
    })
    .await;
    answers(cache, &namespace, "deleted", 404).await;
    namespace
        .condition::<RuleSet>("source-deleted", ("Degraded", "True", "RuleSourceNotFound"))
        .await;
    answers(cache, &namespace, "source-deleted", 200).await;
}
