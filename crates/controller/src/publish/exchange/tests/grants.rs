//! Scripts about who may read.

use super::*;

use coraza_proto::limits::MAX_GRANTS_PER_MESSAGE;
use coraza_ruleset::{EngineKey, Grant, TokenDigest};

fn grant_of(engine: &str, token: &str, name: &str) -> Grant {
    Grant {
        token: TokenDigest::of(token),
        expires: Timestamp::from_unix_nanos(5_000),
        key: key(name),
        engine: EngineKey::new("default", engine, "1").expect("an engine"),
    }
}

fn grant(token: &str) -> Grant {
    grant_of("waf", token, "crs")
}

/// Sorted by token, as they are sent.
fn grants(tokens: &[&str]) -> Body {
    let mut grants: Vec<_> = tokens.iter().map(|token| grant(token)).collect();
    grants.sort_by_key(|grant| grant.token);
    Body::Grants(grants)
}

fn revoke(token: &str) -> Body {
    Body::Revoke(vec![TokenDigest::of(token)])
}

impl Scene {
    fn grant(&mut self, token: &str) {
        self.exchange.grant(grant(token), self.now);
    }

    fn revoke(&mut self, token: &str) {
        self.exchange.revoke(&TokenDigest::of(token), self.now);
    }

    fn subscribe_with(&mut self, held: &[Grant]) -> SessionId {
        let hello = Hello {
            grants: held.iter().map(|grant| (grant.token, grant.clone())).collect(),
            ..self.hello(&[])
        };
        self.exchange.subscribe(hello, self.now).expect("available")
    }

    fn is_granted(&self, token: &str) -> bool {
        self.exchange.is_granted(&TokenDigest::of(token))
    }
}

#[test]
fn grants_are_part_of_the_snapshot_and_go_before_the_rulesets() {
    let mut scene = Scene::leading();
    scene.serve("crs", "1");
    scene.grant("a");
    scene.grant("b");
    let cache = scene.subscribe(&[]);
    assert!(!scene.is_granted("a"));
    assert_eq!(
        scene.applied(cache),
        [grants(&["a", "b"]), upsert("crs", "1", 1_000), Body::SnapshotComplete]
    );
    assert!(scene.is_granted("a") && scene.is_granted("b") && !scene.is_granted("c"));
    scene.grant("a");
    assert_eq!(scene.applied(cache), []);
    scene.grant("c");
    scene.revoke("a");
    assert_eq!(scene.applied(cache), [revoke("a"), grants(&["c"])]);
    assert!(!scene.is_granted("a") && scene.is_granted("c"));
}

#[test]
fn a_token_is_granted_when_every_cache_says_so_and_there_is_one() {
    let mut scene = Scene::leading();
    scene.grant("a");
    assert!(!scene.is_granted("a"));
    let (first, second) = (scene.subscribe(&[]), scene.subscribe(&[]));
    scene.applied(first);
    assert!(!scene.is_granted("a"));
    let (_, last) = scene.sent(second);
    assert!(!scene.is_granted("a"));
    scene.exchange.acknowledged(second, last).expect("sent");
    assert!(scene.is_granted("a"));
    let new = grant_of("waf", "a", "other");
    scene.exchange.grant(new.clone(), scene.now);
    assert!(!scene.is_granted("a"));
    assert_eq!(scene.applied(first), [Body::Grants(vec![new])]);
    scene.exchange.unsubscribe(second, scene.now);
    assert!(scene.is_granted("a"));
}

#[test]
fn before_all_grants_are_known_none_is_taken_away_and_no_cache_is_complete() {
    let mut scene = Scene::new();
    scene.exchange.lead(Some(1));
    scene.exchange.open();
    scene.serve("crs", "1");
    let cache = scene.subscribe_with(&[grant("gone"), grant("b")]);
    assert_eq!(scene.applied(cache), [upsert("crs", "1", 1_000)]);
    scene.now.monotonic += RECALL_WAIT;
    assert_eq!(scene.exchange.next(cache, scene.now), Ok(Step::Wait(None)));
    scene.grant("a");
    scene.exchange.grant(grant_of("waf", "other", "other"), scene.now);
    scene.exchange.forget(&key("crs"));
    let sent = scene.applied(cache);
    assert!(!sent.contains(&Body::SnapshotComplete) && !sent.iter().any(|body| matches!(body, Body::Revoke(_))));
    scene.revoke("a");
    scene.exchange.open_grants(scene.now);
    assert_eq!(scene.applied(cache).last(), Some(&Body::SnapshotComplete));
}

#[test]
fn the_token_of_before_a_renewal_is_adopted_and_others_are_withdrawn() {
    let mut scene = Scene::leading();
    scene.grant("current");
    let cache = scene.subscribe_with(&[
        grant("earlier"),
        grant("current"),
        grant_of("waf", "retargeted", "other"),
    ]);
    assert_eq!(scene.applied(cache), [revoke("retargeted"), Body::SnapshotComplete]);
    let other = scene.subscribe(&[]);
    assert_eq!(
        scene.applied(other),
        [grants(&["current", "earlier"]), Body::SnapshotComplete]
    );
    scene.revoke("earlier");
    assert_eq!(scene.applied(cache), [revoke("earlier")]);
    let returned = scene.subscribe_with(&[grant("earlier"), grant("current")]);
    assert_eq!(scene.applied(returned), [revoke("earlier"), Body::SnapshotComplete]);
}

