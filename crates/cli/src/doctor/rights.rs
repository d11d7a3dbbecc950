//! The rights that the operator's ServiceAccounts must have: those of `deploy/rbac.yaml`, which this tool carries. Pure.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::Deserialize;

const RBAC: &str = include_str!("../../../../deploy/rbac.yaml");
/// The controller's Deployment in that file.
const CONTROLLER: &str = "coraza-controller";

/// The right to do something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: Option<String>,
    /// Of this object only.
    pub(crate) name: Option<String>,
    pub(crate) verb: String,
    /// In the operator's namespace only; else in all.
    pub(crate) own_namespace: bool,
}

#[derive(Deserialize)]
struct Document {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    rules: Vec<PolicyRule>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// What the ServiceAccount of `coraza-controller` or `coraza-cache` must be allowed; the controller's Deployment may have another name.
pub(crate) fn required(component: &str, deployment: &str) -> Vec<Right> {
    // A test reads the file: what can't be read here asks for nothing.
    let documents: Vec<Document> = RBAC
        .split("\n---\n")
        .filter_map(|text| serde_saphyr::from_str(text).ok())
        .collect();
    let roles = documents
        .into_iter()
        .filter(|document| document.metadata.name == format!("coraza-{component}"));
    let mut rights: Vec<Right> = roles
        .flat_map(|role| {
            let own_namespace = role.kind == "Role";
            role.rules
                .into_iter()
                .flat_map(move |rule| expand(&rule, own_namespace, deployment))
        })
        .collect();
    rights.sort();
    rights.dedup();
    rights
}

fn expand(rule: &PolicyRule, own_namespace: bool, deployment: &str) -> Vec<Right> {
    let names: Vec<Option<String>> = match rule.resource_names.as_deref() {
        None | Some([]) => vec![None],
        Some(names) => {
            let renamed = |name: &String| {
                if name == CONTROLLER {
                    deployment.to_owned()
                } else {
                    name.clone()
                }
            };
            names.iter().map(|name| Some(renamed(name))).collect()
        }
    };
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for path in rule.resources.iter().flatten() {
            let (resource, subresource) = path
                .split_once('/')
                .map_or((path.as_str(), None), |(one, other)| (one, Some(other)));
            for verb in &rule.verbs {
                rights.extend(names.iter().map(|name| Right {
                    group: group.clone(),
                    resource: resource.to_owned(),
                    subresource: subresource.map(ToOwned::to_owned),
                    name: name.clone(),
                    verb: verb.clone(),
                    own_namespace,
                }));
            }
        }
    }
    rights
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            group,
            resource,
            subresource,
            name,
            verb,
            own_namespace,
        } = self;
        write!(f, "{verb} {resource}")?;
        if let Some(subresource) = subresource {
            write!(f, "/{subresource}")?;
        }
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        if let Some(name) = name {
            write!(f, " {name}")?;
        }
        f.write_str(if *own_namespace {
            " in its namespace"
        } else {
            " in all namespaces"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_are_those_of_the_manifest() {
        for document in RBAC.split("\n---\n") {
            serde_saphyr::from_str::<Document>(document).unwrap();
        }
        let cache: Vec<String> = required("cache", "x").iter().map(ToString::to_string).collect();
        assert!(
            cache.contains(&"create tokenreviews.authentication.k8s.io in all namespaces".to_owned()),
            "{cache:?}"
        );
        let controller: Vec<String> = required("controller", "shop-controller")
            .iter()
            .map(ToString::to_string)
            .collect();
        for right in [
            "create serviceaccounts/token coraza-plugin in its namespace",
            "get deployments.apps shop-controller in its namespace",
            "list engines.waf.k8s.coraza.io in all namespaces",
            "patch engines/status.waf.k8s.coraza.io in all namespaces",
            "update leases.coordination.k8s.io waf.k8s.coraza.io in its namespace",
            "watch pods in all namespaces",
        ] {
            assert!(controller.contains(&right.to_owned()), "{right}: {controller:?}");
        }
    }
}
