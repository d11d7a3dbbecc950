//! The diagnostics of a status: as many and as long as the schema lets through, errors first. Pure.

use coraza_api::ruleset::{Diagnostic, MAX_DIAGNOSTIC_MESSAGE, MAX_DIAGNOSTICS};

use super::cut;

/// What of these fits into a status. Errors come before warnings, because a person needs them first; the order is kept otherwise.
#[must_use]
pub fn bounded(diagnostics: impl IntoIterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = diagnostics.into_iter().collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
    diagnostics.truncate(MAX_DIAGNOSTICS);
    for diagnostic in &mut diagnostics {
        diagnostic.message = cut(std::mem::take(&mut diagnostic.message), MAX_DIAGNOSTIC_MESSAGE);
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_api::ruleset::Severity;

    fn diagnostic(line: u32, severity: Severity, message: &str) -> Diagnostic {
        Diagnostic {
            source: "s".into(),
            line,
            column: 1,
            severity,
            message: message.into(),
        }
    }

    #[test]
    fn errors_come_first_in_the_order_of_the_sources() {
        let found = [
            diagnostic(1, Severity::Warning, "w"),
            diagnostic(2, Severity::Error, "e"),
            diagnostic(3, Severity::Warning, "w"),
            diagnostic(4, Severity::Error, "e"),
        ];
        assert_eq!(
            bounded(found)
                .iter()
                .map(|diagnostic| diagnostic.line)
                .collect::<Vec<_>>(),
            [2, 4, 1, 3]
        );
    }

    #[test]
    fn a_status_holds_fifty_of_one_kibibyte() {
        let many = bounded((1..=60).map(|line| diagnostic(line, Severity::Error, &"ä".repeat(600))));
        assert_eq!(many.len(), 50);
        assert!(
            many.iter()
                .all(|diagnostic| diagnostic.message.len() <= 1024 && diagnostic.message.ends_with("..."))
        );
        assert_eq!(many[49].line, 50);
    }
}
