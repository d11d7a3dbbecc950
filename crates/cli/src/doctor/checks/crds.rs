//! Custom resource definitions: ours as this tool knows them, and those of others that Engines need.

use std::collections::BTreeSet;

use coraza_api::engine::ObservabilityMode;
use coraza_api::schema;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use crate::doctor::checks::{known, plural};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Checked, Finding};

/// How many missing fields are named.
const MAX_NAMED: usize = 4;
const APPLY_OURS: &str =
    "helm upgrade with crds.enabled=true, or kubectl apply --server-side --force-conflicts -f deploy/crds";

/// Ours: there, established, served, and not older than this tool.
pub(super) fn ours(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let wanted = schema::crds();
    if let Some(installed) = known(&facts.crds, "custom resource definitions can't be read", &mut findings) {
        for wanted in &wanted {
            findings.extend(judge(wanted, find(installed, &name(wanted))));
        }
    }
    Checked {
        check: "CRDs",
        looked_at: format!("{} of {}", wanted.len(), coraza_api::GROUP),
        findings,
    }
}

fn judge(wanted: &CustomResourceDefinition, installed: Option<&CustomResourceDefinition>) -> Option<Finding> {
    let (name, kind) = (name(wanted), &wanted.spec.names.kind);
    let Some(installed) = installed else {
        let what = format!("the kind {kind} is not installed");
        return Some(Finding::problem(what, format!("there is no CRD {name}"), APPLY_OURS));
    };
    if let Some(why) = not_established(installed) {
        let fix = format!("kubectl describe crd {name}, and delete what has the same names");
        return Some(Finding::problem(format!("the kind {kind} is not served"), why, fix));
    }
    let (Some(wanted), served) = (wanted.spec.versions.first(), served(installed, coraza_api::VERSION)) else {
        return None;
    };
    let Some(served) = served else {
        let what = format!("the kind {kind} is not served as {}", coraza_api::VERSION);
        let versions: Vec<_> = installed
            .spec
            .versions
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        return Some(Finding::problem(
            what,
            format!("CRD {name} has {}", versions.join(", ")),
            APPLY_OURS,
        ));
    };
    let lacking = lacking(wanted, served);
    let first = lacking.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match lacking.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!lacking.is_empty()).then(|| {
        let what = format!("the schema of {kind} is older than this tool: the API server drops what it does not know");
        Finding::problem(what, format!("CRD {name} lacks {first}{more}"), APPLY_OURS)
    })
}

/// Those of others: what Gateways and Istio's objects are.
pub(super) fn others(facts: &Facts) -> Checked {
    let collects = |engine: &coraza_api::Engine| {
        let observability = engine.spec.observability.as_ref();
        observability.is_some_and(|observability| observability.mode == ObservabilityMode::Enabled)
    };
    let telemetry = facts.engines.as_ref().is_ok_and(|engines| engines.iter().any(collects));
    let gateway_api =
        "kubectl apply --server-side -f the standard channel of the Gateway API (gateway.networking.k8s.io)";
    let istio = "install Istio, or its custom resource definitions: helm install istio-base istio/base -n istio-system";
    let wanted = [
        (
            "gateways.gateway.networking.k8s.io",
            "v1",
            "no Engine finds its target",
            gateway_api,
            true,
        ),
        (
            "gatewayclasses.gateway.networking.k8s.io",
            "v1",
            "nobody knows which Gateways are Istio's",
            gateway_api,
            true,
        ),
        (
            "wasmplugins.extensions.istio.io",
            "v1alpha1",
            "no gateway gets a firewall",
            istio,
            true,
        ),
        (
            "serviceentries.networking.istio.io",
            "v1",
            "the mesh is not told of the caches",
            istio,
            true,
        ),
        (
            "destinationrules.networking.istio.io",
            "v1",
            "the mesh is not told how to call the caches",
            istio,
            true,
        ),
        (
            "telemetries.telemetry.istio.io",
            "v1",
            "no access log goes to a collector",
            istio,
            telemetry,
        ),
    ];
    let wanted: Vec<_> = wanted.into_iter().filter(|(.., needed)| *needed).collect();
    let mut findings = Vec::new();
    if let Some(installed) = known(&facts.crds, "custom resource definitions can't be read", &mut findings) {
        for (name, version, consequence, fix, _) in &wanted {
            let what = |what: &str| format!("{name} {what}: {consequence}");
            let found = find(installed, name);
            findings.extend(match found {
                None => Some(Finding::problem(
                    what("is not installed"),
                    format!("there is no CRD {name}"),
                    *fix,
                )),
                Some(found) if served(found, version).is_none() => {
                    let versions: Vec<_> = found
                        .spec
                        .versions
                        .iter()
                        .map(|version| version.name.as_str())
                        .collect();
                    let evidence = format!("it has {}", versions.join(", "));
                    Some(Finding::problem(
                        what(&format!("is not served as {version}")),
                        evidence,
                        *fix,
                    ))
                }
                Some(_) => None,
            });
        }
    }
    Checked {
        check: "CRDs of others",
        looked_at: plural(wanted.len(), "kind"),
        findings,
    }
}

fn name(crd: &CustomResourceDefinition) -> String {
    format!("{}.{}", crd.spec.names.plural, crd.spec.group)
}

fn find<'a>(installed: &'a [CustomResourceDefinition], name: &str) -> Option<&'a CustomResourceDefinition> {
    installed.iter().find(|crd| crd.metadata.name.as_deref() == Some(name))
}

fn served<'a>(crd: &'a CustomResourceDefinition, version: &str) -> Option<&'a CustomResourceDefinitionVersion> {
    let mut versions = crd.spec.versions.iter();
    versions.find(|candidate| candidate.name == version && candidate.served)
}

fn not_established(crd: &CustomResourceDefinition) -> Option<String> {
    let conditions = crd.status.as_ref()?.conditions.as_ref()?;
    let bad = conditions.iter().find(|condition| {
        ["Established", "NamesAccepted"].contains(&condition.type_.as_str()) && condition.status != "True"
    })?;
    let message = bad.message.as_deref().unwrap_or_default();
    Some(format!("{}={}: {message}", bad.type_, bad.status))
}

/// What a version of ours has and the installed one hasn't, as paths.
fn lacking(wanted: &CustomResourceDefinitionVersion, installed: &CustomResourceDefinitionVersion) -> Vec<String> {
    let has_status = |version: &CustomResourceDefinitionVersion| {
        version
            .subresources
            .as_ref()
            .is_some_and(|subresources| subresources.status.is_some())
    };
    let subresource = (has_status(wanted) && !has_status(installed)).then(|| "the subresource status".to_owned());
    let installed = fields(installed);
    let missing: Vec<String> = fields(wanted).difference(&installed).cloned().collect();
    // What is below something that is missing goes without saying.
    let top = missing.iter().filter(|path| {
        let parent = path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
        parent.is_none_or(|parent| !missing.contains(&parent))
    });
    subresource.into_iter().chain(top.cloned()).collect()
}

fn fields(version: &CustomResourceDefinitionVersion) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    if let Some(schema) = schema {
        collect(schema, "", &mut paths);
    }
    paths
}

fn collect(schema: &JSONSchemaProps, path: &str, paths: &mut BTreeSet<String>) {
    for (name, schema) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect(schema, &path, paths);
        paths.insert(path);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        collect(items, path, paths);
    }
}
