//! Decisions by what reviews say, and how many are made.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// An API server that knows one user, who may get `/metrics`, and counts reviews.
#[derive(Clone, Default)]
struct Api {
    reviews: Arc<AtomicUsize>,
    broken: bool,
}

impl Api {
    fn access(&self) -> Access {
        let api = self.clone();
        Access::new(move |request| std::future::ready(api.answer(&request)))
    }

    fn answer(&self, request: &Request<Vec<u8>>) -> Result<Value, io::Error> {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        if self.broken {
            return Err(io::Error::other("no route to host"));
        }
        let object: Value = serde_json::from_slice(request.body())?;
        let spec = &object["spec"];
        Ok(if request.uri() == TOKEN_REVIEWS {
            let user = json!({"username": spec["token"], "groups": ["g"], "extra": {"a": ["b"]}});
            let known = ["scraper", "other"].iter().any(|name| spec["token"] == *name);
            json!({"status": {"authenticated": known, "user": user}})
        } else {
            assert_eq!(request.uri(), ACCESS_REVIEWS);
            assert_eq!((&spec["groups"], &spec["extra"]), (&json!(["g"]), &json!({"a": ["b"]})));
            let wanted = json!({"verb": "get", "path": "/metrics"});
            let may = spec["user"] == "scraper" && spec["nonResourceAttributes"] == wanted;
            json!({"status": {"allowed": may}})
        })
    }
}

#[tokio::test]
async fn a_caller_is_known_and_may() {
    let access = Api::default().access();
    for (token, verb, path, verdict) in [
        (None, "get", "/metrics", Verdict::Unauthenticated),
        (Some(""), "get", "/metrics", Verdict::Unauthenticated),
        (Some("stranger"), "get", "/metrics", Verdict::Unauthenticated),
        (Some("other"), "get", "/metrics", Verdict::Forbidden),
        (Some("scraper"), "get", "/metrics", Verdict::Allowed),
        (Some("scraper"), "get", "/debug/caches", Verdict::Forbidden),
        (Some("scraper"), "post", "/metrics", Verdict::Forbidden),
    ] {
        assert_eq!(
            access.judge(token, verb, path).await,
            verdict,
            "{token:?} {verb} {path}"
        );
    }
}

#[test]
fn what_a_review_does_not_say_is_no() {
    let user = json!({"username": "a"});
    for (status, known) in [
        (json!({"authenticated": true, "user": user}), true),
        (json!({"authenticated": false, "user": user}), false),
        (json!({"authenticated": "true", "user": user}), false),
        (json!({"user": user}), false),
        (json!({"authenticated": true}), false),
        (json!({"authenticated": true, "user": {"username": ""}}), false),
        (json!({"authenticated": true, "user": {}}), false),
        (Value::Null, false),
    ] {
        assert_eq!(authenticated(&json!({"status": status})).is_some(), known, "{status}");
    }
    for (status, may) in [
        (json!({"allowed": true}), true),
        (json!({"allowed": true, "denied": false}), true),
        (json!({"allowed": true, "denied": true}), false),
        (json!({"allowed": false}), false),
        (json!({}), false),
        (Value::Null, false),
    ] {
        assert_eq!(is_allowed(&json!({"status": status})), may, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn verdicts_are_remembered_for_a_while() {
    let api = Api::default();
    let access = api.access();
    let judge = async |token, reviews| {
        let _ = access.judge(Some(token), "get", "/metrics").await;
        assert_eq!(api.reviews.load(Ordering::Relaxed), reviews, "{token}");
    };
    judge("scraper", 2).await;
    judge("scraper", 2).await;
    judge("stranger", 3).await;
    judge("stranger", 3).await;
    tokio::time::advance(REMEMBER_NO).await;
    judge("stranger", 4).await;
    judge("scraper", 4).await;
    tokio::time::advance(REMEMBER_YES).await;
    judge("scraper", 6).await;
}

#[tokio::test(start_paused = true)]
async fn strangers_are_reviewed_at_a_bounded_rate_and_displace_no_scraper() {
    let api = Api::default();
    let access = api.access();
    assert_eq!(access.judge(Some("scraper"), "get", "/metrics").await, Verdict::Allowed);
    for second in 0..100 {
        let mut reviewed = 0;
        for number in 0..20 {
            let token = format!("{second} {number}");
            let verdict = access.judge(Some(&token), "get", "/metrics").await;
            reviewed += u32::from(verdict == Verdict::Unauthenticated);
        }
        assert!(reviewed <= REVIEWS_PER_SECOND);
        assert_eq!(access.judge(Some("scraper"), "get", "/metrics").await, Verdict::Allowed);
        assert!(access.state.lock().expect("fine").remembered.len() <= MAX_REMEMBERED);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_asked_again() {
    let api = Api {
        broken: true,
        ..Api::default()
    };
    let access = api.access();
    for reviews in 1..3 {
        let verdict = access.judge(Some("scraper"), "get", "/metrics").await;
        assert_eq!(verdict, Verdict::Unavailable);
        assert_eq!(api.reviews.load(Ordering::Relaxed), reviews);
    }
}
