//! `LocatedDiagnostic`: a finding with the RuleSource, line and column that it is about, and `Diagnostics`: the first of many.

use std::fmt;
use std::sync::Arc;

use coraza_seclang::{Kind, Severity, Span};

/// How many diagnostics are kept: a status holds no more, and a person starts with the first.
pub const MAX_DIAGNOSTICS: usize = 50;
/// How long a message, a hint or a rendered diagnostic may be, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// A finding and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedDiagnostic {
    /// The RuleSource's name.
    pub source: Arc<str>,
    /// The line in it, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// The bytes of the RuleSource that it is about.
    pub span: Span,
    /// What it is about, for programs.
    pub kind: Kind,
    /// Whether the rules can still be used.
    pub severity: Severity,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Message, place, source line with a caret, and hint, over several lines. It quotes rule text, so it is for those who may
    /// read the RuleSource, not for logs.
    pub rendered: String,
}

/// As one line: `source:line:column: severity: message (hint)`.
impl fmt::Display for LocatedDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            line,
            column,
            span: _,
            kind: _,
            severity,
            message,
            hint,
            rendered: _,
        } = self;
        write!(f, "{source}:{line}:{column}: {severity}: {message}")?;
        hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// The findings of one compilation in the order of the sources: the first [`MAX_DIAGNOSTICS`], errors before warnings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// Those that were kept.
    pub list: Vec<LocatedDiagnostic>,
    /// How many more there were.
    pub omitted: usize,
}

impl Diagnostics {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were found, those that weren't kept included.
    #[must_use]
    pub fn total(&self) -> usize {
        self.list.len().saturating_add(self.omitted)
    }

    /// What has to be mended: the errors, without the warnings between them.
    #[must_use]
    pub fn errors(&self) -> Self {
        let errors = self
            .list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        Self {
            list: errors.cloned().collect(),
            omitted: self.omitted,
        }
    }
}

/// The rendered findings, and how many more there are.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list
            .iter()
            .try_for_each(|diagnostic| writeln!(f, "{}", diagnostic.rendered.trim_end()))?;
        if self.omitted > 0 {
            writeln!(f, "and {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// A text of at most [`MAX_MESSAGE_BYTES`], cut where a character ends.
pub(crate) fn bounded(mut text: String) -> String {
    const CUT: &str = "…";
    if text.len() > MAX_MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(bounded("short".into()), "short");
        for text in ["é".repeat(1_000), format!("a{}", "é".repeat(1_000))] {
            let cut = bounded(text);
            assert!(cut.len() <= MAX_MESSAGE_BYTES && cut.len() > MAX_MESSAGE_BYTES - 4 && cut.ends_with('…'));
        }
    }
}
