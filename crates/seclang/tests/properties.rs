//! What holds for every input: no panic, work in proportion to the text, spans inside it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

use std::sync::Arc;

use coraza_seclang::rules::{Action, Definition, Part, Selector, Target, Template, Text, Value};
use coraza_seclang::{Directive, DirectiveKind, Entry, LineIndex, Parsed, Span, lower, parse, render, reprint};
use proptest::prelude::*;

/// Each byte is looked at so many times at most: as part of a line, of an argument, of a list, of a macro.
const WORK_PER_BYTE: u64 = 6;

/// Pieces that texts are made of, so that random ones get past the first character.
const PIECES: &[&str] = &[
    "SecRule ",
    "SecAction ",
    "SecMarker ",
    "SecDefaultAction ",
    "SecDataset a `",
    "SecRuleUpdateTargetById 1 ",
    "SecRuleRemoveById ",
    "SecRuleUpdateActionById 1:1 ",
    "ARGS",
    "!ARGS:",
    "&TX:",
    "REQUEST_HEADERS:/",
    "XML:/*",
    "|",
    "/",
    "'",
    "\"",
    "\\",
    "\\\n",
    "\n",
    "`",
    "\n`\n",
    "# ",
    " ",
    "\t",
    "\r\n",
    "@rx ",
    "@pm ",
    "@ipMatch ",
    "@validateByteRange ",
    "!@",
    "%{",
    "%{tx.a}",
    "}",
    "id:1",
    "chain",
    "phase:2",
    "deny",
    "t:none",
    "msg:",
    "setvar:tx.a=+1",
    "ctl:ruleRemoveTargetById=1;",
    "ctl:",
    ",",
    ":",
    "=",
    "-",
    "1",
    "255",
    "\u{e9}",
    "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass\"\n",
];

/// Lines like those of the CRS, to be damaged.
const RULES: &[&str] = &[
    "SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|ARGS_NAMES|ARGS|XML:/* \"@rx (?i)[\\\"'`]\\s*?x\" \\\n    \"id:942100,\\\n    phase:2,\\\n    \
     block,\\\n    capture,\\\n    t:none,t:urlDecodeUni,\\\n    msg:'SQL, it is',\\\n    logdata:'%{TX.0} in %{MATCHED_VAR_NAME}',\\\n    \
     setvar:'tx.score=+%{tx.critical}'\"\n",
    "SecRule &REQUEST_HEADERS:Host \"@eq 0\" \"id:1,phase:1,pass,nolog,chain\"\n  SecRule TX:/^a_/ \"!@within %{tx.b}\" \"t:none,skipAfter:END\"\n",
    "SecRuleUpdateTargetById 942100 \"!REQUEST_COOKIES:/^_ga(?:_\\w+)?$/\"\nSecMarker END\nSecDefaultAction \"phase:1,log,pass\"\n",
    "SecDataset words `\none\n# two\n`\nSecAuditLogParts ABZ\nSecAction \"id:2,phase:1,ctl:ruleRemoveById=1-9,initcol:ip=%{remote_addr}\"\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_parsed(text in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&text);
    }

    #[test]
    fn arbitrary_pieces_of_rules_are_parsed(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn damaged_rules_are_parsed(
        rules in prop::collection::vec(prop::sample::select(RULES), 1..4),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..6),
    ) {
        let mut text = rules.concat().into_bytes();
        for (at, how, byte) in damages {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => { text.remove(at); }
            }
        }
        check(&text);
    }

    #[test]
    fn a_source_means_the_same_beside_another(at in 0..RULES.len()) {
        let alone = Arc::new(parse(RULES[at].as_bytes()));
        let other = Arc::new(parse(b"SecRuleEngine On\n"));
        let rules = |sources: &[Arc<Parsed>]| lower(sources).0.rules().map(|rule| rule.id).collect::<Vec<_>>();
        prop_assert_eq!(rules(&[Arc::clone(&alone)]), rules(&[other, alone]));
    }
}

/// Texts that a careless parser needs the square of their length for.
#[test]
fn repetition_costs_in_proportion() {
    let long = |unit: &str, start: &str, end: &str| format!("{start}{}{end}", unit.repeat(60_000 / unit.len()));
    let texts = [
        long("%{", "SecRule ARGS \"@contains ", "}\" \"id:1\""),
        long("%{", "SecRule ARGS \"@rx ", "}\" \"id:1\""),
        long("\\\"", "SecRule ARGS \"@rx ", "\" \"id:1\""),
        long("\\", "SecRule ARGS \"@rx ", "\" \"id:1\""),
        long("\" ", "SecRule ARGS \"@rx a\" \"id:1", "\""),
        long("x\n", "", ""),
        long("\\\n", "SecRule ", ""),
        long("#\n", "SecRule \\\n", ""),
        long("ARGS:/a|", "SecRule ", " \"@rx a\""),
        long("'", "SecRule ARGS:", " \"@rx a\""),
        long("|", "SecRule ARGS", " \"@rx a\""),
        long("t:none,", "SecAction \"id:1,", "pass\""),
        long("'a',", "SecAction \"id:1,", "pass\""),
        long("SecRule ARGS \"@rx \" \"chain\"\n", "", ""),
        long("SecRuleRemoveById 1-999999999\n", "", ""),
        long(
            "SecRule ARGS \"@rx a\" \"id:7,pass\"\nSecRuleUpdateTargetById 1-9 \"!ARGS:a\"\n",
            "",
            "",
        ),
        long("`\nSecDataset a `\n", "", ""),
    ];
    for text in texts {
        check(text.as_bytes());
    }
}

