//! Engines before a real API server, with exactly the rights of `deploy/rbac.yaml`: what is made for them, repaired and taken away, and
//! that it settles. *Faults*: each test has a fleet of its own, since each wants flags.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_api::Engine;
use coraza_e2e::cluster::{install_mesh, kubectl};
use coraza_e2e::object::{DESTINATION_RULE, GATEWAY, Kind, SERVICE_ENTRY, WASM_PLUGIN};
use coraza_e2e::wait::holds_for;
use coraza_e2e::{Cache, Fleet, Namespace, Size, environment, until, wasm};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PLUGIN: &str = "coraza-engine-waf";
const FLAGS: [&str; 2] = [
    "--default-wasm-image=oci://registry.example/plugin:1",
    "--operator-name=coraza-controller",
];
const READY: (&str, &str, &str) = ("Ready", "True", "Configured");

/// A controller and two caches, and a namespace with a Gateway and a good RuleSet.
async fn world(flags: &[&str]) -> (Fleet, Namespace) {
    install_mesh().await;
    let fleet = Fleet::start(Size::of(1, 2).controller_flags(&FLAGS).controller_flags(flags)).await;
    let namespace = Namespace::create().await;
    gateway(&namespace, "public").await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    namespace.ready("crs").await;
    (fleet, namespace)
}

async fn gateway(namespace: &Namespace, name: &str) {
    let listener = json!({"name": "http", "port": 8080, "protocol": "HTTP"});
    let spec = json!({"gatewayClassName": "istio", "listeners": [listener]});
    GATEWAY.apply(&namespace.client, &namespace.name, name, spec).await;
}

fn spec(ruleset: &str, gateway: &str) -> Value {
    json!({"ruleSet": {"name": ruleset}, "target": {"type": "Gateway", "name": gateway}})
}

async fn engine(namespace: &Namespace, name: &str) -> Engine {
    namespace.apply(name, spec("crs", "public")).await
}

async fn plugin(namespace: &Namespace) -> Option<Value> {
    WASM_PLUGIN.get(&namespace.client, &namespace.name, PLUGIN).await
}

