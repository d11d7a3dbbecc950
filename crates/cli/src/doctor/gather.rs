//! Gathers the facts. Client: reads, and asks what may be done; changes nothing.

mod istio;
mod operator;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coraza_api::gateway::{Gateway, GatewayClass};
use coraza_api::istio::WasmPlugin;
use coraza_api::{Engine, RuleSet};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::doctor::checks::pull_secret;
use crate::doctor::facts::{Facts, Plugin};
use crate::doctor::finding::{Known, Unknown};
use crate::output::chain;

/// How the Go operator's ServiceAccounts are labelled.
const GO_ACCOUNTS: &str =
    "app.kubernetes.io/managed-by=coraza-kubernetes-operator,app.kubernetes.io/component=cache-client";

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Engines and RuleSets of this namespace only.
    pub(crate) namespace: Option<String>,
    /// Where the operator runs, if somebody said it.
    pub(crate) operator_namespace: Option<String>,
}

/// Gathers all facts. What can't be had is a fact, too.
pub(crate) async fn gather(client: &Client, scope: &Scope) -> Facts {
    let deployments = known(all::<Deployment>(client, "").await);
    let crds = async {
        known(
            Api::<CustomResourceDefinition>::all(client.clone())
                .list(&ListParams::default())
                .await,
        )
        .map(|list| list.items)
    };
    let namespaces = async {
        known(Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await).map(|list| list.items)
    };
    let kubernetes = async { known(client.apiserver_version().await).map(|info| info.git_version) };
    let engines = async { known(of_scope::<Engine>(client, scope).await) };
    let rule_sets = async { known(of_scope::<RuleSet>(client, scope).await) };
    let (kubernetes, crds, namespaces, engines, rule_sets, gateways, classes, plugins, go_accounts, operator, istio) = tokio::join!(
        kubernetes,
        crds,
        namespaces,
        engines,
        rule_sets,
        gateways(client),
        classes(client),
        plugins(client),
        async { known(all::<ServiceAccount>(client, GO_ACCOUNTS).await) },
        operator::find(client, scope.operator_namespace.as_deref(), &deployments),
        istio::control_planes(client, &deployments),
    );
    Facts {
        now: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kubernetes,
        crds,
        operator,
        istio,
        namespaces: namespaces.map(|all| {
            all.into_iter()
                .map(|one| (one.name_any(), one.labels().clone()))
                .collect()
        }),
        pull_secrets: pull_secrets(client, engines.as_deref().unwrap_or_default()).await,
        engines,
        rule_sets,
        gateways,
        classes,
        plugins,
        go_accounts,
        go_deployments: deployments.map(|all| all.into_iter().filter(is_go_operator).collect()),
    }
}

fn is_go_operator(deployment: &Deployment) -> bool {
    let template = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let labels = template.and_then(|metadata| metadata.labels.as_ref());
    labels
        .and_then(|labels| labels.get("control-plane"))
        .is_some_and(|value| value == "coraza-controller-manager")
}

/// An answer, or why there is none.
fn known<T>(result: kube::Result<T>) -> Known<T> {
    result.map_err(|error| unknown(&error))
}

fn unknown(error: &kube::Error) -> Unknown {
    Unknown {
        why: chain(error),
        forbidden: matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403)),
    }
}

/// All objects of a kind; none if the kind isn't installed, which is found by a check of its own.
async fn listed<K: Clone + DeserializeOwned + std::fmt::Debug>(api: Api<K>, labels: &str) -> kube::Result<Vec<K>> {
    let parameters = if labels.is_empty() {
        ListParams::default()
    } else {
        ListParams::default().labels(labels)
    };
    match api.list(&parameters).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn all<K>(client: &Client, labels: &str) -> kube::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    listed(Api::<K>::all(client.clone()), labels).await
}

async fn of_scope<K>(client: &Client, scope: &Scope) -> kube::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api = match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    listed(api, "").await
}

async fn gateways(client: &Client) -> Known<BTreeMap<(String, String), String>> {
    let gateways = known(all::<Gateway>(client, "").await)?;
    let named = gateways.into_iter().map(|gateway| {
        let key = (gateway.namespace().unwrap_or_default(), gateway.name_any());
        (key, gateway.spec.gateway_class_name)
    });
    Ok(named.collect())
}

