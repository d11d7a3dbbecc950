//! `Filter`: finds the tests that may match a value in one pass over it, whatever their number. No IO.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::bits::Bits;
use super::mask::ByteMask;
use super::requirement::{Clause, Requirement};

/// Tests by what a value must have for each to match.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Finds the literals of all clauses at once; none if there are none.
    automaton: Option<AhoCorasick>,
    /// For each literal the clauses that it satisfies.
    by_literal: Vec<Box<[u32]>>,
    /// For each byte in lower case the clauses that it satisfies.
    by_byte: Vec<Bits>,
    /// For each clause the tests whose first it is: the one that the fewest values satisfy.
    led: Vec<Box<[Led]>>,
    clauses: usize,
    /// Tests without any clause, with the length that a value must have.
    free: Vec<(usize, usize)>,
    tests: usize,
}

/// A test, and what else it needs once its first clause is satisfied.
#[derive(Debug)]
struct Led {
    test: usize,
    min_len: usize,
    clauses: Box<[u32]>,
}

/// The automaton of the literals could not be built: they are too many.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Filter {
    /// A filter for tests, each known by its place in the list.
    pub(crate) fn new<'a>(requirements: impl IntoIterator<Item = &'a Requirement>) -> Result<Self, TooMany> {
        let mut clauses: Vec<&Clause> = Vec::new();
        let mut ids = std::collections::HashMap::new();
        let mut led: Vec<Vec<Led>> = Vec::new();
        let mut free = Vec::new();
        let mut tests = 0;
        for (test, requirement) in requirements.into_iter().enumerate() {
            tests = test + 1;
            let own: Vec<u32> = requirement
                .clauses
                .iter()
                .map(|clause| {
                    *ids.entry(clause).or_insert_with(|| {
                        clauses.push(clause);
                        led.push(Vec::new());
                        clauses.len() as u32 - 1
                    })
                })
                .collect();
            let min_len = requirement.min_len;
            match own.split_first() {
                None => free.push((test, min_len)),
                Some((first, rest)) => {
                    let clauses = rest.into();
                    if let Some(led) = led.get_mut(*first as usize) {
                        led.push(Led { test, min_len, clauses });
                    }
                }
            }
        }
        let mut by_byte = vec![Bits::below(clauses.len()); 256];
        let mut by_literal: std::collections::BTreeMap<&[u8], Vec<u32>> = std::collections::BTreeMap::new();
        for (id, clause) in (0_u32..).zip(&clauses) {
            for byte in clause.bytes.iter() {
                if let Some(satisfied) = by_byte.get_mut(usize::from(byte)) {
                    satisfied.insert(id as usize);
                }
            }
            for literal in &clause.literals {
                by_literal.entry(literal).or_default().push(id);
            }
        }
        Ok(Self {
            automaton: automaton(by_literal.keys().copied())?,
            by_literal: by_literal.into_values().map(Vec::into_boxed_slice).collect(),
            by_byte,
            led: led.into_iter().map(Vec::into_boxed_slice).collect(),
            clauses: clauses.len(),
            free,
            tests,
        })
    }

    /// The tests that may match a value with these bytes; all others don't.
    pub(crate) fn candidates(&self, value: &[u8], bytes: &ByteMask) -> Bits {
        let mut satisfied = Bits::below(self.clauses);
        for byte in bytes.folded().iter() {
            if let Some(clauses) = self.by_byte.get(usize::from(byte)) {
                satisfied.add(clauses);
            }
        }
        if let Some(automaton) = &self.automaton {
            for found in automaton.find_overlapping_iter(value) {
                let clauses = self.by_literal.get(found.pattern().as_usize());
                for clause in clauses.into_iter().flatten() {
                    satisfied.insert(*clause as usize);
                }
            }
        }
        let mut candidates = Bits::below(self.tests);
        for led in satisfied.iter().filter_map(|clause| self.led.get(clause)).flatten() {
            let others = || led.clauses.iter().all(|clause| satisfied.contains(*clause as usize));
            if value.len() >= led.min_len && others() {
                candidates.insert(led.test);
            }
        }
        for (test, min_len) in &self.free {
            if value.len() >= *min_len {
                candidates.insert(*test);
            }
        }
        candidates
    }

    /// The memory that it takes, in bytes, but for small change.
    pub(crate) fn memory_usage(&self) -> usize {
        let automaton = self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage);
        automaton + self.by_byte.len() * self.clauses.div_ceil(8) + self.by_literal.len() * 24
    }
}

fn automaton<'a>(literals: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Option<AhoCorasick>, TooMany> {
    if literals.len() == 0 {
        return Ok(None);
    }
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        // The only kind that finds all of them, those inside of others too.
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(literals);
    automaton.map(Some).map_err(|_| TooMany)
}
