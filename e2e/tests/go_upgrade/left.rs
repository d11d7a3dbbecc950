//! What the Go operator had made, and left when it ended.

use coraza_api::{Engine, RuleSet};
use coraza_e2e::namespace::Namespaced;
use coraza_e2e::object::{DESTINATION_RULE, GATEWAY, SERVICE_ENTRY, WASM_PLUGIN};
use coraza_e2e::{Namespace, Release, token};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::PLUGIN;

const FINALIZER: &str = "waf.k8s.coraza.io/network-policy-cleanup";

/// What the Go operator had made, and left when it ended.
pub(crate) struct Left {
    pub(crate) namespace: Namespace,
    pub(crate) service: Service,
    pub(crate) engine_uid: String,
    pub(crate) account: String,
    pub(crate) token: String,
    pub(crate) plugin: Value,
}

impl Left {
    pub(crate) async fn by_the_go_operator(release: &Release, namespace: Namespace) -> Self {
        let service = release.api::<Service>().get(&release.full_name()).await.unwrap();
        lease(release).await;
        rules(&namespace).await;
        let listener = json!({"name": "http", "port": 8080, "protocol": "HTTP"});
        let gateway = json!({"gatewayClassName": "istio", "listeners": [listener]});
        GATEWAY.apply(&release.client, &namespace.name, "public", gateway).await;

        let engine = engine(&namespace, "waf", "public", &[FINALIZER, "example.com/other"]).await;
        let leaving = self::engine(&namespace, "leaving", "closed", &[FINALIZER]).await;
        namespace.delete::<Engine>("leaving").await;
        for (engine, number) in [
            (engine.name_any(), 1),
            (leaving.name_any(), 2),
            ("vanished".to_owned(), 3),
        ] {
            policy(release, &namespace, &engine, number).await;
        }
        let somebody_s: NetworkPolicy = serde_json::from_value(json!({
            "metadata": {"name": "somebody-s"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }))
        .unwrap();
        release.api().create(&PostParams::default(), &somebody_s).await.unwrap();
        let deployment = release.api::<Deployment>().get(&release.full_name()).await.unwrap();
        told_the_mesh(release, &deployment).await;

        let account = account(&namespace, &engine).await;
        let token = token::request(
            &release.client,
            &namespace.name,
            &account,
            &token::audience(&namespace.name, "crs"),
        )
        .await;
        let plugin = plugin(release, &namespace, &engine, &token).await;
        Self {
            service,
            engine_uid: engine.uid().unwrap(),
            account,
            token,
            plugin,
            namespace,
        }
    }
}

/// Renewed just now, and not released.
async fn lease(release: &Release) {
    let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "waf.k8s.coraza.io"},
        "spec": {
            "holderIdentity": format!("{}-6f7d8-abcde_0b6c7a4e-0000-4000-8000-000000000000", release.full_name()),
            "leaseDurationSeconds": 15,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 3,
        },
    }))
    .unwrap();
    release.api().create(&PostParams::default(), &lease).await.unwrap();
}

/// A RuleSet that it was about to compile when it ended.
async fn rules(namespace: &Namespace) {
    namespace
        .source(
            "rules",
            "SecRuleEngine On\nSecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny\"",
        )
        .await;
    namespace.data("lists", &[("words.data", "evil\n")]).await;
    namespace.ruleset("crs", &["rules"], &["lists"]).await;
    let said = [
        condition("Ready", "False", "Reconciling", "Starting reconciliation"),
        condition("Progressing", "True", "Reconciling", "Starting reconciliation"),
        condition("Degraded", "True", "InvalidRuleSet", "Ruleset is invalid"),
    ];
    says::<RuleSet>(namespace, "crs", &said).await;
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-01T10:00:00Z",
    })
}

async fn says<K: Namespaced>(namespace: &Namespace, name: &str, conditions: &[Value]) {
    let status = json!({"status": {"conditions": conditions}});
    let written = namespace
        .api::<K>()
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await;
    written.unwrap();
}

async fn engine(namespace: &Namespace, name: &str, gateway: &str, finalizers: &[&str]) -> Engine {
    let spec =
        json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": gateway}, "failurePolicy": "fail"});
    namespace.apply::<Engine>(name, spec).await;
    let finalizers = json!({"metadata": {"finalizers": finalizers}});
    let engines: Api<Engine> = namespace.api();
    let engine = engines
        .patch(name, &PatchParams::default(), &Patch::Merge(finalizers))
        .await
        .unwrap();
    let said = [
        condition(
            "Accepted",
            "True",
            "Accepted",
            "Target is available and not conflicting",
        ),
        condition("Ready", "False", "RuleSetDegraded", "RuleSet crs is degraded"),
        condition("Degraded", "True", "RuleSetDegraded", "RuleSet crs is degraded"),
        condition("Progressing", "True", "Reconciling", "Starting reconciliation"),
    ];
    says::<Engine>(namespace, name, &said).await;
    engine
}

