//! Flags and files in, objects and notices out.

use clap::Parser as _;

use super::*;
use crate::args::{Args, Command, Generate};

fn options(flags: &[&str]) -> Result<Options, GenerateError> {
    let required = [
        "kubectl-coraza",
        "generate",
        "coreruleset",
        "--rules-dir",
        "unread",
        "--version",
        "4.25.0",
    ];
    parse(required.iter().chain(flags).copied())
}

fn parse<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Options, GenerateError> {
    match Args::parse_from(words).command {
        Command::Generate(Generate::Coreruleset(args)) => Options::try_from(&args),
        other => panic!("{other:?}"),
    }
}

fn file(name: &str, text: &str) -> File {
    File {
        name: name.into(),
        bytes: text.as_bytes().to_vec(),
    }
}

const RULES: &str = r#"# Rules; a comment may say id:1
SecMarker BEGIN
SecRule ARGS "@rx one" \
    "id:1,\
    phase:2,\
    msg:'as good as id:4'"

SecRule ARGS "@rx two" "id:2,phase:2,chain"
  # between
  SecRule ARGS "@rx three" "chain"
  SecRule ARGS "@pmFromFile words.data" "t:none"
SecAction "id:4,phase:2,pass"
"#;

fn generated(files: &[File], flags: &[&str]) -> Generated {
    generate(files, &options(flags).expect("flags")).expect("objects")
}

