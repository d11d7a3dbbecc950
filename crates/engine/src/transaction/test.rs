//! Running an operator on a value, and noting what it captures. No IO.

use std::ops::Range;
use std::sync::Arc;

use coraza_seclang::rules::{Template, Variable};

use super::State;
use crate::detect::{sqli, xss};
use crate::operators::number;
use crate::pattern::{Limits, Locator, LocatorCache, MAX_GROUPS};
use crate::program::{Capture, Compiled, PatternId, Scratch, Test};

/// What an operator says about a value: whether it matches, and what `capture` then stores.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) matches: bool,
    /// `TX:0` and on; `None` for groups that took no part.
    pub(super) captures: Vec<Option<Vec<u8>>>,
}

/// How many patterns one transaction may compile: each costs as much as many rules, and a client chooses some of them.
const MAX_DYNAMIC_PATTERNS: usize = 16;

/// The bounds of a pattern that rules make of values.
const DYNAMIC_LIMITS: Limits = Limits {
    pattern_bytes: 1 << 10,
    nesting: 100,
    automaton_bytes: 256 << 10,
    cache_bytes: 1 << 20,
};

/// A match whose place isn't known: what it captures is nothing, but no longer what an earlier one has.
const NOWHERE: [Option<Vec<u8>>; 1] = [None];

/// Tokenizing a value costs as much as looking at each of its bytes so many times.
const DETECTION_COST: u64 = 8;

impl From<bool> for Verdict {
    fn from(matches: bool) -> Self {
        Self {
            matches,
            captures: Vec::new(),
        }
    }
}

impl State {
    /// Runs an operator.
    pub(super) fn test(&mut self, test: &Test, value: &[u8], capture: Capture, scratch: &mut Scratch) -> Verdict {
        let passes = match test {
            Test::Words(words) => words.passes(),
            _ => 1,
        };
        self.meter.charge((passes * value.len()) as u64);
        match test {
            Test::Always => true.into(),
            Test::Never => false.into(),
            Test::Rx(pattern) => self.rx(*pattern, value, capture, false, scratch),
            Test::RxGlobal(pattern) => self.rx(*pattern, value, capture, true, scratch),
            Test::DynamicRx(template) => self.dynamic_rx(template, value, capture),
            Test::RestPath(pattern, names) => self.rest_path(*pattern, names, value, scratch),
            Test::Text(compare, argument) => compare(value, &self.expand_whole(argument)).into(),
            Test::Number(compare, argument) => {
                let argument = number::parse(&self.expand(argument));
                compare(&number::parse(value), &argument).into()
            }
            Test::Words(words) if capture != Capture::Nothing => {
                let most = if capture == Capture::Groups { MAX_GROUPS } else { 1 };
                let captures = words.captures(value).take(most);
                let captures: Vec<_> = captures.map(|word| Some(word.to_vec())).collect();
                Verdict {
                    matches: !captures.is_empty(),
                    captures,
                }
            }
            Test::Words(words) => words.is_match(value).into(),
            Test::Networks(networks) => networks.contains(value).into(),
            Test::ByteRanges(ranges) => ranges.is_violated_by(value).into(),
            Test::Encoding(is_invalid) => is_invalid(value).into(),
            Test::Sqli => {
                self.meter.charge(DETECTION_COST * value.len() as u64);
                let fingerprint = sqli::detect(value);
                Verdict {
                    matches: fingerprint.is_some(),
                    captures: fingerprint
                        .iter()
                        .map(|found| Some(found.as_bytes().to_vec()))
                        .collect(),
                }
            }
            Test::Xss => {
                self.meter.charge(DETECTION_COST * value.len() as u64);
                let matches = xss::detect(value);
                Verdict {
                    matches,
                    captures: if matches && capture != Capture::Nothing {
                        vec![Some(value.to_vec())]
                    } else {
                        Vec::new()
                    },
                }
            }
            Test::Identity(pattern, is_real) => self.identity(*pattern, *is_real, value, scratch),
        }
    }

    fn rx(&mut self, id: PatternId, value: &[u8], capture: Capture, global: bool, scratch: &mut Scratch) -> Verdict {
        // Without work left, patterns no longer match: what is left of the rules must end soon.
        if self.meter.is_exceeded() {
            return false.into();
        }
        self.meter.started += 1;
        let search = self.search(id, value, scratch);
        self.meter.charge(search.work);
        if !search.matches {
            return false.into();
        }
        let program = Arc::clone(&self.program);
        let compiled = program.patterns().get(id);
        Verdict {
            matches: true,
            captures: compiled.map_or_else(Vec::new, |compiled| self.captures(compiled, value, capture, global)),
        }
    }

