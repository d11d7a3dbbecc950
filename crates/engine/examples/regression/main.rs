//! Runs ModSecurity's own regression cases and compares status and logged rules with what libmodsecurity 3.0.15 did. Reads files, named
//! by its arguments.
//!
//! `regression --data DIR [--known FILE] [--only TEXT]`

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod case;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut data, mut known, mut only) = (PathBuf::new(), String::new(), String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match flag.as_str() {
            "--data" => data = value.into(),
            "--known" => known = std::fs::read_to_string(value).unwrap_or_default(),
            "--only" => only = value,
            _ => {
                println!("unknown argument {flag}");
                return ExitCode::FAILURE;
            }
        }
    }
    let lines = known.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known: BTreeMap<_, _> = lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
    let Ok(files) = std::fs::read_dir(&data) else {
        println!("skipped: {} absent", data.display());
        return ExitCode::SUCCESS;
    };
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    let (mut passed, mut failed, mut unexpected) = (0, 0, 0);
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("index.json"))
    {
        for (name, differences) in case::judge_file(path, &data, &only) {
            let reason = known.get(name.as_str());
            unexpected += usize::from(reason.is_some() == differences.is_empty());
            if differences.is_empty() {
                passed += 1;
            } else {
                failed += 1;
                let reason = reason.map(|reason| format!(" (known: {reason})")).unwrap_or_default();
                println!("{name}: {}{reason}", differences.join("; "));
            }
        }
    }
    println!("regression {passed} passed, {failed} failed");
    if unexpected == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