/// Its name is the API server's: this one is as good as any.
async fn policy(release: &Release, namespace: &Namespace, engine: &str, number: u8) {
    let policy: NetworkPolicy = serde_json::from_value(json!({
        "metadata": {
            "name": format!("coraza-cache-x7k2{number}"),
            "generateName": "coraza-cache-",
            "labels": {
                "app.kubernetes.io/managed-by": "coraza-kubernetes-operator",
                "waf.k8s.coraza.io/engine-name": engine,
                "waf.k8s.coraza.io/engine-namespace": namespace.name,
            },
        },
        "spec": {
            "podSelector": {"matchLabels": {"control-plane": "coraza-controller-manager"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                    "podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": "public"}},
                }],
                "ports": [{"protocol": "TCP", "port": 18080}],
            }],
        },
    }))
    .unwrap();
    release.api().create(&PostParams::default(), &policy).await.unwrap();
}

async fn told_the_mesh(release: &Release, deployment: &Deployment) {
    let full_name = release.full_name();
    let host = format!("{full_name}.{}.svc.cluster.local", release.namespace);
    let port = json!({"number": 80, "name": "http-ruleset-cache-server", "protocol": "HTTP"});
    let entry = json!({
        "hosts": [host],
        "ports": [port],
        "location": "MESH_INTERNAL",
        "resolution": "DNS",
        "endpoints": [{"address": host}],
    });
    let rule = json!({"host": host, "trafficPolicy": {"tls": {"mode": "DISABLE"}}});
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": full_name, "uid": deployment.uid()});
    for (kind, spec) in [(SERVICE_ENTRY, entry), (DESTINATION_RULE, rule)] {
        let name = format!("{full_name}-ruleset-cache");
        kind.apply(&release.client, &release.namespace, &name, spec).await;
        owned(&kind.within(&release.client, &release.namespace), &name, &owner).await;
    }
}

/// Gives an object an owner and what the Go operator's writes have besides.
async fn owned(api: &Api<DynamicObject>, name: &str, owner: &Value) {
    let metadata = json!({"metadata": {"ownerReferences": [owner]}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(metadata))
        .await
        .unwrap();
}

fn owner(engine: &Engine) -> Value {
    json!({
        "apiVersion": "waf.k8s.coraza.io/v1alpha1",
        "kind": "Engine",
        "name": engine.name_any(),
        "uid": engine.uid(),
        "controller": true,
    })
}

async fn account(namespace: &Namespace, engine: &Engine) -> String {
    let account: ServiceAccount = serde_json::from_value(json!({
        "metadata": {
            "generateName": "coraza-engine-",
            "labels": {
                "app.kubernetes.io/managed-by": "coraza-kubernetes-operator",
                "app.kubernetes.io/component": "cache-client",
                "app.kubernetes.io/instance": engine.name_any(),
            },
            "ownerReferences": [owner(engine)],
        },
    }))
    .unwrap();
    namespace
        .api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await
        .unwrap()
        .name_any()
}

/// Applied by the field manager that the two operators have in common.
async fn plugin(release: &Release, namespace: &Namespace, engine: &Engine, token: &str) -> Value {
    let full_name = release.full_name();
    let mut owner = owner(engine);
    owner["blockOwnerDeletion"] = true.into();
    let object = json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": PLUGIN, "ownerReferences": [owner]},
        "spec": {
            "selector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": "public"}},
            "url": "oci://ghcr.io/networking-incubator/coraza-proxy-wasm:9ca29e4f4cf3a8c1710a7ed7a8ec399b56cb7296",
            "pluginConfig": {
                "cache_server_instance": format!("{}/crs", namespace.name),
                "cache_server_cluster": format!("outbound|80||{full_name}.{}.svc.cluster.local", release.namespace),
                "failure_policy": "fail",
                "cache_token": token,
            },
        },
    });
    let parameters = PatchParams::apply("coraza-kubernetes-operator").force();
    let plugins = WASM_PLUGIN.within(&release.client, &namespace.name);
    let applied = plugins.patch(PLUGIN, &parameters, &Patch::Apply(object)).await.unwrap();
    serde_json::to_value(applied).unwrap()
}
