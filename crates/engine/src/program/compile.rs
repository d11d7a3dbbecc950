//! From the typed rules of a rule set to a [`Program`]. Goes on after errors, so that all of them are found at once. No IO.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use coraza_seclang::rules::{
    self, ActionName, Actions, Ctl, Dataset, Entry, Phase, RuleId, Rules, TargetMode, Template, Text, Transformation,
    Value, Variable,
};
use coraza_seclang::{Diagnostic, Kind, Location, SourceDiagnostic, SourceId, Span};

use super::operator::Test;
use super::patterns::{PatternId, Patterns};
use super::rule::{Action, Disruptive, Member, Rule, Selector, Target, TargetRemoval};
use super::{Options, Program, Settings};

/// The paths of a document that are kept: all texts, and all values of attributes.
const DOCUMENT_PATHS: [&[u8]; 2] = [b"/*", b"//@*"];

/// The state while a program is compiled.
pub(super) struct Compilation<'a> {
    pub(super) options: &'a Options<'a>,
    pub(super) datasets: BTreeMap<&'a [u8], &'a Dataset>,
    patterns: Patterns,
    errors: Vec<SourceDiagnostic>,
}

/// Compiles all rules.
pub(super) fn compile(rules: &Rules, options: &Options<'_>) -> Result<Program, Vec<SourceDiagnostic>> {
    let mut compilation = Compilation {
        options,
        datasets: rules.datasets(),
        patterns: Patterns::default(),
        errors: Vec::new(),
    };
    let labels: HashMap<&[u8], Vec<usize>> = rules.markers().fold(HashMap::new(), |mut labels, (at, label)| {
        labels.entry(&**label).or_insert_with(Vec::new).push(at);
        labels
    });
    let mut ids = HashMap::new();
    let mut compiled = Vec::new();
    // The rules of each phase, as places in `rules.entries`.
    let mut places: [Vec<usize>; Phase::ALL.len()] = Default::default();
    for (at, entry) in rules.entries.iter().enumerate() {
        let Entry::Rule(rule) = entry else { continue };
        compilation.check_id(rule, &mut ids);
        let Some(built) = compilation.rule(rule) else { continue };
        if let Some(phase) = places.get_mut(phase_index(rule.phase)) {
            phase.push(at);
        }
        let jump = skip_after(rule).and_then(|label| compilation.marker(rule, label, at, &labels));
        compiled.push((built, jump));
    }
    if !compilation.errors.is_empty() {
        return Err(compilation.errors);
    }
    let mut phases: [Vec<Rule>; Phase::ALL.len()] = Default::default();
    for (mut rule, jump) in compiled {
        let phase = phase_index(rule.phase);
        let after = |marker: usize| {
            places
                .get(phase)
                .map(|places| places.partition_point(|place| *place < marker))
        };
        rule.jump = jump.and_then(after);
        if let Some(rules) = phases.get_mut(phase) {
            rules.push(rule);
        }
    }
    let settings = Settings::of(rules);
    Ok(Program::new(
        phases.map(Vec::into_boxed_slice),
        compilation.patterns,
        settings,
    ))
}

/// 0 to 4.
pub(super) fn phase_index(phase: Phase) -> usize {
    usize::from(phase.number()) - 1
}

/// The marker that a rule jumps to, by itself or by its defaults.
fn skip_after(rule: &rules::Rule) -> Option<&Text> {
    let own = rule
        .starter()
        .and_then(|starter| starter.definition.actions.skip_after());
    own.or_else(|| rule.defaults.as_ref()?.actions.skip_after())
}

