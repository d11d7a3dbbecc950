//! `RuleSet`: which texts and files make the rules that an Engine enforces.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::RevisionStatus;

/// Sources and data, in the order in which they count.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "waf.k8s.coraza.io",
    version = "v1alpha1",
    kind = "RuleSet",
    plural = "rulesets",
    namespaced,
    status = "RuleSetStatus",
    derive = "PartialEq",
    doc = "RuleSources and RuleData that together make the rules of a web application firewall.",
    shortname = "wafrs",
    category = "coraza",
    category = "waf",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision.uuid"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    crates(kube_core = "::kube_core")
)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes)]
pub struct RuleSetSpec {
    /// RuleSources of this namespace. Their texts are joined in this order, so what configures the engine comes first.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<RuleSourceReference>,
    /// RuleData of this namespace. Of two files with the same name the later one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub data: Option<Vec<RuleDataReference>>,
}

impl RuleSetSpec {
    /// The RuleData that are named; an absent list names none.
    #[must_use]
    pub fn data(&self) -> &[RuleDataReference] {
        self.data.as_deref().unwrap_or_default()
    }
}

/// A RuleSource by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSourceReference {
    /// The RuleSource's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A RuleData by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleDataReference {
    /// The RuleData's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is known about a RuleSet.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[schemars(transform = crate::schema::kubernetes, extend("minProperties" = 1))]
pub struct RuleSetStatus {
    /// Ready, Progressing, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The last good content, which is the one that is served. It stays when the RuleSet becomes degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionStatus>,
    /// What was found in the sources, errors and warnings, the first fifty of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub diagnostics: Vec<Diagnostic>,
}

/// The most diagnostics that a status holds: enough to work from, and fifty of 1 KiB stay far from etcd's limit.
pub const MAX_DIAGNOSTICS: usize = 50;
/// The longest message of a diagnostic, in bytes.
pub const MAX_DIAGNOSTIC_MESSAGE: usize = 1024;

/// Something found in a source, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::kubernetes)]
pub struct Diagnostic {
    /// The RuleSource's name.
    #[schemars(length(min = 1, max = 253))]
    pub source: String,
    /// The line in that RuleSource, from 1.
    #[schemars(range(min = 1))]
    pub line: u32,
    /// The column in that line in characters, from 1.
    #[schemars(range(min = 1))]
    pub column: u32,
    /// An error keeps the last good rules in force; a warning doesn't.
    pub severity: Severity,
    /// What is wrong and what to do about it.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The content can't be served.
    Error,
    /// The content can be served.
    Warning,
}
