//! One good RuleSet, and one test for each way in which it can go bad.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test states what must hold by unwrapping it"
)]

use std::sync::Arc;

use coraza_compiler::{
    Bounds, Compilation, CompileError, Compiler, Diagnostics, MAX_DIAGNOSTICS, MAX_MESSAGE_BYTES, Options, Profile,
    ResolvedRuleSet, ResolvedSource, Severity, Validation, data_file,
};
use coraza_ruleset::{DataFiles, Limits};
use proptest::prelude::*;

const SETUP: &str = "SecRuleEngine On\nSecAction \"id:1,phase:1,nolog,pass,setvar:tx.level=1\"";
const RULES: &str = r#"SecRule TX:level "@lt 1" "id:2,phase:2,nolog,pass,skipAfter:END"
SecRule ARGS "@rx ^[a-z]+$" "id:3,phase:2,deny,chain"
    SecRule REQUEST_METHOD "@streq POST" "t:none"
SecRule ARGS "@pmFromFile bad.data" "id:4,phase:2,deny"
SecMarker END
"#;

fn source(name: &str, text: &str) -> ResolvedSource {
    ResolvedSource {
        name: name.into(),
        text: text.into(),
        validation: Validation::Own,
    }
}

fn data(files: &[(&str, &str)]) -> Arc<DataFiles> {
    Arc::new(
        files
            .iter()
            .map(|(name, text)| (Arc::from(*name), data_file((*text).into())))
            .collect(),
    )
}

fn good() -> ResolvedRuleSet {
    ResolvedRuleSet {
        key: "shop/web".parse().expect("a key"),
        sources: vec![source("setup", SETUP), source("rules", RULES)],
        data_files: data(&[("bad.data", "evil\n")]),
    }
}

/// The good RuleSet with one more source.
fn with(text: &str) -> ResolvedRuleSet {
    let mut ruleset = good();
    ruleset.sources.push(source("extra", text));
    ruleset
}

fn compile(ruleset: &ResolvedRuleSet) -> Result<Compilation, CompileError> {
    Compiler::new().compile(ruleset, &Options::default())
}

/// The findings of a RuleSet that is invalid as a whole.
fn invalid(ruleset: &ResolvedRuleSet) -> Diagnostics {
    match compile(ruleset) {
        Err(CompileError::InvalidRuleSet { diagnostics }) => diagnostics,
        other => panic!("not an invalid RuleSet: {other:?}"),
    }
}

#[test]
fn a_good_ruleset_compiles_to_its_text_as_written() {
    let compilation = compile(&good()).expect("good");
    assert_eq!(compilation.content.rules.to_string(), format!("{SETUP}\n{RULES}"));
    assert_eq!(compilation.content.data_files, good().data_files);
    assert_eq!(compilation.digest, compilation.content.digest());
    assert_eq!(compilation.rules, 4, "a chain is one rule");
    assert!(compilation.warnings.is_empty(), "{}", compilation.warnings);
    assert!(compilation.unsupported.is_empty());
}

#[test]
fn content_shares_the_texts_that_were_interned() {
    let compiler = Compiler::new();
    let mut ruleset = good();
    for source in &mut ruleset.sources {
        source.text = compiler.intern(&source.text);
    }
    assert!(Arc::ptr_eq(&compiler.intern(RULES), &ruleset.sources[1].text));
    let compilation = compiler.compile(&ruleset, &Options::default()).expect("good");
    assert!(Arc::ptr_eq(
        &compilation.content.rules.sources()[1],
        &ruleset.sources[1].text
    ));
}

#[test]
fn the_order_of_sources_matters() {
    let mut ruleset = good();
    ruleset.sources.reverse();
    let reversed = compile(&ruleset).expect("good in this order too");
    assert_ne!(reversed.digest, compile(&good()).expect("good").digest);
    // Joined with a chain that another source ends, order decides what is a rule of its own.
    let open = source("open", "SecRule ARGS a \"id:10,phase:2,deny,chain\"");
    let close = source("close", "SecRule ARGS b t:none");
    let mut ruleset = good();
    ruleset.sources.extend([open.clone(), close.clone()]);
    assert_eq!(compile(&ruleset).expect("a chain over two sources").rules, 5);
    let mut ruleset = good();
    ruleset.sources.extend([close, open]);
    assert_eq!(compile(&ruleset).expect("a chain without an end").rules, 6);
}

