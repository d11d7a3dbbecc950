//! What rules mean: the typed model and the lowering, by examples.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

use std::sync::Arc;

use coraza_seclang::rules::{
    ActionName, Actions, Change, Ctl, Definition, Logging, Operand, OperatorName, Part, Phase, Rule, RuleId, Selector,
    Setting, TargetMode, Transformation, Value, Variable,
};
use coraza_seclang::{DirectiveKind, LineIndex, Rules, lower, parse, render};

/// The rules of sources without any finding.
fn rules(sources: &[&str]) -> Rules {
    let parsed: Vec<_> = sources
        .iter()
        .map(|source| Arc::new(parse(source.as_bytes())))
        .collect();
    for parsed in &parsed {
        assert_eq!(parsed.diagnostics, []);
    }
    let (rules, findings) = lower(&parsed);
    assert_eq!(findings, []);
    rules
}

fn rule(text: &str) -> Rule {
    rules(&[text]).rules().next().unwrap().clone()
}

fn definition(text: &str) -> Definition {
    (*rule(text).starter().unwrap().definition).clone()
}

fn actions(list: &str) -> Actions {
    definition(&format!("SecAction \"id:1,{list}\"\n")).actions
}

/// The targets of a list, in short.
fn targets(list: &str) -> Vec<String> {
    let rule = format!("SecRule {list} \"@rx a\" \"id:1,phase:2,pass\"\n");
    let short = |target: &coraza_seclang::rules::Target| {
        let mode = match target.mode {
            TargetMode::Values => "",
            TargetMode::Count => "&",
            TargetMode::Exclude => "!",
        };
        let selector = match &target.selector {
            Selector::All => String::new(),
            Selector::Key(key) => format!(" key {key}"),
            Selector::Pattern(pattern) => format!(" pattern {pattern}"),
            Selector::Path(path) => format!(" path {path}"),
        };
        format!("{mode}{}{selector}", target.variable)
    };
    definition(&rule).targets.iter().map(short).collect()
}

#[test]
fn variables_are_selected() {
    let cases: [(&str, &[&str]); 8] = [
        ("ARGS|args_names", &["ARGS", "ARGS_NAMES"]),
        ("&REQUEST_HEADERS:Host", &["&REQUEST_HEADERS key Host"]),
        (
            "ARGS|!ARGS:/^a|b\\/c$/|TX:x",
            &["ARGS", "!ARGS pattern ^a|b\\/c$", "TX key x"],
        ),
        ("ARGS:'/a b/'|FILES", &["ARGS pattern a b", "FILES"]),
        ("XML:/*|XML://@*|FILES", &["XML path /*", "XML path //@*", "FILES"]),
        ("ARGS:'a|b'|FILES", &["ARGS key a|b", "FILES"]),
        (
            "REQUEST_COOKIES:/\\x22?\\x24Version/",
            &["REQUEST_COOKIES pattern \\x22?\\x24Version"],
        ),
        ("\"ARGS:a b|FILES\"", &["ARGS key a b", "FILES"]),
    ];
    for (list, expected) in cases {
        if list.contains("'/a b/'") {
            // A blank ends an argument unless it is quoted.
            assert_eq!(targets(&format!("\"{list}\"")), expected, "{list}");
        } else {
            assert_eq!(targets(list), expected, "{list}");
        }
    }
}

