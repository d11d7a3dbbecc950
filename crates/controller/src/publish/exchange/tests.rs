//! Scripts: what the controller and the caches say, and what each cache is sent.

mod grants;

use super::*;

use std::sync::Arc;

use coraza_proto::Body;
use coraza_ruleset::RulesText;
use uuid::Uuid;

use crate::publish::session::RECALL_WAIT;

const LEASE: Duration = Duration::from_secs(15);
const LIMIT: u64 = 8 << 20;

fn key(name: &str) -> RuleSetKey {
    RuleSetKey::new("default", name).expect("a key")
}

fn content(rules: &str) -> (Content, Digest) {
    let content = Content {
        rules: RulesText::new([Arc::from(rules)]),
        ..Content::default()
    };
    let digest = content.digest();
    (content, digest)
}

fn revision(rules: &str, nanos: u64) -> Revision {
    Revision {
        digest: content(rules).1,
        timestamp: Timestamp::from_unix_nanos(nanos),
    }
}

fn ruleset(name: &str, rules: &str, nanos: u64) -> CompiledRuleSet {
    CompiledRuleSet {
        key: key(name),
        revision: revision(rules, nanos),
        content: content(rules).0,
    }
}

/// An exchange and two clocks that stand until they are moved.
struct Scene {
    exchange: Exchange,
    now: Now,
    processes: u128,
}

impl Scene {
    fn new() -> Self {
        let now = Now {
            wall: Timestamp::from_unix_nanos(1_000),
            monotonic: Instant::now(),
        };
        Self {
            exchange: Exchange::new(LEASE),
            now,
            processes: 0,
        }
    }

    fn leading() -> Self {
        let mut scene = Self::new();
        scene.exchange.lead(Some(1));
        scene.exchange.open();
        scene.exchange.open_grants(scene.now);
        scene
    }

    fn serve(&mut self, name: &str, rules: &str) -> Revision {
        self.serve_known(name, rules, None)
    }

    fn serve_known(&mut self, name: &str, rules: &str, known: Option<Revision>) -> Revision {
        self.exchange.serve(&key(name), content(rules), known, self.now)
    }

    fn retain(&mut self, name: &str, wanted: Option<Revision>) {
        self.exchange.retain(&key(name), wanted, self.now);
    }

    fn hello(&mut self, holdings: &[(&str, Revision)]) -> Hello {
        self.processes += 1;
        Hello {
            replica: format!("cache-{}", self.processes),
            process_id: Uuid::from_u128(self.processes),
            holdings: holdings.iter().map(|(name, revision)| (key(name), *revision)).collect(),
            max_ruleset_bytes: LIMIT,
            plugin_digest: None,
            grants: BTreeMap::new(),
        }
    }

    fn subscribe(&mut self, holdings: &[(&str, Revision)]) -> SessionId {
        let hello = self.hello(holdings);
        self.exchange.subscribe(hello, self.now).expect("available")
    }

    /// All that a cache is sent until there is nothing to send, with the last nonce.
    fn sent(&mut self, id: SessionId) -> (Vec<Body>, u64) {
        let (mut bodies, mut last) = (Vec::new(), 0);
        while let Step::Send(response) = self.exchange.next(id, self.now).expect("subscribed") {
            bodies.push(response.body);
            last = response.nonce;
        }
        (bodies, last)
    }

    /// The same, acknowledged, as often as there is more; without Welcome.
    fn applied(&mut self, id: SessionId) -> Vec<Body> {
        let mut bodies = Vec::new();
        loop {
            let (mut sent, last) = self.sent(id);
            if sent.is_empty() {
                return bodies;
            }
            sent.retain(|body| !matches!(body, Body::Welcome(_)));
            bodies.append(&mut sent);
            self.exchange.acknowledged(id, last).expect("sent");
        }
    }

    fn revision(&self, name: &str) -> Option<Revision> {
        self.exchange.delivery(&key(name)).map(|delivery| delivery.revision)
    }

    fn recalled(&mut self, id: SessionId, name: &str, ruleset: Option<CompiledRuleSet>) {
        self.exchange
            .recalled(id, &key(name), ruleset, self.now)
            .expect("subscribed");
    }
}

