//! Caches and controllers that come, go, hang and misbehave; what the others serve meanwhile. *Faults*: one test at a time, each with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::RuleSet;
use coraza_e2e::cache::Rules;
use coraza_e2e::cluster::Outage;
use coraza_e2e::fleet::QUICK_LEASE;
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Cache, Fleet, Namespace, Size, Subscriber, http, subscriber, until, until_within};
use coraza_proto::v1alpha1::subscribe_request::Request;
use coraza_proto::v1alpha1::subscribe_response::Response;

/// How long a standby may take: the Lease's duration, and the caches' longest back-off.
const TAKE_OVER: Duration = Duration::from_secs(30);

fn rule(id: usize) -> String {
    format!("SecRule ARGS \"@rx attack{id}\" \"id:{id},phase:2,deny\"")
}

/// A namespace with RuleSet `waf` of one source, served by all caches of the fleet.
async fn served(fleet: &Fleet) -> (Namespace, String) {
    let namespace = Namespace::create().await;
    namespace.source("rules", &rule(1)).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let token = namespace.token("waf").await;
    for cache in &fleet.caches {
        // It has seen the token from now on, so that it needs nobody to know it.
        rules(cache, &namespace, &token).await;
    }
    (namespace, token)
}

/// What a cache serves now.
async fn rules(cache: &Cache, namespace: &Namespace, token: &str) -> Rules {
    cache.rules(&namespace.name, "waf", token).await.unwrap()
}

/// Edits the source and waits until these caches serve it.
async fn edit_reaches<'a>(caches: impl IntoIterator<Item = &'a Cache>, namespace: &Namespace, token: &str, id: usize) {
    namespace.source("rules", &rule(id)).await;
    for cache in caches {
        let what = format!("rule {id} at {}", cache.process.name());
        until_within(TAKE_OVER, &what, async || {
            let rules = cache.rules(&namespace.name, "waf", token).await?.rules;
            if rules == rule(id) { Ok(()) } else { Err(rules) }
        })
        .await;
    }
}

