//! Runs recorded requests through the Core Rule Set and compares the rules that matched with what is expected: the suite of the Core
//! Rule Set itself (FTW) and traffic of our own. Reads files, named by its arguments; a file that is absent is a suite that is skipped,
//! visibly.
//!
//! `ftw --data FILE.jsonl --rules DIR [--recommended FILE] [--known FILE] [--level N] [--blocking] [--only TEXT]`
//!
//! The file of known failures has one test a line, with the row of `DEVIATIONS.md` that it is due to. It may only shrink: a test of it
//! that passes is an error too.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod cases;
mod judge;
mod rules;

use std::process::ExitCode;

use cases::Case;
use rules::Setup;

fn main() -> ExitCode {
    let mut setup = Setup::default();
    let (mut data, mut only, mut known) = (None, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--blocking" => setup.blocking = true,
            "--data" => data = arguments.next(),
            "--rules" => setup.rules = arguments.next().unwrap_or_default().into(),
            "--recommended" => setup.recommended = arguments.next().map(Into::into),
            "--level" => {
                let level = arguments.next().and_then(|level| level.parse().ok());
                setup.level = level.unwrap_or(setup.level);
            }
            "--only" => only = arguments.next(),
            "--known" => known = arguments.next().and_then(|path| std::fs::read_to_string(path).ok()),
            _ => {
                println!("unknown argument {flag}");
                return ExitCode::FAILURE;
            }
        }
    }
    let data = data.unwrap_or_default();
    let Ok(text) = std::fs::read_to_string(&data) else {
        println!("skipped: {data} absent");
        return ExitCode::SUCCESS;
    };
    let program = match rules::load(&setup) {
        Ok(program) => program,
        Err(error) => {
            println!("failed to load the rules: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cases = text.lines().filter_map(Case::parse);
    let cases = cases.filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str())));
    let known = judge::known(known.as_deref().unwrap_or_default());
    let (mut passed, mut failed, mut skipped, mut unexpected) = (0, 0, 0, 0);
    for case in cases {
        let reason = known.get(case.name.as_str());
        match judge::judge(&program, &case) {
            None => skipped += 1,
            Some(outcome) if outcome.differences.is_empty() => {
                passed += 1;
                if reason.is_some() {
                    unexpected += 1;
                    println!("{}: passes, but is listed as known", case.name);
                }
            }
            Some(outcome) => {
                failed += 1;
                unexpected += usize::from(reason.is_none());
                let reason = reason.map(|reason| format!(" (known: {reason})")).unwrap_or_default();
                println!("{}: {}{reason}", case.name, outcome.differences.join("; "));
                if only.is_some() {
                    outcome.log.iter().for_each(|line| println!("  {line}"));
                }
            }
        }
    }
    println!("{skipped} not checkable (they look at the status alone)");
    println!("ftw {passed} passed, {failed} failed");
    if unexpected == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