fn upsert(name: &str, rules: &str, nanos: u64) -> Body {
    Body::Upsert(ruleset(name, rules, nanos))
}

fn recall(name: &str, rules: &str) -> Body {
    Body::Recall {
        key: key(name),
        digest: content(rules).1,
    }
}

#[test]
fn nothing_is_sent_before_all_is_known() {
    let mut scene = Scene::new();
    let hello = scene.hello(&[]);
    assert_eq!(scene.exchange.subscribe(hello, scene.now), Err(Unavailable::NotLeader));
    scene.exchange.lead(Some(1));
    let cache = scene.subscribe(&[("unknown", revision("a", 1))]);
    scene.serve("known", "b");
    assert_eq!(scene.sent(cache), (Vec::new(), 0));
    scene.exchange.open();
    scene.exchange.open_grants(scene.now);
    let (sent, _) = scene.sent(cache);
    let welcome = Body::Welcome(Welcome {
        epoch: 1,
        lease_duration: LEASE,
    });
    assert_eq!(
        sent,
        [
            welcome,
            upsert("known", "b", 1_000),
            Body::Remove(key("unknown")),
            Body::SnapshotComplete
        ]
    );
}

#[test]
fn only_differences_are_sent() {
    let mut scene = Scene::leading();
    let same = scene.serve("same", "a");
    scene.serve("newer", "b");
    scene.serve("missing", "c");
    scene.retain("retained", None);
    let held = [
        ("same", same),
        ("newer", revision("old", 5)),
        ("retained", revision("good", 5)),
        ("gone", revision("d", 5)),
    ];
    let cache = scene.subscribe(&held);
    let sent = scene.applied(cache);
    let expected = [
        Body::Remove(key("gone")),
        upsert("missing", "c", 1_000),
        upsert("newer", "b", 1_000),
        Body::SnapshotComplete,
    ];
    let recall = recall("retained", "good");
    assert_eq!(sent.first(), Some(&recall));
    assert_eq!(sent[1..], expected);
    assert_eq!(scene.applied(cache), []);
    scene.exchange.forget(&key("missing"));
    assert_eq!(scene.applied(cache), [Body::Remove(key("missing"))]);
}

#[test]
fn a_slow_cache_skips_revisions_and_delays_nobody() {
    let mut scene = Scene::leading();
    let (slow, quick) = (scene.subscribe(&[]), scene.subscribe(&[]));
    scene.applied(slow);
    scene.applied(quick);
    scene.serve("a", "1");
    let (sent, unanswered) = scene.sent(slow);
    assert_eq!(sent, [upsert("a", "1", 1_000)]);
    for rules in ["2", "3"] {
        scene.serve("a", rules);
        assert_eq!(scene.applied(quick).len(), 1);
        assert_eq!(scene.sent(slow).0, []);
    }
    scene.exchange.acknowledged(slow, unanswered).expect("sent");
    assert_eq!(scene.applied(slow), [upsert("a", "3", 1_002)]);
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut scene = Scene::leading();
    for number in 0..5 {
        scene.serve(&number.to_string(), &format!("{number}{}", "x".repeat(1_500_000)));
    }
    let cache = scene.subscribe(&[]);
    let (sent, last) = scene.sent(cache);
    assert_eq!(sent.len(), 1 + 3);
    scene.exchange.acknowledged(cache, last - 1).expect("sent");
    assert_eq!(scene.sent(cache).0.len(), 2);
}

#[test]
fn a_refused_revision_is_not_sent_again_and_the_next_one_is() {
    let mut scene = Scene::leading();
    let cache = scene.subscribe(&[]);
    scene.applied(cache);
    let first = scene.serve("a", "1");
    let (_, nonce) = scene.sent(cache);
    scene
        .exchange
        .refused(cache, nonce, "no".into(), scene.now)
        .expect("sent");
    assert_eq!(scene.applied(cache), []);
    let nack = Nack {
        replica: "cache-1".into(),
        detail: "no".into(),
    };
    let delivery = scene.exchange.delivery(&key("a")).expect("served");
    assert_eq!(
        (delivery.revision, delivery.acked, &*delivery.nacked),
        (first, 0, &[nack][..])
    );
    assert!(delivery.is_settled());
    scene.serve("a", "2");
    assert!(scene.exchange.delivery(&key("a")).expect("served").nacked.is_empty());
    assert_eq!(scene.applied(cache), [upsert("a", "2", 1_001)]);
    assert_eq!(scene.exchange.delivery(&key("a")).expect("served").acked, 1);
    assert_eq!(scene.exchange.counters().nacks, 1);
}

