//! Tells the mesh of the caches: a ServiceEntry and a DestinationRule in the operator's namespace, reconciled like any object of an Engine.
//! Client, but for the functions that build them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coraza_api::istio::{
    DestinationRule, DestinationRuleSpec, Endpoint, PortPolicy, PortSelector, ServiceEntry, ServiceEntryPort,
    ServiceEntrySpec, TlsSettings, TrafficPolicy,
};
use coraza_api::metadata::label;
use coraza_runtime::log::chain;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde_json::Value;

use crate::context::Context;
use crate::engine::apply::{ApplyError, apply};
use crate::engine::build::{istio_labels, json};
use crate::engine::child::{Child, managed_by};
use crate::engine::settings::{CacheAuthority, Settings};
use crate::queue::Item;
use crate::queue::schedule::Outcome;
use crate::watch::foreign::DeploymentView;
use crate::watch::index::IndexedChild;
use crate::watch::object::ObjectKey;
use crate::watch::store::{Object, Presence};

/// How long it may stay unknown whether this process belongs to a Deployment: one that it may not watch is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// The port of the caches' Service.
const SERVICE_PORT: u16 = 80;

/// Reconciles what the mesh must know of the caches. What can't be done is told on each Engine.
pub async fn reconcile(context: &Context) -> Outcome {
    // 1. Look up the Deployment that owns the objects. No client.
    let Some(operator) = context.settings.operator_name.as_deref() else {
        return Outcome::Done;
    };
    let deployment = {
        let index = context.watched.index();
        let patience = PATIENCE.saturating_sub(context.started.elapsed());
        if index.deployments.presence() == Presence::Unknown && !patience.is_zero() {
            return Outcome::Again(patience);
        }
        let key = ObjectKey::new(context.settings.namespace.as_str(), operator);
        index.deployments.get(&key).and_then(Object::known).map(Arc::clone)
    };
    if context.leadership.epoch().is_none() {
        return Outcome::Done;
    }

    // 2. Build. No client. 3. Apply. Client.
    let owner = deployment.as_deref().map(|deployment| owner(operator, deployment));
    let entry = service_entry(&context.settings, operator, owner.clone());
    let rule = destination_rule(&context.settings, operator, owner);
    let applied = [
        told::<ServiceEntry>(context, entry).await,
        told::<DestinationRule>(context, rule).await,
    ];

    // 4. Report. No client.
    let mut notes = Vec::new();
    let mut outcome = Outcome::Done;
    for (kind, applied) in [("ServiceEntry", &applied[0]), ("DestinationRule", &applied[1])] {
        context.metrics.istio(kind, applied.is_ok());
        match applied {
            Ok(()) => {}
            Err(ApplyError::NotLeading) => return Outcome::Done,
            Err(error) => {
                tracing::warn!(
                    kind,
                    error = chain(error),
                    "failed to tell the mesh of the caches, trying again later"
                );
                notes.push(format!("the mesh is not told of the caches: {}", chain(error)));
                if matches!(
                    error,
                    ApplyError::Absent { .. } | ApplyError::Api { .. } | ApplyError::Answer { .. }
                ) {
                    outcome = Outcome::Failed;
                }
            }
        }
    }
    if context.set_istio_note((!notes.is_empty()).then(|| notes.join("; "))) {
        let engines = context.watched.index().engine_items();
        context.queue.add(engines);
    }
    outcome
}

async fn told<K>(context: &Context, child: Child) -> Result<(), ApplyError>
where
    K: IndexedChild + Resource<Scope = NamespaceResourceScope>,
{
    let presence = K::children(&context.watched.index()).live.presence();
    // The watch tells when it is known.
    if presence == Presence::Unknown {
        return Ok(());
    }
    apply::<K>(context, Item::Istio, child).await.map(drop)
}

fn owner(operator: &str, deployment: &DeploymentView) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: operator.to_owned(),
        uid: deployment.uid.to_string(),
        ..OwnerReference::default()
    }
}