impl Compilation<'_> {
    fn error(&mut self, source: SourceId, diagnostic: Diagnostic) {
        self.errors.push(SourceDiagnostic { source, diagnostic });
    }

    fn check_id(&mut self, rule: &rules::Rule, ids: &mut HashMap<RuleId, Location>) {
        let (Some(id), Some(starter)) = (rule.id, rule.starter()) else {
            return;
        };
        if ids.insert(id, starter.location).is_some() {
            let message = format!("another rule has the id {id} already");
            let diagnostic = Diagnostic::error(Kind::DuplicateId, starter.location.span, message);
            self.error(starter.location.source, diagnostic.hint("give each rule its own id"));
        }
    }

    /// The place of a marker after the rule at `at`.
    fn marker(
        &mut self,
        rule: &rules::Rule,
        label: &Text,
        at: usize,
        labels: &HashMap<&[u8], Vec<usize>>,
    ) -> Option<usize> {
        let places = labels.get(&**label).map(Vec::as_slice).unwrap_or_default();
        let ahead = places.iter().copied().find(|place| *place > at);
        if ahead.is_none()
            && let Some(starter) = rule.starter()
        {
            let message = format!("skipAfter jumps to `{label}`, which doesn't stand after the rule");
            let diagnostic = Diagnostic::error(Kind::MissingMarker, starter.location.span, message);
            let hint = format!("add `SecMarker {label}` after the rules that are to be skipped");
            self.error(starter.location.source, diagnostic.hint(hint));
        }
        ahead
    }

    /// The id of a regular expression.
    pub(super) fn pattern(&mut self, text: &Text) -> Result<PatternId, Diagnostic> {
        self.pattern_of(&text.bytes, |span| text.locate(span))
    }

    fn pattern_of(
        &mut self,
        text: &[u8],
        locate: impl Fn(std::ops::Range<usize>) -> Span,
    ) -> Result<PatternId, Diagnostic> {
        let previous = self.options.previous.map(Program::patterns);
        let interned = self.patterns.intern(text, &self.options.patterns, previous);
        interned.map_err(|error| {
            let diagnostic = Diagnostic::error(Kind::InvalidPattern, locate(error.span.clone()), error.to_string());
            diagnostic.hint(error.hint())
        })
    }

    fn rule(&mut self, rule: &rules::Rule) -> Option<Rule> {
        let starter = rule.starter()?;
        let defaults = rule.defaults.as_ref().map(|defaults| &defaults.actions);
        let errors = self.errors.len();
        let members: Vec<Member> = rule
            .members
            .iter()
            .enumerate()
            .map(|(at, member)| self.member(member, defaults, at == 0))
            .collect();
        let disruptive = self.disruptive(rule, starter.location.source);
        if self.errors.len() > errors {
            return None;
        }
        let actions = &starter.definition.actions;
        let text = |name| match actions.last(name).map(|action| &action.value) {
            Some(Value::Text(text)) => text.bytes.clone(),
            _ => Box::default(),
        };
        let tags = defaults.into_iter().flat_map(Actions::tags).chain(actions.tags());
        Some(Rule {
            id: rule.id,
            phase: rule.phase,
            location: starter.location,
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
                let diagnostic = Diagnostic::error(Kind::Unsupported, action.span, message);
                self.error(source, diagnostic.hint("use `deny`, `drop` or `redirect`"));
                Disruptive::Pass
            }
            _ => Disruptive::Pass,
        }
    }

    fn member(&mut self, member: &rules::Member, defaults: Option<&Actions>, is_starter: bool) -> Member {
        let definition = &member.definition;
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
        let either = |name| own.last(name).or_else(|| inherited?.last(name));
        Member {
            targets: targets.into_boxed_slice(),
            exclusions: exclusions.into_boxed_slice(),
            unconditional: operator.is_none(),
            test,
            negated: operator.is_some_and(|operator| operator.negated),
            operator: operator.map(shown).unwrap_or_default(),
            transformations: transformations(defaults, own),
            multi_match: either(ActionName::MultiMatch).is_some(),
            capture: either(ActionName::Capture).is_some(),
            actions: actions.into_boxed_slice(),
            severity: either(ActionName::Severity).and_then(|action| match action.value {
                Value::Severity(severity) => Some(severity),
                _ => None,
            }),
            msg: either(ActionName::Msg).and_then(rules::Action::template).cloned(),
            log_data: either(ActionName::LogData).and_then(rules::Action::template).cloned(),
        }
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
                let text = [b"(?i)", &*pattern.bytes].concat();
                let locate = |span: std::ops::Range<usize>| {
                    pattern.locate(span.start.saturating_sub(4)..span.end.saturating_sub(4))
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
fn shown(operator: &rules::Operator) -> Box<[u8]> {
    let negation: &[u8] = if operator.negated { b"!" } else { b"" };
    let Template { text, .. } = &operator.argument;
    [negation, b"@", operator.name.name().as_bytes(), b" ", text]
        .concat()
        .into_boxed_slice()
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