#[test]
fn what_a_cache_does_not_take_is_not_sent_and_counts_as_refused() {
    let mut scene = Scene::leading();
    let revision = scene.serve("a", "12345");
    let hello = Hello {
        max_ruleset_bytes: 4,
        ..scene.hello(&[])
    };
    let cache = scene.exchange.subscribe(hello, scene.now).expect("available");
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
    let delivery = scene.exchange.delivery(&key("a")).expect("served");
    assert_eq!(delivery.revision, revision);
    assert!(delivery.nacked[0].detail.contains("5 bytes") && delivery.nacked[0].detail.contains('4'));
    assert_eq!(scene.exchange.counters().oversized, 1);
}

#[test]
fn revisions_go_on_from_what_others_know() {
    // known to the status, offered by a cache, the clock: what is served then
    let cases = [
        (None, None, ("new", 1_000)),
        (Some(("new", 7)), None, ("new", 7)),
        (Some(("old", 7)), None, ("new", 1_000)),
        (Some(("old", 2_000)), None, ("new", 2_001)),
        (None, Some(("new", 9)), ("new", 9)),
        (None, Some(("new", 2_000)), ("new", 2_000)),
        (None, Some(("old", 2_000)), ("new", 2_001)),
        (Some(("new", 7)), Some(("new", 9)), ("new", 9)),
        (Some(("new", 9)), Some(("new", 7)), ("new", 9)),
        (Some(("new", 7)), Some(("old", 7)), ("new", 1_000)),
        (Some(("new", 2_000)), Some(("old", 2_000)), ("new", 2_001)),
        (Some(("old", u64::MAX)), None, ("new", 1_000)),
    ];
    for (known, offered, (rules, nanos)) in cases {
        let known = known.map(|(rules, nanos)| revision(rules, nanos));
        let offered: Vec<_> = offered
            .iter()
            .map(|(rules, nanos)| ("a", revision(rules, *nanos)))
            .collect();
        let expected = revision(rules, nanos);
        // Whichever is heard of first.
        let mut served_first = Scene::leading();
        served_first.serve_known("a", "new", known);
        served_first.subscribe(&offered);
        assert_eq!(served_first.revision("a"), Some(expected), "{known:?} {offered:?}");
        let mut offered_first = Scene::leading();
        offered_first.subscribe(&offered);
        assert_eq!(
            offered_first.serve_known("a", "new", known),
            expected,
            "{known:?} {offered:?}"
        );
    }
}

#[test]
fn what_was_sent_is_never_taken_back() {
    let mut scene = Scene::leading();
    let sent = scene.serve("a", "1");
    let cache = scene.subscribe(&[]);
    scene.applied(cache);
    scene.now.wall = Timestamp::from_unix_nanos(5);
    assert_eq!(scene.serve_known("a", "1", Some(revision("1", 3))), sent);
    assert_eq!(scene.serve("a", "2"), revision("2", 1_001));
    scene.applied(cache);
    scene.exchange.forget(&key("a"));
    assert_eq!(scene.serve("a", "1"), revision("1", 1_002));
}

