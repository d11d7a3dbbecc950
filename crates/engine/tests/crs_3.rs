//! The Core Rule Set 3.3, as Debian packages it: written for PCRE, it is refused only where a regular expression can't be run in linear time,
//! and each such place is named. `cargo xtask test` says where it is; elsewhere this is skipped, visibly.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coraza_engine::{Options, Program};
use coraza_seclang::{Kind, Severity, SourceDiagnostic, lower, parse};

#[test]
fn crs_3_3_is_refused_only_for_patterns_of_pcre() {
    let Some(root) = std::env::var_os("CORAZA_CORE_RULE_SET_3") else {
        println!("SKIPPED: CORAZA_CORE_RULE_SET_3 isn't set: `cargo xtask test` sets it");
        return;
    };
    let root = Path::new(&root);
    let mut paths: Vec<_> = fs::read_dir(root.join("usr/share/modsecurity-crs/rules"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    paths.insert(0, root.join("etc/modsecurity/crs/crs-setup.conf"));
    let has = |path: &&PathBuf, wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
    let rules: Vec<_> = paths
        .iter()
        .filter(|path| has(path, "conf"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    let files: BTreeMap<String, Vec<u8>> = paths
        .iter()
        .filter(|path| has(path, "data"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(path).unwrap(),
            )
        })
        .collect();
    let parsed: Vec<_> = rules.iter().map(|text| Arc::new(parse(text))).collect();
    let own = parsed.iter().flat_map(|parsed| &parsed.diagnostics);
    let (lowered, findings) = lower(&parsed);
    let together = findings.iter().map(|finding| &finding.diagnostic);
    let errors = own
        .chain(together)
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let errors: Vec<String> = errors.map(|error| format!("{}: {error}", error.kind)).collect();
    assert_eq!(errors, Vec::<String>::new());
    let options = Options {
        files: &files,
        ..Options::default()
    };
    let refused = Program::compile(&lowered, &options).err().unwrap_or_default();
    let named = refused.iter().map(|SourceDiagnostic { source, diagnostic }| {
        assert_eq!(diagnostic.kind, Kind::InvalidPattern, "{diagnostic}");
        let rule = lowered.rules().find(|rule| {
            let mut members = rule.members.iter().map(|member| member.location);
            members.any(|at| {
                at.source == *source && at.span.start <= diagnostic.span.start && diagnostic.span.end <= at.span.end
            })
        });
        (
            rule.and_then(|rule| rule.id).map_or(0, |id| id.0),
            diagnostic.to_string(),
        )
    });
    let named: Vec<_> = named.collect();
    let expected = [
        (920_120, "look-around is not supported"),
        (920_600, "possessive quantifiers are not supported"),
        (942_130, "look-around is not supported"),
        (942_260, "possessive quantifiers are not supported"),
        (953_120, "look-around is not supported"),
    ];
    assert_eq!(named, expected.map(|(id, text)| (id, text.to_owned())));
    println!("{} rules", lowered.rules().count());
}
