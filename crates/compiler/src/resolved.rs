//! `ResolvedRuleSet`: everything that a RuleSet names, looked up. Nothing is missing any more.

use std::sync::Arc;

use coraza_ruleset::{Content, DataFiles, RuleSetKey, RulesText};

use crate::source::ResolvedSource;

/// A RuleSet with its sources in the order of its spec, and its data files merged.
#[derive(Debug, Clone)]
pub struct ResolvedRuleSet {
    /// Which RuleSet.
    pub key: RuleSetKey,
    /// Its sources, in order.
    pub sources: Vec<ResolvedSource>,
    /// Its data files; of two with one name the later has won.
    pub data_files: Arc<DataFiles>,
}

impl ResolvedRuleSet {
    /// What would be served: the texts as they are, joined.
    #[must_use]
    pub fn content(&self) -> Content {
        Content {
            rules: RulesText::named(self.sources.iter().map(ResolvedSource::named_text)),
            data_files: Arc::clone(&self.data_files),
        }
    }
}
