//! What people point at (files, folders, manifests, standard input, a cluster), as RuleSets whose every line knows where it stands.

mod cluster;
mod collect;
pub(crate) mod finding;
mod manifest;
mod one;
mod origin;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use coraza_compiler::{ResolvedRuleSet, ResolvedSource};
use coraza_ruleset::RuleSetKey;

pub(crate) use cluster::{LookUpError, from_cluster};
pub(crate) use collect::{Collection, Counts, collect};
pub(crate) use finding::Finding;
pub(crate) use one::{ChooseError, Runnable, choose, compile, of_cluster, one, rules};
pub(crate) use origin::Origin;
pub(crate) use read::{ReadError, bounded, read};

/// A RuleSet, and where its sources stand.
#[derive(Debug, Clone)]
pub(crate) struct LocalRuleSet {
    /// What to call it: `shop/crs`, or the folder that its files are in.
    pub(crate) name: String,
    /// What the controller would compile.
    pub(crate) resolved: ResolvedRuleSet,
    /// Where each source stands, in the same order.
    pub(crate) origins: Vec<Origin>,
    /// Whether rules that the data plane can't run are served all the same.
    pub(crate) allow_unsupported: bool,
}

/// A source that no RuleSet names.
#[derive(Debug, Clone)]
pub(crate) struct LooseSource {
    pub(crate) source: ResolvedSource,
    pub(crate) origin: Origin,
}

impl LooseSource {
    /// A RuleSet of it alone, of this key.
    pub(crate) fn alone(&self, key: RuleSetKey) -> ResolvedRuleSet {
        ResolvedRuleSet {
            key,
            sources: vec![self.source.clone()],
            data_files: Arc::default(),
        }
    }
}

/// Data files by name, as rules name them.
type DataTexts = BTreeMap<Arc<str>, Arc<str>>;
