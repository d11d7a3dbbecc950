//! Access logs in a collector: what the plugin says of a block gets there over gRPC, by the Telemetry that an Engine's `observability` makes. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;

use coraza_api::Engine;
use coraza_e2e::cluster::{kubectl, try_kubectl};
use coraza_e2e::collector::Entry;
use coraza_e2e::mesh::Mesh;
use coraza_e2e::object::TELEMETRY;
use coraza_e2e::protected::{Protected, engine, get};
use coraza_e2e::service::{self, Port};
use coraza_e2e::{Collector, Namespace, environment, until};
use serde_json::json;

/// Where the mesh's provider `waf-log-collector` is.
const NAMESPACE: &str = "observability";
const SERVICE: &str = "access-logs";
/// What a platform that has such a collector says on its GatewayClass.
const COLLECTED: &str = "internal.do-not-use.openshift.io/waf-otel-collector=collector";

const RULES: &str = r#"SecRuleEngine On
SecResponseBodyAccess On
SecResponseBodyMimeType text/html
SecRule ARGS "@contains attack" "id:77,phase:2,deny,status:403,log,msg:'logged',severity:CRITICAL,tag:'attack-sqli'"
SecRule RESPONSE_BODY "@contains secret" "id:78,phase:4,deny,status:451,log,msg:'a leak',severity:ERROR,tag:'attack-disclosure'"
"#;

/// Sends a request until its entry is there: before Envoy has the Telemetry's listener, entries go elsewhere.
async fn collected(collector: &Collector, protected: &Protected, path: &str) -> Entry {
    until(&format!("an entry of {path}"), async || {
        // One that is broken off is no answer.
        let _ = get(&protected.gateway, path).await;
        let entries = collector.entries();
        let found = entries.iter().find(|entry| entry.attributes["path"] == path);
        found.cloned().ok_or(format!("{entries:#?}"))
    })
    .await
}

/// What an entry says of a block: nothing is a dash.
fn facts(entry: &Entry) -> BTreeMap<&str, &str> {
    let attributes = entry.attributes.iter();
    attributes
        .filter_map(|(name, value)| Some((name.strip_prefix("coraza.")?, value.as_str())))
        .collect()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_was_blocked_is_in_a_collectors_access_logs_over_grpc() {
    Mesh::shared_with_plugin().await;
    let collector = Collector::start_on_node().await;
    let namespace = Namespace::create().await;
    // It may be there from an earlier run on the same cluster.
    let _ = try_kubectl(&["create", "namespace", NAMESPACE]);
    let port = Port {
        name: "grpc-otlp",
        number: 4317,
        endpoints: vec![collector.address],
    };
    service::create_with(&namespace.client, NAMESPACE, SERVICE, &[port]).await;
    kubectl(&["annotate", "--overwrite", "gatewayclass", "istio", COLLECTED]);

    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    namespace.ready("waf").await;
    let protected = Protected::before(namespace).await;
    let observed = |mode: &str| {
        let mut spec = engine("web", "waf");
        spec["observability"] = json!({ "mode": mode });
        spec
    };
    let namespace = &protected.namespace;
    namespace.apply::<Engine>("waf", observed("Enabled")).await;
    protected.answers("/?q=attack", 403).await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;

    let client = environment().cluster.istio().node.to_string();
    let blocked = |facts: [&'static str; 6]| {
        let [rule, phase, status, severity, category, action] = facts;
        BTreeMap::from([
            ("event", "coraza_waf_blocked_request"),
            ("rule_id", rule),
            ("phase", phase),
            ("action", action),
            ("status", status),
            ("severity", severity),
            ("category", category),
            ("client_ip", client.as_str()),
        ])
    };
    let entry = collected(&collector, &protected, "/?q=attack-logged").await;
    assert_eq!(
        facts(&entry),
        blocked(["77", "http_request_body", "403", "CRITICAL", "sqli", "deny"]),
        "{entry:?}"
    );
    assert_eq!(entry.text, "GET /?q=attack-logged 403");
    assert_eq!(entry.attributes["request_id"].len(), 36, "{entry:?}");
    // In the middle of a response the client has seen the upstream's status.
    let entry = collected(&collector, &protected, "/body/a-secret").await;
    assert_eq!(
        facts(&entry),
        blocked(["78", "http_response_body", "200", "ERROR", "disclosure", "deny"]),
        "{entry:?}"
    );
    assert_eq!(entry.text, "GET /body/a-secret 200");
    let entry = collected(&collector, &protected, "/body/a-story").await;
    assert!(
        facts(&entry).len() == 8 && facts(&entry).values().all(|fact| *fact == "-"),
        "{entry:?}"
    );

    // Turned off, they are where the mesh has them.
    namespace.apply::<Engine>("waf", observed("Disabled")).await;
    until("the mesh's own access log", async || {
        let _ = get(&protected.gateway, "/?q=attack-after").await;
        let log = protected.gateway.agent_log();
        let here = log
            .lines()
            .any(|line| line.starts_with("ACCESS GET /?q=attack-after 403") && line.contains(" rule=77 "));
        if here { Ok(()) } else { Err(log) }
    })
    .await;
    let left = TELEMETRY
        .within(&namespace.client, &namespace.name)
        .list(&Default::default())
        .await
        .unwrap();
    assert_eq!(left.items.len(), 0, "{left:?}");
}
