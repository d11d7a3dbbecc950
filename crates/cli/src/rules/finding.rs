//! `Finding`: what is wrong, where it stands, and the line that it is about. No IO.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use coraza_compiler::{CompileError, Diagnostics, LocatedDiagnostic, Severity};
use serde::Serialize;

use super::LocalRuleSet;
use super::origin::Origin;
use crate::output::paint::plain;

/// What is wrong, or may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// `error` or `warning`.
    #[serde(serialize_with = "severity")]
    pub(crate) severity: Severity,
    /// What it is about, in kebab case.
    pub(crate) code: &'static str,
    /// One sentence, lower case, without a full stop.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The file.
    pub(crate) file: String,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// The character in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
    /// The object of a manifest, and the place as the controller would name it: `base-rules:3:14`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

/// The line that a finding is about, as it stands in the file, and the bytes of it that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    start: usize,
    end: usize,
    number: u32,
    path: String,
}

/// How many characters of a line are shown on each side of what is meant: rules may have lines of a megabyte.
const MOST_AROUND: usize = 200;

fn severity<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.as_str())
}

impl Finding {
    /// An error about a file, or about a line of it.
    pub(crate) fn error(code: &'static str, file: &str, line: Option<u32>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            hint: None,
            file: file.to_owned(),
            line,
            column: None,
            source: None,
            excerpt: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub(crate) fn warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Whether it keeps the rules from being used.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// A finding of the compiler in the source of this text and origin.
    fn of(diagnostic: &LocatedDiagnostic, origin: &Origin, text: &str) -> Self {
        let position = origin.place(diagnostic.line, diagnostic.column);
        let (line, column) = (diagnostic.line, diagnostic.column);
        let source = format!("{}:{line}:{column}", diagnostic.source);
        Self {
            severity: diagnostic.severity,
            code: diagnostic.kind.as_str(),
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
            file: origin.file.to_string(),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            source: origin.object.is_some().then_some(source),
            excerpt: Excerpt::of(diagnostic, origin, text),
        }
    }

    /// All that the compiler found in a RuleSet.
    pub(crate) fn of_ruleset(ruleset: &LocalRuleSet, diagnostics: &Diagnostics) -> Vec<Self> {
        let sources = || ruleset.resolved.sources.iter().zip(&ruleset.origins);
        let mut findings: Vec<_> = diagnostics
            .list
            .iter()
            .filter_map(|diagnostic| {
                let (source, origin) = sources().find(|(source, _)| source.name == diagnostic.source)?;
                Some(Self::of(diagnostic, origin, &source.text))
            })
            .collect();
        findings.extend(omitted(diagnostics, &ruleset.name));
        findings
    }

    /// All that the compiler found in a source that it was given alone.
    pub(crate) fn of_source(origin: &Origin, text: &str, diagnostics: &Diagnostics) -> Vec<Self> {
        let list = diagnostics.list.iter();
        let mut findings: Vec<_> = list.map(|diagnostic| Self::of(diagnostic, origin, text)).collect();
        findings.extend(omitted(diagnostics, &origin.file));
        findings
    }

    /// Why a RuleSet can't be served.
    pub(crate) fn of_error(ruleset: &LocalRuleSet, error: &CompileError) -> Vec<Self> {
        let whole = |code, message: String| vec![Self::error(code, &ruleset.name, None, message)];
        match error {
            CompileError::InvalidSource { diagnostics, .. } | CompileError::InvalidRuleSet { diagnostics } => {
                Self::of_ruleset(ruleset, diagnostics)
            }
            CompileError::UnsupportedRules { .. } => whole("unsupported-rules", error.to_string()),
            CompileError::OversizedRules(oversized) => whole("oversized-rules", oversized.to_string()),
        }
    }

    /// As rustc would show it, always with colours.
    pub(crate) fn render(&self) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        // Messages of several lines are lists.
        let message = self.message.lines().map(plain).collect::<Vec<_>>().join("\n");
        let title = level.primary_title(message);
        let help = self.hint.as_deref().map(|hint| Level::HELP.message(plain(hint)));
        let group = match (&self.excerpt, self.line) {
            (Some(excerpt), _) => title.element(excerpt.snippet()),
            (None, line) => {
                let origin = annotate_snippets::Origin::path(self.file.as_str());
                let line = line.and_then(|line| usize::try_from(line).ok());
                title.element(match line {
                    Some(line) => origin.line(line).char_column(1),
                    None => origin,
                })
            }
        };
        Renderer::styled().render(&[group.elements(help)])
    }
}

/// That there were more findings than are kept.
fn omitted(diagnostics: &Diagnostics, what: &str) -> Option<Finding> {
    let message = || format!("{} more were found, which are not shown", diagnostics.omitted);
    (diagnostics.omitted > 0).then(|| Finding::error("too-many-diagnostics", what, None, message()).warning())
}

impl Excerpt {
    fn of(diagnostic: &LocatedDiagnostic, origin: &Origin, text: &str) -> Option<Self> {
        let start = usize::try_from(diagnostic.span.start).ok()?.min(text.len());
        let end = usize::try_from(diagnostic.span.end).ok()?.clamp(start, text.len());
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        let before = text.get(..start)?;
        let first = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let rest = text.get(first..)?;
        let line = rest.split('\n').next()?.trim_end_matches('\r');
        // What goes on over several lines is underlined to the end of its first one.
        let (start, end) = (start - first, (end - first).min(line.len()));
        let position = origin.place(diagnostic.line, 1);
        let path = match (position, &origin.object) {
            (None, Some(object)) => format!("{} ({object})", origin.file),
            _ => origin.file.to_string(),
        };
        let blanks = position.map_or(0, |position| position.column.saturating_sub(1));
        let number = position.map_or(diagnostic.line, |position| position.line);
        Self::around(line, start.min(end), end, usize::try_from(blanks).ok()?, number, path)
    }

    /// The part of the line around what is meant, behind as many blanks as in the file.
    fn around(line: &str, start: usize, end: usize, blanks: usize, number: u32, path: String) -> Option<Self> {
        let from = line.floor_char_boundary(start.saturating_sub(MOST_AROUND));
        let end = line
            .floor_char_boundary(end.min(start.saturating_add(MOST_AROUND)))
            .max(start);
        let to = line.floor_char_boundary(end.saturating_add(MOST_AROUND).min(line.len()));
        // Blanks stand for what is cut in front, so that the column that is shown is right.
        let lead = " ".repeat(blanks.saturating_add(line.get(..from)?.chars().count()));
        let tail = if to == line.len() { "" } else { "..." };
        let mut shown = String::new();
        for character in line.get(from..to)?.chars() {
            if character.is_control() {
                shown.push_str(&" ".repeat(character.len_utf8()));
            } else {
                shown.push(character);
            }
        }
        Some(Self {
            start: lead.len() + (start - from),
            end: lead.len() + (end - from),
            line: format!("{lead}{shown}{tail}"),
            number,
            path,
        })
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        Snippet::source(self.line.as_str())
            .line_start(usize::try_from(self.number).unwrap_or(1))
            .path(self.path.as_str())
            .annotation(AnnotationKind::Primary.span(self.start..self.end))
    }
}
