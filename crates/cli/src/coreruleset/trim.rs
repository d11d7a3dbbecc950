//! Leaves rules out of a text, each with the whole of its chain and nothing else. What a rule is, the parser says: an id in a
//! comment or a message is none.

use std::fmt;
use std::ops::Range;

use coraza_compiler::{Profile, UnsupportedRule};
use coraza_seclang::rules::{ActionName, Definition, OperatorName};
use coraza_seclang::{Directive, DirectiveKind, LineIndex, Severity, parse};

/// How many syntax errors of a file are told.
const MAX_ERRORS: usize = 10;

/// Why a rule is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The user named it.
    Ignored,
    /// The plugin can't run it.
    Unsupported(Profile, UnsupportedRule),
    /// It reads a file.
    PmFromFile,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str("named by --ignore-rules"),
            Self::Unsupported(profile, rule) => {
                write!(f, "unsupported by {profile}: {} ({})", rule.description, rule.category)
            }
            Self::PmFromFile => f.write_str("uses @pmFromFile"),
        }
    }
}

/// What is left of a text.
#[derive(Debug, Default)]
pub(super) struct Trimmed {
    pub(super) text: String,
    /// How many rules were left out; a chain is one.
    pub(super) dropped: usize,
    /// Whether what is left adds, changes or removes rules. A file of nothing but exclusions does.
    pub(super) changes_rules: bool,
    pub(super) uses_pm_from_file: bool,
    pub(super) notices: Vec<String>,
}

/// Leaves out the rules for which there is a `reason`.
pub(super) fn trim(text: &str, reason: impl Fn(&Definition) -> Option<Reason>) -> Trimmed {
    let parsed = parse(text.as_bytes());
    let mut trimmed = Trimmed {
        notices: errors(text, &parsed.diagnostics),
        ..Trimmed::default()
    };
    let mut dropped: Vec<Range<usize>> = Vec::new();
    for chain in chains(&parsed.directives) {
        let definitions = || chain.iter().filter_map(|directive| definition(directive));
        match definitions().find_map(&reason) {
            Some(reason) => {
                let id = definitions().next().and_then(|starter| starter.actions.id());
                let id = id.map_or_else(|| "without id".to_owned(), |id| id.to_string());
                trimmed
                    .notices
                    .push(format!("Warning: rule {id} is left out with its chain: {reason}"));
                trimmed.dropped += 1;
                dropped.extend(chain.iter().map(|directive| lines(text, directive)));
            }
            None => {
                trimmed.changes_rules |= chain.iter().any(changes_rules);
                trimmed.uses_pm_from_file |= definitions().any(|rule| {
                    rule.operator
                        .as_ref()
                        .is_some_and(|operator| operator.name == OperatorName::PmFromFile)
                });
            }
        }
    }
    trimmed.text = without(text, &dropped);
    trimmed
}

/// The directives, each rule together with the rest of its chain.
fn chains(directives: &[Directive]) -> impl Iterator<Item = &[Directive]> {
    directives.chunk_by(|directive, _| match &directive.kind {
        DirectiveKind::Rule(rule) => rule.actions.has(ActionName::Chain),
        DirectiveKind::BrokenRule { chain } => *chain,
        _ => false,
    })
}

fn definition(directive: &Directive) -> Option<&Definition> {
    match &directive.kind {
        DirectiveKind::Rule(rule) => Some(rule),
        _ => None,
    }
}

const fn changes_rules(directive: &Directive) -> bool {
    match directive.kind {
        DirectiveKind::Rule(_)
        | DirectiveKind::BrokenRule { .. }
        | DirectiveKind::Remove(_)
        | DirectiveKind::UpdateTargets(..)
        | DirectiveKind::UpdateActions(_) => true,
        DirectiveKind::Marker(_) | DirectiveKind::DefaultAction(_) | DirectiveKind::Setting(_) => false,
    }
}

/// The bytes of the lines that a directive stands on.
fn lines(text: &str, directive: &Directive) -> Range<usize> {
    let offset = |at: u32| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
    let (before, after) = (
        text.get(..offset(directive.span.start)),
        text.get(offset(directive.span.end)..),
    );
    let start = before
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at.saturating_add(1));
    let end = after.and_then(|after| after.find('\n')).map_or(text.len(), |at| {
        offset(directive.span.end).saturating_add(at).saturating_add(1)
    });
    start..end
}

/// The text without ranges of it, which are in order.
fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        kept.push_str(text.get(from..range.start).unwrap_or_default());
        from = range.end.max(from);
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept
}

/// The first syntax errors. They stop nothing here: the operator judges the objects, and its plugin may know more.
fn errors(text: &str, diagnostics: &[coraza_seclang::Diagnostic]) -> Vec<String> {
    let index = LineIndex::new(text.as_bytes());
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let told = errors.take(MAX_ERRORS).map(|diagnostic| {
        let place = index.line_column(diagnostic.span.start);
        format!("Warning: line {}, column {}: {diagnostic}", place.line, place.column)
    });
    told.collect()
}
