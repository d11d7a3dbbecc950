//! A sample of the Core Rule Set's own tests and of our traffic, in the profile that tests are built in; `--example ftw` runs all. Skipped,
//! visibly, where `../shared/data` is absent.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

#[path = "../examples/ftw/cases.rs"]
mod cases;
#[path = "../examples/ftw/judge.rs"]
mod judge;
#[path = "../examples/ftw/rules.rs"]
mod rules;

use cases::Case;
use rules::Setup;

/// Every so many tests one is run: a few seconds without optimisation.
const STEP: usize = 11;

fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if data.exists() {
        return Some(data);
    }
    println!("skipped: {} absent", data.display());
    None
}

fn run(data: &Path, setup: &Setup, suite: &str) {
    let known = judge::known(include_str!("ftw-known.txt"));
    let program = rules::load(setup).unwrap();
    let text = std::fs::read_to_string(data.join(suite)).unwrap();
    let cases = text.lines().step_by(STEP).filter_map(Case::parse);
    let failed = cases.filter_map(|case| {
        let differences = judge::judge(&program, &case)?.differences;
        let fails = !differences.is_empty();
        (fails != known.contains_key(case.name.as_str())).then(|| format!("{}: {}", case.name, differences.join("; ")))
    });
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<String>::new(), "{suite}");
}

#[test]
fn tests_of_the_core_rule_set_pass() {
    let Some(data) = data() else { return };
    let setup = Setup {
        rules: data.join("crs"),
        recommended: Some(data.join("modsecurity/modsecurity.conf-recommended")),
        ..Setup::default()
    };
    run(&data, &setup, "ftw/dev.jsonl");
}

#[test]
fn attacks_are_blocked_and_nothing_else_is() {
    let Some(data) = data() else { return };
    let setup = Setup {
        rules: data.join("crs"),
        recommended: Some(data.join("modsecurity/modsecurity.conf-recommended")),
        level: 1,
        blocking: true,
    };
    run(&data, &setup, "corpus/attacks.jsonl");
    run(&data, &setup, "corpus/benign.jsonl");
}