#[test]
fn errors_in_a_source_are_the_sources_unless_it_is_not_validated() {
    let mut ruleset = with("SecRuleEngine On\n  SecRule ARGS \"@nosuch x\" \"id:9,phase:2,deny\"");
    let Err(CompileError::InvalidSource { sources, diagnostics }) = compile(&ruleset) else {
        panic!("compiled")
    };
    assert_eq!(sources, ["extra".into()]);
    let finding = diagnostics.list.first().expect("a finding");
    assert_eq!(
        (&*finding.source, finding.line, finding.severity),
        ("extra", 2, Severity::Error)
    );
    assert!(
        finding.rendered.contains("extra:2:") && finding.rendered.contains('^'),
        "{}",
        finding.rendered
    );
    assert_eq!(Compiler::new().check(&ruleset.sources[2]), diagnostics);

    ruleset.sources[2].validation = Validation::Skipped;
    assert_eq!(invalid(&ruleset), diagnostics);
    ruleset.sources[0].text = "SecNoSuch".into();
    let Err(CompileError::InvalidSource { sources, .. }) = compile(&ruleset) else {
        panic!("compiled")
    };
    assert_eq!(sources, ["setup".into()]);
}

#[test]
fn a_source_that_needs_others_is_valid_by_itself() {
    assert!(Compiler::new().check(&good().sources[1]).is_empty());
}

/// Each case: one more source, where the finding is, what its message and its hint must name.
#[test]
fn what_is_wrong_with_all_sources_together_is_found_where_it_is() {
    let cases: &[(&str, (u32, u32), &str, &str)] = &[
        (
            "\nSecAction \"phase:1,id:4,pass\"",
            (2, 20),
            "rule id 4 is used a second time; the first is at rules:4",
            "another id",
        ),
        (
            "SecAction \"id:9,pass,skipAfter:NOWHERE\"",
            (1, 32),
            "`NOWHERE`, which does not exist",
            "SecMarker NOWHERE",
        ),
        (
            "SecAction \"id:9,pass,skipAfter:END\"",
            (1, 32),
            "`END`, which stands before the rule",
            "after the rules",
        ),
        (
            "SecRule ARGS \"@pmFromFile worse.data\" \"id:9,pass\"",
            (1, 27),
            "@pmFromFile reads `worse.data`",
            "bad.data",
        ),
        (
            "SecRule REMOTE_ADDR \"@ipMatchFromFile nets\" \"id:9,pass\"",
            (1, 39),
            "@ipMatchFromFile reads `nets`",
            "bad.data",
        ),
        (
            "SecRule ARGS \"@pmFromDataset words\" \"id:9,pass\"",
            (1, 30),
            "no SecDataset `words`",
            "SecDataset words",
        ),
        (
            "SecRule ARGS \"@rx a(?=b)\" \"id:9,pass\"",
            (1, 20),
            "look-around is not supported",
            "chained rule",
        ),
        (
            "SecRule ARGS \"a++\" \"id:9,pass\"",
            (1, 17),
            "possessive quantifiers are not supported",
            "drop the +",
        ),
        (
            "SecRule ARGS:/a(/ b \"id:9,pass\"",
            (1, 16),
            "unclosed group",
            "backslash",
        ),
        (
            "SecAction \"id:9,pass,ctl:ruleRemoveTargetById=3;ARGS:/[/\"",
            (1, 0),
            "unclosed character class",
            "backslash",
        ),
        (
            "SecRuleUpdateTargetById 3 \"!ARGS:/x**/\"",
            (1, 0),
            "a quantifier follows a quantifier",
            "group",
        ),
        (
            "SecAuditLogRelevantStatus \"^(?:5\"",
            (1, 0),
            "unclosed group",
            "backslash",
        ),
    ];
    for (text, (line, column), message, hint) in cases {
        let diagnostics = invalid(&with(text));
        let [finding] = &diagnostics.list[..] else {
            panic!("{text}: {diagnostics}")
        };
        assert_eq!(
            (&*finding.source, finding.line, finding.severity),
            ("extra", *line, Severity::Error),
            "{text}"
        );
        assert!(
            *column == 0 || finding.column == *column,
            "{text}: column {}\n{diagnostics}",
            finding.column
        );
        assert!(finding.message.contains(message), "{text}: {}", finding.message);
        assert!(
            finding.hint.as_ref().is_some_and(|found| found.contains(hint)),
            "{text}: {:?}",
            finding.hint
        );
        assert!(
            finding.rendered.contains('^') && diagnostics.to_string().contains(&finding.message),
            "{text}"
        );
    }
}

