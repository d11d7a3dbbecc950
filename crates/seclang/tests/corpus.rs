//! The negative corpus: rule texts as data, and everything that is found in them, exactly.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use coraza_seclang::{Diagnostic, Kind, LineIndex, Parsed, lower, parse};

/// Kinds that no text of a corpus should have to show: too long, too many.
const UNREASONABLE: [Kind; 3] = [Kind::SourceTooLarge, Kind::TooManyDiagnostics, Kind::TooManyUpdates];

struct Case {
    name: String,
    sources: Vec<String>,
    findings: Vec<String>,
}

#[test]
fn every_case_has_exactly_its_findings() {
    let cases = cases();
    let refused = |case: &&Case| case.findings.iter().any(|finding| finding.contains(" error "));
    let negative = cases.iter().filter(refused).count();
    assert!(negative >= 150, "only {negative} cases are refused");
    let mut wrong = String::new();
    for case in cases {
        let found = findings(&case.sources);
        if found != case.findings {
            wrong += &format!(
                "{}\n  found    {found:#?}\n  expected {:#?}\n",
                case.name, case.findings
            );
        }
    }
    assert_eq!(wrong, "");
}

#[test]
fn every_kind_that_the_parser_finds_has_a_case() {
    let shown: BTreeSet<String> = cases().into_iter().flat_map(|case| case.findings).collect();
    let is_shown = |kind: &Kind| shown.iter().any(|finding| finding.contains(&format!(" {kind}: ")));
    let missing: Vec<&Kind> = Kind::ALL
        .iter()
        .filter(|kind| is_ours(**kind) && !is_shown(kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Whether a kind is found here and not by the compiler.
fn is_ours(kind: Kind) -> bool {
    kind < Kind::DuplicateId && !UNREASONABLE.contains(&kind)
}

/// Everything found in the sources, each alone and then together.
fn findings(sources: &[String]) -> Vec<String> {
    let parsed: Vec<Arc<Parsed>> = sources
        .iter()
        .map(|source| Arc::new(parse(source.as_bytes())))
        .collect();
    let alone = parsed
        .iter()
        .enumerate()
        .flat_map(|(at, parsed)| parsed.diagnostics.iter().map(move |found| (at, found.clone())));
    let together = lower(&parsed)
        .1
        .into_iter()
        .map(|found| (found.source.0 as usize, found.diagnostic));
    alone
        .chain(together)
        .map(|(at, found)| line(sources, at, &found))
        .collect()
}

fn line(sources: &[String], at: usize, found: &Diagnostic) -> String {
    let Diagnostic {
        kind,
        severity,
        span,
        message,
        hint,
    } = found;
    let place = LineIndex::new(sources[at].as_bytes()).line_column(span.start);
    let source = if sources.len() > 1 {
        format!("[{at}] ")
    } else {
        String::new()
    };
    let hint = hint.as_ref().map_or_else(String::new, |hint| format!(" | {hint}"));
    format!(
        "{source}{}:{} {severity} {kind}: {message}{hint}",
        place.line, place.column
    )
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files.iter().flat_map(|file| cases_of(file)).collect()
}

fn cases_of(file: &Path) -> Vec<Case> {
    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
    let table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let strings = |value: &toml::Value| -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    };
    let case = |case: &toml::Value| Case {
        name: format!("{stem}/{}", case["name"].as_str().unwrap()),
        sources: strings(&case["sources"]),
        findings: strings(&case["findings"]),
    };
    table["case"].as_array().unwrap().iter().map(case).collect()
}
