//! `RuleSource`: one text of rules.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The rules.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "waf.k8s.coraza.io",
    version = "v1alpha1",
    kind = "RuleSource",
    plural = "rulesources",
    namespaced,
    status = "RuleSourceStatus",
    derive = "PartialEq",
    doc = "A text of SecLang rules, which a RuleSet of the same namespace may name.",
    shortname = "wafsrc",
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
pub struct RuleSourceSpec {
    /// SecLang directives, as in a ModSecurity configuration file. At most 1.5 MiB, which is about what etcd takes: a longer
    /// text is divided among several RuleSources, which the RuleSet names in order.
    #[schemars(length(min = 1, max = 1_572_864))]
    pub rules: Arc<str>,
}

/// What is known about a RuleSource.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes, extend("minProperties" = 1))]
pub struct RuleSourceStatus {
    /// Ready, and Degraded if the text has a syntax error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
