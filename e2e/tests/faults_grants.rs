//! Tokens of Engines: granted before they are used, renewed under load, revoked at once. *Faults*: one test at a time, each with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it measured"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::http::StatusCode;
use coraza_api::Engine;
use coraza_e2e::cluster::{self, Outage};
use coraza_e2e::fleet::QUICK_LEASE;
use coraza_e2e::object::GATEWAY;
use coraza_e2e::poller::{Poll, token};
use coraza_e2e::{Cache, Fleet, Link, Namespace, Size, until, until_within};
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

const ROTATION: &str = "--token-renew-after=5s";
/// Several renewals, and the push of each.
const ROTATIONS: usize = 4;

/// A namespace with RuleSet and Engine `waf` on Gateway `gateway`, which has its WasmPlugin.
async fn engine(fleet: &Fleet) -> Namespace {
    cluster::install_mesh().await;
    cluster::apply(&[&coraza_e2e::environment::checkout("e2e/data/gateway-class.yaml")]);
    let namespace = Namespace::create().await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let gateway = json!({"gatewayClassName": "coraza-e2e", "listeners": [listener]});
    GATEWAY
        .apply(&namespace.client, &namespace.name, "gateway", gateway)
        .await;
    apply_engine(&namespace, "waf").await;
    token(&namespace.client, &namespace.name, "waf").await;
    namespace
}

async fn apply_engine(namespace: &Namespace, ruleset: &str) {
    let spec = json!({
        "ruleSet": {"name": ruleset},
        "target": {"type": "Gateway", "name": "gateway"},
        "driver": {"type": "wasm", "wasm": {"image": "oci://registry.example/coraza@sha256:0000000000000000000000000000000000000000000000000000000000000000"}},
    });
    namespace.apply::<Engine>("waf", spec).await;
}