#[test]
fn the_wanted_content_is_recalled_else_the_newest() {
    let mut scene = Scene::leading();
    scene.retain("a", Some(revision("wanted", 10)));
    let stale = scene.subscribe(&[("a", revision("stale", 5))]);
    assert_eq!(scene.applied(stale)[0], recall("a", "stale"));
    let newer = scene.subscribe(&[("a", revision("newer", 20))]);
    let wanted = scene.subscribe(&[("a", revision("wanted", 10))]);
    assert!(!scene.applied(newer).contains(&recall("a", "newer")));
    scene.recalled(stale, "a", Some(ruleset("a", "stale", 5)));
    assert_eq!(scene.applied(stale), []);
    assert_eq!(scene.applied(wanted)[0], recall("a", "wanted"));
    scene.recalled(wanted, "a", Some(ruleset("a", "wanted", 10)));
    let restored = upsert("a", "wanted", 1_000);
    for cache in [stale, newer, wanted] {
        assert!(scene.applied(cache).contains(&restored));
    }
}

#[test]
fn a_newer_last_good_content_replaces_the_recalled_one() {
    let mut scene = Scene::leading();
    scene.retain("a", None);
    let early = scene.subscribe(&[("a", revision("older", 5))]);
    scene.applied(early);
    scene.recalled(early, "a", Some(ruleset("a", "older", 5)));
    let late = scene.subscribe(&[("a", revision("newer", 20))]);
    assert_eq!(scene.applied(late), [recall("a", "newer"), Body::SnapshotComplete]);
    scene.recalled(late, "a", Some(ruleset("a", "newer", 20)));
    assert_eq!(scene.applied(late), []);
    assert_eq!(scene.applied(early), [upsert("a", "newer", 20)]);
}

#[test]
fn a_recall_in_vain_goes_to_the_next_cache() {
    let mut scene = Scene::leading();
    scene.retain("a", None);
    let caches = [40, 30, 20, 10].map(|nanos| scene.subscribe(&[("a", revision("good", nanos))]));
    let asked = |scene: &mut Scene, cache| scene.applied(cache).contains(&recall("a", "good"));
    assert!(asked(&mut scene, caches[0]));
    scene.recalled(caches[0], "a", None);
    assert!(asked(&mut scene, caches[1]));
    scene.exchange.unsubscribe(caches[1], scene.now);
    assert!(asked(&mut scene, caches[2]));
    scene.recalled(caches[2], "a", Some(ruleset("a", "forged", 20)));
    assert!(asked(&mut scene, caches[3]));
    scene.recalled(caches[0], "a", Some(ruleset("a", "late", 40)));
    assert_eq!(scene.revision("a"), None);
    scene.recalled(caches[3], "a", Some(ruleset("a", "good", 10)));
    assert_eq!(scene.revision("a"), Some(revision("good", 40)));
    assert_eq!(scene.exchange.counters().recalls, 1);
}

#[test]
fn a_cache_that_lacks_a_last_good_content_is_not_complete_before_it_has_it() {
    let mut scene = Scene::leading();
    scene.retain("a", Some(revision("good", 10)));
    let new = scene.subscribe(&[]);
    assert_eq!(scene.applied(new), []);
    let holder = scene.subscribe(&[("a", revision("good", 10))]);
    assert_eq!(scene.applied(holder), [recall("a", "good"), Body::SnapshotComplete]);
    scene.recalled(holder, "a", Some(ruleset("a", "good", 10)));
    assert_eq!(scene.applied(new), [upsert("a", "good", 10), Body::SnapshotComplete]);
    assert_eq!(scene.applied(holder), []);
    assert_eq!(scene.exchange.counters().incomplete_snapshots, 0);
}

#[test]
fn the_wait_for_a_last_good_content_is_bounded() {
    let mut scene = Scene::leading();
    scene.retain("lost", Some(revision("good", 10)));
    scene.retain("never-good", None);
    let cache = scene.subscribe(&[]);
    assert_eq!(scene.applied(cache), []);
    let Ok(Step::Wait(Some(until))) = scene.exchange.next(cache, scene.now) else {
        panic!("waits for a time");
    };
    assert_eq!(until, scene.now.monotonic + RECALL_WAIT);
    scene.now.monotonic = until;
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
    assert_eq!(scene.exchange.counters().incomplete_snapshots, 1);
    let mut scene = Scene::leading();
    scene.retain("never-good", None);
    let cache = scene.subscribe(&[]);
    assert_eq!(scene.applied(cache), [Body::SnapshotComplete]);
}