/// That there are caches, for meshes that hide their Service.
fn service_entry(settings: &Settings, operator: &str, owner: Option<OwnerReference>) -> Child {
    let host = &settings.cache_host;
    let spec = ServiceEntrySpec {
        hosts: vec![host.clone()],
        ports: vec![ServiceEntryPort {
            number: SERVICE_PORT,
            name: "http-ruleset-cache-server".to_owned(),
            protocol: "HTTP".to_owned(),
        }],
        location: "MESH_INTERNAL".to_owned(),
        resolution: "DNS".to_owned(),
        endpoints: vec![Endpoint { address: host.clone() }],
    };
    child(settings, operator, owner, json(spec))
}

/// That nobody's sidecar is in front of the caches; and with which certificate they serve rules, if they do. The plugin they serve in plain.
fn destination_rule(settings: &Settings, operator: &str, owner: Option<OwnerReference>) -> Child {
    let plain = TlsSettings {
        mode: "DISABLE".to_owned(),
        ..TlsSettings::default()
    };
    let rules = settings.cache_tls.as_ref().map(|authority| PortPolicy {
        port: PortSelector { number: SERVICE_PORT },
        tls: tls(settings, authority),
    });
    let spec = DestinationRuleSpec {
        host: settings.cache_host.clone(),
        traffic_policy: TrafficPolicy {
            tls: plain,
            port_level_settings: rules.into_iter().collect(),
        },
    };
    child(settings, operator, owner, json(spec))
}

/// Without a name and who vouches for it, a proxy would take anybody's certificate, and give him its token.
fn tls(settings: &Settings, authority: &CacheAuthority) -> TlsSettings {
    let (credential_name, ca_certificates) = match authority {
        CacheAuthority::ConfigMap(name) => (Some(format!("configmap://{}/{name}", settings.namespace)), None),
        CacheAuthority::Credential(name) => (Some(name.clone()), None),
        CacheAuthority::File(path) => (None, Some(path.clone())),
    };
    TlsSettings {
        mode: "SIMPLE".to_owned(),
        credential_name,
        ca_certificates,
        subject_alt_names: vec![settings.cache_host.clone()],
        sni: Some(settings.cache_host.clone()),
    }
}

fn child(settings: &Settings, operator: &str, owner: Option<OwnerReference>, spec: Value) -> Child {
    let mut labels = istio_labels(settings);
    labels.extend([
        managed_by(),
        (label::APP_NAME.to_owned(), operator.to_owned()),
        (label::APP_INSTANCE.to_owned(), operator.to_owned()),
    ]);
    Child {
        key: ObjectKey::new(settings.namespace.as_str(), format!("{operator}-ruleset-cache")),
        labels,
        annotations: BTreeMap::new(),
        owner,
        spec,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mesh_is_told_in_the_go_operator_s_words() {
        let settings = Settings {
            istio_revision: Some("canary".to_owned()),
            ..crate::engine::settings::tests::settings()
        };
        let deployment = DeploymentView { uid: "d-1".into() };
        let owned = Some(owner("coraza", &deployment));
        insta::assert_yaml_snapshot!([
            service_entry(&settings, "coraza", owned.clone()).body::<ServiceEntry>(None),
            destination_rule(&settings, "coraza", owned).body::<DestinationRule>(None),
            destination_rule(&settings, "coraza", None).body::<DestinationRule>(None),
        ]);
    }

    #[test]
    fn a_proxy_is_told_by_whom_caches_are_verified() {
        let rules = [
            CacheAuthority::ConfigMap("coraza-cache-ca".to_owned()),
            CacheAuthority::Credential("cache-ca".to_owned()),
            CacheAuthority::File("/etc/ca.crt".to_owned()),
        ]
        .map(|authority| {
            let settings = Settings {
                cache_tls: Some(authority),
                ..crate::engine::settings::tests::settings()
            };
            destination_rule(&settings, "coraza", None).spec
        });
        insta::assert_yaml_snapshot!(rules);
    }
}
