//! Every regular expression of the Core Rule Set compiles, well within the limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test, in its helpers too")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use coraza_engine::pattern::{Limits, Pattern};
use coraza_seclang::{Directive, DirectiveKind, parse};

const MODULE: &str = "github.com/corazawaf/coraza-coreruleset/v4@v4.25.0";

/// The folder of the Core Rule Set's Go module, which `go` downloads once.
fn core_rule_set() -> Option<PathBuf> {
    let download = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(std::env::temp_dir())
        .output()
        .ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&download.stdout).ok()?;
    Some(PathBuf::from(answer.get("Dir")?.as_str()?).join("rules/@owasp_crs"))
}

fn pattern(directive: &Directive) -> Option<Vec<u8>> {
    match &directive.kind {
        DirectiveKind::Rule(rule) => rule.operator.as_ref()?.pattern().map(|pattern| pattern.to_vec()),
        _ => None,
    }
}

#[test]
fn all_patterns_of_crs_4_25_compile() {
    let Some(rules) = core_rule_set() else {
        panic!("go can't download the Core Rule Set");
    };
    let files = std::fs::read_dir(rules).unwrap().map(|file| file.unwrap().path());
    let rules = files.filter(|file| file.extension().is_some_and(|extension| extension == "conf"));
    let patterns: BTreeSet<Vec<u8>> = rules
        .flat_map(|file| parse(&std::fs::read(file).unwrap()).directives)
        .filter_map(|directive| pattern(&directive))
        .collect();
    assert_eq!(patterns.len(), 291, "distinct patterns");
    let limits = Limits::default();
    let sizes = patterns.iter().map(|pattern| match Pattern::compile(pattern, &limits) {
        Ok(compiled) => compiled.size(),
        Err(error) => panic!("{}: {error} at {:?}", pattern.escape_ascii(), error.span),
    });
    assert!(
        sizes.max().unwrap() < limits.automaton_bytes / 4,
        "the limits leave room"
    );
}