/// Checks for a while that caches serve exactly this, and say that they are ready to: a Service must not lose them because nobody leads.
async fn goes_on(caches: &[Cache], namespace: &Namespace, token: &str, expected: &Rules) {
    holds_for(Duration::from_secs(5), "serving", async || {
        for cache in caches {
            let rules = cache.rules(&namespace.name, "waf", token).await?;
            if rules != *expected {
                return Err(format!("{}: {rules:?}", cache.process.name()));
            }
            let ready = http::get(cache.health, "/readyz", None).await;
            if !ready.as_ref().is_ok_and(|answer| answer.status.is_success()) {
                return Err(format!("{} is not ready: {ready:?}", cache.process.name()));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn caches_from_one_to_three_to_one() {
    let mut fleet = Fleet::start(Size::of(1, 1)).await;
    let (namespace, token) = served(&fleet).await;
    let version = namespace.get_ruleset("waf").await.metadata.resource_version;
    let expected = rules(&fleet.caches[0], &namespace, &token).await;
    fleet.add_cache();
    fleet.add_cache();
    fleet.ready().await;
    for cache in &fleet.caches {
        assert_eq!(
            rules(cache, &namespace, &token).await,
            expected,
            "{} is ready with it",
            cache.process.name()
        );
    }
    assert_eq!(
        namespace.get_ruleset("waf").await.metadata.resource_version,
        version,
        "scaling caches writes nothing"
    );
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
    // The two that were there longest go.
    fleet.caches.drain(..2);
    edit_reaches(&fleet.caches, &namespace, &token, 3).await;
    namespace
        .shows("waf", &rules(&fleet.caches[0], &namespace, &token).await.uuid)
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_restarts_is_ready_only_with_what_the_others_serve() {
    let mut fleet = Fleet::start(Size::of(1, 2)).await;
    let (namespace, token) = served(&fleet).await;
    let expected = rules(&fleet.caches[0], &namespace, &token).await;
    fleet.caches[1].restart();
    fleet.caches[1].ready().await;
    assert_eq!(rules(&fleet.caches[1], &namespace, &token).await, expected);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_controller_that_restarts_writes_nothing_and_reloads_nobody() {
    let mut fleet = Fleet::start(Size::of(1, 2).controller_flags(&QUICK_LEASE)).await;
    let (namespace, token) = served(&fleet).await;
    let version = namespace.get_ruleset("waf").await.metadata.resource_version;
    let expected = rules(&fleet.caches[0], &namespace, &token).await;
    fleet.controllers[0].process.kill();
    goes_on(&fleet.caches, &namespace, &token, &expected).await;
    fleet.controllers[0].restart();
    subscribed(&fleet, 2).await;
    goes_on(&fleet.caches, &namespace, &token, &expected).await;
    assert_eq!(namespace.get_ruleset("waf").await.metadata.resource_version, version);
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
}

/// Waits until so many caches are subscribed to the first controller.
async fn subscribed(fleet: &Fleet, count: usize) {
    until_within(TAKE_OVER, "caches to subscribe", async || {
        let page = fleet.controllers[0]
            .page("/debug/caches")
            .await
            .map_err(|error| error.to_string())?
            .text();
        let found = fleet
            .caches
            .iter()
            .filter(|cache| page.contains(cache.process.name()))
            .count();
        if found == count { Ok(()) } else { Err(page) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_standby_takes_over_from_a_leader_that_was_killed() {
    let fleet = Fleet::start(Size::of(2, 2).controller_flags(&QUICK_LEASE)).await;
    let (namespace, token) = served(&fleet).await;
    let expected = rules(&fleet.caches[0], &namespace, &token).await;
    fleet.controllers[0].process.kill();
    goes_on(&fleet.caches, &namespace, &token, &expected).await;
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
    namespace
        .shows("waf", &rules(&fleet.caches[0], &namespace, &token).await.uuid)
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_that_was_frozen_finds_itself_deposed() {
    let fleet = Fleet::start(Size::of(2, 2).controller_flags(&QUICK_LEASE)).await;
    let (namespace, token) = served(&fleet).await;
    fleet.controllers[0].process.freeze();
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
    let current = rules(&fleet.caches[0], &namespace, &token).await;
    // It wakes up with what it knew, believing that it leads.
    fleet.controllers[0].process.thaw();
    goes_on(&fleet.caches, &namespace, &token, &current).await;
    edit_reaches(&fleet.caches, &namespace, &token, 3).await;
    namespace
        .shows("waf", &rules(&fleet.caches[0], &namespace, &token).await.uuid)
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_leader_that_is_asked_to_end_hands_over_at_once() {
    // Whoever only looks at the Lease once per period, or waits for its end, waits for longer than the test does.
    let patient = [
        "--leader-elect-lease-duration=400s",
        "--leader-elect-renew-deadline=300s",
        "--leader-elect-retry-period=120s",
    ];
    let fleet = Fleet::start(Size::of(2, 2).controller_flags(&patient)).await;
    let (namespace, token) = served(&fleet).await;
    fleet.controllers[0].process.terminate();
    assert!(fleet.controllers[0].process.end().await.success());
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rules_are_served_while_the_api_server_is_away() {
    let fleet = Fleet::start(Size::of(1, 2).controller_flags(&QUICK_LEASE)).await;
    let (namespace, token) = served(&fleet).await;
    let expected = rules(&fleet.caches[0], &namespace, &token).await;
    let outage = Outage::begin().await;
    // Longer than the leader may lead without renewing.
    goes_on(&fleet.caches, &namespace, &token, &expected).await;
    outage.end().await;
    edit_reaches(&fleet.caches, &namespace, &token, 2).await;
    namespace
        .shows("waf", &rules(&fleet.caches[0], &namespace, &token).await.uuid)
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_slow_a_dead_and_a_refusing_subscriber_hold_up_nobody() {
    let fleet = Fleet::start(Size::of(1, 2)).await;
    let (namespace, token) = served(&fleet).await;
    let identity = fleet.authority.issue(coraza_e2e::certificates::CACHE);
    let controller = fleet.controllers[0].grpc;
    // Dead: its connection is open and nothing answers. Slow: it reads nothing for now. Refusing: it refuses all it gets.
    fleet.caches[1].process.freeze();
    let slow = Subscriber::open(controller, &identity, Request::Hello(subscriber::hello("slow")))
        .await
        .unwrap();
    let refusing = Subscriber::open(controller, &identity, Request::Hello(subscriber::hello("refusing")))
        .await
        .unwrap();
    let refusing = tokio::spawn(refuse_all(refusing));

    // 200 kB a revision: what isn't read soon fills every buffer on the way.
    let large = "#".repeat(200 << 10);
    let text = |edit: usize| format!("{large}\n{}", rule(edit));
    for edit in 2..12 {
        namespace.source("rules", &text(edit)).await;
        let what = format!("edit {edit} at the healthy cache");
        until(&what, async || {
            let rules = fleet.caches[0].rules(&namespace.name, "waf", &token).await?.rules;
            if rules == text(edit) {
                Ok(())
            } else {
                Err(rules.chars().rev().take(60).collect::<String>())
            }
        })
        .await;
    }
    // One accepted it, so it is good and served.
    namespace
        .shows("waf", &rules(&fleet.caches[0], &namespace, &token).await.uuid)
        .await;
    let revision = namespace.ready("waf").await;
    assert_eq!(latest_of(slow, &revision.digest).await.last(), Some(&revision.digest));
    assert!(refusing.await.unwrap() > 0, "it was sent nothing to refuse");
    fleet.caches[1].process.thaw();
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
}

/// Refuses every RuleSet for as long as there is a stream, at most until nothing came for a while; gives how many.
async fn refuse_all(mut subscriber: Subscriber) -> usize {
    let mut refused = 0;
    while let Ok(Ok(Some((nonce, response)))) = tokio::time::timeout(Duration::from_secs(10), subscriber.next()).await {
        match response {
            Response::Upsert(_) => {
                refused += 1;
                subscriber.nack(nonce, "the test refuses everything");
            }
            _ => subscriber.ack(nonce),
        }
    }
    refused
}

/// Reads until a revision of this digest comes; gives the digests of all that came.
async fn latest_of(mut subscriber: Subscriber, wanted: &str) -> Vec<String> {
    let mut digests = Vec::new();
    while digests.last().is_none_or(|last| last != wanted) {
        let (nonce, response) = subscriber.next().await.unwrap().expect("the stream goes on");
        subscriber.ack(nonce);
        if let Response::Upsert(ruleset) = response {
            digests.push(ruleset.digest.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    assert!(
        digests.len() < 11,
        "a slow subscriber must skip what is no longer current: {} revisions",
        digests.len()
    );
    digests
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn two_rulesets_are_distributed_apart() {
    let fleet = Fleet::start(Size::of(1, 2)).await;
    let (one, token) = served(&fleet).await;
    let (other, other_token) = served(&fleet).await;
    let untouched = rules(&fleet.caches[0], &other, &other_token).await;
    edit_reaches(&fleet.caches, &one, &token, 7).await;
    one.delete::<RuleSet>("waf").await;
    for cache in &fleet.caches {
        until("the deleted RuleSet to be forgotten", async || {
            match cache.latest(&one.name, "waf", &token).await {
                Err(error) if error.starts_with("404") => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await;
        assert_eq!(rules(cache, &other, &other_token).await, untouched);
    }
}
