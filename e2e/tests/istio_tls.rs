//! Rules over TLS in a real mesh: gateways poll through the DestinationRule that the controller writes, and verify caches by the ConfigMap that it
//! keeps, also while its CA is replaced. *Shared*, with caches that serve nothing in plain but the plugin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::Engine;
use coraza_e2e::mesh::{self, Mesh};
use coraza_e2e::object::DESTINATION_RULE;
use coraza_e2e::wait::until_within;
use coraza_e2e::{Gateway, Namespace, Origin, http, until};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// A CA's successor waits for eight seconds, and processes read their files every five.
const ROTATION: Duration = Duration::from_secs(60);

fn rules(word: &str) -> String {
    format!("SecRuleEngine On\nSecRule ARGS \"@contains {word}\" \"id:1,phase:2,deny,status:403\"")
}

/// Waits until a request through the Gateway is answered with this status.
async fn answers(gateway: &Gateway, path: &str, status: u16) {
    until(&format!("{path} to be answered with {status}"), async || {
        let answer = gateway.get(path).await.map_err(|error| format!("{error:#}"))?;
        if answer.status == status {
            Ok(())
        } else {
            Err(answer.status.to_string())
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_gateway_polls_over_tls_and_follows_the_ca() {
    let mesh = Mesh::shared_over_tls().await;
    let namespace = Namespace::create().await;
    namespace.source("rules", &rules("attack")).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    namespace.ready("waf").await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    let spec = json!({
        "ruleSet": { "name": "waf" },
        "ruleSetCacheServer": { "pollIntervalSeconds": 5 },
        "target": { "type": "Gateway", "name": "web", "provider": "Istio" },
        "driver": { "type": "wasm", "wasm": { "image": mesh.plugin } },
    });
    namespace.apply::<Engine>("waf", spec).await;

    // What is written is what Istio takes, and Envoy has it.
    let operator = &mesh.fleet.namespace;
    let host = format!("coraza-cache.{operator}.svc.cluster.local");
    let written = until("the DestinationRule", async || {
        let rule = DESTINATION_RULE
            .get(&namespace.client, operator, "coraza-controller-ruleset-cache")
            .await;
        rule.ok_or("there is none")
    })
    .await;
    let tls = json!({
        "mode": "SIMPLE",
        "credentialName": format!("configmap://{operator}/coraza-cache-ca"),
        "subjectAltNames": [host],
        "sni": host,
    });
    let policy = json!({"tls": {"mode": "DISABLE"}, "portLevelSettings": [{"port": {"number": 80}, "tls": tls}]});
    assert_eq!(written["spec"]["trafficPolicy"], policy);
    answers(&gateway, "/?q=attack", 403).await;
    answers(&gateway, "/", 200).await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "True", "RevisionEnforced"))
        .await;
    assert_eq!(mesh::refused_by(&gateway.pod).await, [json!(null); 0]);
    let clusters = gateway.config_dump("ClustersConfigDump").to_string();
    assert!(clusters.contains(&format!(r#""sni":"{host}""#)), "{clusters}");
    let plain = http::get(mesh.caches()[0], "/rules/a/b/latest", None).await;
    plain.expect_err("rules are not served in plain");

    // The CA is lost and replaced: the ConfigMap has its successor before caches show certificates by it.
    let secrets: Api<Secret> = Api::namespaced(namespace.client.clone(), operator);
    let configmaps: Api<ConfigMap> = Api::namespaced(namespace.client.clone(), operator);
    let shown = async || secrets.get("coraza-cache-tls").await.unwrap().data.unwrap()["tls.crt"].clone();
    let before = shown().await;
    let emptied = json!({"data": {"tls.crt": null, "tls.key": null, "ca.crt": null}});
    let patched = secrets
        .patch(
            "coraza-self-signed-ca",
            &PatchParams::default(),
            &Patch::Merge(&emptied),
        )
        .await;
    patched.unwrap();
    until("gateways to be told of both", async || {
        let found = configmaps.get("coraza-cache-ca").await.unwrap().data.unwrap();
        match found["ca.crt"].matches("BEGIN").count() {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    until_within(ROTATION, "a certificate by the new CA", async || {
        if shown().await == before {
            Err("the old one")
        } else {
            Ok(())
        }
    })
    .await;
    // Whenever caches show the new one, this edit gets through.
    namespace.source("rules", &rules("evil")).await;
    answers(&gateway, "/?q=evil", 403).await;
    for cache in &mesh.fleet.caches {
        until("each cache to have read the new one", async || {
            let loaded = cache.process.log().matches("certificates loaded").count();
            // Its own and those for gateways, each three times: at first, with both CAs, and by the new one.
            if loaded >= 6 { Ok(()) } else { Err(loaded) }
        })
        .await;
    }
    namespace.source("rules", &rules("worse")).await;
    answers(&gateway, "/?q=worse", 403).await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "True", "RevisionEnforced"))
        .await;
}
