//! `Plan`: how the rules of a program are run without looking at what can't match. Made of the rules alone; no IO.
//!
//! Rules say what they want of each other in order, and so they run; what a plan saves is work whose outcome is known. The values that a
//! list of targets selects are collected once for all rules with the same list, each value is transformed once for all rules that begin
//! with the same transformations, and one pass over it finds the few tests that may match it. Rules whose test matches none of their values
//! aren't looked at further. What matches is left to the same code as ever: the interpreter that has no plan is what a plan is compared with.

mod bits;
mod filter;
mod literals;
mod mask;
mod memo;
mod requirement;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use coraza_seclang::rules::{Phase, TargetMode, Transformation, Variable};

use crate::operators::number;
use crate::program::{Member, PatternId, Patterns, Rule, Selector, Target, Test};
use crate::variables;
use filter::{Filter, FilterBuilder};
pub(crate) use mask::ByteMask;
pub(crate) use memo::{Listed, Memo, TextId};
pub(crate) use requirement::Requirement;

/// A list of targets that rules share, as a place among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetId(usize);

/// A list of targets with what their values go through, for the tests of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupId(usize);

/// A key of TX that rules compare with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(usize);

/// One of the filters: that of the phases of the request, or of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FilterId(usize);

impl FilterId {
    const COUNT: usize = 2;

    pub(crate) fn of(phase: Phase) -> Self {
        Self(usize::from(phase > Phase::RequestBody))
    }
}

/// How rules are run.
#[derive(Debug)]
pub(crate) struct Plan {
    phases: [Box<[Box<[MemberPlan]>]>; Phase::ALL.len()],
    /// What the values of each group go through.
    groups: Vec<Box<[Transformation]>>,
    keys: Vec<Box<[u8]>>,
    filters: [Filter; FilterId::COUNT],
}

/// How one link of a chain is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemberPlan {
    /// Its targets, if their values change only when a phase begins.
    pub(crate) set: Option<(SetId, GroupId)>,
    /// Its test's place in the filter of its phase.
    pub(crate) test: Option<usize>,
    pub(crate) gate: Option<Gate>,
}

/// A number in TX against a constant, as the Core Rule Set asks for its paranoia level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    pub(crate) key: KeyId,
    /// Whether it is the number of values that counts.
    pub(crate) counts: bool,
    pub(crate) compare: fn(&i64, &i64) -> bool,
    pub(crate) argument: i64,
}

/// What a test is known by.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Identity {
    Pattern(PatternId),
    /// The address of words, which rules may share.
    Words(usize),
}

/// A plan on its way: [`step`](Self::step) until there is nothing left to do, then [`finish`](Self::finish).
#[derive(Debug, Default)]
pub(crate) struct Planner {
    sets: HashMap<TargetLists, SetId>,
    groups: HashMap<(SetId, FilterId, Box<[Transformation]>), GroupId>,
    keys: HashMap<Vec<u8>, KeyId>,
    tests: [HashMap<Identity, usize>; FilterId::COUNT],
    filters: [FilterBuilder; FilterId::COUNT],
    phases: [Vec<Box<[MemberPlan]>>; Phase::ALL.len()],
}

/// Targets and what is excluded of them.
type TargetLists = (Box<[Target]>, Box<[Target]>);

impl Plan {
    /// How the members of a rule are run.
    pub(crate) fn rule(&self, phase: Phase, at: usize) -> &[MemberPlan] {
        let phase = self.phases.get(usize::from(phase.number()) - 1);
        phase
            .and_then(|rules| rules.get(at))
            .map(|members| &**members)
            .unwrap_or_default()
    }

    pub(crate) fn filter(&self, id: FilterId) -> Option<&Filter> {
        self.filters.get(id.0)
    }

    pub(crate) fn transformations(&self, group: GroupId) -> &[Transformation] {
        self.groups.get(group.0).map(|list| &**list).unwrap_or_default()
    }

    pub(crate) fn key(&self, key: KeyId) -> &[u8] {
        self.keys.get(key.0).map(|key| &**key).unwrap_or_default()
    }

    /// The memory that it takes, in bytes, but for small change.
    pub(crate) fn memory_usage(&self) -> usize {
        self.filters.iter().map(Filter::memory_usage).sum()
    }
}

