//! Runs the Core Rule Set over the same requests here and in libmodsecurity, and compares the rules that were logged: over the Core Rule
//! Set's own tests, recorded traffic where it is there, and generated requests. Each difference must belong to a class that
//! `DEVIATIONS.md` names. `cargo xtask oracle rules` calls it.
//!
//! `oracle --libmodsecurity FILE [--requests N] [--seed S] [--show N] [--only TEXT]`

#![allow(clippy::print_stdout, reason = "a program for a terminal")]
#![allow(clippy::indexing_slicing, reason = "a JSON value without a field is null")]

mod class;
mod compare;
mod generate;
#[allow(dead_code, reason = "what is compared here needs less of it")]
mod libmodsecurity;
#[allow(dead_code, reason = "the conformance runner needs more of it")]
#[path = "../conformance/suites.rs"]
mod suites;
mod variant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use class::Classes;
use compare::{Difference, Input};
use suites::ftw::rules::Setup;
use suites::ftw::{folder, recorded};
use suites::{core_rule_set, shared};

struct Arguments {
    libmodsecurity: PathBuf,
    requests: usize,
    seed: u64,
    /// Of the generated requests only these, if any.
    numbers: Vec<usize>,
    /// How many differences of each class are shown.
    show: usize,
    /// Only suites whose names contain this.
    only: String,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        libmodsecurity: PathBuf::new(),
        requests: 2000,
        seed: 1,
        numbers: Vec::new(),
        show: 1,
        only: String::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} needs a number"));
        let count = || number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        match flag.as_str() {
            "--libmodsecurity" => arguments.libmodsecurity = value.into(),
            "--requests" => arguments.requests = count()?,
            "--seed" => arguments.seed = number()?,
            "--number" => arguments.numbers.push(count()?),
            "--only" => arguments.only = value,
            "--show" => arguments.show = count()?,
            _ => return Err(format!("unknown argument {flag}")),
        }
    }
    Ok(arguments)
}

/// Whether every difference is explained.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let module = core_rule_set()?;
    let tests = folder::read_folder(&module.join("tests"))?;
    let mut numbers = arguments.numbers.clone();
    if numbers.is_empty() {
        numbers.extend(0..arguments.requests);
    }
    let generated = generate::requests(&tests, &numbers, arguments.seed);
    let inputs: Vec<Input> = tests.iter().flat_map(compare::inputs).collect();
    let rules = module.join("rules");
    let mut good = report("tests of 4.25.0", &rules, &inputs, arguments)?;
    for (name, file) in [
        ("tests of 4.29-dev", "ftw/dev.jsonl"),
        ("attacks", "corpus/attacks.jsonl"),
        ("benign traffic", "corpus/benign.jsonl"),
        ("benign traffic that is blocked", "corpus/reference-fp.jsonl"),
    ] {
        match shared(file) {
            Err(absent) => println!("SKIPPED: {name}: {absent}"),
            Ok(path) => {
                let inputs: Vec<Input> = recorded(&path)?.iter().flat_map(compare::inputs).collect();
                good &= report(name, &shared("crs")?, &inputs, arguments)?;
            }
        }
    }
    good &= report("generated", &rules, &generated, arguments)?;
    Ok(good)
}

/// Compares both engines over the inputs and prints what differs, by class.
fn report(name: &str, folder: &Path, inputs: &[Input], arguments: &Arguments) -> Result<bool, String> {
    if !name.contains(&arguments.only) {
        return Ok(true);
    }
    let differences = compare::run(folder, &Setup::detection(), &arguments.libmodsecurity, inputs)?;
    let explanations = Classes::of(folder, &Setup::detection())?;
    let mut classes: BTreeMap<&str, Vec<&Difference>> = BTreeMap::new();
    for difference in &differences {
        for class in explanations.explain(difference) {
            classes.entry(class).or_default().push(difference);
        }
    }
    let unexplained = classes.get(class::UNEXPLAINED).map_or(0, Vec::len);
    let agree = inputs.len() - differences.len();
    println!(
        "{name}: {} requests, {agree} agree, {} differ, {unexplained} unexplained",
        inputs.len(),
        differences.len()
    );
    for (class, differences) in &classes {
        println!("  {class}: {}", differences.len());
        let shown = if *class == class::UNEXPLAINED {
            100_000
        } else {
            arguments.show
        };
        for difference in differences.iter().take(shown) {
            println!("    {difference}");
        }
    }
    Ok(unexplained == 0)
}
