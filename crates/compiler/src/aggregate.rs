//! The sources of a RuleSet as one: which source and line a finding is in.

use std::cell::OnceCell;
use std::sync::Arc;

use coraza_seclang::{Diagnostic, LineIndex, Location, Severity, SourceDiagnostic, SourceId, render};

use crate::diagnostic::{Diagnostics, LocatedDiagnostic, MAX_DIAGNOSTICS, bounded};
use crate::source::ResolvedSource;

/// The sources in the order of the spec. A [`SourceId`] is a place in this order.
#[derive(Debug)]
pub(crate) struct Aggregate<'s> {
    sources: &'s [ResolvedSource],
    /// Where the lines of each source start, found when a first finding asks: there may be one finding for each line.
    lines: Vec<OnceCell<LineIndex<'s>>>,
}

impl<'s> Aggregate<'s> {
    pub(crate) fn new(sources: &'s [ResolvedSource]) -> Self {
        Self {
            sources,
            lines: vec![OnceCell::new(); sources.len()],
        }
    }

    /// Each source with its id.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (SourceId, &'s ResolvedSource)> {
        (0..).map(SourceId).zip(self.sources)
    }

    fn source(&self, id: SourceId) -> Option<(&'s ResolvedSource, &LineIndex<'s>)> {
        let at = usize::try_from(id.0).ok()?;
        let source = self.sources.get(at)?;
        let lines = self
            .lines
            .get(at)?
            .get_or_init(|| LineIndex::new(source.text.as_bytes()));
        Some((source, lines))
    }

    /// `name:line` of a place, for messages that name a second one.
    pub(crate) fn place(&self, location: Location) -> String {
        let place = |(source, lines): (&ResolvedSource, &LineIndex<'_>)| {
            format!("{}:{}", source.name, lines.line_column(location.span.start).line)
        };
        self.source(location.source).map(place).unwrap_or_default()
    }

    /// Gives findings their places, errors first, and keeps the first of them.
    pub(crate) fn locate(&self, mut findings: Vec<SourceDiagnostic>) -> Diagnostics {
        findings.sort_by_key(|finding| {
            let Diagnostic { severity, span, .. } = finding.diagnostic;
            (severity != Severity::Error, finding.source, span)
        });
        let omitted = findings.len().saturating_sub(MAX_DIAGNOSTICS);
        let list = findings.iter().take(MAX_DIAGNOSTICS).filter_map(|finding| {
            let (source, lines) = self.source(finding.source)?;
            Some(located(source, lines, &finding.diagnostic))
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
        span: diagnostic.span,
        kind: diagnostic.kind,
        severity: diagnostic.severity,
        message: bounded(diagnostic.message.clone()),
        hint: diagnostic.hint.clone().map(bounded),
        rendered: bounded(render(diagnostic, &source.name, index, source.text.as_bytes())),
    }
}
