//! `Scratch`: the match caches of one thread, under one budget, and the work that they did. No IO.

use regex_automata::hybrid::dfa::Cache;

use super::patterns::{Compiled, PatternId, Patterns};
use crate::pattern::LocatorCache;
use std::ops::Range;

/// How many bytes the caches of one thread may have, all together. The Core Rule Set's take two mebibytes with ordinary requests, and ten
/// when somebody wants them to.
const MAX_BYTES: usize = 10 << 20;

/// A cache for each pattern, created when it is needed, and released when others were used more recently and need its room.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    caches: Vec<Option<Caches>>,
    /// Of all caches but the one that was used last, whose size isn't known yet.
    bytes: usize,
    last: Option<usize>,
    /// Counts uses.
    clock: u64,
}

/// The caches of one pattern.
#[derive(Debug)]
pub(crate) struct Caches {
    forward: Cache,
    locator: Option<LocatorCache>,
    /// When they were used last.
    used: u64,
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
        let at = id.index();
        if self.last != Some(at) {
            self.bytes += self.memory_of(self.last);
            self.bytes = self.bytes.saturating_sub(self.memory_of(Some(at)));
            self.last = Some(at);
            while self.bytes > MAX_BYTES && self.release(at) {}
        }
        self.clock += 1;
        let caches = self.caches.get_mut(at)?.get_or_insert_with(|| Caches::new(compiled));
        caches.used = self.clock;
        Some(caches)
    }

    /// Releases the caches that weren't used for the longest time, but for those at a place. Whether there were any.
    fn release(&mut self, kept: usize) -> bool {
        let caches = self.caches.iter().enumerate();
        let others = caches.filter_map(|(at, caches)| Some((at, caches.as_ref()?.used)));
        let oldest = others.filter(|(at, _)| *at != kept).min_by_key(|(_, used)| *used);
        let Some((at, _)) = oldest else { return false };
        self.bytes = self.bytes.saturating_sub(self.memory_of(Some(at)));
        if let Some(slot) = self.caches.get_mut(at) {
            *slot = None;
        }
        true
    }

    fn memory_of(&self, at: Option<usize>) -> usize {
        let caches = at.and_then(|at| self.caches.get(at)?.as_ref());
        caches.map_or(0, Caches::memory_usage)
    }

    /// The memory of all caches, in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.caches.iter().flatten().map(Caches::memory_usage).sum()
    }
}

impl Caches {
    pub(crate) fn new(compiled: &Compiled) -> Self {
        Self {
            forward: compiled.pattern.create_cache(),
            locator: None,
            used: 0,
        }
    }

    fn memory_usage(&self) -> usize {
        self.forward.memory_usage() + self.locator.as_ref().map_or(0, LocatorCache::memory_usage)
    }

    /// Whether the pattern matches, and what this cost.
    pub(crate) fn is_match(&mut self, compiled: &Compiled, value: &[u8]) -> (bool, u64) {
        let before = (self.forward.memory_usage(), self.forward.clear_count());
        let matches = compiled.pattern.is_match(&mut self.forward, value);
        let grown = self.forward.memory_usage().saturating_sub(before.0) as u64;
        let cleared = self.forward.clear_count().saturating_sub(before.1) as u64;
        // Each time that it was cleared it had been full.
        let built = grown.saturating_add(cleared.saturating_mul(compiled.pattern.cache_capacity() as u64));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Limits;

    #[test]
    fn caches_stay_within_their_budget() {
        let mut patterns = Patterns::default();
        // Each remembers the last thirteen letters of this text, so that nearly each byte leads to a state of its own.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"ab"[(state >> 63) as usize]
        };
        let text: Vec<u8> = (0..16_000).map(|_| next()).collect();
        let ids: Vec<_> = (0..100)
            .map(|number| {
                let pattern = format!("a[ab]{{12}}z{number}");
                patterns.intern(pattern.as_bytes(), &Limits::default(), None).unwrap()
            })
            .collect();
        let mut scratch = Scratch::default();
        let mut largest = 0;
        for _ in 0..2 {
            for id in &ids {
                let compiled = patterns.get(*id).unwrap();
                let caches = scratch.caches(&patterns, *id, compiled).unwrap();
                assert!(!caches.is_match(compiled, &text).0);
                largest = largest.max(scratch.memory_usage());
            }
        }
        let one = patterns.get(ids[0]).unwrap().pattern.cache_capacity();
        assert!(largest <= MAX_BYTES + 2 * one, "{largest}");
        assert!(largest > MAX_BYTES / 2, "the test fills the budget: {largest}");
    }
}
