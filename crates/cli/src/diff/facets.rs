//! `Facets`: what a rule says, in parts that can be compared and shown. No IO.

use std::collections::BTreeMap;

use coraza_seclang::rules::{Action, ActionName, Member, Rule, Selector, Target, TargetMode, Value};
use coraza_seclang::{SourceId, Span};

use crate::rules::{LocalRuleSet, rules};

/// A rule with its chain. What several rules of a chain say is marked by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facets {
    pub(super) place: String,
    pub(super) phase: u8,
    pub(super) severity: Option<&'static str>,
    pub(super) paranoia_level: Option<String>,
    pub(super) message: String,
    /// The number of rules in the chain.
    pub(super) chain: usize,
    pub(super) targets: Vec<String>,
    pub(super) operators: Vec<String>,
    pub(super) transformations: Vec<String>,
    pub(super) tags: Vec<String>,
    /// All others, as written.
    pub(super) actions: Vec<String>,
}

/// The tag by which the Core Rule Set says the level from which a rule is run.
const PARANOIA_LEVEL: &str = "paranoia-level/";

impl Facets {
    /// All rules of a RuleSet that have an id.
    pub(super) fn all(ruleset: &LocalRuleSet) -> BTreeMap<u64, Self> {
        let rules = rules(ruleset);
        let with_id = rules
            .rules()
            .filter_map(|rule| Some((rule.id?.0, Self::of(rule, ruleset)?)));
        with_id.collect()
    }

    fn of(rule: &Rule, ruleset: &LocalRuleSet) -> Option<Self> {
        let mut facets = Self {
            place: ruleset.describe(rule.starter()?.location),
            phase: rule.phase.number(),
            chain: rule.members.len(),
            ..Self::default()
        };
        for (member, number) in rule.members.iter().zip(1_usize..) {
            let mark = |text: String| {
                if rule.members.len() > 1 {
                    format!("{number}: {text}")
                } else {
                    text
                }
            };
            let definition = &member.definition;
            facets
                .targets
                .extend(definition.targets.iter().map(|target| mark(self::target(target))));
            facets.operators.extend(definition.operator.as_ref().map(|operator| {
                let not = if operator.negated { "!" } else { "" };
                let text = format!("{not}@{} {}", operator.name, operator.argument.text);
                mark(text.trim_end().to_owned())
            }));
            for action in &definition.actions.0 {
                facets.action(action, member, ruleset, mark);
            }
        }
        Some(facets)
    }

    fn action(&mut self, action: &Action, member: &Member, ruleset: &LocalRuleSet, mark: impl Fn(String) -> String) {
        match (action.name, &action.value) {
            (ActionName::Id | ActionName::Phase | ActionName::Ver | ActionName::Rev | ActionName::Chain, _) => {}
            (ActionName::Severity, Value::Severity(severity)) => self.severity = Some(severity.name()),
            (ActionName::Msg, Value::Template(template)) => self.message = template.text.to_string(),
            (ActionName::Tag, Value::Template(template)) => {
                let tag = template.text.to_string();
                match tag.strip_prefix(PARANOIA_LEVEL) {
                    Some(level) => self.paranoia_level = Some(level.to_owned()),
                    None => self.tags.push(tag),
                }
            }
            (ActionName::T, _) => self.transformations.push(mark(written(action, member, ruleset))),
            _ => self.actions.push(mark(written(action, member, ruleset))),
        }
    }
}

/// `!REQUEST_COOKIES:/^a/`.
fn target(target: &Target) -> String {
    let mode = match target.mode {
        TargetMode::Values => "",
        TargetMode::Count => "&",
        TargetMode::Exclude => "!",
    };
    let variable = target.variable.name();
    match &target.selector {
        Selector::All => format!("{mode}{variable}"),
        Selector::Key(key) | Selector::Path(key) => format!("{mode}{variable}:{key}"),
        Selector::Pattern(pattern) => format!("{mode}{variable}:/{pattern}/"),
    }
}

/// An action as it is written, in the rule or in an update of it: that is where its name stands at its place.
fn written(action: &Action, member: &Member, ruleset: &LocalRuleSet) -> String {
    let name = action.name.name();
    let updates = member.updates.iter().rev().map(|update| update.source);
    let sources = std::iter::once(member.location.source).chain(updates);
    let mut texts = sources.filter_map(|source| slice(ruleset, source, action.span));
    let own = texts.find(|text| {
        let start = text.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    own.map_or_else(|| name.to_owned(), |text| unfolded(&text))
}

fn slice(ruleset: &LocalRuleSet, source: SourceId, span: Span) -> Option<String> {
    let source = ruleset.resolved.sources.get(usize::try_from(source.0).ok()?)?;
    Some(String::from_utf8_lossy(span.slice(source.text.as_bytes())).into_owned())
}

/// Without the ends of lines that go on.
fn unfolded(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}
