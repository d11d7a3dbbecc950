//! `Analysis`: all that can be known about a source from its text alone.

use std::sync::Arc;

use coraza_seclang::rules::{Template, Variable};
use coraza_seclang::{Diagnostic, Kind, Parsed, Severity, Span};

use crate::bounds::MAX_SOURCE_PATTERN_STEPS;
use crate::pattern::{Verdict, patterns};

/// A source, parsed, with its patterns judged.
#[derive(Debug)]
pub(crate) struct Analysis {
    /// The directives and what is wrong with them.
    pub(crate) parsed: Arc<Parsed>,
    /// What is wrong with the regular expressions.
    pub(crate) pattern_findings: Vec<Diagnostic>,
    /// The work to judge them.
    pub(crate) pattern_steps: u64,
    /// Holding them keeps them remembered as long as a source has these patterns.
    _verdicts: Vec<Arc<Verdict>>,
}

impl Analysis {
    /// Judges the patterns of a parsed source by `verdict`.
    pub(crate) fn of(parsed: Parsed, mut verdict: impl FnMut(&[u8]) -> Arc<Verdict>) -> Self {
        let mut analysis = Self {
            parsed: Arc::new(parsed),
            pattern_findings: Vec::new(),
            pattern_steps: 0,
            _verdicts: Vec::new(),
        };
        let parsed = Arc::clone(&analysis.parsed);
        for pattern in parsed.directives.iter().flat_map(|directive| patterns(&directive.kind)) {
            let pattern = match pattern.compilable() {
                Ok(pattern) => pattern,
                Err(template) => {
                    analysis.pattern_findings.extend(injectable(template));
                    continue;
                }
            };
            let verdict = verdict(&pattern.text);
            analysis.pattern_steps = analysis.pattern_steps.saturating_add(verdict.steps);
            analysis.pattern_findings.extend(verdict.error.as_ref().map(|error| {
                let message = format!("regular expression: {error}");
                Diagnostic::error(Kind::InvalidPattern, pattern.locate(&error.span), message).hint(error.hint())
            }));
            analysis._verdicts.push(verdict);
            if analysis.pattern_steps > MAX_SOURCE_PATTERN_STEPS {
                analysis.pattern_findings.push(too_much(pattern.span()));
                break;
            }
        }
        analysis
    }

    /// Whether the source can't be used, whatever it is used with.
    pub(crate) fn has_syntax_errors(&self) -> bool {
        self.parsed
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// A warning if a request may choose what the pattern is.
fn injectable(template: &Template) -> Option<Diagnostic> {
    let from_request = template.macros.iter().find(|name| name.variable != Variable::Tx)?;
    let (start, end) = (
        usize::try_from(from_request.start).ok()?,
        usize::try_from(from_request.end).ok()?,
    );
    Some(
        Diagnostic::warning(
            Kind::InvalidPattern,
            template.text.locate(start..end),
            "the regular expression has a macro that a request may fill: a client could choose what it matches",
        )
        .hint("compare with @contains, @within or @streq, which take macros literally"),
    )
}

fn too_much(span: Span) -> Diagnostic {
    Diagnostic::error(
        Kind::TooLarge,
        span,
        "the regular expressions of this source up to here take too much to compile; those after it were not looked at",
    )
    .hint("divide the source among several RuleSources, or lower the counts in {n,m}")
}
