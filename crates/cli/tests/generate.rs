//! The program as scripts run it: a made-up directory by its golden output, and the whole Core Rule Set through the compiler.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use coraza_api::{RuleData, RuleSet, RuleSource};
use coraza_compiler::{Compiler, Options, ResolvedRuleSet, ResolvedSource, Validation, data_file};

fn generate(rules: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"));
    command
        .args(["generate", "coreruleset", "--version", "v4.25.0", "--rules-dir"])
        .arg(rules)
        .args(flags);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A small rules directory: rules, a chain, exclusions, settings only, two data files, and what isn't read.
fn made_up() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let files = [
        (
            "RULES_01-First.conf",
            "# First\nSecRule ARGS \"@rx ^a+$\" \\\n    \"id:1,phase:2,deny\"\n\nSecRule ARGS b \"id:2,phase:2,deny,chain\"\n  SecRule ARGS c t:none\n",
        ),
        (
            "RULES-02.conf",
            "SecRule ARGS \"@pmFromFile words.data\" \"id:3,phase:2,deny\"",
        ),
        ("RULES-03-AFTER.conf", "SecRuleUpdateTargetById 1 \"!ARGS:x\"\n"),
        ("settings.conf", "SecComponentSignature made-up\n"),
        ("words.data", "  evil\n# comment\nwicked"),
        ("empty.data", ""),
        ("README.md", "not read"),
    ];
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("written");
    }
    std::fs::create_dir(directory.path().join("deeper.conf")).expect("made");
    directory
}

#[test]
fn a_made_up_directory_becomes_these_objects() {
    let directory = made_up();
    let output = generate(
        directory.path(),
        &[
            "--namespace=shop",
            "--ignore-rules=2",
            "--include-test-rule",
            "--dry-run=Client",
        ],
    );
    assert!(output.status.success());
    insta::assert_snapshot!("objects", text(&output.stdout));
    insta::assert_snapshot!("notices", text(&output.stderr));
}

