//! `Scratch`: the match caches of one thread, and the work that they did. No IO.

use regex_automata::hybrid::dfa::Cache;

use super::patterns::{Compiled, PatternId, Patterns};
use crate::pattern::LocatorCache;
use std::ops::Range;

/// A cache for each pattern that was ever used, created on demand.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    caches: Vec<Option<Caches>>,
}

/// The caches of one pattern.
#[derive(Debug)]
pub(crate) struct Caches {
    forward: Cache,
    locator: Option<LocatorCache>,
}

/// One more byte of match cache costs as much as so many bytes of text: the lazy DFA computes each state from the pattern.
const GROWTH_COST: u64 = 4;

impl Scratch {
    /// The caches of a pattern.
    pub(crate) fn caches<'a>(
        &'a mut self,
        patterns: &Patterns,
        id: PatternId,
        compiled: &Compiled,
    ) -> Option<&'a mut Caches> {
        if self.caches.len() < patterns.len() {
            self.caches.resize_with(patterns.len(), || None);
        }
        let slot = self.caches.get_mut(id.index())?;
        Some(slot.get_or_insert_with(|| Caches::new(compiled)))
    }
}

impl Caches {
    pub(crate) fn new(compiled: &Compiled) -> Self {
        Self {
            forward: compiled.pattern.create_cache(),
            locator: None,
        }
    }

    /// Whether the pattern matches, and what this cost.
    pub(crate) fn is_match(&mut self, compiled: &Compiled, value: &[u8]) -> (bool, u64) {
        let before = (self.forward.memory_usage(), self.forward.clear_count());
        let matches = compiled.pattern.is_match(&mut self.forward, value);
        let grown = self.forward.memory_usage().saturating_sub(before.0) as u64;
        let cleared = self.forward.clear_count().saturating_sub(before.1) as u64;
        let built = grown.saturating_add(cleared.saturating_mul(before.0 as u64));
        (
            matches,
            (value.len() as u64).saturating_add(built.saturating_mul(GROWTH_COST)),
        )
    }

    /// The bounds of the match and its groups from `from` on.
    pub(crate) fn captures(
        &mut self,
        compiled: &Compiled,
        value: &[u8],
        from: usize,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let locator = compiled.locator()?;
        let cache = self.locator.get_or_insert_with(|| locator.create_cache());
        locator.captures(&compiled.pattern, (&mut self.forward, cache), value, from)
    }
}
