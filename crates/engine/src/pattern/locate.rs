//! `Locator`: where a pattern matches, and what its groups held. Built for the patterns that matched once and whose matches
//! somebody asks for, since most never do. No IO.

use std::ops::Range;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures, pikevm};
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, MatchKind};

use super::{Limits, Pattern, parse};

/// `TX:0` to `TX:9`.
pub const MAX_GROUPS: usize = 10;

/// Groups are found by a simulation that is slow for each byte and each state, so those of a longer match are left empty. A
/// match of this length costs the largest pattern of the Core Rule Set some milliseconds.
const MAX_GROUPED_BYTES: usize = 4 << 10;

/// Finds the bounds of matches, for one [`Pattern`].
#[derive(Debug)]
pub struct Locator {
    /// Runs from the end of a match to its start.
    reverse: DFA,
    /// Finds the groups inside of a match; none if the pattern has no groups.
    groups: Option<pikevm::PikeVM>,
}

/// What a [`Locator`] remembers between matches.
#[derive(Debug)]
pub struct LocatorCache {
    reverse: Cache,
    groups: Option<(pikevm::Cache, Captures)>,
}

impl LocatorCache {
    /// Its memory in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, |(cache, _)| cache.memory_usage());
        self.reverse.memory_usage() + groups
    }
}

impl Locator {
    /// Builds it from the text of a pattern that was compiled under the same limits. `None` if its automata are too large.
    #[must_use]
    pub fn compile(pattern: &[u8], limits: &Limits) -> Option<Self> {
        let hir = parse(pattern, limits).ok()?;
        let nfa = |captures, reverse| {
            let config = NFA::config()
                .utf8(false)
                .reverse(reverse)
                .which_captures(captures)
                // With groups an automaton is larger than what the limits were made for.
                .nfa_size_limit(Some(limits.automaton_bytes.saturating_mul(2)));
            thompson::Compiler::new().configure(config).build_from_hir(&hir).ok()
        };
        let reverse = nfa(WhichCaptures::None, true)?;
        let config = DFA::config().match_kind(MatchKind::All);
        let minimum = config.get_minimum_cache_capacity(&reverse).ok()?;
        let config = config.cache_capacity(limits.cache_capacity(minimum));
        let reverse = DFA::builder().configure(config).build_from_nfa(reverse).ok()?;
        let groups = if hir.properties().explicit_captures_len() == 0 {
            None
        } else {
            Some(pikevm::PikeVM::new_from_nfa(nfa(WhichCaptures::All, false)?).ok()?)
        };
        Some(Self { reverse, groups })
    }

    /// A cache for this locator.
    #[must_use]
    pub fn create_cache(&self) -> LocatorCache {
        LocatorCache {
            reverse: self.reverse.create_cache(),
            groups: self
                .groups
                .as_ref()
                .map(|groups| (groups.create_cache(), groups.create_captures())),
        }
    }

    /// The leftmost match in `haystack` from `from` on.
    fn span(
        &self,
        pattern: &Pattern,
        forward: &mut Cache,
        cache: &mut LocatorCache,
        haystack: &[u8],
        from: usize,
    ) -> Option<Range<usize>> {
        let input = Input::new(haystack).range(from..haystack.len());
        let end = pattern.dfa.try_search_fwd(forward, &input).ok().flatten()?.offset();
        let input = Input::new(haystack).range(from..end).anchored(Anchored::Yes);
        let start = self.reverse.try_search_rev(&mut cache.reverse, &input).ok().flatten()?;
        Some(start.offset()..end)
    }

    /// The leftmost match from `from` on and its first groups; those that took no part are `None`. The caches must have been
    /// created by this pattern and this locator.
    #[must_use]
    pub fn captures(
        &self,
        pattern: &Pattern,
        caches: (&mut Cache, &mut LocatorCache),
        haystack: &[u8],
        from: usize,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let (forward, cache) = caches;
        let span = self.span(pattern, forward, cache, haystack, from)?;
        let mut found = vec![Some(span.clone())];
        if let (Some(groups), Some((cache, captures))) = (&self.groups, &mut cache.groups)
            && span.len() <= MAX_GROUPED_BYTES
        {
            let input = Input::new(haystack).range(span).anchored(Anchored::Yes);
            groups.captures(cache, input, captures);
            let last = captures.group_len().min(MAX_GROUPS);
            found.extend((1..last).map(|group| captures.get_group(group).map(|span| span.range())));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, haystack: &str) -> Option<Vec<Option<String>>> {
        let limits = Limits::default();
        let compiled = Pattern::compile(pattern.as_bytes(), &limits).unwrap();
        let locator = Locator::compile(pattern.as_bytes(), &limits).unwrap();
        let mut caches = (compiled.create_cache(), locator.create_cache());
        let found = locator.captures(&compiled, (&mut caches.0, &mut caches.1), haystack.as_bytes(), 0)?;
        Some(
            found
                .into_iter()
                .map(|span| span.and_then(|span| haystack.get(span)).map(str::to_owned))
                .collect(),
        )
    }

    #[test]
    fn matches_are_leftmost_and_groups_are_as_in_perl() {
        let some = |text: &str| Some(text.to_owned());
        for (pattern, haystack, expected) in [
            ("b+", "abbbcb", Some(vec![some("bbb")])),
            (
                "(a|ab)(c|bcd)?",
                "xabcd",
                Some(vec![some("abcd"), some("a"), some("bcd")]),
            ),
            ("(?i)(x)|(y)", "aY", Some(vec![some("Y"), None, some("Y")])),
            ("a*?", "aaa", Some(vec![some("")])),
            (r"\bword$", "a sword word", Some(vec![some("word")])),
            (
                "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)",
                "abcdefghijk",
                Some({
                    let groups = "abcdefghi".chars().map(|group| Some(group.to_string()));
                    std::iter::once(some("abcdefghijk")).chain(groups).collect()
                }),
            ),
            ("x", "y", None),
        ] {
            assert_eq!(captures(pattern, haystack), expected, "{pattern}");
        }
    }

    #[test]
    fn groups_of_long_matches_are_left_out() {
        let haystack = "a".repeat(MAX_GROUPED_BYTES + 1);
        assert_eq!(captures("(a)+", &haystack), Some(vec![Some(haystack.clone())]));
    }
}
