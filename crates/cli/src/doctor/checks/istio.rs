//! Istio: that it is there, and settings of its that keep gateways from knowing the caches.
//!
//! A gateway calls the caches by Envoy's cluster of their Service. Istio gives a gateway the clusters of all Services that it may see, whatever
//! Sidecar resources say, which count for sidecars only (`doGetSidecarScope`); these settings make it see fewer.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::doctor::checks::kubernetes::numbers;
use crate::doctor::checks::{known, plural};
use crate::doctor::facts::{ControlPlane, Facts};
use crate::doctor::finding::{Checked, Finding, Unknown};

/// The earliest that serves networking.istio.io/v1, in which the mesh is told of the caches.
const EARLIEST: (u32, u32) = (1, 22);

/// That there is one that works.
pub(super) fn control_planes(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let planes = known(&facts.istio, "Istio can't be looked for", &mut findings);
    let planes: &[ControlPlane] = planes.map(Vec::as_slice).unwrap_or_default();
    if planes.is_empty() && facts.istio.is_ok() {
        findings.push(Finding::problem(
            "there is no Istio: no gateway gets a firewall",
            "no Deployment has the label app=istiod",
            "install Istio, or for a control plane outside of the cluster pass over this",
        ));
    }
    for plane in planes {
        let name = format!("Deployment {}/{}", plane.namespace, plane.name);
        if plane.ready == 0 {
            findings.push(Finding::problem(
                format!(
                    "istiod of revision {} is not ready: gateways get no change",
                    plane.revision
                ),
                format!("{name} has no ready replica"),
                format!("kubectl -n {} describe pod -l app=istiod", plane.namespace),
            ));
        }
        if numbers(&plane.version).is_some_and(|found| found < EARLIEST) {
            let (major, minor) = EARLIEST;
            findings.push(Finding::problem(
                format!("Istio is older than {major}.{minor}"),
                format!("{name} is {}", plane.version),
                format!("upgrade Istio to {major}.{minor} or later"),
            ));
        }
    }
    let revisions: Vec<_> = planes
        .iter()
        .map(|plane| format!("{} {}", plane.revision, plane.version))
        .collect();
    Checked {
        check: "Istio",
        looked_at: if revisions.is_empty() {
            "no istiod".to_owned()
        } else {
            revisions.join(", ")
        },
        findings,
    }
}

/// That gateways may know the caches.
pub(super) fn visibility(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let planes: &[ControlPlane] = facts.istio.as_ref().map(Vec::as_slice).unwrap_or_default();
    let operator = facts.operator.as_ref().ok().and_then(Option::as_ref);
    let namespace = operator.map(|operator| operator.namespace.as_str());
    let service = operator.and_then(|operator| operator.service.as_ref().ok()?.as_ref());
    let name = service.and_then(|service| service.metadata.name.as_deref());
    let host = name
        .zip(namespace)
        .map(|(name, namespace)| format!("{name}.{namespace}."));
    for plane in planes {
        findings.extend(filtered_clusters(plane, host.as_deref()));
        match (&plane.mesh, &plane.mesh_unknown) {
            (Some(mesh), _) => {
                if let (Some(namespace), Ok(namespaces)) = (namespace, &facts.namespaces) {
                    let gateways = facts
                        .gateways
                        .iter()
                        .flat_map(|gateways| gateways.keys().map(|(namespace, _)| namespace.as_str()));
                    findings.extend(unselected(
                        plane,
                        mesh,
                        std::iter::once(namespace).chain(gateways),
                        namespaces,
                    ));
                }
                findings.extend(not_exported(plane, mesh, service.is_some_and(has_own_export)));
            }
            (None, Some(why)) => findings.push(Finding::unchecked(
                format!("the mesh's configuration of revision {} can't be read", plane.revision),
                &Unknown {
                    why: why.clone(),
                    forbidden: why.contains("forbidden"),
                },
            )),
            (None, None) => {}
        }
    }
    if let (Some(service), Some(name), Some(namespace)) = (service, name, namespace) {
        let annotation = service
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(EXPORT_TO));
        if let Some(to) = annotation.filter(|to| !to.split(',').any(|to| to.trim() == "*")) {
            findings.push(Finding::warning(
                "the caches' Service is shown to some namespaces only: gateways elsewhere do not reach it",
                format!("Service {namespace}/{name} has the annotation {EXPORT_TO}={to}"),
                format!("kubectl -n {namespace} annotate service {name} {EXPORT_TO}-"),
            ));
        }
    }
    Checked {
        check: "Istio's view of the caches",
        looked_at: plural(planes.len(), "control plane"),
        findings,
    }
}