#[test]
fn retained_content_in_memory_stays_and_is_never_recalled() {
    let mut scene = Scene::leading();
    let good = scene.serve("a", "good");
    scene.retain("a", Some(revision("older", 10)));
    let cache = scene.subscribe(&[("a", revision("older", 10))]);
    assert_eq!(
        scene.applied(cache),
        [Body::Upsert(ruleset("a", "good", 1_000)), Body::SnapshotComplete]
    );
    assert_eq!(scene.revision("a"), Some(good));
}

#[test]
fn a_healed_ruleset_ends_its_recall() {
    let mut scene = Scene::leading();
    scene.retain("a", None);
    let cache = scene.subscribe(&[("a", revision("good", 10))]);
    scene.applied(cache);
    scene.serve("a", "healed");
    scene.recalled(cache, "a", Some(ruleset("a", "good", 10)));
    assert_eq!(scene.applied(cache), [upsert("a", "healed", 1_000)]);
}

#[test]
fn subscriptions_end_with_the_lease_the_process_and_their_successors() {
    let mut scene = Scene::leading();
    let hello = scene.hello(&[]);
    let first = scene.exchange.subscribe(hello.clone(), scene.now).expect("available");
    let second = scene.exchange.subscribe(hello.clone(), scene.now).expect("available");
    assert_eq!(scene.exchange.next(first, scene.now), Err(Unavailable::Replaced));
    scene.exchange.lead(Some(1));
    assert!(scene.exchange.next(second, scene.now).is_ok());
    scene.exchange.lead(Some(2));
    assert!(scene.exchange.next(second, scene.now).is_err());
    scene.exchange.lead(None);
    assert_eq!(scene.exchange.next(second, scene.now), Err(Unavailable::NotLeader));
    assert_eq!(
        scene.exchange.acknowledged(second, 1),
        Err(Violation::Unavailable(Unavailable::NotLeader))
    );
    scene.exchange.lead(Some(3));
    for _ in 0..MAX_SESSIONS {
        scene.subscribe(&[]);
    }
    assert_eq!(
        scene.exchange.subscribe(hello.clone(), scene.now),
        Err(Unavailable::Full)
    );
    scene.exchange.drain();
    assert_eq!(scene.exchange.subscribe(hello, scene.now), Err(Unavailable::Draining));
    assert!(scene.exchange.caches().is_empty());
}

#[test]
fn an_answer_to_what_was_never_said_ends_the_stream() {
    let mut scene = Scene::leading();
    let cache = scene.subscribe(&[]);
    let (_, last) = scene.sent(cache);
    assert!(matches!(
        scene.exchange.acknowledged(cache, last + 1),
        Err(Violation::Nonce(_))
    ));
    assert!(matches!(
        scene.exchange.refused(cache, u64::MAX, String::new(), scene.now),
        Err(Violation::Nonce(_))
    ));
    for _ in 0..2 {
        scene
            .exchange
            .acknowledged(cache, last)
            .expect("sent, twice if need be");
    }
}

#[test]
fn changes_name_the_keys_whose_delivery_changed() {
    let mut scene = Scene::leading();
    scene.serve("a", "1");
    scene.serve("b", "1");
    assert_eq!(scene.exchange.take_changed(), BTreeSet::from([key("a"), key("b")]));
    scene.serve("a", "1");
    assert_eq!(scene.exchange.take_changed(), BTreeSet::new());
    let cache = scene.subscribe(&[]);
    assert_eq!(scene.exchange.take_changed(), BTreeSet::from([key("a"), key("b")]));
    let delivery = scene.exchange.delivery(&key("a")).expect("served");
    assert_eq!(
        (delivery.connected, delivery.acked, delivery.is_settled()),
        (1, 0, false)
    );
    scene.applied(cache);
    assert_eq!(scene.exchange.take_changed(), BTreeSet::from([key("a"), key("b")]));
    scene.exchange.unsubscribe(cache, scene.now);
    assert_eq!(scene.exchange.take_changed(), BTreeSet::from([key("a"), key("b")]));
    let delivery = scene.exchange.delivery(&key("a")).expect("served");
    assert_eq!((delivery.connected, delivery.ever_connected), (0, true));
}