/// Waits until the WasmPlugin is there and as it should be.
async fn plugin_that(namespace: &Namespace, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    until(what, async || {
        let found = plugin(namespace).await.ok_or_else(|| "there is none".to_owned())?;
        if good(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

fn token(plugin: &Value) -> String {
    plugin["spec"]["pluginConfig"]["cache_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

async fn policies(fleet: &Fleet, namespace: &Namespace) -> Vec<NetworkPolicy> {
    let api: Api<NetworkPolicy> = Api::namespaced(namespace.client.clone(), &fleet.namespace);
    let all = api.list(&ListParams::default()).await.expect("listed");
    let of = |policy: &NetworkPolicy| {
        policy.annotations().get("waf.k8s.coraza.io/engine-namespace") == Some(&namespace.name)
    };
    all.into_iter().filter(of).collect()
}

async fn status(fleet: &Fleet, path: &str, token: &str) -> Vec<u16> {
    let mut all = Vec::new();
    for cache in &fleet.caches {
        all.push(cache.get(path, token).await.expect("an answer").status.as_u16());
    }
    all
}

async fn answers(fleet: &Fleet, path: &str, token: &str, wanted: u16) {
    until(&format!("{path} to be {wanted}"), async || {
        let seen = status(fleet, path, token).await;
        if seen.iter().all(|code| *code == wanted) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await;
}

/// How often Engines were reconciled so far.
async fn reconciles(fleet: &Fleet) -> u64 {
    let page = fleet.controllers[0].page("/metrics").await.expect("metrics").text();
    let counts = page
        .lines()
        .filter(|line| line.starts_with("controller_runtime_reconcile_total{controller=\"engine\""));
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Waits until Engines are reconciled no longer.
async fn settled(fleet: &Fleet) -> u64 {
    let mut before = reconciles(fleet).await;
    let mut since = tokio::time::Instant::now();
    until("engines to settle", async || {
        let now = reconciles(fleet).await;
        if now != before {
            (before, since) = (now, tokio::time::Instant::now());
        }
        if since.elapsed() > Duration::from_secs(1) {
            Ok(now)
        } else {
            Err(now.to_string())
        }
    })
    .await
}

async fn version(kind: &Kind, namespace: &Namespace, name: &str) -> String {
    let object = kind
        .get(&namespace.client, &namespace.name, name)
        .await
        .expect("an object");
    object["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version")
        .to_owned()
}

async fn edit_plugin(namespace: &Namespace, patch: Value) {
    let api = WASM_PLUGIN.within(&namespace.client, &namespace.name);
    api.patch(PLUGIN, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("edited");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_gets_its_objects_and_its_token_reads_its_ruleset_and_nothing_else() {
    let (fleet, namespace) = world(&[]).await;
    namespace.ruleset("other", &["rules"], &[]).await;
    namespace.ready("other").await;
    let engine = engine(&namespace, "waf").await;
    namespace.condition::<Engine>("waf", READY).await;
    namespace
        .condition::<Engine>("waf", ("Accepted", "True", "Accepted"))
        .await;

    let plugin = plugin(&namespace).await.expect("a WasmPlugin");
    let config = &plugin["spec"]["pluginConfig"];
    let cluster = format!("outbound|80||coraza-cache.{}.svc.cluster.local", fleet.namespace);
    assert_eq!(
        plugin["spec"]["selector"]["matchLabels"]["gateway.networking.k8s.io/gateway-name"],
        "public"
    );
    assert_eq!(plugin["spec"]["failStrategy"], "FAIL_RELOAD", "this Istio has it");
    assert_eq!(config["cache_server_cluster"], cluster);
    assert_eq!(config["cache_server_instance"], format!("{}/crs", namespace.name));
    assert_eq!(config["rule_reload_interval_seconds"], 15);
    assert_eq!(plugin["metadata"]["ownerReferences"][0]["uid"], engine.uid().unwrap());

    let policies = policies(&fleet, &namespace).await;
    assert_eq!(policies.len(), 1);
    assert_eq!(
        policies[0].name_any(),
        format!("coraza-cache-{}", engine.uid().unwrap())
    );

    let (own, other) = (
        format!("/rules/{}/crs", namespace.name),
        format!("/rules/{}/other", namespace.name),
    );
    let token = token(&plugin);
    assert_eq!(status(&fleet, &own, &token).await, [200, 200]);
    assert_eq!(status(&fleet, &format!("{own}/latest"), &token).await, [200, 200]);
    assert_eq!(status(&fleet, &other, &token).await, [403, 403]);
    assert_eq!(status(&fleet, &own, "no.such.token").await, [401, 401]);

    let stored = namespace.api::<Engine>().get("waf").await.expect("an Engine");
    let revision = stored.status.expect("a status").revision.expect("a revision");
    assert_eq!(revision, namespace.ready("crs").await);

    namespace.delete::<Engine>("waf").await;
    answers(&fleet, &own, &token, 401).await;
    until("the objects to go", async || {
        let left = (
            self::plugin(&namespace).await.is_some(),
            self::policies(&fleet, &namespace).await.len(),
        );
        if left == (false, 0) {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn what_somebody_edits_or_deletes_is_made_good_and_then_it_settles() {
    let (fleet, namespace) = world(&[]).await;
    engine(&namespace, "waf").await;
    namespace.condition::<Engine>("waf", READY).await;
    let good = plugin(&namespace).await.expect("a WasmPlugin")["spec"].clone();
    let is_good = |plugin: &Value| plugin["spec"] == good;
    for patch in [
        json!({"spec": {"url": "oci://evil.example/plugin"}}),
        json!({"spec": {"failStrategy": "FAIL_OPEN", "priority": null}}),
        json!({"spec": {"match": [{"mode": "SERVER", "ports": [{"number": 1}]}]}}),
        json!({"spec": {"pluginConfig": {"cache_token": "stolen", "rules": ["x"]}}}),
        json!({"spec": {"selector": {"matchLabels": {"app": "nothing"}}}}),
    ] {
        edit_plugin(&namespace, patch.clone()).await;
        plugin_that(&namespace, &format!("{patch} to be taken back"), is_good).await;
    }
    WASM_PLUGIN.delete(&namespace.client, &namespace.name, PLUGIN).await;
    plugin_that(&namespace, "another WasmPlugin", is_good).await;

    let policy = policies(&fleet, &namespace).await.remove(0);
    let api: Api<NetworkPolicy> = Api::namespaced(namespace.client.clone(), &fleet.namespace);
    let open = Patch::Merge(json!({"spec": {"ingress": [{}], "policyTypes": ["Ingress", "Egress"]}}));
    api.patch(&policy.name_any(), &PatchParams::default(), &open)
        .await
        .expect("edited");
    let same = async || {
        let now = policies(&fleet, &namespace).await;
        let now = now.first().ok_or("there is none".to_owned())?;
        if now.spec == policy.spec {
            Ok(())
        } else {
            Err(format!("{:?}", now.spec))
        }
    };
    until("the policy to be taken back", same).await;
    api.delete(&policy.name_any(), &DeleteParams::default())
        .await
        .expect("deleted");
    until("another policy", same).await;

    // Nothing is left to do: neither for our own writes, nor for a status that Istio might write.
    let (count, before) = (settled(&fleet).await, version(&WASM_PLUGIN, &namespace, PLUGIN).await);
    let api = WASM_PLUGIN.within(&namespace.client, &namespace.name);
    let patch = json!({"status": {"conditions": [{"type": "Reconciled", "status": "True"}]}});
    api.patch_status(PLUGIN, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("a status");
    assert_ne!(version(&WASM_PLUGIN, &namespace, PLUGIN).await, before);
    holds_for(Duration::from_secs(2), "no engine is looked at", async || {
        let now = reconciles(&fleet).await;
        if now == count {
            Ok(())
        } else {
            Err(format!("{now} instead of {count}"))
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_restart_of_the_controller_writes_nothing() {
    let (mut fleet, namespace) = world(&[]).await;
    engine(&namespace, "waf").await;
    namespace.condition::<Engine>("waf", READY).await;
    settled(&fleet).await;
    let token = token(&plugin(&namespace).await.expect("a WasmPlugin"));
    let versions = async |fleet: &Fleet| {
        let engine = namespace.api::<Engine>().get("waf").await.expect("an Engine");
        let policy = policies(fleet, &namespace).await.remove(0);
        (
            version(&WASM_PLUGIN, &namespace, PLUGIN).await,
            engine.resource_version(),
            policy.resource_version(),
        )
    };
    let before = versions(&fleet).await;
    fleet.controllers[0].restart();
    fleet.ready().await;
    until("engines to be looked at", async || match reconciles(&fleet).await {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await;
    settled(&fleet).await;
    assert_eq!(versions(&fleet).await, before);
    answers(&fleet, &format!("/rules/{}/crs", namespace.name), &token, 200).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_oldest_engine_has_the_gateway_and_another_takes_over() {
    let (fleet, namespace) = world(&[]).await;
    let without = namespace.apply::<Engine>("early", spec("crs", "later")).await;
    namespace
        .condition::<Engine>("early", ("Accepted", "False", "TargetNotFound"))
        .await;
    gateway(&namespace, "later").await;
    namespace.condition::<Engine>("early", READY).await;
    assert!(without.uid().is_some());

    engine(&namespace, "waf").await;
    namespace.condition::<Engine>("waf", READY).await;
    engine(&namespace, "waf-2").await;
    let condition = namespace
        .condition::<Engine>("waf-2", ("Ready", "False", "TargetConflict"))
        .await;
    assert!(condition.message.contains("Engine waf"), "{}", condition.message);
    assert!(
        WASM_PLUGIN
            .get(&namespace.client, &namespace.name, "coraza-engine-waf-2")
            .await
            .is_none()
    );
    namespace.apply::<Engine>("waf", spec("crs", "elsewhere")).await;
    namespace.condition::<Engine>("waf-2", READY).await;
    namespace
        .condition::<Engine>("waf", ("Accepted", "False", "TargetNotFound"))
        .await;
    until("the objects of the one that left to go", async || {
        match plugin(&namespace).await {
            None => Ok(()),
            Some(plugin) => Err(plugin.to_string()),
        }
    })
    .await;
    until("a policy for each that is accepted", async || {
        match policies(&fleet, &namespace).await.len() {
            2 => Ok(()),
            count => Err(count),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_ruleset_in_trouble_leaves_the_gateways_what_they_have() {
    let (fleet, namespace) = world(&[]).await;
    namespace.apply::<Engine>("new", spec("nowhere", "public")).await;
    namespace
        .condition::<Engine>("new", ("Degraded", "True", "RuleSetNotFound"))
        .await;
    assert!(
        WASM_PLUGIN
            .get(&namespace.client, &namespace.name, "coraza-engine-new")
            .await
            .is_none()
    );
    namespace.delete::<Engine>("new").await;

    engine(&namespace, "waf").await;
    namespace.condition::<Engine>("waf", READY).await;
    let good = plugin(&namespace).await.expect("a WasmPlugin");
    namespace.source("rules", "SecNonsense On").await;
    let condition = namespace
        .condition::<Engine>("waf", ("Degraded", "True", "RuleSetDegraded"))
        .await;
    assert!(condition.message.contains("SecNonsense"), "{}", condition.message);
    namespace.delete::<coraza_api::RuleSet>("crs").await;
    namespace
        .condition::<Engine>("waf", ("Ready", "False", "RuleSetNotFound"))
        .await;
    assert_eq!(plugin(&namespace).await.expect("a WasmPlugin")["spec"], good["spec"]);
    answers(&fleet, &format!("/rules/{}/crs", namespace.name), &token(&good), 200).await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    namespace.condition::<Engine>("waf", READY).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn names_of_any_length_and_leftovers_of_others_do_no_harm() {
    let (fleet, namespace) = world(&[]).await;
    let long = format!("a{}", "b".repeat(252));
    namespace.apply::<Engine>(&long, spec("crs", "public")).await;
    namespace.condition::<Engine>(&long, READY).await;
    let policy = policies(&fleet, &namespace).await.remove(0);
    assert_eq!(policy.annotations()["waf.k8s.coraza.io/engine-name"], long);
    namespace.delete::<Engine>(&long).await;

    // Somebody else's WasmPlugin of the name.
    let theirs = json!({"url": "oci://theirs.example/plugin:1"});
    WASM_PLUGIN
        .apply(&namespace.client, &namespace.name, PLUGIN, theirs.clone())
        .await;
    engine(&namespace, "waf").await;
    let condition = namespace
        .condition::<Engine>("waf", ("Degraded", "True", "ProvisioningFailed"))
        .await;
    assert!(condition.message.contains(PLUGIN), "{}", condition.message);
    assert_eq!(plugin(&namespace).await.expect("theirs")["spec"], theirs);
    WASM_PLUGIN.delete(&namespace.client, &namespace.name, PLUGIN).await;
    namespace.condition::<Engine>("waf", READY).await;

    // The Go operator's finalizer is gone as soon as it is seen.
    let finalizers =
        json!({"metadata": {"finalizers": ["waf.k8s.coraza.io/network-policy-cleanup", "example.com/keep"]}});
    let engines = namespace.api::<Engine>();
    engines
        .patch("waf", &PatchParams::default(), &Patch::Merge(finalizers))
        .await
        .expect("patched");
    until("the finalizer to go", async || {
        let engine = engines.get("waf").await.map_err(|error| error.to_string())?;
        let finalizers = engine.finalizers().to_vec();
        if finalizers == ["example.com/keep"] {
            Ok(())
        } else {
            Err(format!("{finalizers:?}"))
        }
    })
    .await;
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    engines
        .patch("waf", &PatchParams::default(), &none)
        .await
        .expect("patched");
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_mesh_is_told_of_the_caches_for_as_long_as_they_are_there() {
    let (fleet, namespace) = world(&[]).await;
    let client = &namespace.client;
    let told = async |kind: &Kind, what: &str, good: &dyn Fn(&Value) -> bool| {
        until(what, async || {
            let found = kind
                .get(client, &fleet.namespace, "coraza-controller-ruleset-cache")
                .await;
            let found = found.ok_or_else(|| "there is none".to_owned())?;
            if good(&found) {
                Ok(found)
            } else {
                Err(found.to_string())
            }
        })
        .await
    };
    let host = format!("coraza-cache.{}.svc.cluster.local", fleet.namespace);
    let entry = told(&SERVICE_ENTRY, "a ServiceEntry", &|entry| {
        entry["spec"]["hosts"][0] == host.as_str()
    })
    .await;
    let rule = told(&DESTINATION_RULE, "a DestinationRule", &|rule| {
        rule["spec"]["host"] == host.as_str()
    })
    .await;
    assert_eq!(rule["spec"]["trafficPolicy"]["tls"]["mode"], "DISABLE");
    let edit = Patch::Merge(json!({"spec": {"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}}));
    let rules = DESTINATION_RULE.within(client, &fleet.namespace);
    rules
        .patch("coraza-controller-ruleset-cache", &PatchParams::default(), &edit)
        .await
        .expect("edited");
    told(&DESTINATION_RULE, "the edit to be taken back", &|now| {
        now["spec"] == rule["spec"]
    })
    .await;
    SERVICE_ENTRY
        .delete(client, &fleet.namespace, "coraza-controller-ruleset-cache")
        .await;
    told(&SERVICE_ENTRY, "another ServiceEntry", &|now| {
        now["spec"] == entry["spec"]
    })
    .await;

    let labels = json!({"app": "coraza"});
    let deployment = serde_json::from_value(
        json!({"metadata": {"name": "coraza-controller"}, "spec": {"replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}}}),
    )
    .expect("a Deployment");
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(client.clone(), &fleet.namespace);
    let created = deployments
        .create(&PostParams::default(), &deployment)
        .await
        .expect("created");
    let uid = created.uid().expect("a UID");
    let owned = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"] == uid.as_str();
    told(&SERVICE_ENTRY, "the Deployment to own the ServiceEntry", &owned).await;
    told(&DESTINATION_RULE, "the Deployment to own the DestinationRule", &owned).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn without_istio_an_engine_says_so_and_is_provisioned_when_istio_comes() {
    install_mesh().await;
    // First the fleet, which no other test has while this one does.
    let mut fleet = Fleet::start(Size::of(1, 1).controller_flags(&FLAGS)).await;
    kubectl(&[
        "delete",
        "crd",
        "wasmplugins.extensions.istio.io",
        "telemetries.telemetry.istio.io",
    ]);
    fleet.controllers[0].restart();
    fleet.ready().await;
    let namespace = Namespace::create().await;
    gateway(&namespace, "public").await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    namespace.ready("crs").await;
    engine(&namespace, "waf").await;
    let condition = namespace
        .condition::<Engine>("waf", ("Degraded", "True", "ProvisioningFailed"))
        .await;
    assert!(condition.message.contains("WasmPlugin"), "{}", condition.message);
    let metrics = fleet.controllers[0].page("/metrics").await.expect("metrics").text();
    assert!(metrics.contains("coraza_watch_up{kind=\"WasmPlugin\"} 0"), "{metrics}");
    coraza_e2e::cluster::apply(&[&environment().istio_crds]);
    namespace.condition::<Engine>("waf", READY).await;
    // It goes away again: the last token is kept for when it comes back.
    kubectl(&["delete", "crd", "wasmplugins.extensions.istio.io"]);
    namespace
        .condition::<Engine>("waf", ("Degraded", "True", "ProvisioningFailed"))
        .await;
    coraza_e2e::cluster::apply(&[&environment().istio_crds]);
    namespace.condition::<Engine>("waf", READY).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_controller_has_no_right_that_it_does_not_need() {
    let (fleet, namespace) = world(&[]).await;
    let kubeconfig = Kubeconfig::read_from(&environment().cluster.controller_kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("usable");
    let controller = Client::try_from(config).expect("a client");
    let forbidden = |what: &str, error: Option<kube::Error>| match error {
        Some(kube::Error::Api(status)) if status.code == 403 => {}
        other => panic!("{what} is not forbidden: {other:?}"),
    };

    let accounts: Api<ServiceAccount> = Api::namespaced(controller.clone(), &fleet.namespace);
    let token = async |accounts: &Api<ServiceAccount>, name: &str| {
        accounts
            .create_token_request(name, &PostParams::default(), &TokenRequest::default())
            .await
    };
    token(&accounts, "coraza-plugin").await.expect("the one that it may");
    forbidden(
        "another ServiceAccount's token",
        token(&accounts, "default").await.err(),
    );
    forbidden("ServiceAccounts", accounts.list(&ListParams::default()).await.err());
    let elsewhere: Api<ServiceAccount> = Api::namespaced(controller.clone(), &namespace.name);
    forbidden(
        "a token in another namespace",
        token(&elsewhere, "coraza-plugin").await.err(),
    );

    let secrets: Api<Secret> = Api::all(controller.clone());
    forbidden("Secrets", secrets.list(&ListParams::default()).await.err());
    let secrets: Api<Secret> = Api::namespaced(controller.clone(), &fleet.namespace);
    forbidden("its own Secrets", secrets.list(&ListParams::default()).await.err());
    let maps: Api<ConfigMap> = Api::all(controller.clone());
    forbidden("ConfigMaps", maps.list(&ListParams::default()).await.err());
    let policies: Api<NetworkPolicy> = Api::namespaced(controller.clone(), &namespace.name);
    forbidden(
        "NetworkPolicies elsewhere",
        policies.list(&ListParams::default()).await.err(),
    );
    let pods: Api<Pod> = Api::namespaced(controller.clone(), &namespace.name);
    forbidden("deleting Pods", pods.delete("x", &DeleteParams::default()).await.err());
    let engines: Api<Engine> = Api::namespaced(controller, &namespace.name);
    forbidden(
        "deleting Engines",
        engines.delete("x", &DeleteParams::default()).await.err(),
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_embedded_plugin_is_the_one_that_caches_tell_of() {
    install_mesh().await;
    let mut fleet = Fleet::start(Size::of(1, 0)).await;
    let namespace = Namespace::create().await;
    gateway(&namespace, "public").await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("crs", &["rules"], &[]).await;
    engine(&namespace, "waf").await;
    namespace
        .condition::<Engine>("waf", ("Ready", "False", "AwaitingCache"))
        .await;
    assert!(plugin(&namespace).await.is_none());

    let module = wasm::echo();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &module).expect("written");
    let mut settings = fleet.cache_settings();
    settings.flags.push(format!("--plugin-file={}", file.path().display()));
    fleet.caches.push(Cache::start(settings));
    namespace.condition::<Engine>("waf", READY).await;
    let digest: String = Sha256::digest(&module)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let spec = plugin(&namespace).await.expect("a WasmPlugin")["spec"].clone();
    assert_eq!(spec["sha256"], digest);
    let host = format!("coraza-cache.{}.svc.cluster.local:18081", fleet.namespace);
    assert_eq!(spec["url"], format!("http://{host}/plugins/coraza-{digest}.wasm"));
}
