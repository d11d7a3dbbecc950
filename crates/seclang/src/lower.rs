//! Several parsed sources, in order, to one list of rules: chains, default actions, updates and removals. No IO.
//!
//! Rules are shared with the parsed sources: only those that an update changes are copied.

use std::sync::Arc;

use crate::error::{Diagnostic, Kind, MAX_DIAGNOSTICS, Severity, SourceDiagnostic};
use crate::parser::Parsed;
use crate::rules::{
    Action, ActionName, ActionUpdate, Actions, DefaultAction, Definition, Directive, DirectiveKind, Entry, Member,
    Operand, Operator, OperatorName, Phase, Rule, RuleSelector, Rules, Selector, Target, TargetMode, TargetUpdate,
    Template, Text, Variable,
};
use crate::span::{Location, SourceId, Span, offset};

mod update;

/// Puts the sources together. The findings are those that need more than one directive to be seen, in the order of the sources;
/// what [`parse`](crate::parse) found stays with each [`Parsed`].
pub fn lower(sources: &[Arc<Parsed>]) -> (Rules, Vec<SourceDiagnostic>) {
    let mut lowering = Lowering::default();
    for (at, parsed) in sources.iter().enumerate() {
        let source = SourceId(offset(at));
        for directive in &parsed.directives {
            lowering.directive(directive, source);
        }
    }
    lowering.end_chain();
    let Lowering {
        mut rules,
        changes,
        mut findings,
        ..
    } = lowering;
    update::apply(&mut rules, &changes, &mut findings);
    (rules, findings.finish())
}

/// The state between two directives.
#[derive(Default)]
struct Lowering<'a> {
    rules: Rules,
    /// The defaults in force, by phase.
    defaults: [Option<Arc<DefaultAction>>; Phase::ALL.len()],
    chain: Chain,
    changes: Vec<Change<'a>>,
    findings: Findings,
}

/// Whether the next rule belongs to the one before it.
#[derive(Default)]
enum Chain {
    /// It does not.
    #[default]
    Closed,
    /// It does.
    Open {
        /// The entry of the first rule.
        entry: usize,
        /// The `chain` action of the last one.
        chain: Location,
    },
    /// It does, but a rule before it is broken and was left out.
    Broken,
}

/// A directive that changes other rules, before and after it.
struct Change<'a> {
    location: Location,
    rules: Selected<'a>,
}

