//! Rules against values, one after the other as they are written: the plainest reading of the language, and so the measure of any
//! faster one. No IO.

use std::sync::Arc;

use coraza_seclang::rules::{AllowScope, EngineMode, LimitAction, Phase, Variable};

use super::State;
use super::state::LastMatch;
use crate::collection::Bytes;
use crate::interruption::{Cause, Disruption, Interruption};
use crate::pattern::MAX_GROUPS;
use crate::program::{Disruptive, Member, Program, Rule, Scratch};
use crate::transformations::{self, Effect};
use crate::variables::Value;

/// Where a phase goes on after a rule.
enum Flow {
    Next,
    To(usize),
    Stop(Option<Interruption>),
}

impl State {
    /// Runs the rules of a phase.
    pub(crate) fn run(&mut self, phase: Phase) -> Option<Interruption> {
        if self.control.is_allowed(phase) {
            return None;
        }
        let program = Arc::clone(&self.program);
        let mut scratch = program.take_scratch();
        let interruption = self.rules(&program, phase, &mut scratch);
        program.return_scratch(scratch);
        self.current = None;
        interruption
    }

    fn rules(&mut self, program: &Program, phase: Phase, scratch: &mut Scratch) -> Option<Interruption> {
        let rules = program.phase(phase);
        let mut at = 0;
        while let Some(rule) = rules.get(at) {
            if self.control.mode == EngineMode::Off {
                return None;
            }
            self.current = Some((phase, at));
            at += 1;
            if self.control.is_removed(rule) {
                continue;
            }
            let matches = self.chain(rule, scratch);
            if let Some(interruption) = self.check_work(phase) {
                return Some(interruption);
            }
            if !matches {
                continue;
            }
            match self.after_match(rule, at) {
                Flow::Next => {}
                Flow::To(next) => at = next,
                Flow::Stop(interruption) => return interruption,
            }
        }
        None
    }

    /// Whether a rule and the rest of its chain match.
    fn chain(&mut self, rule: &Rule, scratch: &mut Scratch) -> bool {
        self.last_match = LastMatch::default();
        self.variables.collection_mut(Variable::MatchedVars).clear();
        rule.members.iter().all(|member| self.member(rule, member, scratch))
    }

    /// Whether one link of a chain matches. All its values are looked at, and its actions run for each that matches.
    fn member(&mut self, rule: &Rule, member: &Member, scratch: &mut Scratch) -> bool {
        if member.unconditional {
            self.act(member, rule.phase);
            return true;
        }
        let mut matches = false;
        for value in self.values(rule, member, scratch) {
            self.meter.charge(1);
            matches |= self.value(rule, member, &value, scratch);
        }
        if !matches {
            self.variables.set(Variable::MatchedVar, *b"");
            self.variables.set(Variable::MatchedVarName, *b"");
        }
        matches
    }

    /// Whether a value matches: as it is after all transformations, or with `multiMatch` before and after any of them.
    fn value(&mut self, rule: &Rule, member: &Member, value: &Value, scratch: &mut Scratch) -> bool {
        let unicode = self.program.settings().unicode_map;
        let mut current = Bytes::clone(&value.bytes);
        let mut transformed = Vec::new();
        let mut matches = member.multi_match && self.candidate(rule, member, value, &current, scratch);
        for transformation in &member.transformations {
            self.meter.charge(current.len() as u64);
            if transformations::apply(*transformation, unicode, &current, &mut transformed) == Effect::Changed {
                current = Bytes::from(transformed.as_slice());
                if member.multi_match {
                    matches |= self.candidate(rule, member, value, &current, scratch);
                }
            }
        }
        if member.multi_match {
            matches
        } else {
            self.candidate(rule, member, value, &current, scratch)
        }
    }

    /// Whether the operator matches these bytes; if so, everything that follows from it.
    fn candidate(&mut self, rule: &Rule, member: &Member, value: &Value, bytes: &Bytes, scratch: &mut Scratch) -> bool {
        let verdict = self.test(&member.test, bytes, member.capture && !member.negated, scratch);
        if verdict.matches == member.negated {
            return false;
        }
        if member.capture && verdict.matches && !verdict.captures.is_empty() {
            self.capture(verdict.captures);
        }
        let name = value.name();
        self.variables.set(Variable::MatchedVar, Bytes::clone(bytes));
        self.variables.set(Variable::MatchedVarName, name.as_slice());
        self.variables
            .collection_mut(Variable::MatchedVars)
            .push(name.as_slice(), Bytes::clone(bytes));
        self.last_match.variable = name;
        self.last_match.value = value.bytes.to_vec();
        self.last_match.operator = member.operator.clone();
        self.act(member, rule.phase);
        true
    }

