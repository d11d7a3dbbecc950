//! What goes wrong between a registry and a running filter: what requests meet then, and what the Engine's conditions say. *Shared*, with a controller that never asks for `FAIL_RELOAD`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::Request;
use coraza_api::Engine;
use coraza_e2e::mesh::Mesh;
use coraza_e2e::registry::PASSWORD;
use coraza_e2e::wait::holds_for;
use coraza_e2e::wasm::{self, ECHO_HEADER};
use coraza_e2e::{Gateway, Namespace, Origin, Registry, environment, http, until};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use serde_json::{Value, json};

/// A worker's silence counts after 30 s, then the gateway polls, and its report must stand for three intervals.
const TRAP_PATIENCE: Duration = Duration::from_secs(90);

const RULES: &str = "SecRuleEngine On\nSecRule ARGS \"@contains attack\" \"id:1,phase:2,deny,status:403\"";

/// A Gateway `web` in a namespace with RuleSet `waf`, Ready.
struct Protected {
    gateway: Gateway,
    namespace: Namespace,
    _origin: Origin,
}

impl Protected {
    async fn start() -> Self {
        let namespace = Namespace::create().await;
        namespace.source("rules", RULES).await;
        namespace.ruleset("waf", &["rules"], &[]).await;
        namespace.ready("waf").await;
        let origin = Origin::start(&[]).await;
        let gateway = Gateway::start(&namespace, "web", &origin).await;
        Self {
            gateway,
            namespace,
            _origin: origin,
        }
    }

    /// Makes or changes Engine `waf`. It polls often: the sooner is its silence heard.
    async fn engine(&self, failure_policy: &str, wasm: Value) {
        self.engine_that_polls(5, failure_policy, wasm).await;
    }

    /// As [`engine`](Self::engine), polling every so many seconds.
    async fn engine_that_polls(&self, seconds: u32, failure_policy: &str, wasm: Value) {
        let spec = json!({
            "ruleSet": { "name": "waf" },
            "ruleSetCacheServer": { "pollIntervalSeconds": seconds },
            "target": { "type": "Gateway", "name": "web", "provider": "Istio" },
            "failurePolicy": failure_policy,
            "driver": { "type": "wasm", "wasm": wasm },
        });
        self.namespace.apply::<Engine>("waf", spec).await;
    }

    /// Waits until Engine `waf` is said not to be enforced.
    async fn is_silent(&self) {
        self.namespace
            .condition::<Engine>("waf", ("Enforced", "False", "PodsSilent"))
            .await;
    }

    /// Waits until Engine `waf` is said not to be enforced by a gateway that polls.
    async fn is_stale(&self) {
        self.namespace
            .condition_within::<Engine>(TRAP_PATIENCE, "waf", ("Enforced", "False", "PodsStale"))
            .await;
    }

    /// Waits until attacks, and nothing else, are refused, and Engine `waf` is said to be enforced.
    async fn is_enforced(&self) {
        self.answers("/?q=attack", 403).await;
        self.answers("/", 200).await;
        self.namespace
            .condition::<Engine>("waf", ("Enforced", "True", "RevisionEnforced"))
            .await;
    }

    /// Waits until a request through the Gateway is answered with this status.
    async fn answers(&self, path: &str, status: u16) {
        until(&format!("{path} to be answered with {status}"), async || {
            self.answered(path, status).await
        })
        .await;
    }

    async fn answered(&self, path: &str, status: u16) -> Result<(), String> {
        let answer = self.gateway.get(path).await.map_err(|error| format!("{error:#}"))?;
        if answer.status == status {
            Ok(())
        } else {
            Err(answer.status.to_string())
        }
    }

    /// Makes the filter's VM trap, at the cost of the request that does it.
    async fn trap(&self) {
        let request = Request::get("/").header("x-coraza-test-trap", "1");
        let request = request.body(String::new()).unwrap();
        assert_eq!(http::send(self.gateway.address(), request).await.unwrap().status, 503);
    }

