//! Scripts: what a publisher says, and what the cache replies and serves.

use super::*;

use std::sync::Arc;
use std::time::Duration;

use coraza_proto::convert::InvalidBody;
use coraza_ruleset::{Content, Revision, RuleSetKey, RulesText, Timestamp};

const LIMIT: u64 = 64;

fn key() -> RuleSetKey {
    RuleSetKey::new("default", "crs").expect("a key")
}

fn ruleset(rules: &str, nanos: u64) -> CompiledRuleSet {
    let content = Content {
        rules: RulesText::new([Arc::from(rules)]),
        ..Content::default()
    };
    let revision = Revision {
        digest: content.digest(),
        timestamp: Timestamp::from_unix_nanos(nanos),
    };
    CompiledRuleSet {
        key: key(),
        revision,
        content,
    }
}

fn welcome(epoch: u64) -> Body {
    let lease_duration = Duration::from_secs(15);
    Body::Welcome(Welcome { epoch, lease_duration })
}

struct Scene {
    session: Session,
    held: Held,
    nonce: u64,
}

impl Scene {
    fn new() -> Self {
        Self {
            session: Session::new(Fence::default(), LIMIT),
            held: Held {
                store: Store::new().0,
                grants: Grants::default(),
            },
            nonce: 0,
        }
    }

    fn welcomed() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.say(welcome(1)), Ok(vec![Request::Ack { nonce: 1 }]));
        scene
    }

    fn say(&mut self, body: Body) -> Result<Vec<Request>, Refusal> {
        self.nonce += 1;
        let response = Response {
            nonce: self.nonce,
            body,
        };
        self.session
            .hear(Ok(response), &self.held, Instant::now(), SystemTime::UNIX_EPOCH)
    }

    /// Says it, and expects an ACK and nothing else.
    fn accepts(&mut self, body: Body) {
        let replies = self.say(body);
        assert_eq!(replies, Ok(vec![Request::Ack { nonce: self.nonce }]));
    }

    /// Says it, and expects a NACK whose detail has these parts.
    fn refuses(&mut self, body: Body, parts: &[&str]) {
        let replies = self.say(body).expect("the stream goes on");
        let [Request::Nack { nonce, detail }] = &*replies else {
            panic!("{replies:?} is no NACK");
        };
        assert_eq!(*nonce, self.nonce);
        for part in parts {
            assert!(detail.contains(part), "{detail:?} lacks {part:?}");
        }
    }

    fn serves(&self, ruleset: &CompiledRuleSet) -> bool {
        self.held.store.holdings() == [(key(), ruleset.revision)]
    }
}

#[test]
fn what_is_acknowledged_is_served() {
    let mut scene = Scene::welcomed();
    let (first, second) = (ruleset("a", 1), ruleset("b", 2));
    scene.accepts(Body::Upsert(first.clone()));
    assert!(scene.serves(&first));
    scene.accepts(Body::Upsert(first));
    scene.accepts(Body::Upsert(second.clone()));
    assert!(scene.serves(&second));
    scene.accepts(Body::Remove(key()));
    scene.accepts(Body::Remove(key()));
    assert!(scene.held.store.holdings().is_empty());
}

#[test]
fn what_is_refused_changes_nothing_and_says_why() {
    let mut scene = Scene::welcomed();
    let good = ruleset("good", 5);
    scene.accepts(Body::Upsert(good.clone()));
    scene.refuses(
        Body::Upsert(ruleset("old", 4)),
        &["default/crs", "older", "1970-01-01T00:00:00.000000005Z"],
    );
    scene.refuses(
        Body::Upsert(ruleset(&"x".repeat(65), 6)),
        &["default/crs", "65 bytes", "64", "--max-ruleset-bytes"],
    );
    scene.refuses(welcome(2), &["Welcome"]);
    let invalid = InvalidResponse {
        nonce: 9,
        source: InvalidBody::Unknown,
    };
    let replies = scene
        .session
        .hear(Err(invalid), &scene.held, Instant::now(), SystemTime::UNIX_EPOCH)
        .expect("the stream goes on");
    let detail = "response 9 is invalid: response is of an unknown kind".to_owned();
    assert_eq!(replies, [Request::Nack { nonce: 9, detail }]);
    assert!(scene.serves(&good));
}

#[test]
fn complete_is_what_the_publisher_says_is_complete() {
    let mut scene = Scene::new();
    assert_eq!(scene.session.progress(), Progress::Greeting);
    scene.accepts(welcome(7));
    assert_eq!(scene.session.progress(), Progress::Snapshot { epoch: 7 });
    scene.accepts(Body::SnapshotComplete);
    scene.accepts(Body::SnapshotComplete);
    assert_eq!(scene.session.progress(), Progress::Complete { epoch: 7 });
}

#[test]
fn a_recall_is_answered_with_what_is_held_or_nothing() {
    let mut scene = Scene::welcomed();
    let held = ruleset("held", 1);
    scene.accepts(Body::Upsert(held.clone()));
    for (asked, answer) in [(&held, Some(held.clone())), (&ruleset("other", 1), None)] {
        let digest = asked.revision.digest;
        let replies = scene.say(Body::Recall { key: key(), digest });
        let recalled = Request::Recalled {
            key: key(),
            ruleset: answer,
        };
        assert_eq!(replies, Ok(vec![recalled, Request::Ack { nonce: scene.nonce }]));
    }
}

#[test]
fn a_message_that_comes_twice_counts_once() {
    let mut scene = Scene::welcomed();
    scene.accepts(Body::Remove(key()));
    let served = ruleset("served", 1);
    scene.accepts(Body::Upsert(served.clone()));
    let again = Response {
        nonce: 2,
        body: Body::Remove(key()),
    };
    assert_eq!(
        scene
            .session
            .hear(Ok(again), &scene.held, Instant::now(), SystemTime::UNIX_EPOCH),
        Ok(Vec::new())
    );
    assert!(scene.serves(&served));
}

#[test]
fn who_does_not_begin_with_welcome_is_left() {
    for body in [
        Body::Remove(key()),
        Body::SnapshotComplete,
        Body::Upsert(ruleset("a", 1)),
    ] {
        assert_eq!(Scene::new().say(body), Err(Refusal::WelcomeExpected));
    }
    let mut scene = Scene::new();
    let invalid = InvalidResponse {
        nonce: 1,
        source: InvalidBody::Unknown,
    };
    let heard = scene
        .session
        .hear(Err(invalid), &scene.held, Instant::now(), SystemTime::UNIX_EPOCH);
    assert_eq!(heard, Err(Refusal::WelcomeExpected));
}

#[test]
fn a_deposed_publisher_is_left() {
    let mut scene = Scene::new();
    scene.accepts(welcome(7));
    let mut next = Scene {
        session: Session::new(scene.session.fence(), LIMIT),
        ..Scene::new()
    };
    let stale = StaleEpoch { epoch: 6, obeyed: 7 };
    assert_eq!(next.say(welcome(6)), Err(Refusal::StaleEpoch(stale)));
}
