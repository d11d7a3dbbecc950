//! Verdicts on patterns, by the pattern's text.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::pattern::Verdict;

/// Below this there is nothing to win by looking for unused entries.
const FEW: usize = 1_024;

/// Verdicts that a remembered source holds.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by_pattern: HashMap<Box<[u8]>, Weak<Verdict>>,
    /// How many there were when those that nobody uses were last forgotten.
    used: usize,
}

impl Verdicts {
    pub(super) fn find(&self, pattern: &[u8]) -> Option<Arc<Verdict>> {
        self.by_pattern.get(pattern)?.upgrade()
    }

    pub(super) fn insert(&mut self, pattern: &[u8], verdict: &Arc<Verdict>) {
        if self.by_pattern.len() >= self.used.saturating_mul(2).max(FEW) {
            self.forget_unused();
        }
        self.by_pattern.insert(pattern.into(), Arc::downgrade(verdict));
    }

    pub(super) fn forget_unused(&mut self) {
        self.by_pattern.retain(|_, verdict| verdict.strong_count() > 0);
        self.used = self.by_pattern.len();
    }

    pub(super) fn len(&self) -> usize {
        self.by_pattern.len()
    }
}
