//! `Facts`: all that `doctor` looks at, as values. The checks take them and ask nobody; [`gather`](super::gather) fills them in.

use std::collections::{BTreeMap, BTreeSet};

use coraza_api::{Engine, RuleSet};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;

use crate::caches::{Document, Leader};
use crate::doctor::certificate::Files;
use crate::doctor::finding::Known;

/// The name of the Service's port with the rules: the Go chart's, too.
pub(crate) const RULES_PORT: &str = "http-ruleset-cache-server";
/// The name of the Service's port with the plugin.
pub(crate) const PLUGIN_PORT: &str = "http-plugin";

/// All that is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// When.
    pub(crate) now: Timestamp,
    /// The version of this tool.
    pub(crate) version: String,
    /// What the API server says of itself, such as `v1.37.2`.
    pub(crate) kubernetes: Known<String>,
    /// All that are installed, ours and others'.
    pub(crate) crds: Known<Vec<CustomResourceDefinition>>,
    /// Where the operator runs, and what it is made of.
    pub(crate) operator: Known<Option<Operator>>,
    /// The control planes of Istio.
    pub(crate) istio: Known<Vec<ControlPlane>>,
    /// Labels of the namespaces, by name.
    pub(crate) namespaces: Known<BTreeMap<String, BTreeMap<String, String>>>,
    /// All Engines, or those of one namespace.
    pub(crate) engines: Known<Vec<Engine>>,
    /// All RuleSets, or those of one namespace.
    pub(crate) rule_sets: Known<Vec<RuleSet>>,
    /// The Gateways' classes, by namespace and name.
    pub(crate) gateways: Known<BTreeMap<(String, String), String>>,
    /// The names of the classes' controllers, by class.
    pub(crate) classes: Known<BTreeMap<String, String>>,
    /// The WasmPlugins, by namespace and name.
    pub(crate) plugins: Known<BTreeMap<(String, String), Plugin>>,
    /// Which of the Secrets that Engines name to pull their plugin with exist, by namespace and name.
    pub(crate) pull_secrets: BTreeMap<(String, String), Known<bool>>,
    /// The ServiceAccounts that the Go operator made for Engines.
    pub(crate) go_accounts: Known<Vec<ServiceAccount>>,
    /// The Deployments of the Go operator.
    pub(crate) go_deployments: Known<Vec<Deployment>>,
}

/// The operator.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    pub(crate) namespace: String,
    pub(crate) controller: Known<Option<Deployment>>,
    pub(crate) cache: Known<Option<Deployment>>,
    /// Those of both Deployments.
    pub(crate) pods: Known<Vec<Pod>>,
    pub(crate) lease: Known<Option<Lease>>,
    /// The caches' Service.
    pub(crate) service: Known<Option<Service>>,
    pub(crate) endpoints: Known<Vec<EndpointSlice>>,
    /// The status code of a request for rules without a token, sent through the API server.
    pub(crate) answer: Known<u16>,
    /// The leader's page about its caches.
    pub(crate) caches: Known<(Leader, Document)>,
    pub(crate) certificates: Vec<CertificateSecret>,
    /// The Secret of the controller's own CA; nothing if certificates are somebody else's.
    pub(crate) authority: Option<AuthoritySecret>,
    /// What each ServiceAccount may not do of what it must: who, and what in words.
    pub(crate) lacking_rights: Known<Vec<(String, String)>>,
}

/// A Secret with a certificate, of a component.
#[derive(Debug, Clone)]
pub(crate) struct CertificateSecret {
    /// `controller` or `cache`.
    pub(crate) component: &'static str,
    pub(crate) for_use: Use,
    pub(crate) name: String,
    /// Its files; nothing if there is none.
    pub(crate) files: Known<Option<Files>>,
}

/// The Secret of the controller's own CA.
#[derive(Debug, Clone)]
pub(crate) struct AuthoritySecret {
    pub(crate) name: String,
    /// Its files; nothing if there is none.
    pub(crate) files: Known<Option<Files>>,
}

/// Whom a certificate is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The other component (`--tls-dir`).
    Peers,
    /// Callers of its HTTP (`--http-tls-dir` and others).
    Callers,
}

/// A control plane of Istio.
#[derive(Debug, Clone, Default)]
pub(crate) struct ControlPlane {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// `default` or another one.
    pub(crate) revision: String,
    /// The tag of its image.
    pub(crate) version: String,
    pub(crate) ready: i32,
    pub(crate) environment: BTreeMap<String, String>,
    /// The mesh's configuration, as far as it could be read.
    pub(crate) mesh: Option<serde_json::Value>,
    /// Why not, if it couldn't.
    pub(crate) mesh_unknown: Option<String>,
}

/// A WasmPlugin, as far as it matters; it has a token that must not be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// The UIDs of its owners.
    pub(crate) owners: BTreeSet<String>,
    pub(crate) url: String,
    /// The digest of its module; none is empty.
    pub(crate) sha256: String,
    /// Envoy's name of the caches.
    pub(crate) cluster: String,
    /// When its token expires, in seconds since 1970.
    pub(crate) token_expires: Option<i64>,
    /// When it was issued.
    pub(crate) token_issued: Option<i64>,
}
