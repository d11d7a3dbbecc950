//! What the chart's NetworkPolicies, and those that the controller writes, let through: with a test's own enforcer, since a cluster's network plugin is
//! somebody else's. *Faults*: the test has a release of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_api::Engine;
use coraza_e2e::enforcer::Enforcer;
use coraza_e2e::object::GATEWAY;
use coraza_e2e::poller;
use coraza_e2e::{ClientPod, Namespace, Release, cluster, kubectl_coraza, until};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn who_needs_it_is_let_in_and_nobody_else() {
    cluster::install_mesh().await;
    let release = Release::install(&[]).await;
    let namespace = Namespace::create().await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("shop", &["rules"], &[]).await;
    namespace.ready("shop").await;
    let gateway = json!({
        "gatewayClassName": "istio",
        "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }],
    });
    GATEWAY.apply(&namespace.client, &namespace.name, "web", gateway).await;
    let engine = json!({
        "ruleSet": { "name": "shop" },
        "target": { "type": "Gateway", "name": "web", "provider": "Istio" },
        "failurePolicy": "fail",
    });
    namespace.apply::<Engine>("web", engine).await;
    let token = poller::token(&namespace.client, &namespace.name, "web").await;
    until("the Engine's NetworkPolicy", async || {
        let policies = release.api::<NetworkPolicy>().list(&ListParams::default()).await;
        let names: Vec<String> = policies.unwrap().iter().map(kube::ResourceExt::name_any).collect();
        (names.len() == 3).then_some(()).ok_or(format!("{names:?}"))
    })
    .await;
    // As Istio labels the Pods of a Gateway.
    let labels = json!({ "gateway.networking.k8s.io/gateway-name": "web" });
    let gateway = ClientPod::start(&namespace, "gateway", labels).await;
    let stranger = ClientPod::start(&namespace, "stranger", json!({})).await;
    let path = format!("/rules/{}/shop/latest", namespace.name);
    let header = format!("authorization: Bearer {token}");
    let rules = format!("{}.{}:80", release.full_name(), release.namespace);
    let asks = |pod: &ClientPod<'_>| pod.get(&rules, &path, Some(&header)).map(|(status, _)| status);
    // Only a policy keeps the stranger out.
    assert_eq!((asks(&gateway), asks(&stranger)), (Ok(200), Ok(200)));

    let _enforced = Enforcer::apply(&namespace.client).await;
    assert_eq!(asks(&gateway), Ok(200));
    assert!(asks(&stranger).is_err(), "the rules are for gateways");
    for component in ["cache", "controller"] {
        for pod in release.pods(component).await {
            let address = pod.status.clone().unwrap().pod_ip.unwrap();
            let name = pod.name_any();
            // Probes come from nodes, which a policy can't name; by default every Pod may read metrics.
            for (port, open) in [(8081, true), (8443, true), (9444, false), (18080, false)] {
                let called = stranger.get(&format!("{address}:{port}"), "/healthz", None);
                let dropped = called.as_ref().is_err_and(|said| said.contains("timed out"));
                assert_eq!(!dropped, open, "{name} at {port}: {called:?}");
            }
        }
    }

    // What they need themselves is open: an edit goes from the API server through the controller to the caches.
    namespace
        .source("rules", "SecRuleEngine On\nSecAction \"id:7,phase:1,pass\"")
        .await;
    let uuid = namespace.ready("shop").await.uuid;
    until("the gateway to be answered with the edit", async || {
        let (_, body) = gateway.get(&rules, &path, Some(&header))?;
        let shown = namespace.ready("shop").await.uuid;
        (body.contains(&shown) && shown != uuid).then_some(()).ok_or(body)
    })
    .await;

    // Whoever may forward ports gets to the leader's loopback, which no policy is about, with no token for its metrics.
    let ns = ["--namespace", &namespace.name];
    let flags = ["--operator-namespace", &release.name, "--output", "json"];
    let status = kubectl_coraza::run(&[&["status"], &ns[..], &flags].concat()).json();
    let leader = release.leader().await.name_any();
    assert_eq!(
        (&status["caches"]["known"], &status["caches"]["controller"]),
        (&json!(true), &json!(format!("{}/{leader}", release.name))),
        "{status}"
    );
    let caches = status["caches"]["caches"].as_array().unwrap();
    assert_eq!(caches.len(), release.pods("cache").await.len(), "{status}");
    let key = format!("{}/shop", namespace.name);
    let held = &status["ruleSets"][0]["revision"]["uuid"];
    assert!(
        caches.iter().all(|cache| cache["held"][&key]["uuid"] == *held),
        "{status}"
    );
}
