//! How tests ended, for people and programs. No IO.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use crate::output::paint::plain;
use crate::output::{Document, paint};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// What it expects is not for rules to do.
    Skipped,
}

/// A test that was run.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    pub(super) name: String,
    pub(super) file: Arc<str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    pub(super) outcome: Outcome,
    /// How it differs from what is expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) differences: Vec<String>,
}

/// How all tests ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    rule_set: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    tests: Vec<Tested>,
    #[serde(skip)]
    verbose: bool,
}

impl Report {
    pub(super) fn new(rule_set: String, tests: Vec<Tested>, verbose: bool) -> Self {
        let count = |outcome| tests.iter().filter(|test| test.outcome == outcome).count();
        Self {
            rule_set,
            passed: count(Outcome::Passed),
            failed: count(Outcome::Failed),
            skipped: count(Outcome::Skipped),
            tests,
            verbose,
        }
    }
}

impl Document for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for test in &self.tests {
            let what = match test.outcome {
                Outcome::Failed => paint::error("failed "),
                Outcome::Passed if self.verbose => paint::good("passed "),
                Outcome::Skipped if self.verbose => paint::warning("skipped"),
                _ => continue,
            };
            let description = test.description.lines().next().unwrap_or_default();
            let about = format!("({}) {description}", test.file);
            let (name, about) = (plain(&test.name), plain(about.trim_end()));
            writeln!(out, "{what} {} {}", paint::strong(name), paint::faint(about))?;
            for difference in test.differences.iter().flat_map(|difference| difference.lines()) {
                if !difference.is_empty() {
                    writeln!(out, "        {}", plain(difference))?;
                }
            }
        }
        let verdict = format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        let verdict = if self.failed > 0 {
            paint::error(verdict)
        } else {
            paint::good(verdict)
        };
        writeln!(out, "{verdict}")
    }
}
