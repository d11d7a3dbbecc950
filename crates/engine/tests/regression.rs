//! ModSecurity's own regression cases, all but the listed ones. Skipped, visibly, where `../shared/data` is absent.

#![allow(clippy::print_stdout, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;

#[path = "../examples/regression/case.rs"]
mod case;

#[test]
fn regression_cases_end_as_in_modsecurity() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vectors/regression");
    let Ok(files) = std::fs::read_dir(&data) else {
        println!("skipped: {} absent", data.display());
        return;
    };
    let known = include_str!("regression-known.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let known: BTreeSet<_> = known.filter_map(|line| line.split(' ').next()).collect();
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    let files = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json") && !file.ends_with("index.json"));
    let judged = files.flat_map(|file| case::judge_file(&file, &data, ""));
    let unexpected = judged.filter(|(name, differences)| known.contains(name.as_str()) == differences.is_empty());
    assert_eq!(unexpected.collect::<Vec<_>>(), []);
}