/// What parses but can't be enforced: the engine's own refusals, located like any other finding.
#[test]
fn rules_that_the_engine_would_not_run_are_refused() {
    let cases: &[(&str, (u32, u32), &str)] = &[
        (
            "SecRule ENV:PATH a \"id:9,phase:2,deny\"",
            (1, 9),
            "`ENV` is not supported",
        ),
        (
            "\nSecRule XML:/a/b x \"id:9,phase:2,deny\"",
            (2, 9),
            "the path `/a/b` is not supported",
        ),
        (
            "SecRule ARGS \"@fuzzyHash x 1\" \"id:9,phase:2,deny\"",
            (1, 15),
            "`@fuzzyHash` is not supported",
        ),
        (
            "SecAction \"id:9,phase:2,proxy:'http://elsewhere'\"",
            (1, 25),
            "`proxy` is not supported",
        ),
        ("SecRuleUpdateTargetById 3 ENV", (1, 1), "`ENV` is not supported"),
    ];
    for (text, place, message) in cases {
        let diagnostics = invalid(&with(text));
        let [finding] = &diagnostics.list[..] else {
            panic!("{text}: {diagnostics}")
        };
        assert_eq!(
            (&*finding.source, (finding.line, finding.column)),
            ("extra", *place),
            "{diagnostics}"
        );
        assert!(finding.message.contains(message), "{text}: {}", finding.message);
        assert!(finding.rendered.contains('^'), "{}", finding.rendered);
        let elsewhere = Options {
            profile: Profile::Wasm,
            ..Options::default()
        };
        let compilation = Compiler::new().compile(&with(text), &elsewhere);
        assert!(compilation.is_ok(), "another engine may do it: {compilation:?}");
    }
}

#[test]
fn the_statuses_that_are_audited_may_look_ahead() {
    let status = compile(&with("SecAuditLogRelevantStatus \"^(?:5|4(?!04))\"")).expect("as recommended");
    assert!(status.warnings.is_empty(), "{}", status.warnings);
}

#[test]
fn recommended_configurations_compile_as_they_are() {
    let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/modsecurity");
    if !shared.is_dir() {
        println!("SKIPPED: ../shared/data/modsecurity absent");
        return;
    }
    for name in ["modsecurity.conf-recommended", "coraza.conf-recommended"] {
        let text = std::fs::read_to_string(shared.join(name)).expect(name);
        let compilation = compile(&with(&text));
        assert!(compilation.is_ok(), "{name}: {compilation:?}");
    }
}

/// A selector's pattern is compiled for letters of any case, which takes more memory than the pattern as it is written.
#[test]
fn a_pattern_is_judged_as_it_is_compiled() {
    let pattern = "a{30000}";
    assert!(compile(&with(&format!("SecRule ARGS \"@rx {pattern}\" \"id:9,phase:2,deny\""))).is_ok());
    let diagnostics = invalid(&with(&format!("SecRule ARGS:/{pattern}/ x \"id:9,phase:2,deny\"")));
    let [finding] = &diagnostics.list[..] else {
        panic!("{diagnostics}")
    };
    assert!(
        finding.message.contains("the compiled pattern takes more than"),
        "{diagnostics}"
    );
}

