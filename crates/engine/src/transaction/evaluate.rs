//! The rules of a phase, one after the other, and what follows from a match. How a rule's values are compared is the business of
//! [`naive`](super::naive) and [`planned`](super::planned). No IO.

use std::sync::Arc;

use coraza_seclang::rules::{AllowScope, EngineMode, LimitAction, Phase, Variable};

use super::State;
use super::planned::Planned;
use super::state::LastMatch;
use super::test::Verdict;
use crate::collection::Bytes;
use crate::interruption::{Cause, Disruption, Interruption};
use crate::pattern::MAX_GROUPS;
use crate::plan::FilterId;
use crate::program::{Capture, Disruptive, Member, Program, Rule};
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
        let interruption = match program.plan() {
            Some(plan) => {
                let mut memo = std::mem::take(&mut self.memo);
                let mut with = Planned {
                    plan,
                    filter: FilterId::of(phase),
                    memo: &mut memo,
                    scratch: &mut scratch,
                };
                let interruption = self.rules(&program, phase, |state, at, rule| {
                    let plans = plan.rule(phase, at);
                    state.chain(rule, |state, at, member| {
                        let how = plans.get(at).copied().unwrap_or_default();
                        state.planned_member(rule, member, how, &mut with)
                    })
                });
                // What comes next are other values: those of the response, or none.
                if matches!(phase, Phase::RequestHeaders | Phase::ResponseHeaders) {
                    self.memo = memo;
                }
                interruption
            }
            None => self.rules(&program, phase, |state, _, rule| {
                state.chain(rule, |state, _, member| state.member(rule, member, &mut scratch))
            }),
        };
        program.return_scratch(scratch);
        self.current = None;
        interruption
    }

    fn rules(
        &mut self,
        program: &Program,
        phase: Phase,
        mut matches: impl FnMut(&mut Self, usize, &Rule) -> bool,
    ) -> Option<Interruption> {
        let rules = program.phase(phase);
        let mut at = 0;
        while let Some(rule) = rules.get(at) {
            if self.control.mode == EngineMode::Off {
                return None;
            }
            let place = at;
            self.current = Some((phase, place));
            at += 1;
            if self.control.is_removed(rule) {
                continue;
            }
            let matches = matches(self, place, rule);
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
    fn chain(&mut self, rule: &Rule, mut matches: impl FnMut(&mut Self, usize, &Member) -> bool) -> bool {
        self.last_match = None;
        self.variables.collection_mut(Variable::MatchedVars).clear();
        rule.members.iter().enumerate().all(|(at, member)| {
            if member.unconditional {
                self.act(member, rule.phase);
                return true;
            }
            matches(self, at, member)
        })
    }

    /// Everything that follows from the verdict of an operator on these bytes of a value. Whether the value matches.
    pub(super) fn conclude(
        &mut self,
        rule: &Rule,
        member: &Member,
        value: &Value,
        bytes: &Bytes,
        verdict: Verdict,
    ) -> bool {
        if verdict.matches == member.negated {
            return false;
        }
        if member.capture != Capture::Nothing && verdict.matches && !verdict.captures.is_empty() {
            self.capture(verdict.captures);
        }
        let name = Bytes::from(value.name());
        self.variables.set(Variable::MatchedVar, Bytes::clone(bytes));
        self.variables.set(Variable::MatchedVarName, Bytes::clone(&name));
        self.variables
            .collection_mut(Variable::MatchedVars)
            .push(Bytes::clone(&name), Bytes::clone(bytes));
        self.last_match = Some(LastMatch {
            operator: Arc::clone(&member.operator),
            variable: name,
            value: Bytes::clone(&value.bytes),
        });
        self.act(member, rule.phase);
        true
    }

    /// After a link of a chain that doesn't match there is no variable that matched.
    pub(super) fn forget_match(&mut self) {
        for variable in [Variable::MatchedVar, Variable::MatchedVarName] {
            if self.variables.get(variable).is_none_or(|value| !value.is_empty()) {
                self.variables.set(variable, *b"");
            }
        }
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