#[test]
fn operators_have_names_negations_and_arguments() {
    let cases = [
        ("@rx ^a b$", OperatorName::Rx, false, "^a b$"),
        ("^a b$", OperatorName::Rx, false, "^a b$"),
        ("!^a", OperatorName::Rx, true, "^a"),
        ("!@streq  x", OperatorName::StrEq, true, "x"),
        ("@PMF a.data b.data", OperatorName::PmFromFile, false, "a.data b.data"),
        ("@unconditionalMatch", OperatorName::UnconditionalMatch, false, ""),
        ("@rx \\\"a\\\\\\\"", OperatorName::Rx, false, "\"a\\\\\""),
        ("", OperatorName::Rx, false, ""),
    ];
    for (text, name, negated, argument) in cases {
        let operator = definition(&format!("SecRule ARGS \"{text}\" \"id:1\"\n"))
            .operator
            .unwrap();
        assert_eq!(
            (operator.name, operator.negated, operator.argument.text.to_string()),
            (name, negated, argument.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn operands_are_read() {
    let operand = |text: &str| {
        definition(&format!("SecRule REMOTE_ADDR \"{text}\" \"id:1\"\n"))
            .operator
            .unwrap()
            .operand
    };
    let Operand::Networks(networks) = operand("@ipMatch 10.0.0.0/8, ::1,192.0.2.1") else {
        panic!()
    };
    let shown: Vec<String> = networks
        .iter()
        .map(|network| format!("{}/{}", network.address, network.prefix))
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]);
    assert_eq!(
        operand("@validateByteRange 9, 32-126,255"),
        Operand::ByteRanges(Box::from([9..=9, 32..=126, 255..=255]))
    );
    let Operand::Words(words) = operand("@pm a  bc d") else {
        panic!()
    };
    assert_eq!(
        words.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a", "bc", "d"]
    );
    let Operand::Files(files) = operand("@pmFromFile a.data") else {
        panic!()
    };
    assert_eq!(files[0].to_string(), "a.data");
}

#[test]
fn macros_are_found() {
    let operator = definition("SecRule ARGS \"@within |%{tx.a}| %{REQUEST_HEADERS:Host}%\" \"id:1\"\n")
        .operator
        .unwrap();
    let parts = operator.argument.parts().map(|part| match part {
        Part::Literal(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Part::Macro(found) => format!(
            "{:?} {}",
            found.variable,
            String::from_utf8_lossy(found.key.as_deref().unwrap_or_default())
        ),
    });
    let parts: Vec<String> = parts.collect();
    assert_eq!(parts, ["|", "Tx a", "| ", "RequestHeaders Host", "%"]);
}

#[test]
fn a_pattern_may_hold_what_looks_like_a_macro() {
    let operator = definition("SecRule ARGS \"@rx %{2,3}%{tx.a}%{\" \"id:1\"\n")
        .operator
        .unwrap();
    assert_eq!(operator.argument.macros.len(), 1);
    assert_eq!(operator.pattern().unwrap().to_string(), "%{2,3}%{tx.a}%{");
}

#[test]
fn actions_have_typed_values() {
    let all = actions(
        "phase:logging,msg:'a, b',tag:x,tag:'y',t:lowercase,t:none,t:sha1,t:hexEncode,severity:'CRITICAL',allow:phase",
    );
    assert_eq!(all.phase(), Some(Phase::Logging));
    assert_eq!(all.msg().unwrap().text.to_string(), "a, b");
    assert_eq!(
        all.tags().map(|tag| tag.text.to_string()).collect::<Vec<_>>(),
        ["x", "y"]
    );
    assert_eq!(
        all.transformations().collect::<Vec<_>>(),
        [Transformation::Sha1, Transformation::HexEncode]
    );
    let Value::Severity(severity) = all.last(ActionName::Severity).unwrap().value else {
        panic!()
    };
    assert_eq!(severity.number(), 2);
}

#[test]
fn an_escaped_quote_belongs_to_the_text() {
    assert_eq!(
        actions("msg:'it\\'s \\\"so\\\", yes',pass")
            .msg()
            .unwrap()
            .text
            .to_string(),
        "it's \"so\", yes"
    );
}

#[test]
fn setvar_has_four_forms() {
    let change = |list: &str| match &actions(list).0[1].value {
        Value::SetVar(set_var) => {
            let key = set_var.key.text.to_string();
            match &set_var.change {
                Change::Set(value) => format!("{key} = {}", value.text),
                Change::Add(value) => format!("{key} + {}", value.text),
                Change::Subtract(value) => format!("{key} - {}", value.text),
                Change::Remove => format!("{key} !"),
            }
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(change("setvar:tx.a=b=c"), "a = b=c");
    assert_eq!(change("setvar:'tx.a=+%{tx.b}'"), "a + %{tx.b}");
    assert_eq!(change("setvar:TX.a=-1"), "a - 1");
    assert_eq!(change("setvar:!tx.a"), "a !");
    assert_eq!(change("setvar:tx.%{MATCHED_VAR_NAME}"), "%{MATCHED_VAR_NAME} = 1");
}

#[test]
fn ctl_selects_rules_and_targets() {
    let ctl = |list: &str| match &actions(list).0[1].value {
        Value::Ctl(ctl) => (**ctl).clone(),
        other => panic!("{other:?}"),
    };
    let Ctl::RuleRemoveTarget(_, targets) = ctl("ctl:ruleRemoveTargetById=1-5;ARGS:/^a_/") else {
        panic!()
    };
    assert_eq!(
        (targets[0].variable, targets[0].mode),
        (Variable::Args, TargetMode::Values)
    );
    assert!(matches!(
        ctl("ctl:requestBodyProcessor=json"),
        Ctl::RequestBodyProcessor(_)
    ));
    assert!(matches!(ctl("ctl:auditLogParts=+E"), Ctl::AuditLogParts(_)));
}

#[test]
fn a_list_of_actions_may_hold_quotes() {
    let rule = rule("SecRule ARGS \"@rx a\" \"id:1,msg:'say \"hi\" twice',pass\"\n");
    assert_eq!(
        rule.starter()
            .unwrap()
            .definition
            .actions
            .msg()
            .unwrap()
            .text
            .to_string(),
        "say \"hi\" twice"
    );
}

#[test]
fn arguments_need_no_quotes() {
    let rules = rules(&[
        "SecAction id:1, phase:1, pass\nSecRule ARGS attack id:2,phase:2,pass\nSecMarker END-X\nSecWebAppId my app\n",
    ]);
    assert_eq!(rules.rules().map(|rule| rule.id.unwrap().0).collect::<Vec<_>>(), [1, 2]);
    let Setting::WebAppId(id) = &rules.settings[0].1 else {
        panic!()
    };
    assert_eq!(id.to_string(), "my app");
}

#[test]
fn names_have_any_case() {
    assert_eq!(
        rule("secrule args \"@STREQ a\" \"ID:1,PHASE:1,T:LowerCase,DENY\"\n").phase,
        Phase::RequestHeaders
    );
}

#[test]
fn a_chain_is_one_rule_even_over_two_sources() {
    let rules = rules(&[
        "SecRule ARGS a \"id:1,phase:1,deny,chain\"\nSecRuleEngine On\n",
        "SecRule FILES b chain\nSecRule TX:1 c\nSecMarker X\n",
    ]);
    assert_eq!(rules.rules().map(|rule| rule.members.len()).collect::<Vec<_>>(), [3]);
    let sources: Vec<u32> = rules
        .rules()
        .next()
        .unwrap()
        .members
        .iter()
        .map(|member| member.location.source.0)
        .collect();
    assert_eq!(sources, [0, 1, 1]);
    assert_eq!(
        rules
            .markers()
            .map(|(at, label)| (at, label.to_string()))
            .collect::<Vec<_>>(),
        [(1, "X".to_owned())]
    );
}

#[test]
fn a_rule_without_a_phase_runs_in_phase_2() {
    assert_eq!(rule("SecAction id:1\n").phase, Phase::RequestBody);
}

#[test]
fn defaults_apply_to_the_rules_after_them() {
    let rules = rules(&[
        "SecRule ARGS a \"id:1,block\"\nSecDefaultAction \"phase:2,nolog,auditlog,deny,status:406\"\n\
         SecRule ARGS a \"id:2,block\"\nSecRule ARGS a \"id:3,log,drop,status:400\"\nSecRule ARGS a \"id:4,phase:1\"\n",
    ]);
    let effects: Vec<_> = rules
        .rules()
        .map(|rule| {
            (
                rule.disruptive().map(|action| action.name),
                rule.logging(),
                rule.status(),
            )
        })
        .collect();
    let all = Logging {
        log: true,
        auditlog: true,
    };
    assert_eq!(
        effects,
        [
            (None, all, None),
            (
                Some(ActionName::Deny),
                Logging {
                    log: false,
                    auditlog: true
                },
                Some(406)
            ),
            (Some(ActionName::Drop), all, Some(400)),
            (None, all, None),
        ]
    );
}

#[test]
fn removals_act_before_and_after_themselves() {
    let text = "SecRuleRemoveById 1 3-4\nSecRuleRemoveByTag gone\nSecAction id:1\nSecAction id:2\nSecAction id:3\nSecAction id:5,tag:gone\n\
                SecAction id:6,msg:bye\nSecRuleRemoveByMsg bye\n";
    assert_eq!(
        rules(&[text]).rules().map(|rule| rule.id).collect::<Vec<_>>(),
        [Some(RuleId(2))]
    );
}

#[test]
fn updates_of_targets_copy_the_rule() {
    let parsed = Arc::new(parse(b"SecRule ARGS|FILES a \"id:1,tag:t\"\nSecRule ARGS a \"id:2\"\n"));
    let updates = Arc::new(parse(
        b"SecRuleUpdateTargetById 1 \"!ARGS:x,REQUEST_URI\"\nSecRuleUpdateTargetByTag t REQUEST_BODY files\n",
    ));
    let (rules, findings) = lower(&[updates, Arc::clone(&parsed)]);
    assert_eq!(findings, []);
    let first = rules.rules().next().unwrap().starter().unwrap().clone();
    let variables: Vec<Variable> = first.definition.targets.iter().map(|target| target.variable).collect();
    assert_eq!(
        variables,
        [
            Variable::Args,
            Variable::Args,
            Variable::RequestUri,
            Variable::RequestBody
        ]
    );
    assert_eq!(
        first.updates.iter().map(|update| update.source.0).collect::<Vec<_>>(),
        [0, 0]
    );
    // The source is as it was, and the other rule is still shared with it.
    let DirectiveKind::Rule(original) = &parsed.directives[0].kind else {
        panic!()
    };
    assert_eq!(original.targets.len(), 2);
    let DirectiveKind::Rule(second) = &parsed.directives[1].kind else {
        panic!()
    };
    assert!(Arc::ptr_eq(
        second,
        &rules.rules().nth(1).unwrap().starter().unwrap().definition
    ));
}

#[test]
fn updates_of_actions_replace_and_add() {
    let text = "SecRule ARGS a \"id:1,deny,status:403,msg:a,tag:a,chain\"\nSecRule ARGS a \"t:none\"\n\
                SecRuleUpdateActionById 1 \"pass,msg:b,tag:b\"\nSecRuleUpdateActionById 1:1 t:lowercase\n";
    let rule = rule(text);
    let starter = &rule.members[0].definition.actions;
    assert_eq!(rule.disruptive().unwrap().name, ActionName::Pass);
    assert_eq!(starter.msg().unwrap().text.to_string(), "b");
    assert_eq!(starter.tags().count(), 2);
    assert_eq!(
        rule.members[1].definition.actions.transformations().collect::<Vec<_>>(),
        [Transformation::Lowercase]
    );
}

#[test]
fn a_dataset_is_found_by_name() {
    let rules = rules(&["SecDataset bots `\n one bot\n# no\n\n two\n`\nSecRule ARGS \"@pmFromDataset bots\" id:1\n"]);
    let lines: Vec<String> = rules.datasets()[&b"bots"[..]]
        .lines
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lines, ["one bot", "two"]);
}

#[test]
fn a_place_in_a_text_is_exact_unless_something_was_taken_out() {
    let exact = definition("SecRule ARGS \"@rx ab(\" \"id:1\"\n")
        .operator
        .unwrap()
        .argument
        .text;
    assert_eq!(exact.locate(2..3), coraza_seclang::Span::new(20, 21));
    let escaped = definition("SecRule ARGS \"@rx a\\\"(\" \"id:1\"\n")
        .operator
        .unwrap()
        .argument
        .text;
    assert_eq!(escaped.locate(2..3), escaped.span);
}

/// The first finding of a text as a person sees it.
fn shown(text: &[u8]) -> String {
    render(&parse(text).diagnostics[0], "tenant/rules", &LineIndex::new(text), text)
}

#[test]
fn findings_are_shown_with_their_place() {
    insta::assert_snapshot!(
        "plain",
        shown(b"SecRuleEngine On\n\nSecRule ARGS \"@contain x\" \"id:1\"\n")
    );
    insta::assert_snapshot!("tabs", shown(b"\tSecRule\tARGZ\t\"@rx x\"\t\"id:1\"\r\n"));
    insta::assert_snapshot!(
        "no_text",
        shown(b"SecRule ARGS \"@rx \xff\xfe\x01\" \"id:1,dney,msg:'\xc3\xa9\xff'\"\n")
    );
    let long = format!(
        "SecRule ARGS \"@rx {}\" \"id:1,dney,msg:'{}'\"\n",
        "a".repeat(5000),
        "b".repeat(5000)
    );
    insta::assert_snapshot!("long_line", shown(long.as_bytes()));
    insta::assert_snapshot!(
        "long_span",
        shown(format!("SecRule {} \"@rx x\" \"id:1\"\n", "Z".repeat(5000)).as_bytes())
    );
    insta::assert_snapshot!("end_of_text", shown(b"SecRuleEngine"));
    insta::assert_snapshot!(
        "continuation",
        shown(b"SecRule ARGS \\\n  \"@rx x\" \\\n  \"id:1,\\\n  tga:'a'\"\n")
    );
}