    /// Stores what an operator found in `TX:0` to `TX:9`, all of them, so that nothing is left of the rule before.
    fn capture(&mut self, captures: Vec<Option<Vec<u8>>>) {
        let tx = self.variables.collection_mut(Variable::Tx);
        let mut captures = captures.into_iter();
        for number in 0..MAX_GROUPS {
            let key = number.to_string();
            match captures.next().flatten() {
                Some(capture) => tx.set(key.as_bytes(), capture),
                None => tx.remove(key.as_bytes()),
            }
        }
    }

    /// What follows from the match of a whole chain.
    fn after_match(&mut self, rule: &Rule, next: usize) -> Flow {
        let severity = rule.members.iter().rev().find_map(|member| member.severity);
        if let Some(severity) = severity {
            let highest = self.variables.get(Variable::HighestSeverity);
            let highest = highest.map_or(255, |value| crate::operators::number::parse(value));
            if i64::from(severity.number()) < highest {
                self.variables
                    .set_number(Variable::HighestSeverity, severity.number().into());
            }
        }
        let acts = self.control.mode == EngineMode::On;
        let disruption = match &rule.disruptive {
            Disruptive::Pass | Disruptive::Allow(_) => None,
            Disruptive::Deny => Some(Disruption::Deny),
            Disruptive::Drop => Some(Disruption::Drop),
            Disruptive::Redirect(url) => Some(Disruption::Redirect(self.expand(url))),
        };
        if rule.logging.log || rule.logging.auditlog {
            let ends = rule.phase != Phase::Logging;
            let acted = match (&disruption, &rule.disruptive) {
                (Some(disruption), _) => {
                    let status = ends.then(|| disruption.status(rule.status));
                    Some((disruption.name(), status))
                }
                (None, Disruptive::Allow(_)) => Some(("allow", None)),
                _ => None,
            };
            self.remember(rule, acted.filter(|_| acts));
        }
        if let Some(action) = disruption {
            let interruption = Interruption {
                status: action.status(rule.status),
                action,
                phase: rule.phase,
                cause: Cause::Rule(rule.id),
            };
            if let Some(interruption) = self.interrupt(interruption) {
                return Flow::Stop(Some(interruption));
            }
        }
        match &rule.disruptive {
            Disruptive::Allow(scope) if acts => {
                self.control.allowed = Some(*scope).filter(|scope| *scope != AllowScope::Phase);
                Flow::Stop(None)
            }
            _ => rule.jump.map_or_else(
                || {
                    if rule.skip > 0 {
                        Flow::To(next.saturating_add(rule.skip))
                    } else {
                        Flow::Next
                    }
                },
                Flow::To,
            ),
        }
    }

    /// Notes what should interrupt the transaction, and gives it back if it really does: not in the logging phase, and not when the
    /// engine only detects.
    pub(super) fn interrupt(&mut self, interruption: Interruption) -> Option<Interruption> {
        if interruption.phase == Phase::Logging {
            return None;
        }
        let acts = self.control.mode == EngineMode::On;
        if acts && !self.interrupted {
            self.interrupted = true;
            self.interruption = Some(interruption.clone());
        }
        self.interruption.get_or_insert_with(|| interruption.clone());
        acts.then_some(interruption)
    }

    /// Once, when the work of the transaction reaches its limit: tells the rules, and does as for a body that is too large.
    fn check_work(&mut self, phase: Phase) -> Option<Interruption> {
        const FLAG: &[u8] = b"MSC_PCRE_LIMITS_EXCEEDED";
        if !self.meter.is_exceeded() || self.variables.find(Variable::Tx, FLAG).is_some() {
            return None;
        }
        self.variables.set(Variable::MscPcreLimitsExceeded, *b"1");
        self.variables.collection_mut(Variable::Tx).set(FLAG, *b"1");
        if self.control.request_body.limit_action == LimitAction::ProcessPartial {
            return None;
        }
        self.interrupt(Interruption {
            action: Disruption::Deny,
            status: 403,
            phase,
            cause: Cause::WorkLimit,
        })
    }
}
