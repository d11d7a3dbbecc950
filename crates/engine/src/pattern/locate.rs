//! `Locator`: where a pattern matches, and what its groups held. Built for the patterns that matched once and whose matches
//! somebody asks for, since most never do. No IO.

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::{Anchored, Input, MatchKind};

use super::{Limits, parse};

/// `TX:0` to `TX:9`.
pub const MAX_GROUPS: usize = 10;

/// How many pairs of a byte and a state may be tried at most to find a match and its groups at once: some milliseconds.
const MAX_PAIRS: usize = 256 << 10;

/// Groups of longer values are found by a simulation that is slow for each byte and each state, so those of a longer match are left empty.
/// A match of this length costs the largest pattern of the Core Rule Set some milliseconds.
const MAX_GROUPED_BYTES: usize = 4 << 10;

/// How often the states of one search may have no room any more before it is given up: a text that does this to a pattern was made for
/// it, and nobody needs to know where exactly it matched.
const MAX_CLEARS: usize = 8;

/// The room for states: as much as this and more, since it is there for one search only.
const CACHE_BYTES: usize = 256 << 10;

/// One more byte of states costs as much as so many bytes of text: each state is computed from the pattern.
const GROWTH_WORK: usize = 4;

/// Finds the bounds of matches, for one [`Pattern`](super::Pattern).
#[derive(Debug)]
pub struct Locator {
    text: Box<[u8]>,
    limits: Limits,
    /// The pattern with what its groups are, if they are wanted, and for that of its whole match.
    nfa: NFA,
    /// For short values, which most are.
    short: BoundedBacktracker,
    /// For others; `None` if its automata are too large. Built when it is first needed.
    long: OnceLock<Option<Long>>,
}

/// What finds matches in long values.
#[derive(Debug)]
struct Long {
    /// Finds the end of the leftmost match.
    forward: DFA,
    /// Runs from the end of a match to its start.
    reverse: DFA,
    /// Finds the groups inside of a match.
    groups: PikeVM,
    cache_bytes: usize,
}

/// What a [`Locator`] remembers between the matches of one value. Not longer: what it costs must not depend on what was before.
#[derive(Debug)]
pub struct LocatorCache {
    captures: Captures,
    short: Option<backtrack::Cache>,
    long: Option<LongCache>,
    /// The work so far.
    work: u64,
}

#[derive(Debug)]
struct LongCache {
    forward: Cache,
    reverse: Cache,
    groups: pikevm::Cache,
}

impl LocatorCache {
    /// The work since it was created, in bytes that are looked at.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work
    }

    fn charge(&mut self, work: usize) {
        self.work = self.work.saturating_add(work as u64);
    }
}

impl Locator {
    /// Builds it from the text of a pattern that compiled under the same limits, with groups if they are wanted. `None` if its automaton
    /// is too large.
    #[must_use]
    pub fn compile(text: &[u8], limits: &Limits, with_groups: bool) -> Option<Self> {
        let captures = if with_groups {
            WhichCaptures::All
        } else {
            WhichCaptures::Implicit
        };
        let nfa = nfa(text, limits, captures, false)?;
        let config = BoundedBacktracker::config().visited_capacity(MAX_PAIRS / 8);
        Some(Self {
            short: BoundedBacktracker::builder()
                .configure(config)
                .build_from_nfa(nfa.clone())
                .ok()?,
            nfa,
            text: text.into(),
            limits: *limits,
            long: OnceLock::new(),
        })
    }

    /// A cache for this locator.
    #[must_use]
    pub fn create_cache(&self) -> LocatorCache {
        LocatorCache {
            captures: self.short.create_captures(),
            short: None,
            long: None,
            work: 0,
        }
    }

    /// The leftmost match from `from` on and its first groups; those that took no part are `None`. `None` also if the search was given up:
    /// a text that is made to be expensive. The cache must have been created by this locator.
    #[must_use]
    pub fn captures(
        &self,
        cache: &mut LocatorCache,
        haystack: &[u8],
        from: usize,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let input = Input::new(haystack).range(from..haystack.len());
        if input.get_span().len() > self.short.max_haystack_len() {
            return self.long_captures(cache, &input);
        }
        // Each byte may meet each state.
        cache.charge(input.get_span().len() * self.nfa.states().len());
        let short = cache.short.get_or_insert_with(|| self.short.create_cache());
        self.short.try_captures(short, input, &mut cache.captures).ok()?;
        cache.captures.is_match().then(|| spans(&cache.captures))
    }

