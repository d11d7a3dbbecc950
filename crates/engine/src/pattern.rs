//! One regular expression of a rule: from the text in a `@rx` to a bounded matcher over bytes. No IO.
//!
//! Rules are written for PCRE and RE2; this engine matches with finite automata in linear time. A step before rewrites a
//! pattern into the dialect of `regex-syntax` without changing what it matches, [`Pattern::compile`] refuses what such
//! automata can't do and what would be too large.
//!
//! A pattern matches bytes, not characters. A dot matches every byte, `$` only the very end, `(?i)` and the Perl classes are
//! about ASCII alone.

mod class;
mod dfa;
mod error;
mod group;
mod limits;
mod locate;
mod status;
mod translate;

use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use crate::plan::Requirement;

pub use dfa::Cache;
pub(crate) use dfa::{Dfa, Search};
pub use error::{ErrorKind, PatternError};
pub use limits::Limits;
pub use locate::{Locator, LocatorCache, MAX_GROUPS};
pub(crate) use status::Statuses;

/// A compiled regular expression. It answers whether it matches; where, and what its groups held, is built on demand from the
/// same text by those who need it.
#[derive(Debug)]
pub struct Pattern {
    /// One forward automaton: a fraction of the memory of an engine with all strategies (3.9 MiB against 10.1 MiB for the Core
    /// Rule Set), and a quarter of its time to compile.
    dfa: Dfa,
    /// What a value must have for the pattern to match it.
    requirement: Requirement,
}

impl Pattern {
    /// Compiles the argument of a `@rx` operator, or the pattern of a selector such as `ARGS:/^a/`. One with macros is known per
    /// transaction only and isn't compiled at load.
    ///
    /// # Errors
    /// [`PatternError`] says what can't be compiled, where in `pattern`, and what to write instead. The work is bounded by
    /// `limits`, whatever the pattern.
    pub fn compile(pattern: &[u8], limits: &Limits) -> Result<Self, PatternError> {
        let hir = parse(pattern, limits)?;
        let whole = |kind| PatternError::new(kind, 0..pattern.len());
        let config = NFA::config()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(limits.automaton_bytes));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir).ok();
        // Within the limit there are no more; with a larger one there could be.
        let nfa = nfa.filter(|nfa| nfa.states().len() <= usize::from(u16::MAX));
        let nfa = nfa.ok_or_else(|| {
            whole(ErrorKind::TooLarge {
                limit: limits.automaton_bytes,
            })
        })?;
        let needed = limits::LEAST_STATES.saturating_mul(Dfa::largest_state(&nfa));
        if needed > limits.cache_bytes {
            let limit = limits.cache_bytes;
            return Err(whole(ErrorKind::TooMuchCache { needed, limit }));
        }
        Ok(Self {
            dfa: Dfa::new(nfa, limits::cache_capacity(needed)),
            requirement: Requirement::of_pattern(&hir),
        })
    }

    /// What a value must have for the pattern to match it.
    pub(crate) fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    pub(crate) fn dfa(&self) -> &Dfa {
        &self.dfa
    }

    /// The memory of the compiled form in bytes, match caches not included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.dfa.nfa().memory_usage()
    }

    /// A match cache for this pattern; it grows while matching, up to a bound of its own.
    #[must_use]
    pub fn create_cache(&self) -> Cache {
        Cache::default()
    }

    /// Whether the pattern matches anywhere in `haystack`. `cache` must have been created by this pattern.
    #[must_use]
    pub fn is_match(&self, cache: &mut Cache, haystack: &[u8]) -> bool {
        cache.begin_anew(&self.dfa);
        self.dfa.search(cache, haystack, u64::MAX).matches
    }
}

/// What a selector's pattern begins with: keys are compared in any case.
pub const SELECTOR_FLAGS: &str = "(?i)";

/// The pattern of a selector such as `ARGS:/^a/`, as it is compiled.
#[must_use]
pub fn of_selector(pattern: &[u8]) -> Vec<u8> {
    [SELECTOR_FLAGS.as_bytes(), pattern].concat()
}

/// Translates and parses, with the places of errors led back to `pattern`.
fn parse(pattern: &[u8], limits: &Limits) -> Result<Hir, PatternError> {
    if pattern.len() > limits.pattern_bytes {
        let kind = ErrorKind::TooLong {
            length: pattern.len(),
            limit: limits.pattern_bytes,
        };
        return Err(PatternError::new(kind, limits.pattern_bytes..pattern.len()));
    }
    let translation = translate::translate(pattern)?;
    ParserBuilder::new()
        .nest_limit(limits.nesting)
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .build()
        .parse(&translation.text)
        .map_err(|error| {
            let (kind, span) = error::of_syntax(&error);
            PatternError::new(kind, translation.origin(&span))
        })
}

#[cfg(test)]
mod tests;