enum Selected<'a> {
    Remove(&'a RuleSelector),
    Targets(&'a RuleSelector, &'a TargetUpdate),
    Actions(&'a ActionUpdate),
}

impl<'a> Lowering<'a> {
    fn directive(&mut self, directive: &'a Directive, source: SourceId) {
        let location = Location {
            source,
            span: directive.span,
        };
        match &directive.kind {
            DirectiveKind::Rule(definition) => self.rule(definition, location),
            DirectiveKind::BrokenRule { chain } => self.chain = if *chain { Chain::Broken } else { Chain::Closed },
            DirectiveKind::Marker(label) => self.marker(label, location),
            DirectiveKind::DefaultAction(default) => self.default_action(default, location),
            DirectiveKind::Remove(selector) => self.changes.push(Change {
                location,
                rules: Selected::Remove(selector),
            }),
            DirectiveKind::UpdateTargets(selector, update) => {
                self.changes.push(Change {
                    location,
                    rules: Selected::Targets(selector, update),
                });
            }
            DirectiveKind::UpdateActions(update) => {
                self.changes.push(Change {
                    location,
                    rules: Selected::Actions(update),
                });
            }
            DirectiveKind::Setting(setting) => self.rules.settings.push((location, setting.clone())),
        }
    }

    fn rule(&mut self, definition: &Arc<Definition>, location: Location) {
        let member = Member {
            definition: Arc::clone(definition),
            location,
            updates: Vec::new(),
        };
        let entry = match self.chain {
            Chain::Closed => {
                let rule = self.starter(member);
                self.rules.entries.push(Entry::Rule(rule));
                Some(self.rules.entries.len() - 1)
            }
            Chain::Open { entry, .. } => {
                self.check_member(definition, location.source);
                if let Some(Entry::Rule(rule)) = self.rules.entries.get_mut(entry) {
                    rule.members.push(member);
                }
                Some(entry)
            }
            Chain::Broken => {
                self.check_member(definition, location.source);
                None
            }
        };
        self.chain = match (definition.actions.last(ActionName::Chain), entry) {
            (None, _) => Chain::Closed,
            (Some(_), None) => Chain::Broken,
            (Some(action), Some(entry)) => Chain::Open {
                entry,
                chain: Location {
                    source: location.source,
                    span: action.span,
                },
            },
        };
    }

    fn starter(&mut self, member: Member) -> Rule {
        let actions = &member.definition.actions;
        let phase = actions.phase().unwrap_or_default();
        let id = actions.id();
        if id.is_none() {
            let diagnostic = Diagnostic::warning(Kind::MissingId, member.location.span, "this rule has no id");
            let hint = "add `id:...`: without it, nobody can exclude the rule or find it in a log";
            self.findings.push(member.location.source, diagnostic.hint(hint));
        }
        let defaults = self.defaults.get(usize::from(phase.number()) - 1).cloned().flatten();
        Rule {
            id,
            phase,
            members: vec![member],
            defaults,
        }
    }

    /// Ends a chain that no rule continues: as in ModSecurity 3, its actions that aren't disruptive run, and that is all. Rules that work there
    /// must not stop working.
    fn end_chain(&mut self) {
        let Chain::Open { entry, chain } = self.chain else {
            return;
        };
        let message = "this rule asks for another one in its chain, but none follows: the chain never matches";
        let diagnostic = Diagnostic::warning(Kind::ChainAtEnd, chain.span, message);
        let hint = "remove `chain`, or add the rule that it announces";
        self.findings.push(chain.source, diagnostic.hint(hint));
        if let Some(Entry::Rule(rule)) = self.rules.entries.get_mut(entry) {
            rule.members.push(Member {
                definition: Arc::new(missing_link(chain.span)),
                location: chain,
                updates: Vec::new(),
            });
        }
    }

    /// Reports what only the first rule of a chain may have.
    fn check_member(&mut self, definition: &Definition, source: SourceId) {
        for action in &definition.actions.0 {
            let diagnostic = match action.name {
                name @ ActionName::Phase => inside_chain(name, action),
                name if name.is_disruptive() => inside_chain(name, action),
                name @ (ActionName::Id | ActionName::Skip | ActionName::SkipAfter) => {
                    let message = format!("`{name}` has no effect inside a chain: it counts in the first rule only");
                    Diagnostic::warning(Kind::NoEffect, action.span, message)
                }
                _ => continue,
            };
            self.findings.push(source, diagnostic);
        }
    }

    fn marker(&mut self, label: &Text, location: Location) {
        if !matches!(self.chain, Chain::Closed) {
            let message = "a marker can't stand inside a chain";
            let diagnostic = Diagnostic::error(Kind::InsideChain, location.span, message);
            self.findings
                .push(location.source, diagnostic.hint("move it before or after the chain"));
        }
        self.rules.entries.push(Entry::Marker(location, label.clone()));
    }

    fn default_action(&mut self, default: &Arc<DefaultAction>, location: Location) {
        let number = default.phase.number();
        let Some(slot) = self.defaults.get_mut(usize::from(number) - 1) else {
            return;
        };
        if slot.is_some() {
            let message = format!("phase {number} has a default already");
            let diagnostic = Diagnostic::error(Kind::DuplicateDefaultAction, location.span, message);
            self.findings.push(
                location.source,
                diagnostic.hint("keep one `SecDefaultAction` per phase"),
            );
        } else {
            *slot = Some(Arc::clone(default));
        }
    }
}

/// A rule that never matches, in the place of one that isn't there.
fn missing_link(span: Span) -> Definition {
    Definition {
        targets: Box::new([Target {
            mode: TargetMode::Values,
            variable: Variable::MatchedVar,
            selector: Selector::All,
            span,
        }]),
        operator: Some(Operator {
            name: OperatorName::NoMatch,
            negated: false,
            argument: Template::default(),
            operand: Operand::Nothing,
            span,
        }),
        actions: Actions::default(),
    }
}

fn inside_chain(name: ActionName, action: &Action) -> Diagnostic {
    let message = format!("`{name}` belongs to the first rule of a chain");
    Diagnostic::error(Kind::InsideChain, action.span, message).hint("move it there, or end the chain before this rule")
}

/// The findings in several sources, up to [`MAX_DIAGNOSTICS`].
#[derive(Default)]
struct Findings {
    list: Vec<SourceDiagnostic>,
    dropped: Option<SourceDiagnostic>,
}

impl Findings {
    fn push(&mut self, source: SourceId, diagnostic: Diagnostic) {
        if self.list.len() + 1 < MAX_DIAGNOSTICS {
            self.list.push(SourceDiagnostic { source, diagnostic });
            return;
        }
        let worst = self
            .dropped
            .as_ref()
            .map_or(Severity::Warning, |dropped| dropped.diagnostic.severity);
        let severity = diagnostic.severity.max(worst);
        let rest = Diagnostic::warning(Kind::TooManyDiagnostics, diagnostic.span, "more findings are not shown");
        self.dropped = Some(SourceDiagnostic {
            source,
            diagnostic: Diagnostic { severity, ..rest },
        });
    }

    fn finish(mut self) -> Vec<SourceDiagnostic> {
        self.list
            .sort_by_key(|finding| (finding.source, finding.diagnostic.span));
        self.list.extend(self.dropped);
        self.list
    }
}