impl Planner {
    /// Does one more step, for the same rules, and says whether there was anything to do: plans a rule, or fills a part of a filter.
    pub(crate) fn step(&mut self, phases: &[Vec<Rule>; Phase::ALL.len()], patterns: &Patterns) -> bool {
        for (at, rules) in phases.iter().enumerate() {
            let planned = self.phases.get(at).map_or(0, Vec::len);
            if let Some(rule) = rules.get(planned) {
                let members = self.members(rule, patterns);
                if let Some(phase) = self.phases.get_mut(at) {
                    phase.push(members);
                }
                return true;
            }
        }
        self.filters.iter_mut().any(FilterBuilder::step)
    }

    /// The plan, after the last step.
    pub(crate) fn finish(self) -> Plan {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_by_key(|(_, id)| id.0);
        let mut keys: Vec<_> = self.keys.into_iter().collect();
        keys.sort_by_key(|(_, id)| id.0);
        Plan {
            phases: self.phases.map(Vec::into_boxed_slice),
            groups: groups.into_iter().map(|((.., list), _)| list).collect(),
            keys: keys.into_iter().map(|(key, _)| key.into_boxed_slice()).collect(),
            filters: self.filters.map(FilterBuilder::finish),
        }
    }

    fn members(&mut self, rule: &Rule, patterns: &Patterns) -> Box<[MemberPlan]> {
        let filter = FilterId::of(rule.phase);
        let members = rule.members.iter();
        members.map(|member| self.member(member, filter, patterns)).collect()
    }

    fn member(&mut self, member: &Member, filter: FilterId, patterns: &Patterns) -> MemberPlan {
        if member.unconditional {
            return MemberPlan::default();
        }
        MemberPlan {
            set: self.set(member, filter),
            test: self.test(&member.test, filter, patterns),
            gate: self.gate(member),
        }
    }

    fn set(&mut self, member: &Member, filter: FilterId) -> Option<(SetId, GroupId)> {
        let mut targets = member.targets.iter();
        if !targets.all(|target| variables::is_settled(target.variable)) {
            return None;
        }
        let next = SetId(self.sets.len());
        let lists = (member.targets.clone(), member.exclusions.clone());
        let set = *self.sets.entry(lists).or_insert(next);
        let next = GroupId(self.groups.len());
        let group = *self
            .groups
            .entry((set, filter, member.transformations.clone()))
            .or_insert(next);
        Some((set, group))
    }

    /// The place of a test in the filter; none if it would always be a candidate.
    fn test(&mut self, test: &Test, filter: FilterId, patterns: &Patterns) -> Option<usize> {
        let (tests, filter) = (self.tests.get_mut(filter.0)?, self.filters.get_mut(filter.0)?);
        let mut add = |identity, requirement: &Requirement| {
            let place = tests.entry(identity).or_insert_with(|| filter.add(requirement));
            Some(*place)
        };
        match test {
            Test::Rx(id) | Test::RxGlobal(id) | Test::Identity(id, _) => {
                add(Identity::Pattern(*id), patterns.get(*id)?.pattern.requirement())
            }
            Test::Words(words) => add(Identity::Words(Arc::as_ptr(words).addr()), words.requirement()),
            Test::ByteRanges(ranges) => Some(filter.add(&Requirement::of_bytes(ByteMask::from(ranges.forbidden())))),
            Test::Always
            | Test::Never
            | Test::DynamicRx(_)
            | Test::Text(..)
            | Test::Number(..)
            | Test::Networks(_)
            | Test::Encoding(_)
            | Test::Sqli
            | Test::Xss
            | Test::RestPath(..) => None,
        }
    }

    fn gate(&mut self, member: &Member) -> Option<Gate> {
        let ([target], [], [], Test::Number(compare, argument)) = (
            &*member.targets,
            &*member.exclusions,
            &*member.transformations,
            &member.test,
        ) else {
            return None;
        };
        let (Variable::Tx, Selector::Key(key)) = (target.variable, &target.selector) else {
            return None;
        };
        if !argument.is_static() {
            return None;
        }
        let next = KeyId(self.keys.len());
        Some(Gate {
            key: *self.keys.entry(key.to_ascii_lowercase()).or_insert(next),
            counts: target.mode == TargetMode::Count,
            compare: *compare,
            argument: number::parse(&argument.text),
        })
    }
}
