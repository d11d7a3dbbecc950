//! The conformance suites, what each has to reach, and where their data is. Reads files, and asks `go` for the Core Rule Set.

pub(crate) mod ftw;
pub(crate) mod regression;
pub(crate) mod vectors;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What came of running a suite.
pub(crate) enum Run {
    /// Its data isn't here.
    Skipped(String),
    /// It could not be run.
    Failed(String),
    /// It ran.
    Done(Report),
}

/// How the tests of a suite ended.
#[derive(Default)]
pub(crate) struct Report {
    /// Its name in `conformance.toml`.
    pub(crate) suite: &'static str,
    /// Whether these are all tests of the suite, so that their number is what is committed.
    pub(crate) whole: bool,
    pub(crate) passed: usize,
    /// By name, with what was wrong.
    pub(crate) failed: Vec<(String, String)>,
    /// Tests about something that the engine doesn't do.
    pub(crate) not_checkable: usize,
}

impl Report {
    /// Runs tests on all cores. `judge` says how a test's outcome differs from what is expected; `None` if it can't be checked.
    pub(crate) fn of<T: Sync>(
        suite: &'static str,
        whole: bool,
        tests: &[T],
        judge: impl Fn(&T) -> Option<(String, Vec<String>)> + Sync,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let shares = (0..cores).map(|core| {
                let judge = &judge;
                scope.spawn(move || tests.iter().skip(core).step_by(cores).map(judge).collect::<Vec<_>>())
            });
            let running: Vec<_> = shares.collect();
            running
                .into_iter()
                .flat_map(|share| share.join().unwrap_or_default())
                .collect()
        });
        let mut report = Self {
            suite,
            whole,
            // A thread that dies takes its outcomes with it.
            failed: (outcomes.len() < tests.len())
                .then(|| (suite.to_owned(), "the engine panicked".to_owned()))
                .into_iter()
                .collect(),
            ..Self::default()
        };
        for outcome in outcomes {
            match outcome {
                None => report.not_checkable += 1,
                Some((_, differences)) if differences.is_empty() => report.passed += 1,
                Some((name, differences)) => report.failed.push((name, differences.join("; "))),
            }
        }
        report.failed.sort();
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked = self.passed + self.failed.len();
        let share = 100.0 * self.passed as f64 / checked.max(1) as f64;
        write!(f, "{}: {} of {checked} passed ({share:.2} %)", self.suite, self.passed)?;
        match self.not_checkable {
            0 => Ok(()),
            count => write!(f, ", {count} not checkable"),
        }
    }
}

/// `tests/conformance.toml`: per suite how many tests pass, and why the others don't.
pub(crate) struct Expectations(BTreeMap<String, toml::Table>);

impl Expectations {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../tests/conformance.toml");
        Self(toml::from_str(text).unwrap_or_default())
    }

    /// What makes a test fail: a row of `DEVIATIONS.md`, and words.
    pub(crate) fn row(&self, suite: &str, test: &str) -> Option<&str> {
        self.failing(suite)?.get(test)?.as_str()
    }

    fn failing(&self, suite: &str) -> Option<&toml::Table> {
        self.0.get(suite)?.get("failing")?.as_table()
    }

    /// How a suite differs from what is committed, for better or worse.
    pub(crate) fn problems(&self, report: &Report) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, differences) in &report.failed {
            if self.row(report.suite, name).is_none() {
                problems.push(format!("{name} fails and isn't listed: {differences}"));
            }
        }
        if report.whole {
            let failing = self.failing(report.suite).into_iter().flat_map(toml::Table::keys);
            let passing = failing.filter(|name| !report.failed.iter().any(|(failed, _)| failed == *name));
            problems.extend(passing.map(|name| format!("{name} passes: take it off the list")));
            let committed = self
                .0
                .get(report.suite)
                .and_then(|suite| suite.get("passed")?.as_integer());
            if committed != i64::try_from(report.passed).ok() {
                problems.push(format!("{} passed, but {committed:?} are committed", report.passed));
            }
        }
        problems
    }

    /// Reasons that aren't the name of a row of `DEVIATIONS.md`, with or without words after it.
    pub(crate) fn without_row(&self) -> Vec<&str> {
        let rows = include_str!("../../DEVIATIONS.md");
        let suites = self.0.keys().filter_map(|suite| self.failing(suite));
        let reasons = suites.flat_map(toml::Table::values).filter_map(toml::Value::as_str);
        reasons
            .filter(|reason| {
                let row = reason.split(' ').next().unwrap_or_default();
                !rows.contains(&format!("\n| {row} |"))
            })
            .collect()
    }
}

/// The JSON files of a folder in the order of their names, but for the one that lists the others.
pub(crate) fn json_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_cases =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("index.json");
    let mut files: Vec<_> = files.filter(is_cases).collect();
    files.sort();
    Ok(files)
}

/// A file or folder of the conformance data beside the checkout; `Err` says that it isn't there.
pub(crate) fn shared(name: &str) -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("../shared/data/{name} is absent"))
}

/// The folder of the Core Rule Set's Go module, which `go` downloads once and checks against our go.sum.
pub(crate) fn core_rule_set() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("CORAZA_CORE_RULE_SET") {
        return Ok(folder.into());
    }
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/tools/coreruleset");
    let download = Command::new("go")
        .args(["mod", "download", "-json", "github.com/corazawaf/coraza-coreruleset/v4"])
        .env("GOWORK", "off")
        .env_remove("GOFLAGS")
        .current_dir(recipe)
        .output()
        .map_err(|error| format!("failed to run go: {error}"))?;
    let answer: serde_json::Value =
        serde_json::from_slice(&download.stdout).map_err(|error| format!("failed to read what go printed: {error}"))?;
    let folder = answer.get("Dir").and_then(serde_json::Value::as_str);
    folder
        .map(PathBuf::from)
        .ok_or_else(|| format!("go can't download the Core Rule Set: {answer}"))
}