#[test]
fn missing_data_is_named_also_when_there_is_none() {
    let ruleset = ResolvedRuleSet {
        data_files: data(&[]),
        ..good()
    };
    let diagnostics = invalid(&ruleset);
    let [finding] = &diagnostics.list[..] else {
        panic!("{diagnostics}")
    };
    assert_eq!((&*finding.source, finding.line), ("rules", 4));
    assert!(
        finding
            .hint
            .as_ref()
            .is_some_and(|hint| hint.contains("names no RuleData")),
        "{:?}",
        finding.hint
    );

    let many: Vec<_> = (0..100).map(|at| format!("file-{at:02}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    let diagnostics = invalid(&ResolvedRuleSet {
        data_files: data(&many),
        ..good()
    });
    let hint = diagnostics.list[0].hint.as_deref().expect("a hint");
    assert!(
        hint.contains("file-00") && hint.contains("file-09 and 90 more"),
        "{hint}"
    );
}

#[test]
fn a_pattern_with_a_macro_is_not_compiled_at_load() {
    let set_up =
        compile(&with("SecRule ARGS \"@rx ^%{tx.level}(\" \"id:9,phase:2,pass\"")).expect("known per transaction");
    assert!(set_up.warnings.is_empty(), "{}", set_up.warnings);
    let injected = compile(&with(
        "SecRule ARGS \"@rx ^%{REQUEST_HEADERS.host}\" \"id:9,phase:2,pass\"",
    ))
    .expect("a warning");
    let [warning] = &injected.warnings.list[..] else {
        panic!("{}", injected.warnings)
    };
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.message.contains("a client could choose"), "{}", warning.message);
}

#[test]
fn rules_that_the_profile_cannot_run_are_refused_unless_allowed_or_removed() {
    let crs = "SecRule ARGS a \"id:949110,phase:2,deny,chain\"\n  SecRule ARGS b t:none\nSecAction \"id:920171,pass\"\nSecAction \"id:900001,pass\"";
    let wasm = Options {
        profile: Profile::Wasm,
        ..Options::default()
    };
    let refused = Compiler::new().compile(&with(crs), &wasm);
    let Err(CompileError::UnsupportedRules { profile, unsupported }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*profile, Profile::Wasm);
    assert_eq!(
        unsupported.iter().map(|rule| rule.id).collect::<Vec<_>>(),
        [920171, 949110]
    );
    let message = refused.as_ref().expect_err("refused").to_string();
    assert!(
        message.contains("rule 920171 (") && message.contains("rule 949110 ("),
        "{message}"
    );

    let allowed = Compiler::new()
        .compile(
            &with(crs),
            &Options {
                allow_unsupported: true,
                ..wasm.clone()
            },
        )
        .expect("allowed");
    assert_eq!(&allowed.unsupported, unsupported);
    assert!(compile(&with(crs)).expect("native runs them").unsupported.is_empty());
    let removed = format!("{crs}\nSecRuleRemoveById 949110 920171");
    assert!(
        Compiler::new()
            .compile(&with(&removed), &wasm)
            .expect("removed")
            .unsupported
            .is_empty()
    );
    let named = "# id:949110\nSecAction \"id:7,pass,msg:'see id:949110'\"";
    assert!(
        Compiler::new()
            .compile(&with(named), &wasm)
            .expect("only named")
            .unsupported
            .is_empty()
    );
}

#[test]
fn what_is_too_large_is_refused_with_the_numbers() {
    let size = u64::try_from(compile(&good()).expect("good").content.size()).expect("small");
    let limits = Limits {
        ruleset: size,
        namespace: size + 10,
        total: size + 20,
    };
    let options = |limits, used_in_namespace, used_in_total| Options {
        limits,
        used_in_namespace,
        used_in_total,
        ..Options::default()
    };
    assert!(Compiler::new().compile(&good(), &options(limits, 10, 20)).is_ok());
    for (limits, namespace, total, flag) in [
        (
            Limits {
                ruleset: size - 1,
                ..limits
            },
            10,
            20,
            "--max-ruleset-bytes",
        ),
        (limits, 11, 20, "--max-namespace-bytes"),
        (limits, 10, 21, "--max-total-bytes"),
    ] {
        let error = Compiler::new()
            .compile(&good(), &options(limits, namespace, total))
            .expect_err("too large");
        assert!(matches!(error, CompileError::OversizedRules(_)), "{error:?}");
        assert!(
            error.to_string().contains(flag) && error.to_string().contains(&size.to_string()),
            "{error}"
        );
    }
}

