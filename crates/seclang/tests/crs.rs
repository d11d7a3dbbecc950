//! The OWASP Core Rule Set parses whole, and what is counted in it is what a counter of lines finds that knows no grammar.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test, in its helpers too"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use coraza_seclang::rules::{ActionName, Setting};
use coraza_seclang::{Directive, DirectiveKind, LineIndex, Parsed, Rules, Severity, lower, parse, render, reprint};
use proptest::prelude::*;
use proptest::sample::Index;

const MODULE: &str = "github.com/corazawaf/coraza-coreruleset/v4@v4.25.0";

#[test]
fn crs_4_25_parses_whole() {
    let rules = crs_module().join("rules");
    let mut files = confs(&rules.join("@owasp_crs"));
    files.insert(0, rules.join("@crs-setup.conf.example"));
    check(&files);
}

#[test]
fn the_shared_crs_parses_whole_if_it_is_there() {
    let crs = shared().join("crs");
    if crs.exists() {
        let mut files = confs(&crs.join("rules"));
        files.insert(0, crs.join("crs-setup.conf.example"));
        check(&files);
    } else {
        println!("SKIPPED: ../shared/data/crs is absent");
    }
}

#[test]
fn the_recommended_configurations_parse_if_they_are_there() {
    let mut files = vec![crs_module().join("rules/@coraza.conf-recommended")];
    for name in ["modsecurity.conf-recommended", "coraza.conf-recommended"] {
        files.extend(Some(shared().join("modsecurity").join(name)).filter(|file| file.exists()));
    }
    for file in files {
        let text = std::fs::read(&file).unwrap();
        let parsed = parse(&text);
        assert_eq!(errors(&file, &text, &parsed), "");
        let (rules, findings) = lower(&[Arc::new(parsed)]);
        assert!(findings.is_empty(), "{findings:?}");
        assert!(rules.rules().count() >= 5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Some lines of the CRS with a few bytes changed: no panic, every place inside the text, every finding can be shown.
    #[test]
    fn damaged_lines_of_the_crs_are_parsed(
        start in any::<Index>(),
        length in 1..40_usize,
        damages in prop::collection::vec((any::<Index>(), prop::sample::select(&b"\"'\\|,:%{}/\n`#@! \xff"[..])), 1..8),
    ) {
        static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(lines_of_the_crs);
        let start = start.index(LINES.len());
        let mut text = LINES[start..LINES.len().min(start + length)].concat();
        for (at, byte) in damages {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let parsed = parse(&text);
        let lines = LineIndex::new(&text);
        for finding in &parsed.diagnostics {
            prop_assert!(finding.span.end as usize <= text.len());
            prop_assert!(!render(finding, "crs", &lines, &text).is_empty());
        }
        if !parsed.has_errors() {
            check_reprint(&text, &parsed);
        }
    }
}

fn lines_of_the_crs() -> Vec<Vec<u8>> {
    let files = confs(&crs_module().join("rules/@owasp_crs"));
    let texts = files.iter().map(|file| std::fs::read(file).unwrap());
    texts
        .flat_map(|text| {
            text.split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Everything that a counter of lines can count.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    rules: usize,
    actions: usize,
    markers: usize,
    target_updates: usize,
    signatures: usize,
    chains: usize,
    ids: BTreeSet<u64>,
}

fn check(files: &[PathBuf]) {
    let mut expected = Counts::default();
    let mut counted = Counts::default();
    let mut sources = Vec::new();
    for file in files {
        let text = std::fs::read(file).unwrap();
        count_lines(&String::from_utf8_lossy(&text), &mut expected);
        let parsed = parse(&text);
        assert_eq!(errors(file, &text, &parsed), "");
        count_directives(&parsed, &mut counted);
        check_reprint(&text, &parsed);
        sources.push(Arc::new(parsed));
    }
    assert!(
        expected.rules > 600 && expected.ids.len() > 600,
        "this is no CRS: {expected:?}"
    );
    assert!(
        counted == expected,
        "counted by the parser: {counted:?}\nby lines: {expected:?}"
    );
    println!(
        "{} SecRule, {} SecAction, {} SecMarker, {} SecRuleUpdateTargetById, {} chained, {} ids",
        counted.rules,
        counted.actions,
        counted.markers,
        counted.target_updates,
        counted.chains,
        counted.ids.len()
    );
    let (rules, findings) = lower(&sources);
    assert!(findings.is_empty(), "{findings:?}");
    check_rules(&rules, &expected);
}

fn check_rules(rules: &Rules, expected: &Counts) {
    let ids: BTreeSet<u64> = rules.rules().map(|rule| rule.id.unwrap().0).collect();
    assert_eq!(ids, expected.ids);
    assert_eq!(
        rules.rules().count(),
        expected.rules + expected.actions - expected.chains
    );
    let members: usize = rules.rules().map(|rule| rule.members.len()).sum();
    assert_eq!(members, expected.rules + expected.actions);
    let markers: BTreeSet<&[u8]> = rules.markers().map(|(_, label)| &**label).collect();
    let updates: usize = rules
        .rules()
        .flat_map(|rule| &rule.members)
        .map(|member| member.updates.len())
        .sum();
    assert_eq!(updates, expected.target_updates);
    for rule in rules.rules() {
        let starter = rule.starter().unwrap();
        if let Some(target) = starter.definition.actions.skip_after() {
            assert!(markers.contains(&**target), "{target}");
        }
    }
}

/// Printed and read again, the rules are the same.
fn check_reprint(text: &[u8], parsed: &Parsed) {
    let printed = reprint(text).unwrap();
    let again = parse(&printed);
    assert_eq!(again.directives.len(), parsed.directives.len());
    for (again, first) in again.directives.iter().zip(&parsed.directives) {
        assert_eq!(without_spans(again), without_spans(first));
    }
    assert!(reprint(&printed).unwrap() == printed);
}

fn without_spans(directive: &Directive) -> String {
    let shown = format!("{directive:?}");
    let mut parts = shown.split("Span { ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').unwrap().1)
}

/// Knows that a directive begins a line, and how ids and chains look in the CRS; nothing else.
fn count_lines(text: &str, counts: &mut Counts) {
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.split_whitespace().next().unwrap_or_default() {
            "SecRule" => counts.rules += 1,
            "SecAction" => counts.actions += 1,
            "SecMarker" => counts.markers += 1,
            "SecRuleUpdateTargetById" => counts.target_updates += 1,
            "SecComponentSignature" => counts.signatures += 1,
            _ => {}
        }
        let bare = line.trim_end_matches('\\').trim_matches(['"', ',']);
        counts.chains += usize::from(bare == "chain" || bare.ends_with(",chain"));
        if let Some((_, id)) = line
            .split_once("id:")
            .filter(|(before, _)| before.is_empty() || before.ends_with('"'))
        {
            let digits: String = id.chars().take_while(char::is_ascii_digit).collect();
            counts.ids.extend(digits.parse::<u64>());
        }
    }
}

fn count_directives(parsed: &Parsed, counts: &mut Counts) {
    for directive in &parsed.directives {
        match &directive.kind {
            DirectiveKind::Rule(rule) => {
                *(if rule.operator.is_some() {
                    &mut counts.rules
                } else {
                    &mut counts.actions
                }) += 1;
                counts.chains += usize::from(rule.actions.has(ActionName::Chain));
                counts.ids.extend(rule.actions.id().map(|id| id.0));
            }
            DirectiveKind::Marker(_) => counts.markers += 1,
            DirectiveKind::UpdateTargets(..) => counts.target_updates += 1,
            DirectiveKind::Setting(Setting::ComponentSignature(_)) => counts.signatures += 1,
            _ => {}
        }
    }
}

/// All errors as a person would see them.
fn errors(file: &Path, text: &[u8], parsed: &Parsed) -> String {
    let lines = LineIndex::new(text);
    let name = file.file_name().unwrap().to_string_lossy();
    let errors = parsed
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|error| render(error, &name, &lines, text)).collect()
}

fn confs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    files
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")
}

/// The folder of the Go module that has the rules; `go` fetches it once and then answers from its cache.
fn crs_module() -> PathBuf {
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap_or_else(|error| {
            panic!("this test needs the CRS, which `go mod download {MODULE}` fetches, but `go` can't be run: {error}")
        });
    let answer = String::from_utf8_lossy(&output.stdout);
    let folder = answer
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.strip_suffix("\","));
    let folder = folder.unwrap_or_else(|| {
        let problem = String::from_utf8_lossy(&output.stderr);
        panic!("this test needs the CRS, but `go mod download -json {MODULE}` named no folder: {answer}{problem}")
    });
    PathBuf::from(folder)
}
