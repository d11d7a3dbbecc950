//! What a data plane does all day, against real caches: conditional requests, waiting polls, compressed bodies. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::io::Read as _;
use std::time::Duration;

use ::http::Request;
use coraza_e2e::cache::{Latest, Rules};
use coraza_e2e::http::{self, Answer};
use coraza_e2e::{Cache, Fleet, Namespace, until};

const BEFORE: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";
const AFTER: &str = "SecRule ARGS \"@rx attack\" \"id:2,phase:2,deny\"";

/// Longer than any change takes to arrive, shorter than the wait that is asked for: who is answered by then was told of the change.
const PATIENCE: Duration = Duration::from_secs(30);

/// RuleSet `waf`, served by the caches of the shared fleet.
struct Polled {
    fleet: &'static Fleet,
    namespace: Namespace,
    token: String,
}

impl Polled {
    async fn start() -> Self {
        let fleet = Fleet::shared().await;
        let namespace = Namespace::create().await;
        namespace.source("rules", BEFORE).await;
        namespace.ruleset("waf", &["rules"], &[]).await;
        let revision = namespace.ready("waf").await;
        namespace.served(&fleet.caches, "waf", &revision.uuid).await;
        let token = namespace.token("waf").await;
        Self {
            fleet,
            namespace,
            token,
        }
    }

    /// GET, or HEAD, with more headers than the token.
    async fn send(&self, cache: &Cache, method: &str, suffix: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/rules/{}/waf{suffix}", self.namespace.name);
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(String::new()).unwrap();
        http::send_within(PATIENCE, cache.http, request).await.unwrap()
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn who_waits_at_any_cache_is_told_of_an_edit() {
    let polled = Polled::start().await;
    let mut waiting = Vec::new();
    for cache in &polled.fleet.caches {
        let etag = polled
            .send(cache, "GET", "/latest", &[])
            .await
            .header("etag")
            .to_owned();
        let idle = [("if-none-match", etag.as_str()), ("prefer", "wait=1")];
        let unchanged = polled.send(cache, "GET", "/latest", &idle).await;
        assert_eq!(unchanged.status, 304);
        assert_eq!(unchanged.header("preference-applied"), "wait=1");
        waiting.push((cache, etag));
    }
    let polls = waiting.iter().map(|(cache, etag)| {
        let headers = [("if-none-match", etag.as_str()), ("prefer", "wait=60")];
        let polled = &polled;
        async move { polled.send(cache, "GET", "", &headers).await }
    });
    let edit = async {
        until("both polls to wait", async || {
            let mut waits = 0;
            for cache in &polled.fleet.caches {
                let metrics = http::get(cache.metrics, "/metrics", None).await.unwrap().text();
                waits += usize::from(!metrics.contains("coraza_cache_waiting_polls 0\n"));
            }
            if waits == polled.fleet.caches.len() {
                Ok(())
            } else {
                Err(waits)
            }
        })
        .await;
        polled.namespace.source("rules", AFTER).await;
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(polls), edit);
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("preference-applied"), "wait=60");
        assert_eq!(answer.json::<Rules>().rules, AFTER);
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_one_cache_answers_is_good_at_the_other() {
    let polled = Polled::start().await;
    let [one, other] = polled.fleet.caches.as_slice() else {
        panic!("two caches")
    };
    for suffix in ["", "/latest"] {
        let full = polled.send(one, "GET", suffix, &[]).await;
        assert_eq!(full.body, polled.send(other, "GET", suffix, &[]).await.body);
        let etag = full.header("etag");
        let unchanged = polled.send(other, "GET", suffix, &[("if-none-match", etag)]).await;
        assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
        // A replica that lags must not answer with the past.
        let (_, uuid) = etag.trim_start_matches("W/\"").split_once('-').unwrap();
        let later = format!("W/\"{}-{uuid}", u64::MAX);
        let lagging = polled.send(other, "GET", suffix, &[("if-none-match", &later)]).await;
        assert_eq!(lagging.status, 304);
        let head = polled.send(one, "HEAD", suffix, &[]).await;
        assert_eq!(
            (head.header("content-length"), head.body.len()),
            (full.header("content-length"), 0)
        );
    }
    let latest: Latest = polled.send(one, "GET", "/latest", &[]).await.json();
    let rules: Rules = polled.send(one, "GET", "", &[]).await.json();
    assert_eq!((latest.uuid, latest.timestamp), (rules.uuid, rules.timestamp));
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_compressed_body_is_the_same_body() {
    let polled = Polled::start().await;
    for cache in &polled.fleet.caches {
        let plain = polled.send(cache, "GET", "", &[]).await;
        assert_eq!(plain.header("content-encoding"), "");
        // Compression follows the plain body, in the background.
        let compressed = until("a compressed body", async || {
            let answer = polled.send(cache, "GET", "", &[("accept-encoding", "gzip")]).await;
            match answer.header("content-encoding") {
                "gzip" => Ok(answer),
                other => Err(other.to_owned()),
            }
        })
        .await;
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&compressed.body[..])
            .read_to_end(&mut body)
            .unwrap();
        assert_eq!(body, plain.body);
        assert_eq!(compressed.header("etag"), plain.header("etag"));
    }
}
