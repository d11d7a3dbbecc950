//! From a resolved Engine to the objects that enforce it. Pure, and can't fail: whatever could was resolved before.

use std::collections::BTreeMap;

use coraza_api::engine::FailurePolicy;
use coraza_api::istio::{
    AccessLogging, FailStrategy, Phase, ProviderReference, PullPolicy, Selector, TelemetrySpec, WasmPluginSpec,
};
use coraza_api::metadata::{annotation, label};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::engine::child::{Child, managed_by};
use crate::engine::module::Module;
use crate::engine::name;
use crate::engine::resolve::ResolvedEngine;
use crate::engine::settings::Settings;
use crate::watch::object::ObjectKey;

/// Before any other plugin of the phase that doesn't ask for more.
const PRIORITY: i32 = 1000;
/// The extension provider of the mesh that takes access logs, as the platform that annotates GatewayClasses names it.
const LOG_PROVIDER: &str = "waf-log-collector";
/// The key of the plugin's configuration that the controller changes to make Istio push once more.
pub const REDRIVE: &str = "redrive";
/// The key of the plugin's configuration with the token.
pub const TOKEN: &str = "cache_token";
/// The key of the plugin's configuration with the RuleSet.
pub const INSTANCE: &str = "cache_server_instance";

/// What a WasmPlugin says beyond what its Engine asks for.
#[derive(Debug, Clone)]
pub struct Plugin<'a> {
    /// The module.
    pub module: &'a Module,
    /// The token.
    pub token: &'a str,
    /// Whether Istio has `FAIL_RELOAD`.
    pub fail_reload: bool,
    /// How often Istio was made to push once more; as it was if nobody asked.
    pub redrive: Option<Value>,
}

/// The WasmPlugin of an Engine.
#[must_use]
pub fn plugin(engine: &ResolvedEngine, settings: &Settings, plugin: &Plugin<'_>) -> Child {
    let Plugin {
        module,
        token,
        fail_reload,
        redrive,
    } = plugin;
    let (policy, fail_strategy) = match (engine.failure_policy, fail_reload) {
        (FailurePolicy::Allow, _) => ("allow", FailStrategy::FailOpen),
        (FailurePolicy::Fail, true) => ("fail", FailStrategy::FailReload),
        (FailurePolicy::Fail, false) => ("fail", FailStrategy::FailClose),
    };
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| drop(config.insert(name.to_owned(), value));
    set("cache_server_cluster", settings.envoy_cluster.as_str().into());
    set(INSTANCE, engine.ruleset.to_string().into());
    set(TOKEN, (*token).into());
    set("rule_reload_interval_seconds", engine.poll_interval_seconds.into());
    set("failure_policy", policy.into());
    set("engine", (&*engine.key.name).into());
    set("namespace", (&*engine.key.namespace).into());
    set("engine_uid", engine.uid.as_str().into());
    set("driver_type", "wasm".into());
    // What is written on a block only, for access logs that ask for it.
    set("enable_filter_state_logs", true.into());
    if let Some(redrive) = redrive {
        set(REDRIVE, redrive.clone());
    }
    let spec = WasmPluginSpec {
        selector: selector(engine),
        url: module.url.clone(),
        sha256: module.sha256.clone(),
        image_pull_policy: if module.moves() {
            PullPolicy::Always
        } else {
            PullPolicy::IfNotPresent
        },
        image_pull_secret: engine.pull_secret.clone(),
        phase: Phase::Authn,
        priority: PRIORITY,
        fail_strategy,
        plugin_config: config,
    };
    Child {
        key: name::plugin(&engine.key),
        labels: istio_labels(settings),
        annotations: BTreeMap::new(),
        owner: Some(owner(engine)),
        spec: json(spec),
    }
}

/// The Telemetry of an Engine whose access logs a collector takes.
#[must_use]
pub fn telemetry(engine: &ResolvedEngine, settings: &Settings) -> Child {
    let mut labels = istio_labels(settings);
    labels.insert(label::ENGINE.to_owned(), name::label(&engine.key.name));
    let provider = ProviderReference {
        name: LOG_PROVIDER.to_owned(),
    };
    let spec = TelemetrySpec {
        selector: selector(engine),
        access_logging: vec![AccessLogging {
            providers: vec![provider],
        }],
    };
    Child {
        key: name::telemetry(&engine.key),
        labels,
        annotations: BTreeMap::new(),
        owner: Some(owner(engine)),
        spec: json(spec),
    }
}

/// What lets the Gateway's pods, and no others of the namespace, reach the caches. It is in another namespace than its Engine, so no owner
/// reference can tie it to that.
#[must_use]
pub fn policy(engine: &ResolvedEngine, settings: &Settings) -> Child {
    let ObjectKey { namespace, name } = &engine.key;
    let port = |port: u16| json!({"protocol": "TCP", "port": port});
    let spec = json!({
        "podSelector": {"matchLabels": settings.cache_pods},
        "policyTypes": ["Ingress"],
        "ingress": [{
            "from": [{
                "namespaceSelector": {"matchLabels": {label::NAMESPACE_NAME: namespace}},
                "podSelector": selector(engine),
            }],
            "ports": [port(settings.rules_port), port(settings.plugin_port)],
        }],
    });
    let labels = [
        managed_by(),
        (label::ENGINE_NAMESPACE.to_owned(), namespace.to_string()),
        (label::ENGINE_NAME.to_owned(), name::label(name)),
    ];
    let annotations = [
        (annotation::ENGINE_NAMESPACE, &**namespace),
        (annotation::ENGINE_NAME, name),
        (annotation::ENGINE_UID, &engine.uid),
    ];
    Child {
        key: name::policy(&settings.namespace, &engine.uid),
        labels: labels.into(),
        annotations: annotations
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        owner: None,
        spec,
    }
}

fn selector(engine: &ResolvedEngine) -> Selector {
    Selector {
        match_labels: [(label::GATEWAY_NAME.to_owned(), engine.gateway.to_string())].into(),
    }
}

/// The labels of every object that is for one Istio control plane.
#[must_use]
pub fn istio_labels(settings: &Settings) -> BTreeMap<String, String> {
    let revision = settings.istio_revision.iter();
    revision
        .map(|revision| (label::ISTIO_REVISION.to_owned(), revision.clone()))
        .collect()
}

fn owner(engine: &ResolvedEngine) -> OwnerReference {
    OwnerReference {
        api_version: coraza_api::Engine::api_version(&()).into_owned(),
        kind: coraza_api::Engine::kind(&()).into_owned(),
        name: engine.key.name.to_string(),
        uid: engine.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Strings, numbers, lists and maps of strings always make JSON.
pub(crate) fn json(spec: impl Serialize) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

#[cfg(test)]
mod tests;
