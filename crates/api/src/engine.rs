//! `Engine`: which RuleSet is enforced where, and how.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::RevisionStatus;

/// How often a gateway asks for new rules when nothing else is said, in seconds.
pub const DEFAULT_POLL_INTERVAL_SECONDS: i32 = 15;

/// Which RuleSet, on which target, with which driver.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "waf.k8s.coraza.io",
    version = "v1alpha1",
    kind = "Engine",
    plural = "engines",
    namespaced,
    status = "EngineStatus",
    derive = "PartialEq",
    doc = "A web application firewall in front of everything behind one Gateway.",
    shortname = "wafeng",
    category = "coraza",
    category = "waf",
    printcolumn(name = "RuleSet", type_ = "string", json_path = ".spec.ruleSet.name"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.target.provider"),
    printcolumn(name = "Target Type", type_ = "string", json_path = ".spec.target.type"),
    printcolumn(name = "Target Name", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Failure Policy", type_ = "string", json_path = ".spec.failurePolicy"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Enforced")].status"#
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.revision.uuid",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    crates(kube_core = "::kube_core")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::kubernetes)]
pub struct EngineSpec {
    /// The RuleSet to enforce, of this namespace.
    pub rule_set: RuleSetReference,
    /// What to put the firewall in front of.
    pub target: Target,
    /// What happens to a request that can't be checked, because rules are missing or the firewall fails: `fail` refuses it,
    /// `allow` lets it pass.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// How gateways ask for new rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set_cache_server: Option<RuleSetCacheServer>,
    /// How the firewall gets into the gateway; the operator's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// What the gateway tells about the firewall's work; as much as `mode: Disabled` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
}

impl EngineSpec {
    /// How often a gateway asks for new rules, in seconds: as said, else every 15.
    #[must_use]
    pub fn poll_interval_seconds(&self) -> i32 {
        self.rule_set_cache_server
            .as_ref()
            .map_or(DEFAULT_POLL_INTERVAL_SECONDS, |server| server.poll_interval_seconds)
    }
}

/// A RuleSet by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSetReference {
    /// The RuleSet's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What an Engine protects.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("!has(oldSelf.provider) || has(self.provider)")
        .message("provider can't be removed once it is set: delete the Engine and create it again").field_path(".provider")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::kubernetes)]
pub struct Target {
    /// What kind of object the target is.
    #[serde(rename = "type")]
    pub target_type: TargetType,
    /// The target's name, in this namespace.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("name must be a DNS-1035 label: lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit"))]
    pub name: String,
    /// Who implements the target. It can't be changed: what was set up with one provider is not cleared away by another.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("provider can't be changed: delete the Engine and create it again"))]
    pub provider: Provider,
}

/// What kind of object an Engine protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetType {
    /// A Gateway of the Gateway API.
    Gateway,
}

/// Who implements a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Provider {
    /// Istio.
    #[default]
    Istio,
}

/// What happens to a request that can't be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// It is refused.
    #[default]
    Fail,
    /// It passes unchecked.
    Allow,
}

/// How gateways ask for new rules.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::kubernetes)]
pub struct RuleSetCacheServer {
    /// How often a gateway asks, in seconds.
    #[serde(default = "default_poll_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub poll_interval_seconds: i32,
}

fn default_poll_interval_seconds() -> i32 {
    DEFAULT_POLL_INTERVAL_SECONDS
}

/// How the firewall gets into the gateway.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = Rule::new("self.type != 'wasm' || has(self.wasm)")
        .message("driver type wasm needs the object driver.wasm; `wasm: {}` takes the operator's defaults").field_path(".wasm")
)]
#[schemars(transform = crate::schema::kubernetes)]
pub struct Driver {
    /// Which way.
    #[serde(rename = "type")]
    pub driver_type: DriverType,
    /// For the type wasm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasm: Option<WasmDriver>,
}

/// The ways into a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriverType {
    /// A WebAssembly module, loaded through Istio's WasmPlugin.
    Wasm,
}

/// Which WebAssembly module.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[schemars(transform = crate::schema::kubernetes)]
pub struct WasmDriver {
    /// The module's OCI image; the operator's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('oci://')")
        .message("image must be an OCI reference that begins with oci://, such as oci://registry.example/plugin:1.0"))]
    pub image: Option<String>,
    /// A Secret of type kubernetes.io/dockerconfigjson in this namespace, to pull the image with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub image_pull_secret: Option<String>,
}

/// What the gateway tells about the firewall's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Observability {
    /// Whether access logs carry the firewall's findings: `Enabled` or `Disabled`.
    pub mode: ObservabilityMode,
}

/// Whether access logs carry the firewall's findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ObservabilityMode {
    /// They do.
    Enabled,
    /// They don't.
    Disabled,
}

/// What is known about an Engine.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes)]
pub struct EngineStatus {
    /// Accepted, Ready, Enforced, Progressing, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The last good revision of the RuleSet: what the gateways go on enforcing when the RuleSet is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionStatus>,
    /// What the gateway pods reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

/// What the gateway pods of an Engine reported. A pod that is neither current nor stale hasn't reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::kubernetes)]
pub struct Enforcement {
    /// The uuid of the revision that the pods should run.
    pub desired: String,
    /// How many pods are ready, each of which should run it.
    #[schemars(range(min = 0))]
    pub expected: u32,
    /// How many pods reported that they run it.
    #[schemars(range(min = 0))]
    pub current: u32,
    /// How many pods reported that they run another revision.
    #[schemars(range(min = 0))]
    pub stale: u32,
    /// Since when it is so.
    pub since: Time,
}
