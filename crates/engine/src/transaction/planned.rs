//! Rules against values as the program's plan says: with the verdicts of [`naive`](super::naive), and without most of its work. No IO.

use std::sync::Arc;

use coraza_seclang::rules::Variable;

use super::State;
use super::resolve::count;
use super::test::Verdict;
use crate::plan::{FilterId, Gate, Listed, MemberPlan, Memo, Plan, TextId};
use crate::program::{Member, Rule, Scratch};

/// What the members of a phase's rules are run with.
pub(super) struct Planned<'a> {
    pub(super) plan: &'a Plan,
    pub(super) filter: FilterId,
    pub(super) memo: &'a mut Memo,
    pub(super) scratch: &'a mut Scratch,
}

impl State {
    /// Whether one link of a chain matches.
    pub(super) fn planned_member(
        &mut self,
        rule: &Rule,
        member: &Member,
        how: MemberPlan,
        with: &mut Planned<'_>,
    ) -> bool {
        with.memo.refresh(&self.variables);
        let has_all_targets = !self.control.removes_targets() || self.control.removed_targets(rule).is_empty();
        let matches = match how {
            _ if !has_all_targets => return self.member(rule, member, with.scratch),
            MemberPlan { gate: Some(gate), .. } => match self.gate(rule, member, gate, with) {
                Some(matches) => matches,
                None => return self.member(rule, member, with.scratch),
            },
            MemberPlan { set: None, .. } => return self.member(rule, member, with.scratch),
            MemberPlan { set: Some(_), .. } => self.listed(rule, member, how, with),
        };
        if !matches {
            self.forget_match();
        }
        matches
    }

    /// Whether a number in TX is as wanted, with everything that follows from it; `None` if there is more than one value under the key.
    fn gate(&mut self, rule: &Rule, member: &Member, gate: Gate, with: &mut Planned<'_>) -> Option<bool> {
        self.meter.charge(1);
        let key = with.plan.key(gate.key);
        let number = with.memo.number(gate.key, key, &self.variables);
        let compared = match (gate.counts, number.count) {
            (true, count) => i64::try_from(count).unwrap_or(i64::MAX),
            (false, 0) => return Some(false),
            (false, 1) => number.value,
            (false, _) => return None,
        };
        let verdict = Verdict::from((gate.compare)(&compared, &gate.argument));
        if verdict.matches == member.negated {
            return Some(false);
        }
        let value = match member.targets.first() {
            Some(target) if gate.counts => count(target, number.count),
            _ => self.variables.entries(Variable::Tx, Some(key)).next()?,
        };
        Some(self.conclude(rule, member, &value, &value.bytes, verdict))
    }

    fn listed(&mut self, rule: &Rule, member: &Member, how: MemberPlan, with: &mut Planned<'_>) -> bool {
        let Some((set, group)) = how.set else { return false };
        let values = match with.memo.set(set) {
            Some(values) => values,
            None => {
                let values = self.values(rule, member, with.scratch);
                with.memo.keep_set(set, values)
            }
        };
        if let Some(test) = how.test
            && !member.negated
            && !member.multi_match
        {
            let unicode = self.program.settings().unicode_map;
            let plan = (with.plan, with.filter, unicode);
            if !with.memo.may_match(group, test, &values, plan, &mut self.meter) {
                return false;
            }
        }
        let mut matches = false;
        for listed in values.iter() {
            self.meter.charge(1);
            matches |= self.listed_value(rule, member, how.test, listed, with);
        }
        matches
    }

    fn listed_value(
        &mut self,
        rule: &Rule,
        member: &Member,
        test: Option<usize>,
        listed: &Listed,
        with: &mut Planned<'_>,
    ) -> bool {
        let unicode = self.program.settings().unicode_map;
        let mut current = listed.text;
        let mut matches = member.multi_match && self.text(rule, member, test, (listed, current), with);
        for transformation in &member.transformations {
            let next = with.memo.transform(current, *transformation, unicode, &mut self.meter);
            if next != current {
                current = next;
                if member.multi_match {
                    matches |= self.text(rule, member, test, (listed, current), with);
                }
            }
        }
        if member.multi_match {
            matches
        } else {
            self.text(rule, member, test, (listed, current), with)
        }
    }

    fn text(
        &mut self,
        rule: &Rule,
        member: &Member,
        test: Option<usize>,
        (listed, text): (&Listed, TextId),
        with: &mut Planned<'_>,
    ) -> bool {
        let plan = (with.plan, with.filter);
        let may_match = test.is_none_or(|test| with.memo.is_candidate(text, test, plan, &mut self.meter));
        if !may_match && !member.negated {
            return false;
        }
        let Some(bytes) = with.memo.bytes(text).map(Arc::clone) else {
            return false;
        };
        let verdict = if may_match {
            self.test(&member.test, &bytes, member.capture, with.scratch)
        } else {
            Verdict::default()
        };
        self.conclude(rule, member, &listed.value, &bytes, verdict)
    }
}
