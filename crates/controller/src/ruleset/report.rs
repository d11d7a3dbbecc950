//! `Report`: from what was found about a RuleSet to its status and the Events that go with it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coraza_api::RuleSetStatus;
use coraza_api::condition::{condition_type, reason};
use coraza_api::ruleset::{Diagnostic, Severity};
use coraza_api::status::{RevisionStatus, condition};
use coraza_compiler::{Compilation, CompileError, Diagnostics, LocatedDiagnostic, Profile};
use coraza_ruleset::{Revision, RuleSetKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::publish::Delivery;
use crate::ruleset::resolve::Unresolved;
use crate::ruleset::verdict::{Verdict, judge};
use crate::status::conditions::Outcome;
use crate::status::diagnostics::bounded;
use crate::status::events::Event;
use crate::status::outcome;
use crate::watch::object::RuleSetView;

/// How many RuleSources get an Event of their own when a RuleSet becomes invalid: a person starts with the first.
const MAX_SOURCE_EVENTS: usize = 10;

/// What was found about a RuleSet.
#[derive(Debug)]
pub enum Finding {
    /// Something that it names is missing.
    Unresolved(Unresolved),
    /// It doesn't compile.
    Broken(CompileError),
    /// It compiles, and its delivery stands so since this long.
    Good(Arc<Compilation>, Delivery, Duration),
}

/// What to tell.
#[derive(Debug)]
pub struct Report {
    /// The status as it should be.
    pub status: RuleSetStatus,
    /// The Event that goes with it, if its state changes.
    pub event: Option<Event>,
    /// Events about sources, by name: what is wrong with them in this RuleSet.
    pub source_events: Vec<(Arc<str>, Event)>,
    /// When to look again, if nothing happens before.
    pub again: Option<Duration>,
}

impl Report {
    /// The report on a RuleSet.
    #[must_use]
    pub fn new(key: &RuleSetKey, ruleset: &RuleSetView, finding: &Finding, profile: Profile, now: &Time) -> Self {
        match finding {
            Finding::Unresolved(unresolved) => {
                let outcome = outcome::broken(unresolved.reason(), unresolved);
                Self::of(ruleset, &outcome, None, Vec::new(), now)
            }
            Finding::Broken(error) => {
                let diagnostics = error.diagnostics().map(listed).unwrap_or_default();
                let report = Self::of(ruleset, &broken(error), None, diagnostics, now);
                let news = report.event.is_some();
                Self {
                    source_events: if news { source_events(key, error) } else { Vec::new() },
                    ..report
                }
            }
            Finding::Good(compilation, delivery, age) => {
                let warnings = listed(&compilation.warnings);
                let revision = revision_status(delivery, compilation.rules);
                match judge(delivery, ready_for(&ruleset.status), *age) {
                    Verdict::Cached => {
                        let unsupported =
                            (!compilation.unsupported.is_empty()).then(|| profile.message(&compilation.unsupported));
                        let outcome = outcome::rules_cached(key, &revision, unsupported.as_deref());
                        Self::of(ruleset, &outcome, Some(revision), warnings, now)
                    }
                    Verdict::AwaitingCache => Self::of(ruleset, &outcome::awaiting_cache(), None, warnings, now),
                    Verdict::Rejected(refusals) => {
                        let outcome = outcome::cache_rejected(&revision, &refusals);
                        Self::of(ruleset, &outcome, None, warnings, now)
                    }
                    Verdict::Undecided(again) => Self {
                        again,
                        ..Self::undecided(ruleset, now)
                    },
                }
            }
        }
    }

    /// The status that says an outcome. Without a new revision it keeps the last good one.
    fn of(
        ruleset: &RuleSetView,
        outcome: &Outcome,
        revision: Option<RevisionStatus>,
        diagnostics: Vec<Diagnostic>,
        now: &Time,
    ) -> Self {
        let current = &ruleset.status;
        let status = RuleSetStatus {
            conditions: outcome.apply(&current.conditions, ruleset.meta.generation, now),
            revision: revision.or_else(|| current.revision.clone()),
            diagnostics,
        };
        Self {
            status,
            event: Event::of(outcome, &current.conditions),
            source_events: Vec::new(),
            again: None,
        }
    }

    /// The status as it is: one that says nothing yet says that work is under way.
    fn undecided(ruleset: &RuleSetView, now: &Time) -> Self {
        let current = &ruleset.status;
        if condition(&current.conditions, condition_type::READY).is_none() {
            return Self::of(ruleset, &outcome::reconciling(), None, current.diagnostics.clone(), now);
        }
        Self {
            status: current.clone(),
            event: None,
            source_events: Vec::new(),
            again: None,
        }
    }
}

/// The revision that the RuleSet's Ready condition is True for.
fn ready_for(status: &RuleSetStatus) -> Option<Revision> {
    let ready = condition(&status.conditions, condition_type::READY)?;
    (ready.status == "True").then(|| status.revision.as_ref().and_then(crate::watch::object::parse_revision))?
}

fn revision_status(delivery: &Delivery, rules: usize) -> RevisionStatus {
    let Revision { digest, timestamp } = delivery.revision;
    RevisionStatus {
        uuid: digest.uuid().to_string(),
        digest: digest.to_string(),
        timestamp: timestamp.to_string(),
        bytes: delivery.bytes,
        rules: u64::try_from(rules).unwrap_or(u64::MAX),
    }
}

/// What is wrong with the rules, as the conditions say it: with source, line, column and a caret.
fn broken(error: &CompileError) -> Outcome {
    let reason = match error {
        CompileError::InvalidSource { .. } => reason::REFERENCED_RULE_SOURCE_INVALID,
        CompileError::InvalidRuleSet { .. } => reason::INVALID_RULE_SET,
        CompileError::UnsupportedRules { .. } => reason::UNSUPPORTED_RULES,
        CompileError::OversizedRules(_) => reason::OVERSIZED_RULES,
    };
    match error.diagnostics() {
        // The warnings are in the status's diagnostics; here they would stand between a person and the error.
        Some(diagnostics) => outcome::broken(reason, format_args!("{error}\n{}", diagnostics.errors())),
        None => outcome::broken(reason, error),
    }
}

/// For the owner of each source that has an error only together with others: its own errors are in its own status.
fn source_events(key: &RuleSetKey, error: &CompileError) -> Vec<(Arc<str>, Event)> {
    let CompileError::InvalidRuleSet { diagnostics } = error else {
        return Vec::new();
    };
    let errors = diagnostics.errors();
    let mut first_by_source = BTreeMap::new();
    for diagnostic in &errors.list {
        first_by_source.entry(&diagnostic.source).or_insert(diagnostic);
    }
    let event = |(source, diagnostic): (&Arc<str>, &LocatedDiagnostic)| {
        (
            Arc::clone(source),
            Event::invalid_in_ruleset(key.name(), &diagnostic.to_string()),
        )
    };
    first_by_source.into_iter().take(MAX_SOURCE_EVENTS).map(event).collect()
}

/// Diagnostics as a status lists them.
fn listed(diagnostics: &Diagnostics) -> Vec<Diagnostic> {
    bounded(diagnostics.list.iter().map(|diagnostic| {
        let LocatedDiagnostic {
            source,
            line,
            column,
            span: _,
            kind: _,
            severity,
            message,
            hint,
            rendered: _,
        } = diagnostic;
        Diagnostic {
            source: source.to_string(),
            line: *line,
            column: *column,
            severity: match severity {
                coraza_compiler::Severity::Error => Severity::Error,
                coraza_compiler::Severity::Warning => Severity::Warning,
            },
            message: hint
                .as_ref()
                .map_or_else(|| message.clone(), |hint| format!("{message} ({hint})")),
        }
    }))
}

#[cfg(test)]
mod tests;