    /// Waits until pilot-agent has said why it has no module.
    async fn agent_says(&self, reason: &str) {
        until(&format!("pilot-agent to say {reason:?}"), async || {
            let log = self.gateway.agent_log();
            if log.contains(reason) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// Makes a pull secret.
    async fn secret(&self, name: &str, docker_config: String) {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
            string_data: Some(BTreeMap::from([(".dockerconfigjson".to_owned(), docker_config)])),
            ..Secret::default()
        };
        let created = self
            .namespace
            .api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await;
        created.unwrap_or_else(|error| panic!("failed to create Secret {name}: {error}"));
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_trap_under_fail_close_refuses_all_until_the_filter_is_made_anew() {
    let mesh = Mesh::shared_without_reload().await;
    let protected = Protected::start().await;
    protected
        .engine("fail", json!({ "image": mesh.plugin_with_trap }))
        .await;
    protected.is_enforced().await;
    let filters = protected.gateway.config_dump("EcdsConfigDump").to_string();
    assert!(filters.contains("\"FAIL_CLOSED\""), "{filters}");
    protected.trap().await;
    holds_for(Duration::from_secs(1), "the refusal of all", async || {
        protected.answered("/", 503).await
    })
    .await;
    protected.is_stale().await;
    // Any change of its configuration replaces a VM that failed.
    protected
        .engine_that_polls(6, "fail", json!({ "image": mesh.plugin_with_trap }))
        .await;
    protected.is_enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_trap_under_fail_open_lets_all_through_until_the_filter_is_made_anew() {
    let mesh = Mesh::shared_without_reload().await;
    let protected = Protected::start().await;
    protected
        .engine("allow", json!({ "image": mesh.plugin_with_trap }))
        .await;
    protected.is_enforced().await;
    protected.trap().await;
    holds_for(Duration::from_secs(1), "the passing of all", async || {
        protected.answered("/?q=attack", 200).await
    })
    .await;
    protected.is_stale().await;
    protected
        .engine_that_polls(6, "allow", json!({ "image": mesh.plugin_with_trap }))
        .await;
    protected.is_enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_image_of_one_layer_is_no_module() {
    let mesh = Mesh::shared_without_reload().await;
    let protected = Protected::start().await;
    let module = std::fs::read(&environment().plugin).unwrap();
    let image = mesh.registry.push_one_layer("one-layer", "v1", &module).await;
    protected.engine("fail", json!({ "image": image })).await;
    protected.answers("/", 403).await;
    protected.agent_says("could not parse as oci variant").await;
    protected.is_silent().await;
    protected.engine("allow", json!({ "image": image })).await;
    protected.answers("/?q=attack", 200).await;
    let image = mesh.registry.push("one-layer", "v2", &module).await;
    protected.engine("allow", json!({ "image": image })).await;
    protected.is_enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_private_registry_is_opened_by_the_right_secret_only() {
    Mesh::shared_without_reload().await;
    let protected = Protected::start().await;
    let module = std::fs::read(&environment().plugin).unwrap();
    // Who sends passwords where a registry says, as a realm, only does so if that is a public URL.
    let odd = Registry::start_private("the tests' registry").await;
    let private = Registry::start_private("http://registry.example/token").await;
    let odd_image = odd.push("coraza", "v1", &module).await;
    let image = private.push("coraza", "v1", &module).await;
    protected.secret("odd", odd.docker_config(PASSWORD)).await;
    protected.secret("wrong", private.docker_config("guessed")).await;
    protected.secret("right", private.docker_config(PASSWORD)).await;

    // The policy changes each time: each failure is seen by itself.
    protected
        .engine("fail", json!({ "image": odd_image, "imagePullSecret": "odd" }))
        .await;
    protected.answers("/", 403).await;
    protected.agent_says("rejected unsafe bearer realm").await;
    protected.is_silent().await;
    protected.engine("allow", json!({ "image": image })).await;
    protected.answers("/?q=attack", 200).await;
    protected
        .engine("fail", json!({ "image": image, "imagePullSecret": "wrong" }))
        .await;
    protected.answers("/", 403).await;
    protected
        .engine("allow", json!({ "image": image, "imagePullSecret": "absent" }))
        .await;
    protected.answers("/?q=attack", 200).await;
    protected.agent_says("UNAUTHORIZED").await;
    protected.is_silent().await;
    protected
        .engine("fail", json!({ "image": image, "imagePullSecret": "right" }))
        .await;
    protected.is_enforced().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_tag_that_moves_is_what_it_was_until_the_next_pod() {
    let mesh = Mesh::shared_without_reload().await;
    let mut protected = Protected::start().await;
    let image = mesh.registry.push("moving", "v1", &wasm::echo()).await;
    protected.engine("allow", json!({ "image": image })).await;
    echoes(&protected.gateway, "allow").await;
    let module = std::fs::read(&environment().plugin).unwrap();
    assert_eq!(mesh.registry.push("moving", "v1", &module).await, image);
    // The edit arrives, in the module from before, which enforces nothing.
    protected.engine("fail", json!({ "image": image })).await;
    echoes(&protected.gateway, "fail").await;
    protected.is_silent().await;
    protected.gateway = protected.gateway.replace(&protected.namespace).await;
    protected.is_enforced().await;
}

/// Waits until the filter in a Gateway's proxy says that it has this failure policy.
async fn echoes(gateway: &Gateway, failure_policy: &str) {
    let wanted = format!("\"failure_policy\":\"{failure_policy}\"");
    until(&format!("{wanted} to be echoed"), async || {
        let answer = gateway.get("/").await.map_err(|error| format!("{error:#}"))?;
        let seen = answer.header(ECHO_HEADER).replace(": ", ":");
        if seen.contains(&wanted) {
            Ok(())
        } else {
            Err(format!("{} {seen:?}", answer.status))
        }
    })
    .await;
}
