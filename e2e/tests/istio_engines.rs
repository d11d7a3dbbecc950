//! Engines in a real mesh: what istiod and Envoy make of what the controller writes, and what a proxy reaches with it. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use ::http::Request;
use coraza_api::{Engine, RuleSource};
use coraza_e2e::cluster::kubectl;
use coraza_e2e::mesh::{self, Mesh};
use coraza_e2e::object::{DESTINATION_RULE, GATEWAY, SERVICE_ENTRY, TELEMETRY, WASM_PLUGIN};
use coraza_e2e::wait::holds_for;
use coraza_e2e::wasm::{self, ECHO_HEADER};
use coraza_e2e::{Gateway, Namespace, Origin, http, until};
use serde_json::{Value, json};

const RULES: &str = "SecRuleEngine On\nSecRule ARGS \"@contains attack\" \"id:1,phase:2,deny,status:403\"";

/// The name of an Engine's WasmPlugin.
fn plugin_of(engine: &str) -> String {
    format!("coraza-engine-{engine}")
}

/// An Engine for a Gateway and a RuleSet.
fn engine(gateway: &str, ruleset: &str) -> Value {
    json!({ "ruleSet": { "name": ruleset }, "target": { "type": "Gateway", "name": gateway, "provider": "Istio" } })
}

/// A namespace with RuleSet `waf`, Ready.
async fn protected_namespace() -> Namespace {
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    namespace.ready("waf").await;
    namespace
}

/// An Engine's WasmPlugin as it is now.
async fn wasm_plugin(namespace: &Namespace, engine: &str) -> Option<Value> {
    WASM_PLUGIN
        .get(&namespace.client, &namespace.name, &plugin_of(engine))
        .await
}

/// What the filter in a Gateway's proxy was configured with, if there is one that says so, and the answer's status.
async fn echo(gateway: &Gateway) -> Result<(Option<Value>, u16), String> {
    let answer = gateway.get("/").await.map_err(|error| format!("{error:#}"))?;
    let header = Some(answer.header(ECHO_HEADER)).filter(|header| !header.is_empty());
    let configuration = header.map(|header| serde_json::from_str(header).expect("Envoy's configuration is JSON"));
    Ok((configuration, answer.status.as_u16()))
}

/// Waits until a Gateway's proxy answers with what its Engine's WasmPlugin says now, and gives that.
async fn echoes_its_plugin(namespace: &Namespace, gateway: &Gateway, engine: &str) -> Value {
    let what = format!("Gateway {} to run the filter of Engine {engine}", gateway.name);
    until(&what, async || {
        let plugin = wasm_plugin(namespace, engine).await.ok_or("there is no WasmPlugin")?;
        let wanted = &plugin["spec"]["pluginConfig"];
        match echo(gateway).await? {
            (Some(configuration), 200) if configuration == *wanted => Ok(configuration),
            (seen, status) => Err(format!("{status} {seen:?}")),
        }
    })
    .await
}

