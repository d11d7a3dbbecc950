//! `Filter`: finds the tests that may match a value in one pass over it, whatever their number. No IO.

use std::collections::HashMap;

use super::bits::Bits;
use super::literals::Literals;
use super::mask::ByteMask;
use super::requirement::{Clause, Ends, Requirement};

/// Tests by what a value must have for each to match.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The literals of all clauses.
    literals: Literals,
    /// For each literal the first of its links.
    by_literal: Vec<u32>,
    links: Vec<Link>,
    /// For each byte in lower case the clauses that it satisfies.
    by_byte: Vec<Bits>,
    /// For each clause the tests whose first it is: the one that the fewest values satisfy.
    led: Vec<Vec<Led>>,
    /// Tests without any clause.
    free: Vec<Led>,
    tests: usize,
}

/// A clause that a literal satisfies. Nearly all literals have one.
#[derive(Debug)]
struct Link {
    clause: u32,
    /// The literal's link before, or [`NO_LINK`].
    before: u32,
}

const NO_LINK: u32 = u32::MAX;

/// A test, and what else it needs once its first clause is satisfied.
#[derive(Debug)]
struct Led {
    test: usize,
    min_len: usize,
    ends: Ends,
    clauses: Box<[u32]>,
}

impl Led {
    /// Whether a value that satisfies some clauses may be matched.
    fn may_match(&self, value: &[u8], satisfied: &Bits) -> bool {
        let mut clauses = self.clauses.iter();
        value.len() >= self.min_len
            && clauses.all(|clause| satisfied.contains(*clause as usize))
            && self.ends.allow(value)
    }
}

/// A filter on its way: tests are [`add`](Self::add)ed, then there are [`step`](Self::step)s to take.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    clauses: Vec<Clause>,
    ids: HashMap<Clause, u32>,
    led: Vec<Vec<Led>>,
    free: Vec<Led>,
    tests: usize,
    /// The filter whose clauses are being put in, and the place of the next of them.
    filling: Option<(Filter, usize)>,
}

/// How many literals and bytes of clauses are put in by one step, about: a fraction of a millisecond.
const STEP: usize = 2_000;

impl FilterBuilder {
    /// Adds a test, and says its place among all.
    pub(crate) fn add(&mut self, requirement: &Requirement) -> usize {
        let test = self.tests;
        self.tests += 1;
        let own: Vec<u32> = requirement.clauses.iter().map(|clause| self.clause(clause)).collect();
        let (first, rest) = match own.split_first() {
            Some((first, rest)) => (Some(*first as usize), rest),
            None => (None, &[][..]),
        };
        let led = Led {
            test,
            min_len: requirement.min_len,
            ends: requirement.ends.clone(),
            clauses: rest.into(),
        };
        match first.and_then(|first| self.led.get_mut(first)) {
            Some(list) => list.push(led),
            None => self.free.push(led),
        }
        test
    }

    fn clause(&mut self, clause: &Clause) -> u32 {
        if let Some(id) = self.ids.get(clause) {
            return *id;
        }
        let id = self.clauses.len() as u32;
        self.clauses.push(clause.clone());
        self.led.push(Vec::new());
        self.ids.insert(clause.clone(), id);
        id
    }

    /// Does one more step, and says whether there was anything to do.
    pub(crate) fn step(&mut self) -> bool {
        let Some((filter, at)) = &mut self.filling else {
            self.filling = Some((self.empty(), 0));
            return true;
        };
        let mut done = 0;
        while let Some(clause) = self.clauses.get(*at)
            && done < STEP
        {
            done += clause.bytes.len() + clause.literals.len();
            filter.put_in(*at, clause);
            *at += 1;
        }
        done > 0
    }

    fn empty(&mut self) -> Filter {
        self.ids.clear();
        let literals = self.clauses.iter().map(|clause| clause.literals.len()).sum();
        Filter {
            literals: Literals::with_room_for(literals),
            by_literal: Vec::with_capacity(literals),
            links: Vec::with_capacity(literals),
            by_byte: vec![Bits::below(self.clauses.len()); 256],
            led: std::mem::take(&mut self.led),
            free: std::mem::take(&mut self.free),
            tests: self.tests,
        }
    }

    /// The filter, after the last step.
    pub(crate) fn finish(mut self) -> Filter {
        while self.step() {}
        match self.filling.take() {
            Some((filter, _)) => filter,
            None => self.empty(),
        }
    }
}

impl Filter {
    /// A filter for tests, each known by its place in the list.
    #[cfg(test)]
    pub(crate) fn new<'a>(requirements: impl IntoIterator<Item = &'a Requirement>) -> Self {
        let mut builder = FilterBuilder::default();
        for requirement in requirements {
            builder.add(requirement);
        }
        builder.finish()
    }

    fn put_in(&mut self, id: usize, clause: &Clause) {
        for byte in clause.bytes.iter() {
            if let Some(satisfied) = self.by_byte.get_mut(usize::from(byte)) {
                satisfied.insert(id);
            }
        }
        for literal in &clause.literals {
            // There is room for all, and all are long enough.
            let Some(number) = self.literals.insert(literal) else {
                debug_assert!(false, "{literal:?}");
                continue;
            };
            if self.by_literal.len() <= number as usize {
                self.by_literal.push(NO_LINK);
            }
            if let Some(first) = self.by_literal.get_mut(number as usize) {
                let link = Link {
                    clause: id as u32,
                    before: std::mem::replace(first, self.links.len() as u32),
                };
                self.links.push(link);
            }
        }
    }

    /// The tests that may match a value with these bytes; all others don't.
    pub(crate) fn candidates(&self, value: &[u8], bytes: &ByteMask) -> Bits {
        let mut satisfied = Bits::below(self.led.len());
        for byte in bytes.folded().iter() {
            if let Some(clauses) = self.by_byte.get(usize::from(byte)) {
                satisfied.add(clauses);
            }
        }
        self.literals.find_all(value, |number| {
            let mut next = self.by_literal.get(number as usize);
            while let Some(link) = next.and_then(|place| self.links.get(*place as usize)) {
                satisfied.insert(link.clause as usize);
                next = Some(&link.before);
            }
        });
        let mut candidates = Bits::below(self.tests);
        let led = satisfied.iter().filter_map(|clause| self.led.get(clause)).flatten();
        for led in led.chain(&self.free) {
            if led.may_match(value, &satisfied) {
                candidates.insert(led.test);
            }
        }
        candidates
    }

    /// The memory that it takes, in bytes, but for small change.
    pub(crate) fn memory_usage(&self) -> usize {
        let links = self.by_literal.capacity() * size_of::<u32>() + self.links.capacity() * size_of::<Link>();
        self.literals.memory_usage() + links + self.by_byte.len() * self.led.len().div_ceil(8)
    }
}
