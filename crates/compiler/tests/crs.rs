//! The Core Rule Set compiles, an edit of it costs what was edited, and a mistake in it is found where it is.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test, in its helpers too"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use coraza_compiler::{
    CompileError, Compiler, Options, Profile, ResolvedRuleSet, ResolvedSource, Validation, data_file,
};

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

fn read(compiler: &Compiler, folder: &Path) -> ResolvedRuleSet {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|file| file.expect("readable").path())
        .collect();
    paths.sort();
    let (mut sources, mut data_files) = (Vec::new(), Vec::new());
    for path in paths {
        let name: Arc<str> = path.file_name().expect("a file").to_string_lossy().into();
        let text = compiler.intern(&std::fs::read_to_string(&path).expect("text"));
        if name.ends_with(".conf") {
            sources.push(ResolvedSource {
                name,
                text,
                validation: Validation::Own,
            });
        } else {
            data_files.push((name, data_file(text)));
        }
    }
    ResolvedRuleSet {
        key: "default/crs".parse().expect("a key"),
        sources,
        data_files: Arc::new(data_files.into_iter().collect()),
    }
}

#[test]
fn the_core_rule_set_compiles_and_an_edit_costs_what_was_edited() {
    let Some(folder) = core_rule_set() else {
        println!("SKIPPED: go can't download the Core Rule Set");
        return;
    };
    let compiler = Compiler::new();
    let crs = read(&compiler, &folder);
    let compilation = compiler.compile(&crs, &Options::default()).expect("good");
    let cold = compiler.statistics();
    assert_eq!(cold.sources_parsed, 27);
    assert!(cold.patterns_compiled >= 291, "{cold:?}");
    let warnings: Vec<_> = compilation
        .warnings
        .list
        .iter()
        .filter(|warning| !warning.message.contains("initcol"))
        .collect();
    assert!(warnings.is_empty(), "{warnings:?}");

    let mut edited = crs.clone();
    let sqli = edited
        .sources
        .iter_mut()
        .find(|source| source.name.contains("942"))
        .expect("a source");
    sqli.text = compiler.intern(&sqli.text.replacen("@rx ", "@rx edited|", 1));
    let after = compiler.compile(&edited, &Options::default()).expect("good");
    assert_ne!(after.digest, compilation.digest);
    let warm = compiler.statistics();
    assert_eq!(
        (warm.sources_parsed, warm.patterns_compiled),
        (cold.sources_parsed + 1, cold.patterns_compiled + 1)
    );

    let wasm = Options {
        profile: Profile::Wasm,
        ..Options::default()
    };
    let Err(CompileError::UnsupportedRules { unsupported, .. }) = compiler.compile(&crs, &wasm) else {
        panic!("compiled")
    };
    assert!(
        unsupported.len() > 30 && unsupported.iter().any(|rule| rule.id == 949110),
        "{unsupported:?}"
    );
}

#[test]
fn a_mistake_in_the_core_rule_set_is_found_where_it_is() {
    let Some(folder) = core_rule_set() else {
        println!("SKIPPED: go can't download the Core Rule Set");
        return;
    };
    let compiler = Compiler::new();
    let crs = read(&compiler, &folder);
    let at = crs
        .sources
        .iter()
        .position(|source| source.name.contains("933"))
        .expect("a source");
    let cases = [
        ("@rx ", "@rx (?=", "look-around"),
        ("@pmFromFile php-", "@pmFromFile no-", "no RuleData"),
        ("id:933100", "id:901001", "second time"),
    ];
    for (good, bad, message) in cases {
        let mut ruleset = crs.clone();
        let text = Arc::clone(&ruleset.sources[at].text);
        let offset = text.find(good).expect("in the source");
        ruleset.sources[at].text = text.replacen(good, bad, 1).into();
        let error = compiler.compile(&ruleset, &Options::default()).expect_err("a mistake");
        let diagnostics = error.diagnostics().expect("located");
        let finding = diagnostics.list.first().expect("a finding");
        let line = text[..offset].lines().count();
        assert_eq!(
            (&finding.source, usize::try_from(finding.line)),
            (&crs.sources[at].name, Ok(line)),
            "{diagnostics}"
        );
        assert!(finding.message.contains(message), "{diagnostics}");
    }
}