/// The text of the RuleSource made from the only file.
fn rules(generated: &Generated) -> &str {
    match generated.objects.get(1) {
        Some(Object::Source(source)) => &source.spec.rules,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rules_are_left_out_with_their_chains_and_nothing_else() {
    let file = file("rules.conf", RULES);
    let text = |flags: &[&str]| rules(&generated(std::slice::from_ref(&file), flags)).to_owned();
    assert_eq!(text(&[]), RULES);
    assert_eq!(text(&["--ignore-rules", "3,5"]), RULES, "no rule has these ids");
    let without_1 = RULES.lines().filter(|line| {
        !["SecRule ARGS \"@rx one\"", "    "]
            .iter()
            .any(|start| line.starts_with(start))
    });
    assert_eq!(
        text(&["--ignore-rules", " ,1, "]).lines().collect::<Vec<_>>(),
        without_1.collect::<Vec<_>>()
    );
    let chained = text(&["--ignore-rules=2"]);
    assert_eq!(chained, text(&["--ignore-pmFromFile"]));
    assert!(
        chained.contains("id:1") && chained.contains("id:4") && chained.contains("# between"),
        "{chained}"
    );
    assert!(
        !["two", "three", "words.data"].iter().any(|part| chained.contains(part)),
        "{chained}"
    );
}

#[test]
fn what_is_left_out_is_said_with_the_reason() {
    let unsupported =
        "SecRule ARGS a \"id:949110,phase:2,deny,chain\"\nSecRule ARGS b t:none\nSecAction \"id:5,pass\"\n";
    let files = [file("a.conf", unsupported), file("b.conf", RULES)];
    let native = generated(&files, &["--ignore-rules=2,1"]);
    assert_eq!(
        native.notices,
        [
            "Ignoring rule IDs: 1, 2",
            "b.conf: Warning: rule 1 is left out with its chain: named by --ignore-rules",
            "b.conf: Warning: rule 2 is left out with its chain: named by --ignore-rules",
        ]
    );
    assert_eq!(rules(&native), unsupported);
    for (flag, dropped) in [
        ("--ignore-unsupported-rules= WASM ", 1),
        ("--ignore-unsupported-rules=none", 0),
    ] {
        let generated = generated(&files, &[flag, "--ignore-pmFromFile"]);
        assert_eq!(generated.summary.dropped_rules, dropped + 1, "{flag}");
        assert_eq!(rules(&generated).contains("949110"), dropped == 0, "{flag}");
    }
    let wasm = generated(&files, &["--ignore-unsupported-rules=wasm"]);
    assert!(
        wasm.notices[0].contains("unsupported by wasm") && wasm.notices[0].contains("HTTP method handling"),
        "{:?}",
        wasm.notices
    );
}

#[test]
fn a_file_of_exclusions_is_kept_and_one_of_settings_is_not() {
    let files = [
        file("exclusions.conf", "SecRuleUpdateTargetById 1 \"!ARGS:x\"\n"),
        file("settings.conf", "SecRuleEngine On\nSecMarker SecRule\n# SecRule\n"),
    ];
    let generated = generated(&files, &[]);
    assert_eq!(generated.objects.len(), 3, "base rules, exclusions, RuleSet");
    assert_eq!(
        generated.notices,
        ["settings.conf: No SecRule or SecAction directives found, skipped"]
    );
    assert_eq!(generated.summary.skipped_files, 1);
}

#[test]
fn broken_text_is_told_and_kept() {
    let files = [File {
        name: "a.conf".into(),
        bytes: b"SecAction \"id:1,pass\"\n\n SecNoSuch \xff\n".to_vec(),
    }];
    let generated = generated(&files, &[]);
    assert_eq!(rules(&generated), "SecAction \"id:1,pass\"\n\n SecNoSuch \n");
    assert_eq!(
        generated.notices[0],
        "Warning: a.conf: 1 bytes that are not UTF-8 were left out"
    );
    assert!(
        generated.notices[1].starts_with("a.conf: Warning: line 3, column 2: "),
        "{:?}",
        generated.notices
    );
}

#[test]
fn missing_data_is_told() {
    let notices = generated(&[file("rules.conf", RULES)], &[]).notices;
    assert_eq!(
        notices,
        ["Warning: rules use @pmFromFile, but there are no .data files"]
    );
    assert!(
        generated(&[file("rules.conf", RULES), file("words.data", "x")], &[])
            .notices
            .is_empty()
    );
}

#[test]
fn names_come_from_files_and_flags() {
    let all = [
        "--name-prefix=a.",
        "--name-suffix=-z",
        "-n",
        "shop",
        "--ruleset-name=set",
        "--data-source-name=data",
    ];
    let files = [file("_REQUEST_901-Init (1).conf", RULES), file("words.data", "x")];
    let generated = generated(&files, &all);
    let names = generated.objects.iter().map(|object| match object {
        Object::Source(source) => &source.metadata,
        Object::Data(data) => &data.metadata,
        Object::Set(set) => &set.metadata,
    });
    let names: Vec<_> = names
        .map(|metadata| (metadata.namespace.as_deref(), metadata.name.as_deref()))
        .collect();
    let expected = ["base-rules", "a.request-901-init1-z", "data", "set"].map(|name| (Some("shop"), Some(name)));
    assert_eq!(names, expected);
}

#[test]
fn sizes_are_checked_unless_told_otherwise() {
    let large = "x".repeat(MAX_OBJECT_BYTES / 2 + 1);
    for (files, what) in [
        (
            vec![file("a.conf", &format!("SecAction id:1,pass\n#{large}{large}"))],
            "a.conf is",
        ),
        (vec![file("a.data", &large.repeat(2))], "a.data is"),
        (
            vec![file("a.data", &large), file("b.data", &large)],
            "all data files together",
        ),
    ] {
        let error = generate(&files, &options(&[]).expect("flags")).expect_err("too large");
        assert!(error.to_string().contains(what), "{error}");
        assert!(generate(&files, &options(&["--skip-size-check"]).expect("flags")).is_ok());
    }
}

/// One case for each way to be refused.
#[test]
fn what_cannot_be_an_object_is_refused() {
    for (flags, message) in [
        (&["--ignore-rules", "1,x"][..], "\"x\" is not a rule id"),
        (&["--ruleset-name", "Set"], "--ruleset-name \"Set\""),
        (&["--data-source-name", ""], "--data-source-name \"\""),
        (&["-n", "a.b"], "--namespace \"a.b\""),
    ] {
        let error = options(flags).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
    for (files, flags, message) in [
        (
            vec![file("(%).conf", RULES)],
            &[][..],
            "(%).conf would become RuleSource \"\"",
        ),
        (vec![file("a.conf", RULES)], &["--name-prefix=A"], "RuleSource \"Aa\""),
        (
            vec![file("a_b.conf", RULES), file("A-B.conf", RULES)],
            &[],
            "two files would become RuleSource \"a-b\"",
        ),
        (
            vec![file("base-rules.conf", RULES)],
            &[],
            "two files would become RuleSource \"base-rules\"",
        ),
        (vec![file("a b.data", "")], &[], "data file \"a b.data\""),
    ] {
        let error = generate(&files, &options(flags).expect("flags")).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_version_is_digits_and_dots() {
    let setup = |version: &str| {
        let args = [
            "kubectl-coraza",
            "generate",
            "coreruleset",
            "--rules-dir",
            "unread",
            "--version",
            version,
        ];
        parse(args).map(|options| base_rules::text(&options.version, false))
    };
    assert!(
        setup("v4.24.1")
            .expect("a version")
            .contains("setvar:tx.crs_setup_version=4241\"")
    );
    for version in ["", "v", "4.", "4..1", "4.x", "vv4"] {
        assert_eq!(
            setup(version),
            Err(GenerateError::Version {
                version: version.into()
            })
        );
    }
}