    fn long_captures(&self, cache: &mut LocatorCache, input: &Input<'_>) -> Option<Vec<Option<Range<usize>>>> {
        let long = self.long.get_or_init(|| Long::compile(self)).as_ref()?;
        let own = cache.long.get_or_insert_with(|| LongCache {
            forward: long.forward.create_cache(),
            reverse: long.reverse.create_cache(),
            groups: long.groups.create_cache(),
        });
        let before = long.made(own);
        let span = long.span(own, input);
        let made = long.made(own).saturating_sub(before);
        // There and back.
        cache.charge(2 * input.get_span().len() + GROWTH_WORK * made);
        let span = span?;
        if self.nfa.group_info().explicit_slot_len() == 0 || span.len() > MAX_GROUPED_BYTES {
            return Some(vec![Some(span)]);
        }
        // Each byte may meet each state.
        cache.charge(span.len() * self.nfa.states().len());
        let input = input.clone().range(span).anchored(Anchored::Yes);
        let own = cache.long.as_mut()?;
        long.groups.captures(&mut own.groups, input, &mut cache.captures);
        Some(spans(&cache.captures))
    }
}

impl Long {
    fn compile(of: &Locator) -> Option<Self> {
        let forward = nfa(&of.text, &of.limits, WhichCaptures::None, false)?;
        let reverse = nfa(&of.text, &of.limits, WhichCaptures::None, true)?;
        let config = DFA::config().minimum_cache_clear_count(Some(MAX_CLEARS));
        let least = |nfa| config.get_minimum_cache_capacity(nfa).ok();
        let cache_bytes = least(&forward)?
            .max(least(&reverse)?)
            .saturating_mul(2)
            .max(CACHE_BYTES);
        let dfa = |nfa, kind| {
            let config = config.clone().match_kind(kind).cache_capacity(cache_bytes);
            DFA::builder().configure(config).build_from_nfa(nfa).ok()
        };
        Some(Self {
            forward: dfa(forward, MatchKind::LeftmostFirst)?,
            reverse: dfa(reverse, MatchKind::All)?,
            groups: PikeVM::new_from_nfa(of.nfa.clone()).ok()?,
            cache_bytes,
        })
    }

    /// The leftmost match.
    fn span(&self, cache: &mut LongCache, input: &Input<'_>) -> Option<Range<usize>> {
        let end = self.forward.try_search_fwd(&mut cache.forward, input).ok().flatten()?;
        let back = input.clone().range(input.start()..end.offset()).anchored(Anchored::Yes);
        let start = self.reverse.try_search_rev(&mut cache.reverse, &back).ok().flatten()?;
        Some(start.offset()..end.offset())
    }

    /// The states that searches have made so far, in bytes.
    fn made(&self, cache: &LongCache) -> usize {
        let made = |cache: &Cache| cache.memory_usage() + cache.clear_count() * self.cache_bytes;
        made(&cache.forward) + made(&cache.reverse)
    }
}

fn nfa(text: &[u8], limits: &Limits, captures: WhichCaptures, reverse: bool) -> Option<NFA> {
    let hir = parse(text, limits).ok()?;
    let config = NFA::config()
        .utf8(false)
        .reverse(reverse)
        .which_captures(captures)
        // With groups an automaton is larger than what the limits were made for.
        .nfa_size_limit(Some(limits.automaton_bytes.saturating_mul(2)));
    thompson::Compiler::new().configure(config).build_from_hir(&hir).ok()
}

fn spans(captures: &Captures) -> Vec<Option<Range<usize>>> {
    let groups = 0..captures.group_len().min(MAX_GROUPS);
    groups
        .map(|group| captures.get_group(group).map(|span| span.range()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, haystack: &str) -> Option<Vec<Option<String>>> {
        let limits = Limits::default();
        let locator = Locator::compile(pattern.as_bytes(), &limits, true).unwrap();
        let mut cache = locator.create_cache();
        let input = Input::new(haystack);
        let found = locator.captures(&mut cache, haystack.as_bytes(), 0);
        // Both ways find the same.
        assert_eq!(locator.long_captures(&mut cache, &input), found, "{pattern} {haystack}");
        let found = found?;
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
        let haystack = "a".repeat(MAX_PAIRS);
        let locator = Locator::compile(b"(a)+", &Limits::default(), true).unwrap();
        let mut cache = locator.create_cache();
        let found = locator.captures(&mut cache, haystack.as_bytes(), 0);
        assert_eq!(found, Some(vec![Some(0..MAX_PAIRS)]));
        let found = locator.captures(&mut cache, haystack.as_bytes(), MAX_PAIRS - 3);
        assert_eq!(
            found,
            Some(vec![Some(MAX_PAIRS - 3..MAX_PAIRS), Some(MAX_PAIRS - 1..MAX_PAIRS)])
        );
    }

    #[test]
    fn a_search_that_costs_too_much_is_given_up() {
        // Each remembers the last nineteen letters, so that nearly each byte leads to a state of its own.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"ab"[(state >> 63) as usize]
        };
        let haystack: Vec<u8> = (0..200_000).map(|_| next()).chain(*b"aaaaaaaaaaaaaaaaaaaac").collect();
        let locator = Locator::compile(b"a[ab]{18}c", &Limits::default(), true).unwrap();
        let mut cache = locator.create_cache();
        assert_eq!(locator.captures(&mut cache, &haystack, 0), None);
        assert!(cache.work() > 5_000_000, "{}", cache.work());
        assert!(locator.captures(&mut cache, &haystack, 199_900).is_some());
    }
}
