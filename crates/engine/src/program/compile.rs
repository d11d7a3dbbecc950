//! From a typed rule to one that can run. Goes on after errors, so that all of them are found at once. No IO.

use std::sync::Arc;

use coraza_seclang::rules::{
    self, ActionName, Actions, Ctl, Rules, TargetMode, Template, Text, Transformation, Value, Variable,
};
use coraza_seclang::{Diagnostic, Kind, SourceDiagnostic, SourceId, Span};

use super::build::{Judge, Parts};
use super::operator::Test;
use super::patterns::PatternId;
use super::rule::{Action, Capture, Disruptive, Member, Rule, Selector, Target, TargetRemoval};
use super::{Options, Program};
use crate::pattern;

/// The paths of a document that are kept: all texts, and all values of attributes.
const DOCUMENT_PATHS: [&[u8]; 2] = [b"/*", b"//@*"];

/// What a step compiles with.
pub(super) struct Compilation<'a> {
    pub(super) rules: &'a Rules,
    pub(super) options: &'a Options<'a>,
    /// Says whether a pattern compiles, where rules are only judged.
    pub(super) judge: Option<&'a Judge<'a>>,
    pub(super) parts: &'a mut Parts,
}

impl<'a> Compilation<'a> {
    pub(super) fn error(&mut self, source: SourceId, diagnostic: Diagnostic) {
        self.parts.errors.push(SourceDiagnostic { source, diagnostic });
    }

    /// The id of a regular expression.
    pub(super) fn pattern(&mut self, text: &Text) -> Result<PatternId, Diagnostic> {
        self.pattern_of(&text.bytes, |span| text.locate(span))
    }

    pub(super) fn pattern_of(
        &mut self,
        text: &[u8],
        locate: impl Fn(std::ops::Range<usize>) -> Span,
    ) -> Result<PatternId, Diagnostic> {
        let id = match self.judge {
            Some(judge) => judge(text).map(|()| PatternId::default()),
            None => {
                let previous = self.options.previous.map(Program::patterns);
                self.parts.patterns.intern(text, &self.options.patterns, previous)
            }
        };
        id.map_err(|error| {
            let diagnostic = Diagnostic::error(Kind::InvalidPattern, locate(error.span.clone()), error.to_string());
            diagnostic.hint(error.hint())
        })
    }

    /// A rule whose chain is compiled; `None` if the rule has no chain at all, or if rules are only judged.
    pub(super) fn rule(&mut self, rule: &rules::Rule, members: Vec<Member>) -> Option<Rule> {
        let starter = rule.starter()?;
        let defaults = rule.defaults.as_ref().map(|defaults| &defaults.actions);
        let disruptive = self.disruptive(rule, starter.location.source);
        if self.judge.is_some() {
            return None;
        }
        let actions = &starter.definition.actions;
        let text = |name| match actions.last(name).map(|action| &action.value) {
            Some(Value::Text(text)) => text.bytes.clone(),
            _ => Box::default(),
        };
        let tags = defaults.into_iter().flat_map(Actions::tags).chain(actions.tags());
        let (file, line) = self.parts.lines.find(self.options.sources, starter.location);
        Some(Rule {
            id: rule.id,
            phase: rule.phase,
            location: starter.location,
            file,
            line,
            members: members.into_boxed_slice(),
            disruptive,
            status: status(rule).and_then(|status| u16::try_from(status).ok()),
            logging: rule.logging(),
            skip: number(actions, ActionName::Skip).unwrap_or_default() as usize,
            jump: None,
            tags: tags.cloned().collect(),
            rev: text(ActionName::Rev),
            ver: text(ActionName::Ver),
            maturity: level(actions, ActionName::Maturity),
            accuracy: level(actions, ActionName::Accuracy),
        })
    }

    fn disruptive(&mut self, rule: &rules::Rule, source: SourceId) -> Disruptive {
        let Some(action) = rule.disruptive() else {
            return Disruptive::Pass;
        };
        match (action.name, &action.value) {
            (ActionName::Deny, _) => Disruptive::Deny,
            (ActionName::Drop, _) => Disruptive::Drop,
            (ActionName::Redirect, Value::Template(url)) => Disruptive::Redirect(url.clone()),
            (ActionName::Allow, Value::Allow(scope)) => Disruptive::Allow(*scope),
            (ActionName::Proxy | ActionName::Pause, _) => {
                let message = format!("`{}` is not supported", action.name);
                // The defaults may stand in another source.
                let own = rule
                    .starter()
                    .is_some_and(|starter| starter.definition.actions.0.contains(action));
                let span = rule
                    .starter()
                    .filter(|_| !own)
                    .map_or(action.span, |starter| starter.location.span);
                let diagnostic = Diagnostic::error(Kind::Unsupported, span, message);
                self.error(source, diagnostic.hint("use `deny`, `drop` or `redirect`"));
                Disruptive::Pass
            }
            _ => Disruptive::Pass,
        }
    }