#[test]
fn what_cannot_be_read_or_used_is_an_error_and_no_output() {
    let directory = made_up();
    let empty = tempfile::tempdir().expect("a directory");
    for (rules, flags, message) in [
        (
            directory.path(),
            &["--ruleset-name=A"][..],
            "Error: --ruleset-name \"A\" is not a name that Kubernetes accepts: ",
        ),
        (empty.path(), &[], "has no .conf files"),
        (&directory.path().join("nowhere"), &[], "failed to read"),
        (directory.path(), &["--no-such-flag"], "unexpected argument"),
    ] {
        let output = generate(rules, flags);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
}

/// The folder of the Core Rule Set's Go module, which `go` downloads once.
fn core_rule_set() -> Option<PathBuf> {
    let module = "github.com/corazawaf/coraza-coreruleset/v4@v4.25.0";
    let output = Command::new("go")
        .args(["mod", "download", "-json", module])
        .current_dir(std::env::temp_dir())
        .output()
        .ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let folder = PathBuf::from(answer.get("Dir")?.as_str()?).join("rules/@owasp_crs");
    folder.is_dir().then_some(folder)
}

/// The objects of an output as the controller would resolve them.
fn resolve(yaml: &str, compiler: &Compiler) -> ResolvedRuleSet {
    let (mut sources, mut data_files, mut set) = (Vec::new(), Vec::new(), None);
    for document in yaml.split("\n---\n") {
        if document.contains("\nkind: RuleSource\n") {
            let source: RuleSource = serde_saphyr::from_str(document).expect("a RuleSource");
            sources.push(source);
        } else if document.contains("\nkind: RuleData\n") {
            let data: RuleData = serde_saphyr::from_str(document).expect("a RuleData");
            data_files.extend(data.spec.files);
        } else {
            let ruleset: RuleSet = serde_saphyr::from_str(document).expect("a RuleSet");
            set = Some(ruleset);
        }
    }
    let set = set.expect("a RuleSet");
    let named: Vec<_> = set
        .spec
        .sources
        .iter()
        .map(|source| Some(source.name.clone()))
        .collect();
    assert_eq!(
        named,
        sources
            .iter()
            .map(|source| source.metadata.name.clone())
            .collect::<Vec<_>>()
    );
    let source = |source: RuleSource| ResolvedSource {
        name: source.metadata.name.expect("a name").into(),
        text: compiler.intern(&source.spec.rules),
        validation: Validation::Own,
    };
    ResolvedRuleSet {
        key: format!("default/{}", set.metadata.name.expect("a name"))
            .parse()
            .expect("a key"),
        sources: sources.into_iter().map(source).collect(),
        data_files: Arc::new(
            data_files
                .into_iter()
                .map(|(name, text)| (name, data_file(text)))
                .collect(),
        ),
    }
}

#[test]
fn the_core_rule_set_becomes_a_ruleset_that_compiles() {
    let Some(rules) = core_rule_set() else {
        println!("SKIPPED: go can't download the Core Rule Set");
        return;
    };
    for (flags, blocks) in [
        (&[][..], true),
        (&["--include-test-rule"], true),
        (&["--ignore-unsupported-rules=wasm"], false),
    ] {
        let output = generate(&rules, flags);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let compiler = Compiler::new();
        let ruleset = resolve(text(&output.stdout), &compiler);
        let compilation = match compiler.compile(&ruleset, &Options::default()) {
            Ok(compilation) => compilation,
            Err(error) => panic!(
                "{flags:?}: {error}\n{}",
                error.diagnostics().map(ToString::to_string).unwrap_or_default()
            ),
        };
        let served = compilation.content.rules.to_string();
        assert_eq!(served.contains("id:949110"), blocks, "the rule that blocks by score");
        assert_eq!(ruleset.sources.len(), 28, "base rules and every file of the directory");
        assert_eq!(compilation.content.data_files.len(), 21);
        for source in ruleset.sources.iter().skip(1).filter(|_| blocks) {
            let original = std::fs::read_dir(&rules)
                .expect("readable")
                .filter_map(Result::ok)
                .find(|file| {
                    file.file_name().to_string_lossy().to_lowercase().strip_suffix(".conf") == Some(&*source.name)
                });
            let original = std::fs::read_to_string(original.expect("its file").path()).expect("text");
            assert_eq!(*source.text, *original, "{} byte for byte", source.name);
        }
    }
}

/// What a gateway that runs the generated rules does: the program asks the same engine.
#[test]
fn the_rules_that_are_generated_by_default_block_attacks_and_nothing_else() {
    let Some(rules) = core_rule_set() else {
        println!("SKIPPED: go can't download the Core Rule Set");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let manifests = directory.path().join("crs.yaml");
    std::fs::write(&manifests, generate(&rules, &[]).stdout).expect("written");
    for (request, rule) in [
        (&["https://shop.example/?id=1'+or+'1'='1"][..], Some(949_110)),
        (
            &["-d", "comment=<script>alert(1)</script>", "https://shop.example/order"],
            Some(949_110),
        ),
        (
            &["--path-as-is", "https://shop.example/../../etc/passwd"],
            Some(949_110),
        ),
        (
            &["--json", "{\"q\": \"; cat /etc/passwd\"}", "https://shop.example/"],
            Some(949_110),
        ),
        // The base rules themselves: a body that can't be read.
        (&["--json", "{", "https://shop.example/"], Some(200_002)),
        (&["https://shop.example/products?id=1&sort=price"], None),
        (
            &[
                "-d",
                "comment=It's a nice shop, isn't it?",
                "https://shop.example/order",
            ],
            None,
        ),
        (&["--json", "{\"name\": \"Anna\"}", "https://shop.example/"], None),
        (
            &["--response-body", "<html>hello</html>", "https://shop.example/"],
            None,
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"))
            .args(["explain", "-o", "json", "--exit-code", "-f"])
            .arg(&manifests)
            .args(request)
            .output()
            .expect("the program runs");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let verdict = if rule.is_some() { "blocked" } else { "passed" };
        assert_eq!(answer["verdict"], verdict, "{request:?}: {answer:#}");
        assert_eq!(answer["interruption"]["rule"].as_u64(), rule, "{request:?}");
        assert_eq!(output.status.code(), Some(i32::from(rule.is_some())));
    }
}

/// With the rules that the suite wants, its own tests of a file pass.
#[test]
fn the_suites_own_tests_pass_with_the_test_rule() {
    let Some(rules) = core_rule_set() else {
        println!("SKIPPED: go can't download the Core Rule Set");
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let manifests = directory.path().join("crs.yaml");
    std::fs::write(&manifests, generate(&rules, &["--include-test-rule"]).stdout).expect("written");
    let tests = rules.join("../../tests/REQUEST-942-APPLICATION-ATTACK-SQLI");
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"))
        .args(["test", "--include", "^9421[0-4]", "-f"])
        .args([&manifests, &tests])
        .output()
        .expect("the program runs");
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    let passed = out.split(' ').next().and_then(|number| number.parse::<usize>().ok());
    assert!(passed > Some(100), "{out}");
}
