//! SIGTERM while callers call. *Faults*: each test with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coraza_e2e::{Fleet, Namespace, Size, http, until};

const RULES: &str = "SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny\"";

/// How many callers poll at the same time.
const CALLERS: usize = 16;

/// What callers saw, together.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicUsize,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn no_poll_fails_when_a_cache_is_asked_to_end() {
    let fleet = Fleet::start(Size::of(1, 2).cache_flags(&["--drain-delay=2s"])).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let token = namespace.token("waf").await;
    let path = format!("/rules/{}/waf/latest", namespace.name);

    let seen = Arc::new(Seen::default());
    let replicas: Vec<Replica> = fleet
        .caches
        .iter()
        .map(|cache| Replica {
            http: cache.http,
            health: cache.health,
        })
        .collect();
    let callers: Vec<_> = (0..CALLERS)
        .map(|first| {
            tokio::spawn(call(
                replicas.clone(),
                first,
                path.clone(),
                token.clone(),
                Arc::clone(&seen),
            ))
        })
        .collect();
    answered(&seen, 500).await;
    fleet.caches[1].process.terminate();
    assert!(
        fleet.caches[1].process.end().await.success(),
        "a cache that was asked to end has not failed"
    );
    answered(&seen, seen.answered.load(Ordering::Relaxed) + 500).await;
    seen.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Waits until so many polls were answered.
async fn answered(seen: &Seen, count: usize) {
    until(&format!("{count} answers"), async || {
        let now = seen.answered.load(Ordering::Relaxed);
        if now >= count { Ok(()) } else { Err(now) }
    })
    .await;
}

/// A cache as a Service sees it.
#[derive(Debug, Clone, Copy)]
struct Replica {
    http: SocketAddr,
    health: SocketAddr,
}

/// Polls one replica after the other, as a Service would choose them: only those that say they are ready. Every poll must be answered.
async fn call(replicas: Vec<Replica>, first: usize, path: String, token: String, seen: Arc<Seen>) {
    for replica in replicas.iter().cycle().skip(first) {
        if seen.stop.load(Ordering::Relaxed) {
            return;
        }
        let ready = http::get(replica.health, "/readyz", None).await;
        if !ready.is_ok_and(|answer| answer.status.is_success()) {
            continue;
        }
        let answer = http::get(replica.http, &path, Some(&token))
            .await
            .expect("a poll of a ready cache is answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
        seen.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_controller_that_is_asked_to_end_ends_well() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    fleet.controllers[0].process.terminate();
    assert!(fleet.controllers[0].process.end().await.success());
}