async fn classes(client: &Client) -> Known<BTreeMap<String, String>> {
    let classes = known(all::<GatewayClass>(client, "").await)?;
    Ok(classes
        .into_iter()
        .map(|class| (class.name_any(), class.spec.controller_name))
        .collect())
}

/// Those whose names are an Engine's. As JSON: others may have fields that we don't know.
async fn plugins(client: &Client) -> Known<BTreeMap<(String, String), Plugin>> {
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<WasmPlugin>(&()));
    let plugins = known(listed(api, "").await)?;
    let ours = plugins
        .into_iter()
        .filter(|plugin| plugin.name_any().starts_with("coraza-engine-"));
    Ok(ours
        .map(|plugin| {
            (
                (plugin.namespace().unwrap_or_default(), plugin.name_any()),
                view(&plugin),
            )
        })
        .collect())
}

fn view(plugin: &DynamicObject) -> Plugin {
    let text = |pointer: &str| plugin.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let claims = claims(text("/spec/pluginConfig/cache_token"));
    let claim = |name: &str| {
        claims
            .as_ref()
            .and_then(|claims| claims.get(name))
            .and_then(Value::as_i64)
    };
    Plugin {
        owners: plugin
            .owner_references()
            .iter()
            .map(|owner| owner.uid.clone())
            .collect::<BTreeSet<_>>(),
        url: text("/spec/url").to_owned(),
        sha256: text("/spec/sha256").to_owned(),
        cluster: text("/spec/pluginConfig/cache_server_cluster").to_owned(),
        token_expires: claim("exp"),
        token_issued: claim("iat"),
    }
}

/// What a token says of itself, unverified. Nothing else of it is kept.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

async fn pull_secrets(client: &Client, engines: &[Engine]) -> BTreeMap<(String, String), Known<bool>> {
    let mut secrets = BTreeMap::new();
    for engine in engines {
        let Some(secret) = pull_secret(engine) else { continue };
        let key = (engine.namespace().unwrap_or_default(), secret);
        if let Entry::Vacant(entry) = secrets.entry(key) {
            let (namespace, secret) = entry.key();
            let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let found = known(api.get_metadata_opt(secret).await).map(|found| found.is_some());
            entry.insert(found);
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks;
    use crate::doctor::finding::Severity;

    /// An API server that answers everything with this.
    fn played(status: u16, reason: &'static str) -> Client {
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
            let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": status});
            let answer = http::Response::builder()
                .status(status)
                .body(kube::client::Body::from(body.to_string().into_bytes()));
            Ok::<_, kube::Error>(answer.unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn whoever_may_read_nothing_is_told_so_by_each_check() {
        let facts = gather(&played(403, "forbidden"), &Scope::default()).await;
        let operator = facts.operator.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(operator.namespace, "coraza-system", "where it usually is");
        let checks = checks::all(&facts);
        let findings: Vec<_> = checks.iter().flat_map(|check| &check.findings).collect();
        assert!(findings.len() > 8, "{findings:#?}");
        assert!(
            findings.iter().all(|finding| finding.severity == Severity::Unchecked),
            "{findings:#?}"
        );
    }

    #[tokio::test]
    async fn a_cluster_without_any_of_it_has_no_operator() {
        let facts = gather(&played(404, "NotFound"), &Scope::default()).await;
        assert!(matches!(facts.operator, Ok(None)) && facts.engines == Ok(Vec::new()));
        let checks = checks::all(&facts);
        let what: Vec<_> = checks
            .iter()
            .flat_map(|check| &check.findings)
            .map(|finding| finding.what.as_str())
            .collect();
        assert!(what.contains(&"the operator is not installed"), "{what:#?}");
    }

    #[test]
    fn a_token_tells_when_it_expires_and_nothing_that_is_no_token_does() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp": 20, "iat": 10}"#);
        let claims_of = claims(&format!("e30.{payload}.c2ln")).unwrap();
        assert_eq!(
            (claims_of["exp"].as_i64(), claims_of["iat"].as_i64()),
            (Some(20), Some(10))
        );
        for token in ["", "a", "a.b.c", "e30.{}.x"] {
            assert_eq!(claims(token), None, "{token}");
        }
    }
}