/// Data planes that poll every cache all the time, plainly and by waiting, with the token that the WasmPlugin has and with the one that
/// it had before: Istio's push takes its time.
struct Load {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    answers: Arc<AtomicUsize>,
    /// What was answered that shouldn't be.
    refused: Arc<Mutex<Vec<String>>>,
    /// The tokens that were used.
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Load {
    fn on(caches: &[Cache], namespace: &Namespace) -> Self {
        let mut load = Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
            answers: Arc::default(),
            refused: Arc::default(),
            tokens: Arc::default(),
        };
        let (tokens, stop) = (Arc::clone(&load.tokens), load.stop.subscribe());
        let (client, name) = (namespace.client.clone(), namespace.name.clone());
        load.tasks.spawn(async move {
            while !*stop.borrow() {
                let plugin = coraza_e2e::object::WASM_PLUGIN
                    .within(&client, &name)
                    .get("coraza-engine-waf")
                    .await;
                let current = plugin.ok().and_then(|plugin| {
                    Some(
                        plugin
                            .data
                            .pointer("/spec/pluginConfig/cache_token")?
                            .as_str()?
                            .to_owned(),
                    )
                });
                let mut tokens = tokens.lock().await;
                if let Some(current) = current.filter(|current| tokens.last() != Some(current)) {
                    tokens.push(current);
                }
                drop(tokens);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        for cache in caches {
            for (behind, wait) in [(0, None), (0, Some(Duration::from_secs(2))), (1, None)] {
                let (answers, refused) = (Arc::clone(&load.answers), Arc::clone(&load.refused));
                let (tokens, stop) = (Arc::clone(&load.tokens), load.stop.subscribe());
                let (address, replica) = (cache.http, cache.process.name().to_owned());
                let ruleset = format!("{}/waf", namespace.name);
                load.tasks.spawn(async move {
                    let mut etag = None;
                    while !*stop.borrow() {
                        let token = {
                            let tokens = tokens.lock().await;
                            tokens.get(tokens.len().saturating_sub(1 + behind)).cloned()
                        };
                        let Some(token) = token else {
                            tokio::task::yield_now().await;
                            continue;
                        };
                        let poll = Poll {
                            pod: Some("gateway-0"),
                            etag: etag.as_deref(),
                            wait,
                            ..Poll::new(&ruleset, &token)
                        };
                        match poll.send(address, "/latest").await {
                            Ok(answer) if [StatusCode::OK, StatusCode::NOT_MODIFIED].contains(&answer.status) => {
                                answers.fetch_add(1, Ordering::Relaxed);
                                etag = Some(answer.header("etag").to_owned());
                            }
                            Ok(answer) => {
                                refused
                                    .lock()
                                    .await
                                    .push(format!("{replica}: {} {}", answer.status, answer.text()));
                            }
                            Err(error) => refused.lock().await.push(format!("{replica}: {error:#}")),
                        }
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
            }
        }
        load
    }

    /// Waits until the token was renewed so often.
    async fn renewed(&self, times: usize) {
        let before = self.tokens.lock().await.len();
        until_within(Duration::from_secs(90), "renewed tokens", async || {
            let now = self.tokens.lock().await.len();
            if now >= before + times { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Waits for so many more answers.
    async fn answered(&self, count: usize) {
        let before = self.answers.load(Ordering::Relaxed);
        until("answers", async || {
            let now = self.answers.load(Ordering::Relaxed);
            if now >= before + count { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Not one was refused.
    async fn end(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        let tokens: BTreeSet<_> = self.tokens.lock().await.iter().cloned().collect();
        let answers = self.answers.load(Ordering::Relaxed);
        eprintln!("{answers} polls with {} tokens", tokens.len());
        assert_eq!(
            *self.refused.lock().await,
            Vec::<String>::new(),
            "after {answers} answers"
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn tokens_are_renewed_under_load_without_one_refusal() {
    let fleet = Fleet::start(Size::of(1, 3).controller_flags(&[ROTATION])).await;
    let namespace = engine(&fleet).await;
    let load = Load::on(&fleet.caches, &namespace);
    load.renewed(ROTATIONS).await;
    load.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_the_api_server_every_poll_is_answered() {
    let fleet = Fleet::start(Size::of(1, 2).controller_flags(&[ROTATION])).await;
    let namespace = engine(&fleet).await;
    let load = Load::on(&fleet.caches, &namespace);
    load.renewed(1).await;
    let outage = Outage::begin().await;
    // Longer than a token is used.
    load.answered(2_000).await;
    outage.end().await;
    load.renewed(2).await;
    load.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_is_cut_off_lets_renewed_tokens_in_all_the_same() {
    let mut fleet = Fleet::start(Size::of(1, 1).controller_flags(&[ROTATION])).await;
    let link = Link::to(fleet.controllers[0].grpc).await;
    let mut settings = fleet.cache_settings();
    settings.controllers = vec![link.address()];
    fleet.caches.push(Cache::start(settings));
    fleet.ready().await;
    let namespace = engine(&fleet).await;
    let load = Load::on(&fleet.caches, &namespace);
    load.renewed(1).await;
    link.cut();
    load.renewed(2).await;
    link.mend();
    load.renewed(1).await;
    // Nobody tells either end that nothing gets through.
    link.stall();
    load.renewed(2).await;
    link.mend();
    load.renewed(1).await;
    load.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_change_of_leader_takes_no_token_away() {
    let mut fleet = Fleet::start(
        Size::of(2, 2)
            .controller_flags(&QUICK_LEASE)
            .controller_flags(&[ROTATION]),
    )
    .await;
    let namespace = engine(&fleet).await;
    let load = Load::on(&fleet.caches, &namespace);
    load.renewed(1).await;
    fleet.controllers[0].restart();
    load.renewed(2).await;
    fleet.controllers[1].restart();
    load.renewed(2).await;
    load.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_deleted_or_retargeted_engine_reads_nothing_more() {
    let fleet = Fleet::start(Size::of(1, 2)).await;
    let namespace = engine(&fleet).await;
    namespace.ruleset("other", &["rules"], &[]).await;
    namespace.ready("other").await;
    let (waf, other) = (format!("{}/waf", namespace.name), format!("{}/other", namespace.name));
    let mut token = token(&namespace.client, &namespace.name, "waf").await;
    for (ruleset, foreign) in [(&waf, &other), (&other, &waf)] {
        let mut waits = JoinSet::new();
        for cache in &fleet.caches {
            let answer = Poll::new(ruleset, &token).send(cache.http, "/latest").await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            let refused = Poll::new(foreign, &token).send(cache.http, "/latest").await.unwrap();
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
            let (address, token, ruleset) = (cache.http, token.clone(), ruleset.clone());
            let (etag, gauge) = (answer.header("etag").to_owned(), cache.metrics);
            waits.spawn(async move {
                let poll = Poll {
                    etag: Some(&etag),
                    wait: Some(Duration::from_secs(60)),
                    ..Poll::new(&ruleset, &token)
                };
                poll.send(address, "/latest").await.unwrap()
            });
            until("a waiting poll", async || {
                let page = coraza_e2e::http::get(gauge, "/metrics", None).await.unwrap().text();
                if page.contains("coraza_cache_waiting_polls 1\n") {
                    Ok(())
                } else {
                    Err("none")
                }
            })
            .await;
        }
        if *ruleset == waf {
            apply_engine(&namespace, "other").await;
        } else {
            namespace.delete::<Engine>("waf").await;
        }
        let began = Instant::now();
        while let Some(answer) = waits.join_next().await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
            assert!(answer.header("www-authenticate").contains("revoked"), "{answer:?}");
        }
        eprintln!("revoked {} ms after the change", began.elapsed().as_millis());
        for cache in &fleet.caches {
            let answer = Poll::new(ruleset, &token).send(cache.http, "/latest").await.unwrap();
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
        }
        if *ruleset == waf {
            token = until("a token for the other RuleSet", async || {
                let next = coraza_e2e::poller::token(&namespace.client, &namespace.name, "waf").await;
                if next == token {
                    Err("the one from before")
                } else {
                    Ok(next)
                }
            })
            .await;
        }
    }
}
