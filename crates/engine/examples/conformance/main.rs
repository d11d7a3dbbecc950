//! Runs the conformance suites: the Core Rule Set's own tests, traffic of our own, the vectors of the rule language, ModSecurity's
//! regression cases. Reads files; writes to the terminal. `cargo xtask ftw` and `cargo xtask vectors` call it.
//!
//! `conformance ftw [--data FILE.jsonl | --crs DIR | --corpus DIR] [--rules DIR] [--only TEXT]`, `conformance vectors [DIR] [--only TEXT]`
//!
//! Without a path, all suites run, and each must reach what `tests/conformance.toml` says. With one, the tests of that path run, and only
//! those that are listed there may fail.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]
#![allow(clippy::indexing_slicing, reason = "a JSON value without a field is null")]

#[path = "suites.rs"]
mod suites;

use std::path::PathBuf;
use std::process::ExitCode;

use suites::{Expectations, Report, Run, ftw, vectors};

#[derive(Default)]
struct Arguments {
    command: String,
    data: Option<PathBuf>,
    crs: Option<PathBuf>,
    corpus: Option<PathBuf>,
    rules: Option<PathBuf>,
    vectors: Option<PathBuf>,
    only: Option<String>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        command: words.next().ok_or("ftw or vectors?")?,
        ..Arguments::default()
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--data" => arguments.data = Some(value()?.into()),
            "--crs" => arguments.crs = Some(value()?.into()),
            "--corpus" => arguments.corpus = Some(value()?.into()),
            "--rules" => arguments.rules = Some(value()?.into()),
            "--only" => arguments.only = Some(value()?),
            path if !path.starts_with('-') => arguments.vectors = Some(path.into()),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(arguments)
}

/// Whether all is as it should be.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let rules = arguments.rules.as_deref();
    let only = arguments.only.as_deref();
    let runs: Vec<Run> = match arguments.command.as_str() {
        "ftw" => match arguments {
            Arguments { data: Some(path), .. } => vec![ftw::data(path, rules, only)],
            Arguments { crs: Some(path), .. } => vec![ftw::crs(path, rules, only)],
            Arguments { corpus: Some(path), .. } => vec![ftw::corpus(path, rules, only)],
            _ => vec![ftw::crs_4_25(only), ftw::crs_4_29_dev(only), ftw::traffic(only)],
        },
        "vectors" => {
            let folder = arguments.vectors.as_deref();
            vec![
                vectors::operators(folder, only),
                vectors::transformations(folder, only),
                vectors::regression_cases(folder, only),
            ]
        }
        other => return Err(format!("no command is called {other}")),
    };
    let expectations = Expectations::read();
    let (mut total, mut good) = (Report::default(), true);
    for reason in expectations.without_row() {
        good = false;
        println!("DEVIATIONS.md has no row {reason}");
    }
    for run in runs {
        match run {
            Run::Skipped(reason) => println!("SKIPPED: {reason}"),
            Run::Failed(error) => return Err(error),
            Run::Done(report) => {
                for (name, differences) in &report.failed {
                    let row = expectations.row(report.suite, name).unwrap_or("not listed");
                    println!("{name}: {differences} ({row})");
                }
                for problem in expectations.problems(&report) {
                    good = false;
                    println!("{}: {problem}", report.suite);
                }
                println!("{report}");
                total.passed += report.passed;
                total.failed.extend(report.failed);
            }
        }
    }
    // The last line, in this form: people and CI read it.
    println!(
        "{} {} passed, {} failed",
        arguments.command,
        total.passed,
        total.failed.len()
    );
    Ok(good)
}
