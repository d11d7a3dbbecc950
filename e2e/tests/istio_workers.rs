//! A Gateway whose Envoy has two workers, as Istio's users ask for by an annotation: each enforces, an edit reaches both, and one poll waits for them. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::Engine;
use coraza_e2e::mesh::Mesh;
use coraza_e2e::protected::{Protected, engine, get, refuse};
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Gateway, Namespace, Upstream, http, until};
use serde_json::{Value, json};

/// What a Pod is annotated with; Envoy tells of its workers' connections only if it is asked to.
const TWO_WORKERS: &str = r#"{"concurrency": 2, "proxyStatsMatcher": {"inclusionRegexps": ["listener.*worker_.*"]}}"#;
/// Connections, which the kernel gives to either worker: that one gets none of so many happens once in 10^12 times.
const CONNECTIONS: usize = 40;
/// What a revision is loaded by: the workers, and Envoy's main thread.
const VMS: u64 = 3;

/// How many revisions its VMs have loaded, all together.
fn loads(gateway: &Gateway) -> u64 {
    let stats = gateway.stats("coraza_waf_plugin_loads_total");
    let of_good = stats.iter().filter(|(name, _)| name.ends_with("status_success"));
    of_good.map(|(_, value)| value).sum()
}

async fn loaded(gateway: &Gateway, revisions: u64) {
    until(&format!("{revisions} revisions in each VM"), async || {
        match loads(gateway) {
            all if all == revisions * VMS => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// How many connections each worker has had.
fn connections(gateway: &Gateway) -> [u64; 2] {
    let of = |worker: usize| {
        let stats = gateway.stats("downstream_cx_total");
        let own = format!("_8080.worker_{worker}.downstream_cx_total");
        stats
            .iter()
            .filter(|(name, _)| name.ends_with(&own))
            .map(|(_, value)| value)
            .sum()
    };
    [of(0), of(1)]
}

/// The sum over the caches of what these lines of their metrics say.
async fn cached(mesh: &Mesh, is_meant: impl Fn(&str) -> bool) -> u64 {
    let mut sum = 0;
    for cache in &mesh.fleet.caches {
        let page = http::get(cache.metrics, "/metrics", None).await.unwrap().text();
        let meant = page.lines().filter(|line| is_meant(line));
        let values = meant.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        sum += values.sum::<u64>();
    }
    sum
}

async fn waiting(mesh: &Mesh) -> u64 {
    cached(mesh, |line| line.starts_with("coraza_cache_waiting_polls ")).await
}

async fn fetched(mesh: &Mesh) -> u64 {
    let answered = "coraza_cache_server_requests_total{";
    cached(mesh, |line| {
        line.starts_with(answered) && line.contains(r#"handler="rules""#) && line.contains(r#"code="200""#)
    })
    .await
}

/// Sends requests to both workers, each of which has to refuse one word and let the other pass.
async fn enforced_by_both(gateway: &Gateway, refused: &str, passed: &str) {
    let before = connections(gateway);
    for _ in 0..CONNECTIONS {
        for (word, status) in [(refused, 403), (passed, 200)] {
            assert_eq!(
                get(gateway, &format!("/?q={word}")).await.unwrap().status,
                status,
                "{word}"
            );
        }
    }
    let after = connections(gateway);
    assert!(
        before[0] < after[0] && before[1] < after[1],
        "{before:?}, then {after:?}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn each_worker_enforces_and_one_waiting_poll_serves_both() {
    let mesh = Mesh::shared_with_plugin().await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &refuse("attack")).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    namespace.ready("waf").await;
    let upstream = Upstream::start_on_node().await;
    let annotations = json!({ "proxy.istio.io/config": TWO_WORKERS });
    let gateway = Gateway::start_annotated(&namespace, "web", upstream.address(), annotations).await;
    let info = gateway.curl(&["http://127.0.0.1:15000/server_info"]).unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["command_line_options"]["concurrency"], 2, "{info}");
    let protected = Protected {
        gateway,
        namespace,
        upstream,
    };
    // So long a poll doesn't end by itself while it is looked at.
    let mut spec = engine("web", "waf");
    spec["ruleSetCacheServer"]["pollIntervalSeconds"] = json!(60);
    protected.namespace.apply::<Engine>("waf", spec).await;
    protected.answers("/?q=attack", 403).await;
    let gateway = &protected.gateway;

    for (revision, (refused, passed)) in (1..).zip([("attack", "assault"), ("assault", "attack")]) {
        loaded(gateway, revision).await;
        enforced_by_both(gateway, refused, passed).await;
        protected.enforced().await;
        until("a poll to wait", async || match waiting(mesh).await {
            1 => Ok(()),
            other => Err(other),
        })
        .await;
        holds_for(Duration::from_secs(3), "one waiting poll", async || {
            match waiting(mesh).await {
                1 => Ok(()),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(fetched(mesh).await, revision, "each revision is fetched once");
        if revision == 1 {
            protected.edit(&refuse(passed)).await;
        }
    }
    assert_eq!(loads(gateway), 2 * VMS, "none was loaded twice");
}