#[test]
fn an_engine_made_again_opens_nothing_to_the_tokens_of_before() {
    let mut scene = Scene::leading();
    let again = Grant {
        engine: EngineKey::new("default", "waf", "2").expect("an engine"),
        ..grant("new")
    };
    scene.exchange.grant(again.clone(), scene.now);
    let cache = scene.subscribe_with(&[grant("old")]);
    assert_eq!(
        scene.applied(cache),
        [revoke("old"), Body::Grants(vec![again]), Body::SnapshotComplete]
    );
}

#[test]
fn the_token_of_before_a_renewal_goes_with_the_last_one_that_it_was_adopted_for() {
    let mut scene = Scene::leading();
    scene.grant("current");
    scene.grant("next");
    let cache = scene.subscribe_with(&[grant("earlier"), grant("current"), grant("next")]);
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
    scene.revoke("current");
    assert_eq!(scene.applied(cache), [revoke("current")]);
    scene.revoke("next");
    let mut both = [TokenDigest::of("earlier"), TokenDigest::of("next")];
    both.sort();
    assert_eq!(scene.applied(cache), [Body::Revoke(both.into())]);
    scene.grant("later");
    let returned = scene.subscribe_with(&[grant("earlier")]);
    assert_eq!(
        scene.applied(returned),
        [revoke("earlier"), grants(&["later"]), Body::SnapshotComplete]
    );
}

#[test]
fn a_token_that_reads_another_ruleset_takes_what_was_adopted_for_it_along() {
    let mut scene = Scene::leading();
    scene.grant("current");
    let cache = scene.subscribe_with(&[grant("earlier"), grant("current")]);
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
    let retargeted = grant_of("waf", "current", "other");
    scene.exchange.grant(retargeted.clone(), scene.now);
    assert_eq!(
        scene.applied(cache),
        [revoke("earlier"), Body::Grants(vec![retargeted])]
    );
}

#[test]
fn an_adopted_token_that_is_granted_in_its_own_right_stays_without_the_other() {
    let mut scene = Scene::leading();
    scene.grant("current");
    let cache = scene.subscribe_with(&[grant("earlier"), grant("current")]);
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
    scene.grant("earlier");
    scene.revoke("current");
    assert_eq!(scene.applied(cache), [revoke("current")]);
    assert!(scene.is_granted("earlier"));
}

#[test]
fn what_expired_is_neither_sent_nor_taken_away() {
    let mut scene = Scene::leading();
    scene.grant("a");
    let cache = scene.subscribe(&[]);
    scene.applied(cache);
    scene.now.wall = Timestamp::from_unix_nanos(5_000);
    scene.grant("b");
    assert!(!scene.is_granted("a") && !scene.is_granted("b"));
    assert_eq!(scene.applied(cache), []);
    let late = scene.subscribe_with(&[grant("a")]);
    assert_eq!(scene.applied(late), [Body::SnapshotComplete]);
    assert_eq!(scene.exchange.grants(), 0);
}

#[test]
fn what_a_cache_has_no_room_for_is_tried_again_when_grants_change() {
    let mut scene = Scene::leading();
    scene.grant("a");
    let cache = scene.subscribe(&[]);
    let (_, last) = scene.sent(cache);
    // Welcome, the grant, SnapshotComplete.
    scene
        .exchange
        .refused(cache, last - 1, "full".into(), scene.now)
        .expect("sent");
    scene.exchange.acknowledged(cache, last).expect("sent");
    assert_eq!(scene.applied(cache), []);
    assert!(!scene.is_granted("a"));
    scene.grant("b");
    assert_eq!(scene.applied(cache), [grants(&["a", "b"])]);
    assert!(scene.is_granted("a"));
}

#[test]
fn thousands_of_grants_go_in_large_messages_even_to_a_cache_that_is_behind() {
    let mut scene = Scene::leading();
    let count = 2 * MAX_GRANTS_PER_MESSAGE + 1;
    let cache = scene.subscribe(&[]);
    scene.applied(cache);
    scene.serve("crs", &"x".repeat(5 << 20));
    scene.serve("other", "1");
    assert_eq!(scene.sent(cache).0.len(), 1);
    (0..count).for_each(|number| scene.grant(&number.to_string()));
    let sizes = scene.sent(cache).0.into_iter().map(|body| match body {
        Body::Grants(grants) => grants.len(),
        _ => 0,
    });
    assert_eq!(
        sizes.collect::<Vec<_>>(),
        [MAX_GRANTS_PER_MESSAGE, MAX_GRANTS_PER_MESSAGE, 1]
    );
}
