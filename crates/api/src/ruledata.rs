//! `RuleData`: the files that rules look things up in.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The files.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "waf.k8s.coraza.io",
    version = "v1alpha1",
    kind = "RuleData",
    plural = "ruledata",
    namespaced,
    status = "RuleDataStatus",
    derive = "PartialEq",
    doc = "Files for @pmFromFile and @ipMatchFromFile, which a RuleSet of the same namespace may name.",
    shortname = "wafdata",
    category = "coraza",
    category = "waf",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    crates(kube_core = "::kube_core")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes)]
pub struct RuleDataSpec {
    /// Contents by file name. Rules name a file as it is named here; of two RuleData with the same file the one that the RuleSet
    /// names later wins.
    #[schemars(extend("minProperties" = 1))]
    #[x_kube(validation = Rule::new("self.all(name, size(name) <= 253 && name.matches('^[-._a-zA-Z0-9]+$'))")
        .message("a file name has only letters, digits, '-', '_' and '.', and at most 253 of them: rename the file here and in the rules that read it"))]
    pub files: BTreeMap<Arc<str>, Arc<str>>,
}

/// What is known about a RuleData.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes, extend("minProperties" = 1))]
pub struct RuleDataStatus {
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
