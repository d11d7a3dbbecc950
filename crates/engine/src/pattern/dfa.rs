//! `Dfa`: whether a pattern matches, by an automaton whose states are made while it runs. No IO.
//!
//! A lazy DFA is as fast as one that was built whole, and takes a fraction of its memory; but what it costs depends on what it has seen. The
//! work that a search is charged with must not: the same request has the same verdict, whoever came before it. So this one, unlike that of
//! `regex-automata` (whose NFA it runs), tells apart what it knows from what it has used since [`Cache::begin`]: the first use of a
//! transition is charged as if it had to be made, whether it had to be or not. All that the charge depends on is the pattern and the texts.
//! Short texts are too many for such bookkeeping and can't do much: up to [`SHORT_BYTES`] of them have a flat rate, whatever they cost.
//!
//! It also makes do with sets where one that finds out *where* a pattern matches has to keep an order, so it has fewer states.

mod cache;
mod determinize;
#[cfg(test)]
mod tests;

use regex_automata::nfa::thompson::NFA;
use regex_automata::util::look::LookSet;

pub use cache::Cache;
use cache::{DEAD, MATCH, SPECIAL, Step, UNUSED};

/// The work of starting a search, in bytes that are looked at.
const SEARCH_WORK: u64 = 30;

/// How many bytes of short texts have a flat rate after [`Cache::begin`]: most requests have no more for most patterns. A pattern with large
/// states has fewer, so that those for its short texts find room; all patterns of the Core Rule Set together can't spend more than some
/// hundredths of a second on theirs.
const SHORT_BYTES: usize = 256;

/// That rate, for each of them: between what a byte costs that only leads to a known state, and one that leads to a new one.
const SHORT_WORK: u64 = 50;

/// The work of making a transition, whatever its states: as much as looking at so many bytes. With this and the next, a unit of work takes
/// about as long for plain texts as for those that lead to a new state with nearly each byte (`cargo xtask bench engine`, `per-work`).
const TRANSITION_WORK: u64 = 150;

/// The same for each state of the NFA that takes part in it.
const MEMBER_WORK: u64 = 8;

/// An automaton over bytes that answers whether a pattern matches anywhere.
#[derive(Debug)]
pub(crate) struct Dfa {
    nfa: NFA,
    /// How many classes of bytes there are, the end of the text included.
    stride: usize,
    /// What of the byte before a place decides whether the pattern's anchors and boundaries hold there.
    looks: LookSet,
    capacity: usize,
    /// How many bytes of short texts have a flat rate.
    short: usize,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// Whether the pattern matches; not if the work ended before that was known.
    pub(crate) matches: bool,
    /// The work, in bytes that are looked at.
    pub(crate) work: u64,
}

impl Dfa {
    /// Over an NFA of at most 65,535 states. A cache keeps `capacity` bytes of what earlier searches left, as many of what the searches
    /// since [`Cache::begin`] use, and as many of what those of short texts do.
    pub(crate) fn new(nfa: NFA, capacity: usize) -> Self {
        Self {
            short: SHORT_BYTES.min(capacity / Self::largest_state(&nfa)),
            stride: nfa.byte_classes().alphabet_len(),
            looks: nfa.look_set_any(),
            nfa,
            capacity,
        }
    }

    /// The most bytes that one state takes in a cache.
    pub(crate) fn largest_state(nfa: &NFA) -> usize {
        cache::state_bytes(nfa.byte_classes().alphabet_len(), nfa.states().len())
    }

    pub(crate) fn nfa(&self) -> &NFA {
        &self.nfa
    }

    /// Whether the pattern matches anywhere in `haystack`. Ends without an answer as soon as the work is more than `budget`, which
    /// is then what [`Search::work`] says.
    pub(crate) fn search(&self, cache: &mut Cache, haystack: &[u8], budget: u64) -> Search {
        if cache.take_short(haystack.len()) {
            return Search {
                matches: self.search_short(cache, haystack),
                work: SEARCH_WORK + SHORT_WORK * haystack.len() as u64,
            };
        }
        let mut work = SEARCH_WORK;
        let mut row = match cache.start(self) {
            Step::To(row) => cache.visit(self, row, &mut work),
            Step::Ends(matches) => return Search { matches, work },
        };
        let classes = self.nfa.byte_classes();
        for (at, byte) in haystack.iter().enumerate() {
            let class = usize::from(classes.get(*byte));
            let target = cache.target(row, class);
            if target < UNUSED {
                row = target;
                continue;
            }
            let step = cache.step(self, row, Some(*byte), class, &mut work);
            let total = work.saturating_add(at as u64);
            match step {
                Step::To(_) if total > budget => {
                    return Search {
                        matches: false,
                        work: total,
                    };
                }
                Step::To(next) => row = next,
                Step::Ends(matches) => return Search { matches, work: total },
            }
        }
        let step = cache.step(self, row, None, self.end(), &mut work);
        Search {
            matches: step == Step::Ends(true),
            work: work.saturating_add(haystack.len() as u64),
        }
    }

    /// The same without bookkeeping.
    fn search_short(&self, cache: &mut Cache, haystack: &[u8]) -> bool {
        let mut row = match cache.start(self) {
            Step::To(row) => row,
            Step::Ends(matches) => return matches,
        };
        let classes = self.nfa.byte_classes();
        for byte in haystack {
            let class = usize::from(classes.get(*byte));
            let target = cache.target(row, class);
            if target < SPECIAL {
                row = target & !UNUSED;
                continue;
            }
            match cache.step_short(self, row, Some(*byte), class) {
                Step::To(next) => row = next,
                Step::Ends(matches) => return matches,
            }
        }
        cache.step_short(self, row, None, self.end()) == Step::Ends(true)
    }

    /// The class of the end of the text: the last one.
    fn end(&self) -> usize {
        self.stride.saturating_sub(1)
    }
}

/// What the first use of a transition costs: both of its ends have a weight, in states of the NFA.
fn transition_work(from: u32, to: u32) -> u64 {
    TRANSITION_WORK + MEMBER_WORK * (u64::from(from) + u64::from(to))
}

/// What a target says of its row, or of the verdict.
fn verdict(target: u32) -> Option<bool> {
    match target {
        MATCH => Some(true),
        DEAD => Some(false),
        _ => None,
    }
}
