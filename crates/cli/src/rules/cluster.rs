//! A RuleSet of a cluster with all that it names. IO.

use std::sync::Arc;

use coraza_api::metadata::annotation;
use coraza_api::{RuleData, RuleSet, RuleSource};
use coraza_compiler::{Compiler, ResolvedRuleSet, ResolvedSource, Validation};
use coraza_ruleset::RuleSetKey;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::collect::data_files;
use super::origin::Origin;
use super::{DataTexts, LocalRuleSet};
use crate::cluster::{CallError, Cluster};

/// Why there is no RuleSet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookUpError {
    /// The API server doesn't give an object.
    #[error("failed to get {kind} {namespace}/{name} from {server}")]
    Get {
        server: String,
        kind: String,
        namespace: String,
        name: String,
        #[source]
        source: CallError,
    },
    /// It can't have such a name.
    #[error("{0:?} is no name of a RuleSet")]
    Name(String, #[source] coraza_ruleset::InvalidKey),
}

/// Gets a RuleSet, its RuleSources and its RuleData.
pub(crate) async fn from_cluster(
    cluster: &Cluster,
    name: &str,
    compiler: &Compiler,
) -> Result<LocalRuleSet, LookUpError> {
    let namespace = cluster.namespace.as_str();
    let key = RuleSetKey::new(namespace, name).map_err(|error| LookUpError::Name(name.to_owned(), error))?;
    let set: RuleSet = get(cluster, name).await?;
    let (mut sources, mut origins) = (Vec::new(), Vec::new());
    for reference in &set.spec.sources {
        let source: RuleSource = get(cluster, &reference.name).await?;
        origins.push(Origin::whole(&format!("RuleSource {namespace}/{}", reference.name)));
        let is_skipped = is_annotated(&source, annotation::RULE_VALIDATION, annotation::RULE_VALIDATION_OFF);
        sources.push(ResolvedSource {
            name: reference.name.as_str().into(),
            text: compiler.intern(&source.spec.rules),
            validation: if is_skipped {
                Validation::Skipped
            } else {
                Validation::Own
            },
        });
    }
    let mut files = DataTexts::new();
    for reference in set.spec.data() {
        let data: RuleData = get(cluster, &reference.name).await?;
        files.extend(data.spec.files);
    }
    Ok(LocalRuleSet {
        name: key.to_string(),
        allow_unsupported: is_annotated(
            &set,
            annotation::SKIP_UNSUPPORTED_RULES_CHECK,
            annotation::SKIP_UNSUPPORTED_RULES_CHECK_ON,
        ),
        resolved: ResolvedRuleSet {
            key,
            sources,
            data_files: Arc::new(data_files(files)),
        },
        origins,
    })
}

async fn get<K>(cluster: &Cluster, name: &str) -> Result<K, LookUpError>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    api.get(name).await.map_err(|source| LookUpError::Get {
        server: cluster.server.clone(),
        kind: K::kind(&()).into_owned(),
        namespace: cluster.namespace.clone(),
        name: name.to_owned(),
        source: source.into(),
    })
}

fn is_annotated<K: Resource>(object: &K, name: &str, value: &str) -> bool {
    let annotations = object.meta().annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.get(name).is_some_and(|own| own == value))
}
