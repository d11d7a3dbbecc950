//! `test`: reads tests, runs them on all cores, shows how they ended. The verdicts are [`coraza_ftw`]'s.

mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use coraza_compiler::Compiler;
use coraza_engine::Program;
use coraza_ftw::yaml::InvalidTests;
use coraza_ftw::{Case, Scope, judge, yaml};
use walkdir::WalkDir;

use self::report::{Outcome, Report, Tested};
use crate::args;
use crate::output::{self, PrintError, Progress, Terminal};
use crate::rules::{ChooseError, bounded, choose, compile};

/// Why no test was run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// The rules can't be used.
    #[error(transparent)]
    Rules(#[from] ChooseError),
    /// A file of tests can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It holds no tests.
    #[error("{} has no tests that can be read", path.display())]
    Invalid {
        path: PathBuf,
        #[source]
        source: InvalidTests,
    },
    /// No test was found, or none is left.
    #[error("there are no tests {}", if *.filtered { "with such a name or tag" } else { "in these files" })]
    None { filtered: bool },
    /// The answer can't be written.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// The largest file of tests, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Runs the command.
pub(crate) fn run(args: &args::Test, terminal: &mut Terminal) -> Result<output::Outcome, TestError> {
    let compiler = Compiler::new();
    let ruleset = choose(&args.rules, &compiler).and_then(|ruleset| compile(ruleset, &compiler));
    let runnable = ruleset.map_err(|error| error.shown(terminal))?;
    let cases = cases(&args.tests)?;
    let wanted = filter(&cases, args);
    if wanted.is_empty() {
        return Err(TestError::None {
            filtered: !cases.is_empty(),
        });
    }
    let progress = Progress::new("tests", wanted.len());
    let tests = judge_all(&runnable.program, &wanted, args.verbose, &progress);
    progress.finish();
    let report = Report::new(runnable.ruleset.name, tests, args.verbose);
    terminal.print(args.output.format, &report)?;
    Ok(output::Outcome::found(report.failed > 0))
}

/// A test and its file.
struct FileCase {
    file: Arc<str>,
    case: Case,
}

/// All tests of files and folders, in the order of their names.
fn cases(paths: &[PathBuf]) -> Result<Vec<FileCase>, TestError> {
    let mut cases = Vec::new();
    for path in paths {
        if path.is_dir() {
            for entry in WalkDir::new(path).follow_links(true).max_depth(32).sort_by_file_name() {
                let entry = entry.map_err(|error| TestError::Read {
                    path: path.clone(),
                    source: error.into(),
                })?;
                let is_yaml = entry
                    .path()
                    .extension()
                    .is_some_and(|name| name == "yaml" || name == "yml");
                if is_yaml && entry.file_type().is_file() {
                    read(entry.path(), &mut cases)?;
                }
            }
        } else {
            read(path, &mut cases)?;
        }
    }
    Ok(cases)
}

fn read(path: &Path, cases: &mut Vec<FileCase>) -> Result<(), TestError> {
    let failed = |source| TestError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let bytes = bounded(file, MAX_FILE_BYTES).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let read = yaml::read(&text).map_err(|source| TestError::Invalid {
        path: path.to_owned(),
        source,
    })?;
    let file: Arc<str> = path.to_string_lossy().into();
    cases.extend(read.into_iter().map(|case| FileCase {
        file: Arc::clone(&file),
        case,
    }));
    Ok(())
}

/// The tests that the flags leave.
fn filter<'c>(cases: &'c [FileCase], args: &args::Test) -> Vec<&'c FileCase> {
    let is_wanted = |test: &&FileCase| {
        let name = &test.case.name;
        args.include.as_ref().is_none_or(|include| include.is_match(name))
            && !args.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
            && (args.tag.is_empty() || test.case.tags.iter().any(|tag| args.tag.contains(tag)))
    };
    cases.iter().filter(is_wanted).collect()
}

/// Runs the tests on all cores.
fn judge_all(program: &Arc<Program>, tests: &[&FileCase], verbose: bool, progress: &Progress) -> Vec<Tested> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let judge = |test: &FileCase| {
        let differences = judge(program, &test.case, Scope::All, verbose);
        progress.step();
        Tested {
            name: test.case.name.clone(),
            file: Arc::clone(&test.file),
            description: test.case.description.clone(),
            outcome: match &differences {
                None => Outcome::Skipped,
                Some(differences) if differences.is_empty() => Outcome::Passed,
                Some(_) => Outcome::Failed,
            },
            differences: differences.unwrap_or_default(),
        }
    };
    let mut tested: Vec<_> = thread::scope(|scope| {
        let share = |core| {
            let judge = &judge;
            let own = tests.iter().enumerate().skip(core).step_by(cores);
            scope.spawn(move || own.map(|(at, test)| (at, judge(test))).collect::<Vec<_>>())
        };
        let shares: Vec<_> = (0..cores).map(share).collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap_or_default())
            .collect()
    });
    tested.sort_by_key(|(at, _)| *at);
    tested.into_iter().map(|(_, tested)| tested).collect()
}
