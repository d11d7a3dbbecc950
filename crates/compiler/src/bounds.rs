//! How much work and memory a RuleSet may take to compile. All is counted, never timed: a RuleSet has the same verdict on every
//! machine, whatever else runs there.

/// How many directives a RuleSet may have: forty times the Core Rule Set, and few enough that what each of them does to all
/// rules before it stays within a second.
const MAX_DIRECTIVES: usize = 32_768;

/// How many steps the patterns of a RuleSet may take: eighteen times those of the Core Rule Set, which take 7 million and
/// less than a tenth of a second.
const MAX_PATTERN_STEPS: u64 = 128 << 20;

/// How many of these steps one source may take. It is no setting: what is known about a source must not depend on the RuleSet
/// that names it.
pub(crate) const MAX_SOURCE_PATTERN_STEPS: u64 = 32 << 20;

/// What a RuleSet may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Directives of all sources together.
    pub directives: usize,
    /// Steps to compile the patterns of all sources: about one for each byte of the automata, and sixteen for each byte of text.
    pub pattern_steps: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            directives: MAX_DIRECTIVES,
            pattern_steps: MAX_PATTERN_STEPS,
        }
    }
}
