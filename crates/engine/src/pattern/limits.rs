//! `Limits`: how large one regular expression may be. Everything is counted in bytes or levels, never in time, so that a
//! pattern has the same verdict on every machine.

/// The bounds of one pattern. The defaults leave the Core Rule Set several times the room that its largest patterns need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The pattern's text in bytes. The longest of the Core Rule Set 4.25 has 12,160.
    pub pattern_bytes: usize,
    /// Levels of groups, classes and repetitions. The deepest of the Core Rule Set has 13 groups.
    pub nesting: u32,
    /// The automaton in bytes. The largest of the Core Rule Set takes 234 KiB.
    pub automaton_bytes: usize,
    /// The least match cache that a pattern may need, in bytes. The largest of the Core Rule Set, of 6,266 states, needs some 50 KiB.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pattern_bytes: 64 << 10,
            nesting: 100,
            automaton_bytes: 1 << 20,
            cache_bytes: 1 << 20,
        }
    }
}

/// How many of a pattern's largest states its match cache has room for at least: fewer, and it would start over with nearly each byte.
pub(super) const LEAST_STATES: usize = 4;

/// The capacity of a usual match cache: a smaller one would make larger patterns start over again and again on short values.
const USUAL_CACHE_BYTES: usize = 64 << 10;

/// The capacity of a match cache, for a pattern that can't do with less than `least`.
pub(super) fn cache_capacity(least: usize) -> usize {
    least.max(USUAL_CACHE_BYTES)
}
