//! From the text of rules to a [`Program`], for those who have text: all findings of all steps in one place. No IO.

use std::fmt;
use std::sync::Arc;

use coraza_seclang::{LineIndex, Parsed, Severity, SourceDiagnostic, SourceId, lower, parse, render};

use super::{Options, Program, Source};

/// Rules that can't be run, with everything that is wrong with them. Its text shows each finding with its place, the line with a
/// caret, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    /// What is wrong, in the order in which it was found; warnings are left out.
    pub errors: Vec<SourceDiagnostic>,
    rendered: String,
}

impl Program {
    /// Reads and compiles sources, in their order, as if they were one. `options.sources` needn't be set.
    ///
    /// # Errors
    /// Everything that is wrong with the rules. None of them is ever left out silently.
    pub fn from_sources(sources: &[Source<'_>], options: &Options<'_>) -> Result<Self, RulesError> {
        let parsed: Vec<_> = sources.iter().map(|source| Arc::new(parse(source.text))).collect();
        let (rules, findings) = lower(&parsed);
        let mut errors: Vec<_> = (0..)
            .map(SourceId)
            .zip(&parsed)
            .flat_map(of_source)
            .chain(findings)
            .collect();
        errors.retain(|finding| finding.diagnostic.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(RulesError::new(sources, errors));
        }
        let options = Options { sources, ..*options };
        Self::compile(&rules, &options).map_err(|errors| RulesError::new(sources, errors))
    }
}

fn of_source((source, parsed): (SourceId, &Arc<Parsed>)) -> impl Iterator<Item = SourceDiagnostic> {
    let diagnostics = parsed.diagnostics.clone().into_iter();
    diagnostics.map(move |diagnostic| SourceDiagnostic { source, diagnostic })
}

impl RulesError {
    fn new(sources: &[Source<'_>], errors: Vec<SourceDiagnostic>) -> Self {
        let indexes: Vec<_> = sources.iter().map(|source| LineIndex::new(source.text)).collect();
        let render = |error: &SourceDiagnostic| {
            let at = usize::try_from(error.source.0).ok()?;
            let (source, index) = (sources.get(at)?, indexes.get(at)?);
            Some(render(&error.diagnostic, source.name, index, source.text))
        };
        Self {
            rendered: errors.iter().filter_map(render).collect(),
            errors,
        }
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rendered.trim_end())
    }
}

impl std::error::Error for RulesError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// One error of each step: the parser's, of the rules together, the compiler's.
    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let good = Source::new("good.conf", b"SecAction \"id:1,pass\"\n");
        let read = |text: &str| {
            let bad = Source::new("bad.conf", text.as_bytes());
            Program::from_sources(&[good, bad], &Options::default())
        };
        assert_eq!(
            read("SecAction \"id:2,pass\"").map(|program| program.rules()).ok(),
            Some(2)
        );
        for (text, place, caret) in [
            ("\nSecRule ARGS \"@nosuch x\" \"id:2\"", "bad.conf:2:", "^"),
            ("SecRuleUpdateTargetById x ARGS", "bad.conf:1:", "^"),
            ("\n\nSecRule ARGS \"@rx (?=a)\" \"id:2\"", "bad.conf:3:", "^^^"),
            ("SecAction \"id:1,pass\"", "bad.conf:1:", "^"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains(caret), "{text}: {error}");
        }
        let both = read("SecRule ARGS \"@rx (?=a)\" \"id:2\"\nSecRule ENV x \"id:3\"").unwrap_err();
        assert_eq!(both.errors.len(), 2);
    }
}
