//! The Core Rule Set's own tests (FTW) and traffic of our own, run through the rules. Reads files.

pub(crate) mod folder;
pub(crate) mod recording;
pub(crate) mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use coraza_ftw::{Case, Scope, judge};

use super::{Report, Run, core_rule_set, shared};
use rules::Setup;

/// The name of the suite that a run without a path takes its expectations from.
const CRS: &str = "crs-4.25";
const DATA: &str = "crs-4.29-dev";
const CORPUS: &str = "corpus";

/// The tests of the Core Rule Set 4.25.0, from its Go module: there wherever Go is, so never skipped.
pub(crate) fn crs_4_25(only: Option<&str>) -> Run {
    match core_rule_set() {
        Ok(module) => crs(&module.join("tests"), None, only).whole(only),
        Err(error) => Run::Failed(error),
    }
}

/// The tests of the Core Rule Set 4.29-dev, as recorded.
pub(crate) fn crs_4_29_dev(only: Option<&str>) -> Run {
    match shared("ftw/dev.jsonl") {
        Ok(path) => data(&path, None, only).whole(only),
        Err(absent) => Run::Skipped(format!("{DATA}: {absent}")),
    }
}

/// Our traffic.
pub(crate) fn traffic(only: Option<&str>) -> Run {
    match shared("corpus") {
        Ok(path) => corpus(&path, None, only).whole(only),
        Err(absent) => Run::Skipped(format!("{CORPUS}: {absent}")),
    }
}

/// Recorded tests, one a line, with the rules that they were recorded for.
pub(crate) fn data(path: &Path, rules: Option<&Path>, only: Option<&str>) -> Run {
    let rules = rules.map_or_else(|| shared("crs"), |rules| Ok(rules.to_owned()));
    let tests = || recorded(path);
    run(DATA, rules, &Setup::detection(), tests, only)
}

/// A folder of tests as the Core Rule Set writes them, with the rules beside them or those of 4.25.0.
pub(crate) fn crs(path: &Path, rules: Option<&Path>, only: Option<&str>) -> Run {
    let rules = rules.map_or_else(
        || core_rule_set().map(|module| module.join("rules")),
        |rules| Ok(rules.to_owned()),
    );
    let tests = || folder::read_folder(path);
    run(CRS, rules, &Setup::detection(), tests, only)
}

/// A folder of `attacks.jsonl`, which must be blocked at paranoia level 1, and `benign.jsonl`, which must not be.
pub(crate) fn corpus(path: &Path, rules: Option<&Path>, only: Option<&str>) -> Run {
    let rules = rules.map_or_else(|| shared("crs"), |rules| Ok(rules.to_owned()));
    let tests = || {
        let mut tests = recorded(&path.join("attacks.jsonl"))?;
        tests.extend(recorded(&path.join("benign.jsonl"))?);
        Ok(tests)
    };
    run(CORPUS, rules, &Setup::blocking(1), tests, only)
}

fn run(
    suite: &'static str,
    rules: Result<PathBuf, String>,
    setup: &Setup,
    tests: impl Fn() -> Result<Vec<Case>, String>,
    only: Option<&str>,
) -> Run {
    let loaded = rules.and_then(|rules| {
        let mut tests = tests()?;
        tests.retain(|test| only.is_none_or(|only| test.name.contains(only)));
        Ok((rules::load(&rules, setup)?, tests))
    });
    match loaded {
        Err(error) => Run::Failed(format!("{suite}: {error}")),
        Ok((program, tests)) => Run::Done(Report::of(suite, false, &tests, |test| {
            Some((test.name.clone(), judge(&program, test, Scope::Log, only.is_some())?))
        })),
    }
}

/// The tests of a file, one a line.
pub(crate) fn recorded(path: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| recording::parse(line).map_err(|error| format!("{}:{}: {error}", path.display(), at + 1)))
        .collect()
}

impl Run {
    /// The same, said to be all tests of the suite.
    fn whole(self, only: Option<&str>) -> Self {
        match self {
            Self::Done(report) => Self::Done(Report {
                whole: only.is_none(),
                ..report
            }),
            other => other,
        }
    }
}
