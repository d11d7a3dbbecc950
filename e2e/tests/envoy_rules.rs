//! How rules come to Envoy's workers: polls, reloads, rotations, lies, lost caches, traps.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::Duration;

use coraza_e2e::envoy::Setup;
use coraza_e2e::rules_server::{Asked, Behaviour};
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Envoy, RulesServer, Upstream, environment, port, until};
use http::Request;
use serde_json::json;

const LOADS: &str = "wasmcustom.coraza_waf_plugin_loads_total_driver_type_wasm_engine_shop_namespace_prod_status";

/// Rules that deny requests with this word.
fn deny(word: &str) -> String {
    format!("SecRuleEngine On\nSecRule ARGS \"@contains {word}\" \"id:1,phase:2,deny,status:406\"\n")
}

/// Envoy whose every worker has the rules.
async fn start(setup: Setup) -> (Envoy, RulesServer, Upstream) {
    let (cache, upstream) = (RulesServer::start(&deny("evil")).await, Upstream::start().await);
    let workers = u64::from(setup.concurrency);
    let envoy = Envoy::start(setup, cache.address(), upstream.address()).await;
    until_loads(&envoy, workers + 1).await;
    envoy.until_status("/?a=evil", 406).await;
    (envoy, cache, upstream)
}

fn workers(concurrency: u32) -> Setup {
    Setup {
        concurrency,
        ..Setup::default()
    }
}

