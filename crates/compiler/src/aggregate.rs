//! The sources of a RuleSet as one: which source and line a finding is in.

use std::collections::HashMap;
use std::sync::Arc;

use coraza_seclang::{Diagnostic, LineIndex, Location, Severity, SourceDiagnostic, SourceId, render};

use crate::diagnostic::{Diagnostics, LocatedDiagnostic, MAX_DIAGNOSTICS, bounded};
use crate::source::ResolvedSource;

/// The sources in the order of the spec. A [`SourceId`] is a place in this order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aggregate<'s> {
    sources: &'s [ResolvedSource],
}

impl<'s> Aggregate<'s> {
    pub(crate) const fn new(sources: &'s [ResolvedSource]) -> Self {
        Self { sources }
    }

    /// Each source with its id.
    pub(crate) fn sources(self) -> impl Iterator<Item = (SourceId, &'s ResolvedSource)> {
        (0..).map(SourceId).zip(self.sources)
    }

    fn source(self, id: SourceId) -> Option<&'s ResolvedSource> {
        self.sources.get(usize::try_from(id.0).ok()?)
    }

    /// `name:line` of a place, for messages that name a second one.
    pub(crate) fn place(self, location: Location) -> String {
        self.source(location.source).map_or_else(String::new, |source| {
            let line = LineIndex::new(source.text.as_bytes())
                .line_column(location.span.start)
                .line;
            format!("{}:{line}", source.name)
        })
    }

    /// Gives findings their places, errors first, and keeps the first of them.
    pub(crate) fn locate(self, mut findings: Vec<SourceDiagnostic>) -> Diagnostics {
        let order = |finding: &SourceDiagnostic| {
            let Diagnostic { severity, span, .. } = finding.diagnostic;
            (severity != Severity::Error, finding.source, span)
        };
        findings.sort_by_key(order);
        let omitted = findings.len().saturating_sub(MAX_DIAGNOSTICS);
        let mut lines = HashMap::new();
        let list = findings.iter().take(MAX_DIAGNOSTICS).filter_map(|finding| {
            let source = self.source(finding.source)?;
            let index = lines
                .entry(finding.source)
                .or_insert_with(|| LineIndex::new(source.text.as_bytes()));
            Some(located(source, index, &finding.diagnostic))
        });
        Diagnostics {
            list: list.collect(),
            omitted,
        }
    }
}

fn located(source: &ResolvedSource, index: &LineIndex<'_>, diagnostic: &Diagnostic) -> LocatedDiagnostic {
    let place = index.line_column(diagnostic.span.start);
    LocatedDiagnostic {
        source: Arc::clone(&source.name),
        line: place.line,
        column: place.column,
        severity: diagnostic.severity,
        message: bounded(diagnostic.message.clone()),
        hint: diagnostic.hint.clone().map(bounded),
        rendered: bounded(render(diagnostic, &source.name, index, source.text.as_bytes())),
    }
}
