//! Gateways whose caches are away, or serve another plugin than they say: what requests meet, what Engines say, and that all of it heals. *Faults*: one test at a
//! time, each with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::Engine;
use coraza_e2e::mesh::{DefaultImage, Mesh};
use coraza_e2e::object::WASM_PLUGIN;
use coraza_e2e::protected::{answers, engine, refuse};
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Gateway, Namespace, Origin, Upstream, until_within};
use serde_json::json;

/// A pod may be silent for a minute before Istio is made to push to it once more, and pilot-agent has its own idea of when to try again.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two Gateways with an Engine each, one of which refuses what it can't inspect, and one of which lets it pass.
struct Pair {
    namespace: Namespace,
    upstream: Upstream,
    gateways: Vec<Gateway>,
}

/// Their names, which are those of the policies.
const POLICIES: [&str; 2] = ["fail", "allow"];

impl Pair {
    /// RuleSet `waf`, the Gateways without their proxies, and the Engines, configured.
    async fn configure() -> Self {
        let namespace = Namespace::create().await;
        namespace.source("rules", &refuse("attack")).await;
        namespace.ruleset("waf", &["rules"], &[]).await;
        namespace.ready("waf").await;
        let upstream = Upstream::start_on_node().await;
        for policy in POLICIES {
            Gateway::create(&namespace, policy, upstream.address()).await;
            let mut spec = engine(policy, "waf");
            spec["failurePolicy"] = json!(policy);
            namespace.apply::<Engine>(policy, spec).await;
            namespace
                .condition::<Engine>(policy, ("Ready", "True", "Configured"))
                .await;
        }
        Self {
            namespace,
            upstream,
            gateways: Vec::new(),
        }
    }

    /// Starts the proxies.
    async fn run(&mut self) {
        for policy in POLICIES {
            self.gateways.push(Gateway::run(&self.namespace.name, policy).await);
        }
    }

    /// Replaces the proxies' Pods.
    async fn replace(&mut self) {
        for gateway in std::mem::take(&mut self.gateways) {
            self.gateways.push(gateway.replace(&self.namespace).await);
        }
    }

    fn of(&self, policy: &str) -> &Gateway {
        let gateway = self.gateways.iter().find(|gateway| gateway.name == policy);
        gateway.unwrap()
    }

    /// Waits until one refuses all, with this status, and the other lets all pass.
    async fn inspect_nothing(&self, refusal: u16) {
        answers(self.of("fail"), "/?q=fine", refusal).await;
        answers(self.of("allow"), "/?q=attack", 200).await;
        holds_for(Duration::from_secs(1), "the failure policies", async || {
            for (policy, path, status) in [("fail", "/?q=fine", refusal), ("allow", "/?q=attack", 200)] {
                let answer = self.of(policy).get(path).await.map_err(|error| format!("{error:#}"))?;
                if answer.status != status {
                    return Err(format!("{policy}: {}", answer.status));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Waits until both refuse attacks, and nothing else.
    async fn block(&self, patience: Duration) {
        for policy in POLICIES {
            let gateway = self.of(policy);
            until_within(
                patience,
                &format!("Gateway {policy} to refuse attacks alone"),
                async || {
                    for (path, status) in [("/?q=attack", 403), ("/?q=fine", 200)] {
                        let answer = gateway.get(path).await.map_err(|error| format!("{error:#}"))?;
                        if answer.status != status {
                            return Err(format!("{path}: {}", answer.status));
                        }
                    }
                    Ok(())
                },
            )
            .await;
        }
    }

    /// Waits until both Engines say this of their enforcement.
    async fn say(&self, status: &str, reason: &str) {
        for policy in POLICIES {
            self.namespace
                .condition_within::<Engine>(Duration::from_secs(90), policy, ("Enforced", status, reason))
                .await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn gateways_without_caches_do_as_their_policy_says_until_these_are_back() {
    let mut mesh = Mesh::start(DefaultImage::Plugin).await;
    let mut pair = Pair::configure().await;
    // Away before the plugin has had any rules.
    kill(&mut mesh);
    pair.run().await;
    pair.inspect_nothing(503).await;
    pair.say("Unknown", "NoReports").await;
    restart(&mut mesh).await;
    pair.block(PATIENCE).await;
    pair.say("True", "RevisionEnforced").await;

    // Away afterwards: the rules that they have are good.
    kill(&mut mesh);
    holds_for(Duration::from_secs(3), "the refusal of attacks", async || {
        for policy in POLICIES {
            let answer = pair
                .of(policy)
                .get("/?q=attack")
                .await
                .map_err(|error| format!("{error:#}"))?;
            if answer.status != 403 {
                return Err(format!("{policy}: {}", answer.status));
            }
        }
        Ok(())
    })
    .await;
    pair.say("Unknown", "NoReports").await;
    pair.block(Duration::from_secs(10)).await;
    // But Pods that start now have none.
    pair.replace().await;
    pair.inspect_nothing(503).await;
    restart(&mut mesh).await;
    pair.block(PATIENCE).await;
    pair.say("True", "RevisionEnforced").await;
    assert!(!pair.upstream.seen().is_empty());
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_plugin_comes_from_the_caches_also_when_they_were_away_or_lied_while_the_gateway_started() {
    let mut mesh = Mesh::start(DefaultImage::Embedded).await;
    let (mut deceived, mut forsaken) = (Pair::configure().await, Pair::configure().await);
    let namespace = &deceived.namespace;
    let plugin = WASM_PLUGIN
        .get(&namespace.client, &namespace.name, "coraza-engine-fail")
        .await
        .unwrap();
    let (url, sha256) = (&plugin["spec"]["url"], plugin["spec"]["sha256"].as_str().unwrap());
    let host = format!("coraza-cache.{}.svc.cluster.local", mesh.fleet.namespace);
    assert_eq!(*url, format!("http://{host}:18081/plugins/coraza-{sha256}.wasm"));
    deceived.run().await;
    deceived.block(PATIENCE).await;
    deceived.say("True", "RevisionEnforced").await;

    // Other bytes, under any path, than those that the WasmPlugin's digest is of. Without a module Envoy refuses by itself.
    let impostor = Origin::start(&[]).await;
    mesh.serve_plugins_at(vec![impostor.address; mesh.fleet.caches.len()])
        .await;
    deceived.replace().await;
    deceived.inspect_nothing(403).await;
    deceived.of("fail").agent_log_has("has checksum").await;
    deceived.say("False", "PodsSilent").await;

    // No caches.
    kill(&mut mesh);
    mesh.serve_plugins_at(mesh.on_node(|cache| cache.plugin)).await;
    forsaken.run().await;
    forsaken.inspect_nothing(403).await;
    forsaken
        .of("fail")
        .agent_log_has("download failed after 5 attempts")
        .await;

    restart(&mut mesh).await;
    for pair in [&deceived, &forsaken] {
        pair.block(PATIENCE).await;
        pair.say("True", "RevisionEnforced").await;
    }
}

/// Kills all caches.
fn kill(mesh: &mut Mesh) {
    for cache in &mesh.fleet.caches {
        cache.process.kill();
    }
}

/// Starts them again, with nothing in memory, and waits until they are ready.
async fn restart(mesh: &mut Mesh) {
    for cache in &mut mesh.fleet.caches {
        cache.restart();
    }
    mesh.fleet.ready().await;
}