#[test]
fn what_is_too_much_work_is_refused_where_it_begins() {
    let bounded = |bounds| {
        Compiler::new().compile(
            &good(),
            &Options {
                bounds,
                ..Options::default()
            },
        )
    };
    for bounds in [
        Bounds {
            directives: 4,
            ..Bounds::default()
        },
        Bounds {
            pattern_steps: 10,
            ..Bounds::default()
        },
    ] {
        let Err(CompileError::InvalidRuleSet { diagnostics }) = bounded(bounds) else {
            panic!("compiled")
        };
        assert_eq!(&*diagnostics.list[0].source, "rules");
    }
    // Each of these patterns asks for more than it may have; the source ends before they take seconds.
    let bombs: String = (0..5_000)
        .map(|id| {
            format!(
                "SecRule ARGS \"@rx (?:a{{{},1000}}){{1000}}\" \"id:{},pass\"\n",
                id % 1_000,
                id + 100
            )
        })
        .collect();
    let compiler = Compiler::new();
    let error = compiler
        .compile(&with(&bombs), &Options::default())
        .expect_err("too much");
    let last = error
        .diagnostics()
        .and_then(|found| found.list.last())
        .expect("a finding");
    assert!(last.message.contains("those after it were not looked at"), "{last}");
    assert!(
        compiler.statistics().patterns_compiled < 100,
        "{:?}",
        compiler.statistics()
    );
}

#[test]
fn diagnostics_are_few_and_short() {
    let long = "x".repeat(5_000);
    let text: String = (0..60)
        .map(|_| format!("SecAction \"id:1,pass,msg:'{long}'\"\n"))
        .collect();
    let diagnostics = invalid(&with(&text));
    assert_eq!(
        (diagnostics.list.len(), diagnostics.omitted, diagnostics.total()),
        (MAX_DIAGNOSTICS, 10, 60)
    );
    assert!(diagnostics.to_string().ends_with("and 10 more\n"));
    let texts = diagnostics
        .list
        .iter()
        .flat_map(|finding| [&finding.message, &finding.rendered]);
    assert!(texts.map(String::len).max() <= Some(MAX_MESSAGE_BYTES));
}

/// Sources that are often good together.
fn any_source() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        (1_u32..6).prop_map(|id| format!("SecAction \"id:{id},phase:1,pass\"")),
        (1_u32..6)
            .prop_map(|id| format!("SecRule ARGS \"@rx ^a{{{id}}}(b\\)\" \"id:{id},phase:2,pass,skipAfter:M{id}\"")),
        (1_u32..6).prop_map(|id| format!("SecRule ARGS \"@pmFromFile f{id}\" \"id:{id},phase:2,deny,chain\"")),
        (1_u32..6).prop_map(|id| format!("SecMarker M{id}")),
        (1_u32..6).prop_map(|id| format!("SecRuleRemoveById {id}")),
        "[ -~\n\\\\]{0,40}",
    ];
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn the_same_input_has_the_same_result_whatever_was_compiled_before(
        before in prop::collection::vec(any_source(), 0..4),
        texts in prop::collection::vec(any_source(), 1..4),
    ) {
        let ruleset = |texts: &[String]| ResolvedRuleSet {
            sources: texts.iter().enumerate().map(|(at, text)| source(&format!("source-{at}"), text)).collect(),
            data_files: data(&[("f1", "a"), ("f2", "b")]),
            ..good()
        };
        let compiler = Compiler::new();
        let earlier = ruleset(&before);
        let _ = compiler.compile(&earlier, &Options::default());
        let remembered = compiler.compile(&ruleset(&texts), &Options::default());
        let fresh = compile(&ruleset(&texts));
        prop_assert_eq!(&remembered, &fresh);
        if let Ok(compilation) = fresh {
            prop_assert_eq!(compilation.content.rules.to_string(), texts.join("\n"));
        }
    }
}