    /// Whether a path is as its template says; if so, its parts are arguments.
    fn rest_path(&mut self, id: PatternId, names: &[Box<[u8]>], value: &[u8], scratch: &mut Scratch) -> Verdict {
        let mut verdict = self.rx(id, value, Capture::Groups, false, scratch);
        let groups = verdict.captures.drain(..).skip(1);
        for (name, group) in names.iter().zip(groups) {
            if let Some(group) = group {
                self.variables.collection_mut(Variable::ArgsPath).set(name, group);
            }
        }
        verdict
    }

    /// What the groups of the first match hold; for `rxGlobal` those of all matches, as long as there is room.
    fn captures(&mut self, compiled: &Compiled, value: &[u8], capture: Capture, global: bool) -> Vec<Option<Vec<u8>>> {
        let mut captures = Vec::new();
        let with_groups = match capture {
            Capture::Nothing => return captures,
            Capture::Whole => false,
            Capture::Groups => true,
        };
        let Some(locator) = compiled.locator(with_groups) else {
            return NOWHERE.to_vec();
        };
        let mut cache = locator.create_cache();
        let mut from = 0;
        while captures.len() < MAX_GROUPS && from <= value.len() && !self.meter.is_exceeded() {
            let Some(groups) = self.locate(locator, &mut cache, value, from) else {
                break;
            };
            let whole = groups.first().cloned().flatten().unwrap_or(from..from);
            // An empty match must not be found again.
            from = whole.end.max(whole.start + 1);
            let bytes = |group: Range<usize>| value.get(group).unwrap_or_default().to_vec();
            captures.extend(groups.into_iter().map(|group| group.map(bytes)));
            if !global || !with_groups {
                break;
            }
        }
        if captures.is_empty() {
            return NOWHERE.to_vec();
        }
        captures.truncate(MAX_GROUPS);
        captures
    }

    /// Where a pattern matches from a place on, for what it costs.
    fn locate(
        &mut self,
        locator: &Locator,
        cache: &mut LocatorCache,
        value: &[u8],
        from: usize,
    ) -> Option<Vec<Option<Range<usize>>>> {
        let before = cache.work();
        let found = locator.captures(cache, value, from);
        self.meter.charge(cache.work() - before);
        found
    }

    /// Whether some match of the pattern is a real number of its kind.
    fn identity(&mut self, id: PatternId, is_real: fn(&[u8]) -> bool, value: &[u8], scratch: &mut Scratch) -> Verdict {
        let program = Arc::clone(&self.program);
        let Some(compiled) = program.patterns().get(id) else {
            return false.into();
        };
        let search = self.search(id, value, scratch);
        self.meter.charge(search.work);
        let Some(locator) = compiled.locator(false).filter(|_| search.matches) else {
            return false.into();
        };
        let mut cache = locator.create_cache();
        let mut from = 0;
        while from <= value.len() && !self.meter.is_exceeded() {
            let Some(groups) = self.locate(locator, &mut cache, value, from) else {
                break;
            };
            let whole = groups.first().cloned().flatten().unwrap_or(from..from);
            let candidate = value.get(whole.clone()).unwrap_or_default();
            if is_real(candidate) {
                return Verdict {
                    matches: true,
                    captures: vec![Some(candidate.to_vec())],
                };
            }
            from = whole.start + 1;
        }
        false.into()
    }

    /// A pattern that is made of values of the transaction.
    fn dynamic_rx(&mut self, template: &Template, value: &[u8], capture: Capture) -> Verdict {
        let text = self.expand(template);
        let known = self.dynamic_patterns.iter().find(|(known, _)| *known == text);
        let compiled = match known {
            Some((_, compiled)) => compiled.clone(),
            None if self.dynamic_patterns.len() < MAX_DYNAMIC_PATTERNS => {
                let compiled = Compiled::new(&text, &DYNAMIC_LIMITS).ok().map(Arc::new);
                self.meter.charge(DYNAMIC_LIMITS.automaton_bytes as u64);
                self.dynamic_patterns.push((text, compiled.clone()));
                compiled
            }
            None => None,
        };
        // The rule can't do its work: others must be able to know.
        if compiled.is_none() {
            self.variables.set(Variable::MscPcreError, *b"1");
        }
        let Some(compiled) = compiled.filter(|_| !self.meter.is_exceeded()) else {
            return false.into();
        };
        let dfa = compiled.pattern.dfa();
        let mut cache = compiled.pattern.create_cache();
        cache.begin_anew(dfa);
        let search = dfa.search(&mut cache, value, self.meter.left());
        self.meter.charge(search.work);
        if !search.matches {
            return false.into();
        }
        Verdict {
            matches: true,
            captures: self.captures(&compiled, value, capture, false),
        }
    }
}
