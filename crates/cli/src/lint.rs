//! `lint`: compiles what it is given as the controller would, and shows what it finds.

use std::collections::BTreeSet;
use std::io::{self, Write};

use coraza_compiler::{Compiler, Diagnostics, Options};
use coraza_ruleset::{Limits, RuleSetKey};
use coraza_seclang::Kind;
use serde::Serialize;

use crate::args;
use crate::output::{Document, Outcome, PrintError, Terminal, paint};
use crate::rules::{Collection, Counts, Finding, LooseSource, ReadError, collect, read};

/// Why nothing was judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LintError {
    /// The files can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The answer can't be written.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Runs the command.
pub(crate) fn run(args: &args::Lint, terminal: &mut Terminal) -> Result<Outcome, LintError> {
    let compiler = Compiler::new();
    let collection = collect(&read(&args.paths)?, &compiler);
    let options = Options {
        profile: args.engine_profile,
        limits: Limits {
            ruleset: args.max_ruleset_bytes,
            ..Limits::default()
        },
        ..Options::default()
    };
    let report = lint(collection, &compiler, &options);
    terminal.print(args.output.format, &report)?;
    let is_bad = report.errors > 0 || args.warnings_as_errors && report.warnings > 0;
    Ok(Outcome::found(is_bad))
}

/// What was found, and in how much.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    #[serde(flatten)]
    counts: Counts,
}

/// What only the other sources of a RuleSet, or its data, can settle.
const SETTLED_ELSEWHERE: [Kind; 4] = [
    Kind::ChainAtEnd,
    Kind::MatchesNoRule,
    Kind::MissingMarker,
    Kind::MissingFile,
];

/// What is wrong with a source whatever RuleSet may name it: its syntax, as the controller says of the RuleSource, and what it would say
/// of every such RuleSet.
fn check(loose: &LooseSource, compiler: &Compiler, options: &Options) -> Diagnostics {
    let Ok(key) = RuleSetKey::new("default", "alone") else {
        return compiler.check(&loose.source);
    };
    let mut diagnostics = match compiler.compile(&loose.alone(key), options) {
        Ok(compilation) => compilation.warnings,
        Err(error) => error.diagnostics().cloned().unwrap_or_default(),
    };
    diagnostics
        .list
        .retain(|diagnostic| !SETTLED_ELSEWHERE.contains(&diagnostic.kind));
    diagnostics
}

/// Compiles all RuleSets, and checks the sources that are in none.
pub(crate) fn lint(collection: Collection, compiler: &Compiler, options: &Options) -> Report {
    let mut findings = collection.findings;
    for ruleset in &collection.rulesets {
        let options = Options {
            allow_unsupported: ruleset.allow_unsupported,
            ..options.clone()
        };
        findings.extend(match compiler.compile(&ruleset.resolved, &options) {
            Ok(compilation) => Finding::of_ruleset(ruleset, &compilation.warnings),
            Err(error) => Finding::of_error(ruleset, &error),
        });
    }
    for loose in &collection.loose {
        let diagnostics = check(loose, compiler, options);
        findings.extend(Finding::of_source(&loose.origin, &loose.source.text, &diagnostics));
    }
    // Two RuleSets may share a source.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| {
        seen.insert((
            finding.file.clone(),
            finding.line,
            finding.column,
            finding.message.clone(),
        ))
    });
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    Report {
        warnings: findings.len() - errors,
        errors,
        findings,
        counts: collection.counts,
    }
}

impl Document for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            writeln!(out, "{}\n", finding.render().trim_end())?;
        }
        let Counts {
            files,
            rule_sets,
            sources,
        } = self.counts;
        let verdict = format!("{}, {}", count(self.errors, "error"), count(self.warnings, "warning"));
        let verdict = match (self.errors, self.warnings) {
            (0, 0) => paint::good(verdict),
            (0, _) => paint::warning(verdict),
            _ => paint::error(verdict),
        };
        let (sets, sources) = (count(rule_sets, "RuleSet"), count(sources, "source of rules"));
        writeln!(out, "{verdict}: {sets} and {sources} in {}", count(files, "file"))
    }
}

/// `1 file`, `2 files`, `2 sources of rules`.
fn count(number: usize, what: &str) -> String {
    match (number, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, None) => format!("{number} {what}s"),
        (_, Some((noun, rest))) => format!("{number} {noun}s {rest}"),
    }
}
