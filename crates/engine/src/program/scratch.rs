//! `Scratch`: the match caches of one thread, under one budget. No IO.

use super::patterns::{Compiled, PatternId, Patterns};
use crate::pattern::{Cache, Search};

/// How many bytes the caches of one thread may have, all together: half of it what earlier phases left, half of it what one phase uses. The
/// Core Rule Set's take one mebibyte with ordinary requests, and all of it when somebody wants them to.
const MAX_BYTES: usize = 10 << 20;

/// A cache for each pattern, created when it is needed, and released when others were used more recently and need its room.
///
/// What is released, and what earlier phases have left, changes no charge: within a phase the first use of each state is charged, and none of
/// those that it uses is released. A phase that uses too many goes on as if another one began.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    caches: Vec<Option<Used>>,
    /// The memory of all caches.
    bytes: usize,
    /// Counts phases.
    turn: u64,
    /// The bytes of states that this phase has used.
    used: usize,
    /// Work that wasn't charged yet.
    work: u64,
}

/// A cache, and the phase in which it was used last.
#[derive(Debug, Default)]
struct Used {
    cache: Cache,
    turn: u64,
}

impl Scratch {
    /// Another phase begins.
    pub(crate) fn begin(&mut self) {
        self.turn += 1;
        self.used = 0;
        while self.bytes > MAX_BYTES / 2 && self.release() {}
    }

    /// Whether a pattern matches a value, with the work that this is; without an answer if it would be more than `budget`.
    pub(crate) fn search(
        &mut self,
        patterns: &Patterns,
        id: PatternId,
        compiled: &Compiled,
        value: &[u8],
        budget: u64,
    ) -> Search {
        const NOTHING: Search = Search {
            matches: false,
            work: 0,
        };
        if self.used > MAX_BYTES / 2 {
            self.begin();
        }
        if self.caches.len() < patterns.len() {
            self.caches.resize_with(patterns.len(), || None);
        }
        let Some(slot) = self.caches.get_mut(id.index()) else {
            return NOTHING;
        };
        let Used { cache, turn } = slot.get_or_insert_default();
        *turn = self.turn;
        let dfa = compiled.pattern.dfa();
        let memory = cache.memory_usage();
        cache.begin(dfa, self.turn);
        let used = cache.used();
        let search = dfa.search(cache, value, budget);
        self.used += cache.used().saturating_sub(used);
        self.bytes = (self.bytes + cache.memory_usage()).saturating_sub(memory);
        search
    }

    /// Notes work that nobody can charge where it is done.
    pub(crate) fn note(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }

    /// The work that was noted since this was asked last.
    pub(crate) fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    /// Releases the cache that wasn't used for the longest time. Whether there was any.
    fn release(&mut self) -> bool {
        let caches = self.caches.iter().enumerate();
        let used = caches.filter_map(|(at, used)| Some((at, used.as_ref()?.turn)));
        let Some((at, _)) = used.min_by_key(|(_, turn)| *turn) else {
            return false;
        };
        let released = self.caches.get_mut(at).and_then(Option::take);
        let memory = released.map_or(0, |used| used.cache.memory_usage());
        self.bytes = self.bytes.saturating_sub(memory);
        true
    }

    /// The memory of all caches, in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Limits;

    #[test]
    fn caches_stay_within_their_budget_and_change_no_charge() {
        let mut patterns = Patterns::default();
        // Each remembers the last thirteen letters of this text, so that nearly each byte leads to a state of its own.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"ab"[(state >> 63) as usize]
        };
        let text: Vec<u8> = (0..16_000).map(|_| next()).collect();
        let ids: Vec<_> = (0..200)
            .map(|number| {
                let pattern = format!("a[ab]{{12}}z{number}");
                patterns.intern(pattern.as_bytes(), &Limits::default(), None).unwrap()
            })
            .collect();
        let mut scratch = Scratch::default();
        let mut largest = 0;
        let mut phase = |scratch: &mut Scratch, ids: &[PatternId], text: &[u8]| -> Vec<u64> {
            scratch.begin();
            let work = ids.iter().map(|id| {
                let search = scratch.search(&patterns, *id, patterns.get(*id).unwrap(), text, u64::MAX);
                assert!(!search.matches);
                largest = largest.max(scratch.memory_usage());
                search.work
            });
            work.collect()
        };
        let all = phase(&mut scratch, &ids, &text);
        assert_eq!(phase(&mut scratch, &ids, &text), all, "after itself");
        phase(&mut scratch, &ids, &text[3_000..]);
        assert_eq!(phase(&mut scratch, &ids, &text), all, "after another text");
        phase(&mut scratch, &ids[..7], &text[..90]);
        assert_eq!(phase(&mut scratch, &ids, &text), all, "after a short one");
        assert_eq!(scratch.memory_usage(), {
            let caches = scratch.caches.iter().flatten();
            caches.map(|used| used.cache.memory_usage()).sum::<usize>()
        });
        // Lists are longer than what is in them, at most twice.
        assert!(largest <= 2 * MAX_BYTES, "{largest}");
        assert!(largest > MAX_BYTES / 2, "the test fills the budget: {largest}");
    }
}