const EXPORT_TO: &str = "networking.istio.io/exportTo";

fn has_own_export(service: &k8s_openapi::api::core::v1::Service) -> bool {
    service
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(EXPORT_TO))
}

/// Gateways get the clusters of routes only, and of what the mesh's configuration names as a provider.
fn filtered_clusters(plane: &ControlPlane, host: Option<&str>) -> Option<Finding> {
    const FLAG: &str = "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG";
    let on = plane
        .environment
        .get(FLAG)
        .is_some_and(|value| value.parse() == Ok(true));
    let providers = plane
        .mesh
        .as_ref()
        .and_then(|mesh| mesh.get("extensionProviders"))
        .map(Value::to_string);
    let is_provider = host
        .zip(providers)
        .is_some_and(|(host, providers)| providers.contains(host));
    (on && !is_provider).then(|| {
        Finding::problem(
            "gateways are not told of the caches, which no route names: they get no rules",
            format!("istiod of revision {} has {FLAG}=true", plane.revision),
            format!(
                "kubectl -n {} set env deployment/{} {FLAG}-, or name the caches' Service in an envoyExtAuthzHttp provider of the mesh's extensionProviders",
                plane.namespace, plane.name
            ),
        )
    })
}

/// Namespaces that Istio doesn't look at.
fn unselected<'a>(
    plane: &ControlPlane,
    mesh: &Value,
    namespaces: impl Iterator<Item = &'a str>,
    labels: &BTreeMap<String, BTreeMap<String, String>>,
) -> Option<Finding> {
    let selectors = mesh
        .get("discoverySelectors")?
        .as_array()
        .filter(|selectors| !selectors.is_empty())?;
    let none = BTreeMap::new();
    let mut unseen: Vec<&str> = namespaces
        .filter(|namespace| {
            let labels = labels.get(*namespace).unwrap_or(&none);
            !selectors.iter().any(|selector| matches(selector, labels))
        })
        .collect();
    unseen.sort_unstable();
    unseen.dedup();
    (!unseen.is_empty()).then(|| {
        Finding::problem(
            format!(
                "Istio does not look at {}: gateways there, or the caches, are not known to it",
                unseen.join(", ")
            ),
            format!(
                "none of the mesh's discoverySelectors of revision {} selects it: {}",
                plane.revision,
                Value::from(selectors.clone())
            ),
            "give the namespace a label that one of them selects: kubectl label namespace NAME KEY=VALUE",
        )
    })
}

/// Whether a label selector selects; one that has something unknown in it does, since nobody should be sent the wrong way.
fn matches(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let labelled = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|wanted| {
            wanted
                .iter()
                .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
        });
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    labelled
        && expressions.is_none_or(|expressions| {
            expressions.iter().all(|expression| {
                let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
                let values = expression.get("values").and_then(Value::as_array);
                let value = labels.get(key).map(String::as_str);
                let is_in =
                    value.is_some_and(|value| values.is_some_and(|values| values.iter().any(|one| one == value)));
                match expression.get("operator").and_then(Value::as_str) {
                    Some("In") => is_in,
                    Some("NotIn") => !is_in,
                    Some("Exists") => value.is_some(),
                    Some("DoesNotExist") => value.is_none(),
                    _ => true,
                }
            })
        })
}

/// Services that are shown to their own namespace only, unless they say otherwise.
fn not_exported(plane: &ControlPlane, mesh: &Value, says_otherwise: bool) -> Option<Finding> {
    let to: Vec<&str> = mesh
        .get("defaultServiceExportTo")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let hides = !to.is_empty() && !to.contains(&"*") && !says_otherwise;
    hides.then(|| {
        Finding::problem(
            "Services are shown to some namespaces only: gateways elsewhere do not reach the caches",
            format!("the mesh of revision {} has defaultServiceExportTo: [{}]", plane.revision, to.join(", ")),
            format!("kubectl -n NAMESPACE annotate service SERVICE {EXPORT_TO}='*', or with the chart: cache.service.annotations"),
        )
    })
}