/// Waits until a Gateway's proxy has no filter of ours.
async fn echoes_nothing(gateway: &Gateway) {
    until(
        &format!("Gateway {} to run no filter", gateway.name),
        async || match echo(gateway).await? {
            (None, 200) => Ok(()),
            (seen, status) => Err(format!("{status} {seen:?}")),
        },
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_is_in_envoy_and_its_token_reads_its_ruleset_and_nothing_else() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    echoes_nothing(&gateway).await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    namespace
        .condition::<Engine>("waf", ("Accepted", "True", "Accepted"))
        .await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;

    let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;
    let token = configuration["cache_token"].as_str().expect("a token").to_owned();
    let mut rest = configuration.clone();
    rest.as_object_mut().unwrap().remove("cache_token");
    assert_eq!(rest["cache_server_instance"], format!("{}/waf", namespace.name));
    assert_eq!(rest["cache_server_cluster"], mesh.cluster_name());
    assert_eq!(rest["failure_policy"], "fail");
    assert_eq!(rest["rule_reload_interval_seconds"], 15);
    assert_eq!(
        (&rest["engine"], &rest["namespace"]),
        (&json!("waf"), &json!(namespace.name))
    );

    // Envoy's own word for it: a filter in the listener's chain that waits for an extension's configuration, that, and the cluster that it calls.
    let listeners = gateway.config_dump("ListenersConfigDump").to_string();
    let name = format!("{}.{}", namespace.name, plugin_of("waf"));
    assert!(listeners.contains(&name), "no listener has {name}: {listeners}");
    let filters = gateway.config_dump("EcdsConfigDump").to_string();
    assert!(
        filters.contains(&name) && filters.contains("\"FAIL_RELOAD\""),
        "{filters}"
    );
    let clusters = gateway.config_dump("ClustersConfigDump").to_string();
    assert!(clusters.contains(&mesh.cluster_name()), "{clusters}");
    assert_eq!(mesh::refused_by(&gateway.pod).await, Vec::<Value>::new());

    // What the plugin will do: from beside the proxy, at each cache.
    let other = namespace.ruleset("other", &["rules"], &[]).await;
    namespace.ready(other.metadata.name.as_deref().unwrap()).await;
    for cache in mesh.caches() {
        let status = |ruleset: &str, authorization: &str| {
            let url = format!("http://{cache}/rules/{}/{ruleset}/latest", namespace.name);
            let shown = gateway.curl(&[
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
                "--header",
                authorization,
                &url,
            ]);
            shown.expect("a cache answers a proxy")
        };
        let ours = format!("Authorization: Bearer {token}");
        assert_eq!(status("waf", &ours), "200");
        assert_eq!(status("other", &ours), "403");
        assert_eq!(status("waf", "X-Nothing: at all"), "401");
        assert_eq!(status("waf", "Authorization: Bearer garbage"), "401");
        let rules = format!("http://{cache}/rules/{}/waf", namespace.name);
        let [latest, rules] = [format!("{rules}/latest"), rules].map(|url| {
            let answer = gateway
                .curl(&["--header", &ours, &url])
                .expect("a cache answers a proxy");
            serde_json::from_str::<Value>(&answer).expect("a cache's answer is JSON")
        });
        assert_eq!(latest["uuid"], rules["uuid"]);
        assert_eq!(rules["rules"], RULES);
    }
    let events = kubectl(&[
        "get",
        "events.events.k8s.io",
        "--output=jsonpath={.items[*].reason}",
        "--namespace",
        &namespace.name,
    ]);
    for reason in ["RulesCached", "Configured", "WasmPluginCreated"] {
        assert!(
            events.split(' ').any(|shown| shown == reason),
            "no Event {reason}: {events}"
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_edit_of_an_engine_arrives() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    let before = echoes_its_plugin(&namespace, &gateway, "waf").await;

    let mut spec = engine("web", "waf");
    spec["ruleSetCacheServer"] = json!({ "pollIntervalSeconds": 7 });
    spec["failurePolicy"] = json!("allow");
    let image = mesh.registry.push("echo", "edited", &wasm::echo()).await;
    spec["driver"] = json!({ "type": "wasm", "wasm": { "image": image } });
    namespace.apply::<Engine>("waf", spec).await;
    let arrived = until("the edit to arrive", async || {
        let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;
        if configuration["rule_reload_interval_seconds"] == 7 {
            Ok(configuration)
        } else {
            Err(configuration)
        }
    })
    .await;
    assert_eq!(arrived["failure_policy"], "allow");
    assert_eq!(
        arrived["cache_token"], before["cache_token"],
        "an edit is no reason for another token"
    );
    let filters = gateway.config_dump("EcdsConfigDump").to_string();
    assert!(filters.contains("\"FAIL_OPEN\""), "{filters}");
    assert_eq!(wasm_plugin(&namespace, "waf").await.unwrap()["spec"]["url"], image);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn deleting_an_engine_takes_it_away_and_its_token_with_it() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;
    let token = configuration["cache_token"].as_str().unwrap().to_owned();
    namespace.delete::<Engine>("waf").await;
    echoes_nothing(&gateway).await;
    assert!(wasm_plugin(&namespace, "waf").await.is_none());
    // A listener that was replaced keeps what it had until its connections are gone.
    until("Envoy to forget the filter", async || {
        let filters = gateway.config_dump("EcdsConfigDump").to_string();
        if filters.contains(&plugin_of("waf")) {
            Err(filters)
        } else {
            Ok(())
        }
    })
    .await;
    for cache in &mesh.fleet.caches {
        let path = format!("/rules/{}/waf/latest", namespace.name);
        until("the token to be worth nothing", async || {
            let status = cache
                .get(&path, &token)
                .await
                .map_err(|error| format!("{error:#}"))?
                .status;
            if status == 401 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }
    // Made again, it has another token, and works.
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    let again = echoes_its_plugin(&namespace, &gateway, "waf").await;
    assert_ne!(again["cache_token"], token);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_plugin_that_cant_be_pulled_fails_as_the_engine_says_and_is_not_enforced_until_it_can() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    let mut spec = engine("web", "waf");
    spec["ruleSetCacheServer"] = json!({ "pollIntervalSeconds": 5 });
    spec["driver"] = json!({ "type": "wasm", "wasm": { "image": mesh.registry.image("coraza", "nowhere") } });
    namespace.apply::<Engine>("waf", spec.clone()).await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    answers(&gateway, "/", 403).await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "False", "PodsSilent"))
        .await;
    spec["failurePolicy"] = json!("allow");
    namespace.apply::<Engine>("waf", spec.clone()).await;
    answers(&gateway, "/?q=attack", 200).await;
    spec["driver"]["wasm"]["image"] = json!(mesh.plugin);
    namespace.apply::<Engine>("waf", spec).await;
    answers(&gateway, "/?q=attack", 403).await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "True", "RevisionEnforced"))
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_waits_for_its_gateway_and_goes_on_in_its_next_pod() {
    Mesh::shared().await;
    let namespace = protected_namespace().await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    namespace
        .condition::<Engine>("waf", ("Accepted", "False", "TargetNotFound"))
        .await;
    namespace
        .condition::<Engine>("waf", ("Ready", "False", "TargetNotFound"))
        .await;
    assert!(wasm_plugin(&namespace, "waf").await.is_none());
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;

    let next = gateway.replace(&namespace).await;
    assert_eq!(echoes_its_plugin(&namespace, &next, "waf").await, configuration);
    GATEWAY.delete(&namespace.client, &namespace.name, "web").await;
    namespace
        .condition::<Engine>("waf", ("Ready", "False", "TargetNotFound"))
        .await;
    until("the WasmPlugin to be gone", async || {
        wasm_plugin(&namespace, "waf")
            .await
            .map_or(Ok(()), |plugin| Err(plugin.to_string()))
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn engines_of_one_name_in_two_namespaces_share_nothing() {
    Mesh::shared().await;
    let origin = Origin::start(&[]).await;
    let mut tokens = BTreeSet::new();
    let mut proxies = Vec::new();
    for _ in 0..2 {
        let namespace = protected_namespace().await;
        let gateway = Gateway::start(&namespace, "web", &origin).await;
        namespace.apply::<Engine>("waf", engine("web", "waf")).await;
        let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;
        assert_eq!(
            configuration["cache_server_instance"],
            format!("{}/waf", namespace.name)
        );
        tokens.insert(configuration["cache_token"].as_str().unwrap().to_owned());
        // Kept until the end: both are there at a time.
        proxies.push((namespace, gateway));
    }
    assert_eq!(tokens.len(), 2);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn three_gateways_share_a_ruleset_each_by_an_engine_and_a_token_of_its_own() {
    Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let mut tokens = BTreeSet::new();
    let mut gateways = Vec::new();
    for name in ["web-0", "web-1", "web-2"] {
        gateways.push(Gateway::start(&namespace, name, &origin).await);
        namespace.apply::<Engine>(name, engine(name, "waf")).await;
    }
    for gateway in &gateways {
        let configuration = echoes_its_plugin(&namespace, gateway, &gateway.name).await;
        assert_eq!(
            configuration["cache_server_instance"],
            format!("{}/waf", namespace.name)
        );
        assert_eq!(configuration["engine"], gateway.name);
        tokens.insert(configuration["cache_token"].as_str().unwrap().to_owned());
    }
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn of_two_engines_on_a_gateway_the_older_one_is_enforced_until_it_goes() {
    Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    namespace.apply::<Engine>("first", engine("web", "waf")).await;
    namespace
        .condition::<Engine>("first", ("Ready", "True", "Configured"))
        .await;
    namespace.apply::<Engine>("second", engine("web", "waf")).await;
    let lost = namespace
        .condition::<Engine>("second", ("Accepted", "False", "TargetConflict"))
        .await;
    assert!(lost.message.contains("first"), "{}", lost.message);
    let configuration = echoes_its_plugin(&namespace, &gateway, "first").await;
    assert_eq!(configuration["engine"], "first");
    assert!(wasm_plugin(&namespace, "second").await.is_none());
    namespace.delete::<Engine>("first").await;
    namespace
        .condition::<Engine>("second", ("Ready", "True", "Configured"))
        .await;
    let configuration = echoes_its_plugin(&namespace, &gateway, "second").await;
    assert_eq!(configuration["engine"], "second");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_that_breaks_or_goes_changes_nothing_in_envoy() {
    Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    namespace.apply::<Engine>("waf", engine("web", "waf")).await;
    let configuration = echoes_its_plugin(&namespace, &gateway, "waf").await;
    namespace.source("rules", "SecNonsense On").await;
    namespace
        .condition::<Engine>("waf", ("Degraded", "True", "RuleSetDegraded"))
        .await;
    namespace.delete::<coraza_api::RuleSet>("waf").await;
    namespace.delete::<RuleSource>("rules").await;
    namespace
        .condition::<Engine>("waf", ("Degraded", "True", "RuleSetNotFound"))
        .await;
    holds_for(Duration::from_secs(2), "the filter", async || {
        match echo(&gateway).await? {
            (Some(seen), 200) if seen == configuration => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;

    // One that never had a RuleSet has nothing in Envoy either, and traffic passes.
    namespace.delete::<Engine>("waf").await;
    echoes_nothing(&gateway).await;
    let mut spec = engine("web", "absent");
    spec["failurePolicy"] = json!("allow");
    namespace.apply::<Engine>("never", spec).await;
    namespace
        .condition::<Engine>("never", ("Degraded", "True", "RuleSetNotFound"))
        .await;
    assert!(wasm_plugin(&namespace, "never").await.is_none());
    echoes_nothing(&gateway).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn istiod_accepts_each_object_of_its_kinds_and_would_refuse_a_wrong_one() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let wrong = json!({ "host": "web", "trafficPolicy": { "connectionPool": { "tcp": { "maxConnections": -1 } } } });
    let refused = DESTINATION_RULE
        .try_apply(&namespace.client, &namespace.name, "wrong", wrong)
        .await;
    let refusal = refused
        .expect_err("istiod refuses a number of connections below zero")
        .to_string();
    assert!(refusal.contains("rev.validation.istio.io"), "{refusal}");

    // Enough for the Telemetry to be made; nobody takes the logs.
    let annotation = "internal.do-not-use.openshift.io/waf-otel-collector=collector";
    kubectl(&["annotate", "--overwrite", "gatewayclass", "istio", annotation]);
    let listener = json!({ "name": "http", "port": 8080, "protocol": "HTTP" });
    let gateway = json!({ "gatewayClassName": "istio", "listeners": [listener] });
    GATEWAY.apply(&namespace.client, &namespace.name, "web", gateway).await;
    let mut spec = engine("web", "waf");
    spec["observability"] = json!({ "mode": "Enabled" });
    namespace.apply::<Engine>("waf", spec).await;
    namespace
        .condition::<Engine>("waf", ("Ready", "True", "Configured"))
        .await;
    let operator = mesh.fleet.namespace.as_str();
    for (kind, namespace, name) in [
        (WASM_PLUGIN, namespace.name.as_str(), "coraza-engine-waf"),
        (TELEMETRY, &namespace.name, "coraza-engine-waf-telemetry"),
        (SERVICE_ENTRY, operator, "coraza-controller-ruleset-cache"),
        (DESTINATION_RULE, operator, "coraza-controller-ruleset-cache"),
    ] {
        let client = coraza_e2e::client().await;
        until(&format!("{kind:?} {namespace}/{name}"), async || {
            kind.get(&client, namespace, name).await.ok_or("there is none")
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_plugin_polls_through_the_mesh_and_blocks_by_the_rules_of_the_moment() {
    let mesh = Mesh::shared().await;
    let namespace = protected_namespace().await;
    let origin = Origin::start(&[]).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    let mut spec = engine("web", "waf");
    spec["driver"] = json!({ "type": "wasm", "wasm": { "image": mesh.plugin_with_trap } });
    namespace.apply::<Engine>("waf", spec).await;
    answers(&gateway, "/?q=attack", 403).await;
    answers(&gateway, "/?q=fine", 200).await;
    namespace
        .condition::<Engine>("waf", ("Enforced", "True", "RevisionEnforced"))
        .await;
    namespace.source("rules", &RULES.replace("attack", "assault")).await;
    answers(&gateway, "/?q=assault", 403).await;
    answers(&gateway, "/?q=attack", 200).await;

    // A VM that traps costs its request, and the next one finds another with the same rules.
    let trap = Request::get("/")
        .header("x-coraza-test-trap", "1")
        .body(String::new())
        .unwrap();
    assert_eq!(http::send(gateway.address(), trap).await.unwrap().status, 503);
    answers(&gateway, "/?q=assault", 403).await;
    answers(&gateway, "/?q=fine", 200).await;

    let next = gateway.replace(&namespace).await;
    answers(&next, "/?q=assault", 403).await;
    answers(&next, "/?q=attack", 200).await;
}

/// Waits until a request through a Gateway is answered with this status.
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
