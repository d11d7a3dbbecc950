//! What we write of Istio's kinds: the fields that we set, under the names that Istio's CRDs give them.
//!
//! A field that we don't set isn't here. The controller compares specifications as JSON, so what others set is seen all the same.

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which pods of the object's namespace are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// The labels that each of them has.
    pub match_labels: BTreeMap<String, String>,
}

/// A WebAssembly module in the filter chain of the selected proxies.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "extensions.istio.io",
    version = "v1alpha1",
    kind = "WasmPlugin",
    plural = "wasmplugins",
    namespaced,
    schema = "disabled",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct WasmPluginSpec {
    /// The proxies.
    pub selector: Selector,
    /// Where the module is: `oci://`, `http://` or `https://`.
    pub url: String,
    /// The SHA-256 of the module (of the manifest for `oci://`), in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether a module that was pulled before is pulled again.
    pub image_pull_policy: PullPolicy,
    /// A Secret of the object's namespace to pull with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secret: Option<String>,
    /// Where in the filter chain.
    pub phase: Phase,
    /// The order within the phase: the highest first.
    pub priority: i32,
    /// What a proxy does when the module can't be loaded or fails.
    pub fail_strategy: FailStrategy,
    /// What the module is told.
    pub plugin_config: Map<String, Value>,
}

/// Whether a module that was pulled before is pulled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Not if it is there.
    IfNotPresent,
    /// With each configuration.
    Always,
}

/// Where in the filter chain a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Before Istio's authentication filters.
    #[serde(rename = "AUTHN")]
    Authn,
}

/// What a proxy does when a module can't be loaded or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailStrategy {
    /// It refuses requests.
    FailClose,
    /// It lets requests pass.
    FailOpen,
    /// It refuses requests and starts the module anew. Not every Istio has it.
    FailReload,
}

/// What a proxy tells about its traffic.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "telemetry.istio.io",
    version = "v1",
    kind = "Telemetry",
    plural = "telemetries",
    namespaced,
    schema = "disabled",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySpec {
    /// The proxies.
    pub selector: Selector,
    /// Who gets the access logs.
    pub access_logging: Vec<AccessLogging>,
}

/// Who gets access logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogging {
    /// Names of extension providers in Istio's mesh configuration.
    pub providers: Vec<ProviderReference>,
}

/// An extension provider of Istio's mesh configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderReference {
    /// Its name.
    pub name: String,
}

/// A host that the mesh knows.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "ServiceEntry",
    plural = "serviceentries",
    namespaced,
    schema = "disabled",
    crates(kube_core = "::kube_core")
)]
pub struct ServiceEntrySpec {
    /// Its names.
    pub hosts: Vec<String>,
    /// Where it listens.
    pub ports: Vec<ServiceEntryPort>,
    /// `MESH_INTERNAL` or `MESH_EXTERNAL`
    pub location: String,
    /// `DNS`, `STATIC` or `NONE`
    pub resolution: String,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
}

/// Where a host listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntryPort {
    /// The port.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// What is spoken there.
    pub protocol: String,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// A name or an IP address.
    pub address: String,
}

/// How the mesh talks to a host.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "DestinationRule",
    plural = "destinationrules",
    namespaced,
    schema = "disabled",
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    /// The host.
    pub host: String,
    /// How.
    pub traffic_policy: TrafficPolicy,
}

/// How the mesh talks to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// By which transport security.
    pub tls: TlsSettings,
    /// Ports with which it is otherwise. What is said for a port counts alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_level_settings: Vec<PortPolicy>,
}

/// How the mesh talks to a port of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPolicy {
    /// The port.
    pub port: PortSelector,
    /// By which transport security.
    pub tls: TlsSettings,
}

/// A port of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSelector {
    /// Its number.
    pub number: u16,
}

/// By which transport security the mesh talks to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSettings {
    /// `DISABLE` is none, `SIMPLE` is TLS without a certificate of the client's.
    pub mode: String,
    /// Where the CA is that the host is verified by: a Secret in the proxy's namespace, or `configmap://<namespace>/<name>` since 1.26.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_name: Option<String>,
    /// The same, as a file of the proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
    /// Names of which the host must prove one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
    /// The name that the host is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_core::Resource as _;
    use serde_json::json;

    #[test]
    fn words_are_istio_s() {
        let spec = WasmPluginSpec {
            selector: Selector {
                match_labels: [("a".to_owned(), "b".to_owned())].into(),
            },
            url: "oci://registry.example/plugin:1".to_owned(),
            sha256: None,
            image_pull_policy: PullPolicy::IfNotPresent,
            image_pull_secret: Some("regcred".to_owned()),
            phase: Phase::Authn,
            priority: 1,
            fail_strategy: FailStrategy::FailReload,
            plugin_config: Map::new(),
        };
        let expected = json!({
            "selector": {"matchLabels": {"a": "b"}}, "url": "oci://registry.example/plugin:1",
            "imagePullPolicy": "IfNotPresent", "imagePullSecret": "regcred", "phase": "AUTHN", "priority": 1,
            "failStrategy": "FAIL_RELOAD", "pluginConfig": {},
        });
        assert_eq!(serde_json::to_value(spec).unwrap(), expected);
        assert_eq!(
            WasmPlugin::url_path(&(), Some("shop")),
            "/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins"
        );
    }
}
