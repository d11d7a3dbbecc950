//! How many of what was generated, for the person at the terminal.

use std::fmt;

use coraza_api::{RuleData, RuleSource};

/// The counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    ruleset_name: String,
    sources: usize,
    source_bytes: usize,
    data_files: usize,
    data_bytes: usize,
    /// Files without rules.
    pub(super) skipped_files: usize,
    /// Rules left out, each with its chain.
    pub(super) dropped_rules: usize,
}

impl Summary {
    pub(super) fn new(ruleset_name: &str) -> Self {
        Self {
            ruleset_name: ruleset_name.to_owned(),
            ..Self::default()
        }
    }

    /// Counts objects.
    pub(super) fn count(&mut self, sources: &[RuleSource], data: Option<&RuleData>) {
        self.sources = sources.len();
        self.source_bytes = sources.iter().map(|source| source.spec.rules.len()).sum();
        let files = data.iter().flat_map(|data| data.spec.files.values());
        (self.data_files, self.data_bytes) = files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.len()));
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ruleset_name,
            sources,
            source_bytes,
            data_files,
            data_bytes,
            skipped_files,
            dropped_rules,
        } = self;
        writeln!(f, "Summary:")?;
        writeln!(f, "  RuleSet:       {ruleset_name}")?;
        writeln!(f, "  RuleSources:   {sources} ({source_bytes} bytes)")?;
        writeln!(f, "  Data files:    {data_files} ({data_bytes} bytes)")?;
        writeln!(f, "  Skipped files: {skipped_files}")?;
        writeln!(f, "  Dropped rules: {dropped_rules}")
    }
}
