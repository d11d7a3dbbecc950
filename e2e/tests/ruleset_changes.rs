//! Edits and deletions of what a RuleSet names. *Shared*: one fleet, a namespace per test.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use coraza_api::{RuleData, RuleSet, RuleSource};
use coraza_e2e::cache::Rules;
use coraza_e2e::{Fleet, Namespace, until};

fn rule(id: u32) -> String {
    format!("SecRule ARGS:a \"@streq {id}\" \"id:{id},phase:1,deny\"")
}

/// What the first cache serves.
async fn rules(namespace: &Namespace, ruleset: &str) -> Rules {
    let token = namespace.token(ruleset).await;
    let [cache, ..] = Fleet::shared().await.caches.as_slice() else {
        panic!("no cache")
    };
    cache.rules(&namespace.name, ruleset, &token).await.unwrap()
}

async fn text(namespace: &Namespace, ruleset: &str) -> String {
    rules(namespace, ruleset).await.rules
}

/// Waits until the RuleSet's status names another revision than this, and until all caches serve that.
async fn next(namespace: &Namespace, ruleset: &str, before: &str) -> String {
    let uuid = until("another revision", async || match namespace.ready(ruleset).await.uuid {
        uuid if uuid != before => Ok(uuid),
        uuid => Err(uuid),
    })
    .await;
    namespace.served(&Fleet::shared().await.caches, ruleset, &uuid).await;
    uuid
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn two_namespaces_never_mix() {
    let fleet = Fleet::shared().await;
    let namespaces = [Namespace::create().await, Namespace::create().await];
    for (namespace, id) in namespaces.iter().zip([1, 2]) {
        namespace.source("rules", &rule(id)).await;
        namespace.ruleset("crs", &["rules"], &[]).await;
    }
    let mut uuids = BTreeSet::new();
    for (namespace, id) in namespaces.iter().zip([1, 2]) {
        let uuid = namespace.ready("crs").await.uuid;
        namespace.served(&fleet.caches, "crs", &uuid).await;
        let served = rules(namespace, "crs").await;
        assert_eq!(served.rules, rule(id));
        let names: Vec<_> = served
            .sources
            .iter()
            .map(|source| (&*source.name, source.lines))
            .collect();
        assert_eq!(names, [("rules", 1)]);
        uuids.insert(uuid);
    }
    assert_eq!(uuids.len(), 2);
    let [one, other] = &namespaces;
    let before = other.get_ruleset("crs").await;
    one.delete::<RuleSource>("rules").await;
    one.condition::<RuleSet>("crs", ("Degraded", "True", "RuleSourceNotFound"))
        .await;
    assert_eq!(
        other.get_ruleset("crs").await.metadata.resource_version,
        before.metadata.resource_version
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn sources_are_joined_in_the_order_of_the_spec() {
    let namespace = Namespace::create().await;
    for (name, id) in [("a", 1), ("b", 2), ("c", 3)] {
        namespace.source(name, &rule(id)).await;
    }
    namespace.ruleset("crs", &["c", "a", "b"], &[]).await;
    let uuid = next(&namespace, "crs", "").await;
    assert_eq!(text(&namespace, "crs").await, [rule(3), rule(1), rule(2)].join("\n"));
    namespace.ruleset("crs", &["b", "a", "c"], &[]).await;
    next(&namespace, "crs", &uuid).await;
    assert_eq!(text(&namespace, "crs").await, [rule(2), rule(1), rule(3)].join("\n"));
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn edits_of_sources_and_data_arrive_and_later_data_wins() {
    let namespace = Namespace::create().await;
    namespace
        .source("rules", "SecRule ARGS \"@pmFromFile words\" \"id:1,phase:2,deny\"")
        .await;
    namespace.data("one", &[("words", "first")]).await;
    namespace.data("two", &[("words", "second")]).await;
    namespace.ruleset("crs", &["rules"], &["one", "two"]).await;
    let uuid = next(&namespace, "crs", "").await;
    namespace.data("two", &[("words", "third")]).await;
    let uuid = next(&namespace, "crs", &uuid).await;
    namespace
        .source("rules", "SecRule ARGS \"@pmFromFile words\" \"id:2,phase:2,deny\"")
        .await;
    let uuid = next(&namespace, "crs", &uuid).await;
    // The later object wins: this changes nothing that is served.
    namespace.data("one", &[("words", "fourth")]).await;
    namespace.data("one", &[("words", "fourth"), ("more", "words")]).await;
    next(&namespace, "crs", &uuid).await;
    namespace.delete::<RuleData>("two").await;
    namespace
        .condition::<RuleSet>("crs", ("Degraded", "True", "RuleDataNotFound"))
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn ten_quick_edits_end_on_the_last() {
    let namespace = Namespace::create().await;
    namespace.source("rules", &rule(100)).await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    next(&namespace, "crs", "").await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for id in 1..=10 {
        pace.tick().await;
        namespace.source("rules", &rule(id)).await;
    }
    let last = until("the last edit to be served", async || {
        match rules(&namespace, "crs").await {
            served if served.rules == rule(10) => Ok(served.uuid),
            served => Err(served.rules),
        }
    })
    .await;
    namespace.served(&Fleet::shared().await.caches, "crs", &last).await;
    // The status is written when the caches have answered: it is the last to end on the last.
    namespace.shows("crs", &last).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_same_content_is_the_same_revision_and_one_that_returns_is_later() {
    let namespace = Namespace::create().await;
    namespace.source("rules", &rule(1)).await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    let first = namespace.ready("crs").await;
    // Cut otherwise, joined the same.
    namespace.source("start", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["start", "rules"], &[]).await;
    let second = next(&namespace, "crs", &first.uuid).await;
    namespace
        .source("whole", &format!("SecRuleEngine On\n{}", rule(1)))
        .await;
    namespace.ruleset("crs", &["whole"], &[]).await;
    assert_eq!(namespace.ready("crs").await.uuid, second);
    namespace.ruleset("crs", &["rules"], &[]).await;
    next(&namespace, "crs", &second).await;
    let again = namespace.ready("crs").await;
    assert_eq!(again.uuid, first.uuid);
    assert!(
        again.timestamp > first.timestamp,
        "{} {}",
        again.timestamp,
        first.timestamp
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_deleted_ruleset_is_served_no_longer() {
    let (fleet, namespace) = (Fleet::shared().await, Namespace::create().await);
    namespace.source("rules", &rule(1)).await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    next(&namespace, "crs", "").await;
    namespace.delete::<RuleSet>("crs").await;
    let token = namespace.token("crs").await;
    for cache in &fleet.caches {
        until("404", async || {
            let answer = cache
                .get(&format!("/rules/{}/crs/latest", namespace.name), &token)
                .await;
            let status = answer.map_err(|error| error.to_string())?.status.as_u16();
            if status == 404 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }
}