/// Waits until every worker has loaded so many revisions; the main thread's VM is one more.
async fn until_loads(envoy: &Envoy, loads: u64) {
    until(&format!("{loads} loads"), async || {
        let loaded = envoy.stat(&format!("{LOADS}_success")).await;
        if loaded >= loads { Ok(()) } else { Err(loaded) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_edit_reaches_all_workers_by_one_waiting_poll() {
    let (envoy, cache, _upstream) = start(workers(4)).await;
    until("a waiting poll that reports all workers", async || {
        let last = cache.last();
        let all = last.header("x-coraza-revision") == "W/\"1000000000-first\"";
        if last.path.ends_with("/latest") && all {
            Ok(())
        } else {
            Err(format!("{last:?}"))
        }
    })
    .await;
    let waiting = cache.last();
    assert_eq!(waiting.header("authorization"), "Bearer token");
    assert_eq!(waiting.header("prefer"), "wait=15");
    assert_eq!(
        (waiting.header("x-coraza-engine"), waiting.header("x-coraza-pod")),
        ("prod/shop", "gateway-0")
    );
    let before = cache.asked().len();
    holds_for(Duration::from_secs(2), "one poll for all workers", async || {
        let asked = cache.asked().len();
        if asked == before { Ok(()) } else { Err(asked) }
    })
    .await;
    cache.publish("second", &deny("bad"));
    until_loads(&envoy, 10).await;
    for _ in 0..20 {
        assert_eq!(
            (
                envoy.get("/?a=bad").await.status.as_u16(),
                envoy.get("/?a=evil").await.status.as_u16()
            ),
            (406, 200)
        );
    }
    let rules = cache
        .asked()
        .iter()
        .filter(|asked: &&Asked| !asked.path.ends_with("/latest"))
        .count();
    assert_eq!(rules, 2, "each revision is fetched once");
    envoy.assert_healthy("/?a=bad", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_go_operators_cache_is_polled_at_the_interval() {
    let setup = Setup {
        configuration: json!({ "rule_reload_interval_seconds": 5 }),
        ..Setup::default()
    };
    let (cache, upstream) = (RulesServer::start(&deny("evil")).await, Upstream::start().await);
    cache.behave(Behaviour::Go);
    let envoy = Envoy::start(setup, cache.address(), upstream.address()).await;
    envoy.until_status("/?a=evil", 406).await;
    until("three polls", async || {
        let asked = cache.asked().len();
        if asked >= 4 { Ok(()) } else { Err(asked) }
    })
    .await;
    let asked = cache.asked();
    let gap = asked[3].at.duration_since(asked[2].at);
    assert!(gap > Duration::from_millis(4_500), "{gap:?}");
    cache.publish("second", &deny("bad"));
    envoy.until_status("/?a=bad", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_new_token_is_used_without_a_request_uninspected() {
    let (envoy, cache, _upstream) = start(workers(2)).await;
    envoy.reconfigure(&json!({ "cache_token": "rotated" }));
    until("a poll with the new token", async || {
        // All the time: neither 503 nor let through.
        assert_eq!(envoy.get("/?a=evil").await.status, 406);
        assert_eq!(envoy.get("/?a=good").await.status, 200);
        let token = cache.last().header("authorization").to_owned();
        if token == "Bearer rotated" { Ok(()) } else { Err(token) }
    })
    .await;
    let polls = cache
        .asked()
        .iter()
        .filter(|asked| asked.header("authorization") == "Bearer rotated")
        .count();
    assert_eq!(polls, 1);
    assert!(cache.last().path.ends_with("/latest"), "the rules are still there");
    cache.publish("second", &deny("bad"));
    // By both workers: connections go to either.
    until("the edit", async || {
        for _ in 0..8 {
            let status = envoy.get("/?a=bad").await.status;
            if status != 406 {
                return Err(status);
            }
        }
        Ok(())
    })
    .await;
    envoy.assert_healthy("/?a=bad", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_is_away_costs_nothing_but_news() {
    let upstream = Upstream::start().await;
    let address = port::free();
    let envoy = Envoy::start(workers(2), address, upstream.address()).await;
    let refused = envoy.get("/").await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.text()),
        (503, "The web application firewall has no rules yet.\n")
    );
    let cache = RulesServer::start_at(address, &deny("evil")).await;
    envoy.until_status("/?a=evil", 406).await;
    until_loads(&envoy, 3).await;
    drop(cache);
    until("the poll's failure", async || {
        if envoy
            .stat("wasmcustom.waf_filter.poll.failures_reason=unavailable")
            .await
            > 2
        {
            Ok(())
        } else {
            Err("none")
        }
    })
    .await;
    envoy.assert_healthy("/?a=evil", 406).await;
    let cache = RulesServer::start_at(address, &deny("evil")).await;
    cache.publish("second", &deny("bad"));
    envoy.until_status("/?a=bad", 406).await;
    let complaints = envoy.log().matches("coraza_waf_poll_failure").count();
    assert!(complaints <= 4, "{complaints} lines");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_rules_and_with_failure_policy_allow_requests_pass() {
    let upstream = Upstream::start().await;
    let setup = Setup {
        configuration: json!({ "failure_policy": "allow" }),
        ..Setup::default()
    };
    let envoy = Envoy::start(setup, port::free(), upstream.address()).await;
    assert_eq!(envoy.get("/?a=evil").await.status, 200);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_lies_changes_nothing() {
    let (envoy, cache, _upstream) = start(workers(1)).await;
    let json = |rules: &str| json!({ "uuid": "lie", "timestamp": "1970-01-01T01:00:00Z", "rules": rules }).to_string();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = gzip(&" ".repeat(200 << 20));
    let cut = gzip(&json("SecRuleEngine Off"));
    let lies: Vec<(Behaviour, &str)> = vec![
        (
            Behaviour::Fails(401, "{\"error\":\"Unauthorized\",\"reason\":\"expired\"}"),
            "unauthorized",
        ),
        (Behaviour::Fails(403, "Forbidden"), "forbidden"),
        (Behaviour::Fails(404, ""), "not_found"),
        (Behaviour::Fails(302, ""), "status"),
        (Behaviour::Fails(500, ""), "status"),
        (Behaviour::Fails(200, "{"), "body"),
        (Behaviour::Fails(200, "{\"uuid\":7}"), "body"),
        (Behaviour::Rules("".into(), vec![]), "body"),
        (Behaviour::Rules(json("").into(), vec![]), "body"),
        (
            Behaviour::Rules(bomb.into(), vec![("content-encoding", "gzip")]),
            "body",
        ),
        (
            Behaviour::Rules(cut[..cut.len() / 2].to_vec().into(), vec![("content-encoding", "gzip")]),
            "body",
        ),
        (Behaviour::Rules("x".repeat(20 << 20).into(), vec![]), "body"),
    ];
    for (number, (lie, reason)) in lies.into_iter().enumerate() {
        let stat = format!("wasmcustom.waf_filter.poll.failures_reason={reason}");
        let before = envoy.stat(&stat).await;
        cache.behave(lie.clone());
        // What waits is answered.
        cache.publish(&format!("lie-{number}"), "SecRuleEngine Off");
        until(&format!("a failure by {reason}"), async || {
            assert_eq!(envoy.get("/?a=evil").await.status, 406);
            if envoy.stat(&stat).await > before {
                Ok(())
            } else {
                Err("none")
            }
        })
        .await;
    }
    // Rules that don't compile, and older ones.
    cache.behave(Behaviour::Ours);
    cache.publish("broken", "SecRule ARGS \"@nothing\" \"id:1\"");
    until("the refusal", async || {
        if envoy.stat(&format!("{LOADS}_failure")).await == 1 {
            Ok(())
        } else {
            Err("none")
        }
    })
    .await;
    cache.publish_as_of(0, "older", "SecRuleEngine Off");
    cache.publish_as_of(200, "newest", &deny("bad"));
    envoy.until_status("/?a=bad", 406).await;
    envoy.assert_healthy("/?a=bad", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_trap_costs_one_request_and_the_next_has_its_rules() {
    let setup = Setup {
        concurrency: 2,
        failure_policy: "FAIL_RELOAD",
        module: environment().plugin_with_trap.clone(),
        ..Setup::default()
    };
    let (envoy, cache, _upstream) = start(setup).await;
    let fetches = || {
        cache
            .asked()
            .iter()
            .filter(|asked| !asked.path.ends_with("/latest"))
            .count()
    };
    let before = fetches();
    let trap = Request::get("/")
        .header("x-coraza-test-trap", "1")
        .body(String::new())
        .unwrap();
    let answer = coraza_e2e::http::send(envoy.address(), trap).await;
    assert!(answer.is_err() || answer.unwrap().status == 503);
    // Envoy makes the new VM for the next request, but none sooner than a second after the last one.
    until("the new VM", async || {
        let answer = envoy.get("/?a=evil").await;
        assert!([406, 503].contains(&answer.status.as_u16()), "{}", answer.status);
        assert!(
            !answer.text().contains("no rules"),
            "it has its rules before its first request"
        );
        let reloads = envoy.stat("wasm.coraza.vm_reload_success").await;
        if reloads == 1 { Ok(()) } else { Err(reloads) }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(envoy.get("/?a=evil").await.status, 406);
        assert_eq!(envoy.get("/?a=good").await.status, 200);
    }
    assert_eq!(envoy.stat("wasm.coraza.vm_reload_success").await, 1);
    assert_eq!(fetches(), before, "from shared data, not from the cache");
    cache.publish("second", &deny("bad"));
    envoy.until_status("/?a=bad", 406).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_module_without_the_feature_does_not_trap() {
    let (envoy, _cache, _upstream) = start(workers(1)).await;
    let request = Request::get("/")
        .header("x-coraza-test-trap", "1")
        .body(String::new())
        .unwrap();
    assert_eq!(envoy.send(request).await.status, 200);
    envoy.assert_healthy("/?a=evil", 406).await;
    let has = |module: &std::path::Path| {
        let bytes = std::fs::read(module).unwrap();
        bytes.windows(18).any(|window| window == b"x-coraza-test-trap")
    };
    assert!(!has(&environment().plugin) && has(&environment().plugin_with_trap));
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn memory_is_flat_over_reloads_and_requests() {
    let (envoy, cache, _upstream) = start(workers(1)).await;
    let words = |number: usize| format!("{}# {number}\n", deny("evil"));
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut warm = 0;
    for number in 0..100 {
        cache.publish(&format!("revision-{number}"), &words(number));
        until_loads(&envoy, 2 * (number as u64 + 2)).await;
        if number == 20 {
            warm = resident();
        }
    }
    assert!(resident() < warm + (8 << 10), "{warm} KiB, then {} KiB", resident());
    let before = resident();
    for _ in 0..20 {
        let requests = "GET /?a=good HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000);
        let mut stream = tokio::net::TcpStream::connect(envoy.address()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut writer, requests.as_bytes())
                .await
                .unwrap();
        };
        let read = async {
            let (mut text, mut part) = (String::new(), vec![0; 65_536]);
            while text.matches("HTTP/1.1 200 OK").count() < 1_000 {
                let length = tokio::io::AsyncReadExt::read(&mut reader, &mut part).await.unwrap();
                assert!(
                    length > 0,
                    "Envoy closed after {} answers",
                    text.matches("HTTP/1.1 200 OK").count()
                );
                text.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
        };
        tokio::join!(write, read);
    }
    assert!(resident() < before + (8 << 10), "{before} KiB, then {} KiB", resident());
    envoy.assert_healthy("/?a=evil", 406).await;
}