    /// One link of the chain of `rule`; `None` if rules are only judged.
    pub(super) fn member(
        &mut self,
        rule: &'a rules::Rule,
        member: &'a rules::Member,
        is_starter: bool,
    ) -> Option<Member> {
        let definition = &member.definition;
        let defaults = rule.defaults.as_ref().map(|defaults| &defaults.actions);
        let source = member.location.source;
        let targets = self.targets(&definition.targets, source);
        let (exclusions, targets): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| target.mode == TargetMode::Exclude);
        let test = match &definition.operator {
            None => Test::Always,
            Some(operator) => self.test(operator).unwrap_or_else(|diagnostic| {
                self.error(source, diagnostic);
                Test::Never
            }),
        };
        let operator = definition.operator.as_ref();
        let own = &definition.actions;
        let inherited = defaults.filter(|_| is_starter);
        let mut actions = Vec::new();
        for action in inherited.into_iter().chain([own]).flat_map(|actions| &actions.0) {
            actions.extend(self.action(action, source));
        }
        if self.judge.is_some() {
            return None;
        }
        let either = |name| own.last(name).or_else(|| inherited?.last(name));
        Some(Member {
            targets: targets.into_boxed_slice(),
            exclusions: exclusions.into_boxed_slice(),
            unconditional: operator.is_none(),
            test,
            negated: operator.is_some_and(|operator| operator.negated),
            operator: operator.map(shown).unwrap_or_default(),
            transformations: transformations(defaults, own),
            multi_match: either(ActionName::MultiMatch).is_some(),
            capture: match either(ActionName::Capture) {
                Some(_) if operator.is_none_or(|operator| !operator.negated) => Capture::Groups,
                _ => Capture::Nothing,
            },
            actions: actions.into_boxed_slice(),
            severity: either(ActionName::Severity).and_then(|action| match action.value {
                Value::Severity(severity) => Some(severity),
                _ => None,
            }),
            msg: either(ActionName::Msg).and_then(rules::Action::template).cloned(),
            log_data: either(ActionName::LogData).and_then(rules::Action::template).cloned(),
        })
    }

    fn targets(&mut self, targets: &[rules::Target], source: SourceId) -> Vec<Target> {
        let mut compiled = Vec::with_capacity(targets.len());
        for target in targets {
            match self.target(target) {
                Ok(target) => compiled.push(target),
                Err(diagnostic) => self.error(source, diagnostic),
            }
        }
        compiled
    }

    fn target(&mut self, target: &rules::Target) -> Result<Target, Diagnostic> {
        let unsupported = |message: String| Diagnostic::error(Kind::Unsupported, target.span, message);
        if target.variable == Variable::Env {
            let hint = "rules run in a sandbox without an environment";
            return Err(unsupported("`ENV` is not supported".to_owned()).hint(hint));
        }
        let selector = match &target.selector {
            rules::Selector::All => Selector::All,
            rules::Selector::Key(key) => Selector::Key(key.bytes.clone()),
            rules::Selector::Path(path) if target.variable == Variable::Json || DOCUMENT_PATHS.contains(&&**path) => {
                Selector::Key(path.bytes.clone())
            }
            rules::Selector::Path(path) => {
                let hint = "write `/*` for all texts or `//@*` for the values of all attributes";
                return Err(unsupported(format!("the path `{path}` is not supported")).hint(hint));
            }
            rules::Selector::Pattern(pattern) => {
                let (text, shift) = (pattern::of_selector(pattern), pattern::SELECTOR_FLAGS.len());
                let locate = |span: std::ops::Range<usize>| {
                    pattern.locate(span.start.saturating_sub(shift)..span.end.saturating_sub(shift))
                };
                Selector::Pattern(self.pattern_of(&text, locate)?)
            }
        };
        Ok(Target {
            mode: target.mode,
            variable: target.variable,
            selector,
        })
    }

    /// What an action does for each value that matches; nothing for those that do something else.
    fn action(&mut self, action: &rules::Action, source: SourceId) -> Option<Action> {
        match &action.value {
            Value::SetVar(set_var) if set_var.collection == Variable::Tx => Some(Action::SetVar(set_var.clone())),
            Value::Ctl(ctl) => match &**ctl {
                Ctl::RuleRemove(selector) => Some(Action::RemoveRules(Arc::new(selector.clone()))),
                Ctl::RuleRemoveTarget(selector, targets) => Some(Action::RemoveTargets(Arc::new(TargetRemoval {
                    rules: selector.clone(),
                    targets: self.targets(targets, source).into_boxed_slice(),
                }))),
                Ctl::NoEffect(_) => None,
                other => Some(Action::Ctl(Box::new(other.clone()))),
            },
            _ => None,
        }
    }
}

/// The operator as people know it, without its argument's quotes.
fn shown(operator: &rules::Operator) -> Arc<[u8]> {
    let negation: &[u8] = if operator.negated { b"!" } else { b"" };
    let Template { text, .. } = &operator.argument;
    [negation, b"@", operator.name.name().as_bytes(), b" ", text]
        .concat()
        .into()
}

/// Those of the defaults and then the rule's own, after the last `t:none`.
fn transformations(defaults: Option<&Actions>, own: &Actions) -> Box<[Transformation]> {
    let all = defaults.into_iter().chain([own]).flat_map(|actions| &actions.0);
    let mut list = Vec::new();
    for action in all {
        match action.value {
            Value::Transformation(Transformation::None) => list.clear(),
            Value::Transformation(transformation) => list.push(transformation),
            _ => {}
        }
    }
    list.into_boxed_slice()
}

/// The status that the chain names last, else that of the defaults.
fn status(rule: &rules::Rule) -> Option<u32> {
    let members = rule.members.iter().rev();
    let mut own = members.filter_map(|member| number(&member.definition.actions, ActionName::Status));
    own.next().or_else(|| rule.status())
}

fn number(actions: &Actions, name: ActionName) -> Option<u32> {
    match actions.last(name)?.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn level(actions: &Actions, name: ActionName) -> u8 {
    number(actions, name)
        .and_then(|level| u8::try_from(level).ok())
        .unwrap_or_default()
}