#[test]
fn findings_are_bounded() {
    let text = "SecFoo\n".repeat(10_000);
    let parsed = parse(text.as_bytes());
    assert_eq!(parsed.diagnostics.len(), coraza_seclang::MAX_DIAGNOSTICS);
    assert_eq!(
        parsed.diagnostics.last().unwrap().message,
        "9001 more findings are not shown"
    );
}

/// Updates may not multiply rules and updates without end.
#[test]
fn updates_are_bounded() {
    let rules: String = (1..2000)
        .map(|id| format!("SecRule ARGS \"@rx a\" \"id:{id},pass\"\n"))
        .collect();
    let updates = "SecRuleUpdateTargetById 1-2000 \"!ARGS:a|!ARGS:b\"\n".repeat(500);
    let (_, findings) = lower(&[Arc::new(parse(rules.as_bytes())), Arc::new(parse(updates.as_bytes()))]);
    let kinds: Vec<&str> = findings
        .iter()
        .map(|finding| finding.diagnostic.kind.as_str())
        .collect();
    assert_eq!(kinds, ["too-many-updates"]);
}

fn check(text: &[u8]) {
    let parsed = parse(text);
    assert!(
        parsed.work <= WORK_PER_BYTE * text.len() as u64,
        "{} bytes took {} steps",
        text.len(),
        parsed.work
    );
    let lines = LineIndex::new(text);
    for diagnostic in parsed.diagnostics.iter().take(20) {
        inside(diagnostic.span, text);
        let shown = render(diagnostic, "a source", &lines, text);
        assert!(shown.lines().all(|line| line.chars().count() < 400), "{shown}");
    }
    for directive in &parsed.directives {
        check_directive(directive, text);
    }
    check_reprint(text, &parsed);
    let sources = [Arc::new(parsed)];
    let (rules, findings) = lower(&sources);
    for finding in findings {
        inside(finding.diagnostic.span, text);
    }
    for entry in &rules.entries {
        if let Entry::Rule(rule) = entry {
            assert!(rule.starter().is_some());
            let _ = (rule.disruptive(), rule.logging(), rule.status());
        }
    }
}

/// Printed and read again, a source without errors means the same, and is printed in the same way.
fn check_reprint(text: &[u8], parsed: &Parsed) {
    if parsed.has_errors() || text.len() > 10_000 {
        return;
    }
    let printed = reprint(text).unwrap();
    let again = parse(&printed);
    let shown = printed.escape_ascii();
    assert_eq!(
        without_spans(&again.directives),
        without_spans(&parsed.directives),
        "{shown}"
    );
    assert!(reprint(&printed).unwrap() == printed, "{shown}");
}

fn without_spans(directives: &[Directive]) -> String {
    let shown = format!("{directives:?}");
    let mut parts = shown.split("Span { ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').unwrap().1)
}

fn check_directive(directive: &Directive, text: &[u8]) {
    inside(directive.span, text);
    match &directive.kind {
        DirectiveKind::Rule(definition) => check_definition(definition, text),
        DirectiveKind::DefaultAction(default) => default.actions.0.iter().for_each(|action| check_action(action, text)),
        DirectiveKind::Marker(label) => check_text(label, text),
        DirectiveKind::UpdateTargets(_, update) => update.targets.iter().for_each(|target| check_target(target, text)),
        DirectiveKind::UpdateActions(update) => update.actions.0.iter().for_each(|action| check_action(action, text)),
        DirectiveKind::BrokenRule { .. } | DirectiveKind::Remove(_) | DirectiveKind::Setting(_) => {}
    }
}

fn check_definition(definition: &Definition, text: &[u8]) {
    definition.targets.iter().for_each(|target| check_target(target, text));
    definition
        .actions
        .0
        .iter()
        .for_each(|action| check_action(action, text));
    let Some(operator) = &definition.operator else { return };
    inside(operator.span, text);
    check_template(&operator.argument, text);
    operator
        .pattern()
        .into_iter()
        .chain(operator.data_files())
        .for_each(|piece| check_text(piece, text));
}

fn check_target(target: &Target, text: &[u8]) {
    inside(target.span, text);
    if let Selector::Key(piece) | Selector::Pattern(piece) | Selector::Path(piece) = &target.selector {
        check_text(piece, text);
    }
}

fn check_action(action: &Action, text: &[u8]) {
    inside(action.span, text);
    match &action.value {
        Value::Text(piece) => check_text(piece, text),
        Value::Template(template) => check_template(template, text),
        Value::SetVar(set_var) => check_template(&set_var.key, text),
        _ => {}
    }
}

/// The parts of a template are the template.
fn check_template(template: &Template, text: &[u8]) {
    check_text(&template.text, text);
    let mut whole = Vec::new();
    for part in template.parts() {
        match part {
            Part::Literal(bytes) => whole.extend_from_slice(bytes),
            Part::Macro(found) => whole.extend_from_slice(&template.text[found.start as usize..found.end as usize]),
        }
    }
    assert_eq!(whole, &*template.text.bytes);
}

/// The bytes of a text are those of its span, where nothing was taken out.
fn check_text(piece: &Text, text: &[u8]) {
    inside(piece.span, text);
    if piece.span.len() as usize == piece.len() {
        assert_eq!(piece.span.slice(text), &*piece.bytes);
    }
}

fn inside(span: Span, text: &[u8]) {
    assert!(
        span.start <= span.end && span.end as usize <= text.len(),
        "{span:?} of {}",
        text.len()
    );
}
