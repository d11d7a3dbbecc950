//! The plan against the interpreter without one, on random rules and requests; and that a filter never leaves out what matches.

use std::sync::Arc;

use coraza_seclang::{lower, parse};
use proptest::prelude::*;
use proptest::string::bytes_regex;

use super::*;
use crate::pattern::{Limits, Pattern};
use crate::transaction::{Connection, Identity, Interrupted, RequestLine, Transaction, states};
use crate::{Evaluation, Interruption, MatchedRule, Options, Program};

/// What a transaction shows: matches, the interruption, TX.
type Shown = (Vec<MatchedRule>, Option<Interruption>, bool, Vec<(Vec<u8>, Vec<u8>)>);

#[derive(Clone, Debug)]
struct Request {
    uri: Vec<u8>,
    headers: Vec<(&'static [u8], Vec<u8>)>,
    body: Vec<u8>,
}

fn program(rules: &str, evaluation: Evaluation) -> Arc<Program> {
    let parsed = parse(rules.as_bytes());
    let (rules, findings) = lower(&[Arc::new(parsed)]);
    let options = Options {
        evaluation,
        ..Options::default()
    };
    let program = Program::compile(&rules, &options);
    Arc::new(program.unwrap_or_else(|errors| panic!("{errors:?} {findings:?}")))
}

fn run(program: &Arc<Program>, request: &Request) -> Shown {
    let transaction = Transaction::new(program, &Connection::default(), &Identity::default());
    let ended = phases(transaction, request).unwrap_or_else(|interrupted| interrupted.transaction);
    let tx = ended.tx().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let report = ended.log();
    (report.matched, report.interruption, report.interrupted, tx)
}

fn phases(
    transaction: Transaction<states::Connected>,
    request: &Request,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let line = RequestLine {
        method: b"POST",
        uri: &request.uri,
        protocol: b"HTTP/1.1",
    };
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_slice()));
    transaction
        .request_headers(&line, headers)?
        .append(&request.body)?
        .request_body()?
        .response_headers(200, b"HTTP/1.1", [(&b"Content-Type"[..], &b"text/html"[..])])?
        .append(b"<b>select it</b>")?
        .response_body()
}

fn assert_same(rules: &str, requests: &[Request]) {
    let planned = program(rules, Evaluation::Planned);
    let naive = program(rules, Evaluation::Naive);
    for request in requests {
        // Twice: caches that a transaction leaves to the next one change nothing.
        for _ in 0..2 {
            assert_eq!(run(&planned, request), run(&naive, request), "{rules}\n{request:?}");
        }
    }
}

/// Pieces that values and patterns are made of, so that some match.
const PIECES: [&str; 14] = [
    "select", "SeLect", "union", "<b>", "/etc", "%41", "a", "x", "&lt;", "\\x41", "  ", "1", "'--", "/*c*/",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn request() -> impl Strategy<Value = Request> {
    let escaped = |value: Vec<u8>| -> String { value.iter().map(|byte| format!("%{byte:02x}")).collect() };
    let pairs = move || {
        let pair = (prop::sample::select(&["a", "b", "long_name", "A"][..]), value());
        let text = pair.prop_map(move |(name, value)| format!("{name}={}", escaped(value)));
        prop::collection::vec(text, 0..4).prop_map(|pairs| pairs.join("&").into_bytes())
    };
    (pairs(), value(), value(), pairs()).prop_map(|(query, agent, cookie, body)| Request {
        uri: [b"/path/file.php?", query.as_slice()].concat(),
        headers: vec![
            (b"Host", b"example.com".to_vec()),
            (b"User-Agent", agent),
            (b"Cookie", [b"c=", cookie.as_slice()].concat()),
            (b"Content-Type", b"application/x-www-form-urlencoded".to_vec()),
        ],
        body,
    })
}

/// The text of an operator with its argument.
fn operator() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(
        &[
            "select",
            "(?i)select|union",
            "(?i)^<b>",
            "[a-z]+ion$",
            r"(?:a|b)?x+\s",
            "(sel)(ect)?",
            "%[0-9a-f]{2}",
            ".",
            "^$",
            r"\W{3}",
            "(?i:UN)ion|/etc|[<>]b",
            "x*",
            "a{2,3}|[^a-z]{2}",
            "(?i)s.*t",
        ][..],
    );
    let negation = prop::sample::select(&["", "", "!"][..]);
    let operator = prop_oneof![
        6 => pattern.clone().prop_map(|pattern| format!("@rx {pattern}")),
        1 => pattern.prop_map(|pattern| format!("@rxGlobal {pattern}")),
        2 => Just("@pm select union /etc x".to_owned()),
        1 => Just("@contains elect".to_owned()),
        1 => Just("@contains %{tx.seen}".to_owned()),
        1 => Just("@rx %{tx.seen}".to_owned()),
        1 => Just("@validateByteRange 32-126".to_owned()),
        1 => Just("@detectSQLi".to_owned()),
        1 => Just("@detectXSS".to_owned()),
        1 => Just("@gt 1".to_owned()),
        1 => Just("@unconditionalMatch".to_owned()),
    ];
    (negation, operator).prop_map(|(negation, operator)| format!("{negation}{operator}"))
}

fn targets() -> impl Strategy<Value = String> {
    let target = prop::sample::select(
        &[
            "ARGS",
            "ARGS_NAMES",
            "ARGS:a",
            "ARGS:/^l/",
            "&ARGS",
            "&TX:seen",
            "REQUEST_HEADERS",
            "REQUEST_HEADERS:User-Agent",
            "REQUEST_COOKIES",
            "REQUEST_URI",
            "REQUEST_BODY",
            "QUERY_STRING",
            "TX:seen",
            "TX:/s/",
            "TX:score",
            "TX:1",
            "TX",
            "MATCHED_VAR",
            "MATCHED_VARS",
            "RESPONSE_BODY",
            "ARGS_COMBINED_SIZE",
            "RULE:id",
        ][..],
    );
    let exclusion = prop::sample::select(&["", "", "", "|!ARGS:b", "|!REQUEST_COOKIES:c", "|!ARGS:/name/"][..]);
    let any = (prop::collection::vec(target, 1..4), exclusion)
        .prop_map(|(targets, exclusion)| format!("{}{exclusion}", targets.join("|")));
    // Rules share what was found out about their values if they ask for the same.
    prop_oneof![any, Just("ARGS|REQUEST_HEADERS".to_owned())]
}

fn actions() -> impl Strategy<Value = String> {
    const ACTIONS: [&str; 17] = [
        "t:urlDecodeUni",
        "t:lowercase",
        "t:htmlEntityDecode",
        "t:removeWhitespace",
        "t:replaceComments",
        "t:jsDecode",
        "t:length",
        "t:none",
        "multiMatch",
        "capture",
        "setvar:tx.score=+3",
        "setvar:tx.seen=%{MATCHED_VAR}",
        "setvar:tx.last_%{MATCHED_VAR_NAME}=%{tx.1}",
        "setvar:tx.first=%{tx.0}",
        "setvar:!tx.seen",
        "ctl:ruleRemoveTargetById=3;ARGS:a",
        "ctl:ruleRemoveById=5",
    ];
    let list = prop::collection::vec(prop::sample::select(&ACTIONS[..]), 0..4);
    let any = list.prop_map(|list| list.iter().map(|action| format!(",{action}")).collect());
    prop_oneof![any, Just(",t:urlDecodeUni,t:lowercase".to_owned())]
}

/// Rules with ascending ids, some of them chains.
fn rules() -> impl Strategy<Value = String> {
    let flow = prop::sample::select(
        &[
            "pass",
            "pass",
            "pass",
            "pass,skipAfter:END",
            "pass,skip:1",
            "deny",
            "allow:phase",
        ][..],
    );
    let link = || (targets(), operator(), actions());
    let phase = prop::sample::select(&[1, 2, 2, 2, 3, 4, 5][..]);
    let rule = (phase, flow, link(), prop::option::weighted(0.3, link()));
    prop::collection::vec(rule, 1..10).prop_map(|rules| {
        let mut text = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n".to_owned();
        for (id, (phase, flow, (targets, operator, actions), chained)) in (1..).zip(rules) {
            let chain = if chained.is_some() { ",chain" } else { "" };
            text += &format!(
                "SecRule {targets} \"{operator}\" \"id:{id},phase:{phase},{flow},log,\
                 msg:'%{{MATCHED_VAR}}',logdata:'%{{tx.0}} %{{tx.seen}} %{{MATCHED_VAR_NAME}}'{actions}{chain}\"\n"
            );
            if let Some((targets, operator, actions)) = chained {
                // Whatever belongs to the rule as a whole stands in its first link.
                let actions = actions.replace(",ctl:", ",t:none,ctl:");
                text += &format!(
                    "SecRule {targets} \"{operator}\" \"{}\"\n",
                    &actions.get(1..).unwrap_or_default()
                );
            }
        }
        text + "SecMarker END\n"
    })
}

/// Rules of the shape that the Core Rule Set's have.
const GATES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=2"
SecRule TX:level "@lt 3" "id:2,phase:1,pass,log,skipAfter:END"
SecRule TX:Level "@lt 9" "id:3,phase:1,pass,log"
SecMarker END
SecRule &TX:none "@eq 0" "id:4,phase:1,pass,log,setvar:tx.none=x"
SecRule TX:none "@eq 0" "id:5,phase:1,pass,log"
SecRule TX:absent "@eq 0" "id:6,phase:1,pass,log"
SecRule TX:level "!@ge 2" "id:7,phase:1,pass,log"
SecRule TX:level "@eq 2" "id:8,phase:2,pass,log,ctl:ruleRemoveTargetById=9;TX:level"
SecRule TX:level "@eq 2" "id:9,phase:2,pass,log"
SecRule TX:level "@eq 2" "id:10,phase:2,deny,log"
"#;

#[test]
fn gates_open_as_without_a_plan() {
    let request = Request {
        uri: b"/".to_vec(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    assert_same(GATES, std::slice::from_ref(&request));
    let (matched, interruption, ..) = run(&program(GATES, Evaluation::Planned), &request);
    let ids: Vec<u64> = matched.iter().filter_map(|rule| Some(rule.id?.0)).collect();
    assert_eq!(ids, [2, 4, 5, 8, 10]);
    assert!(interruption.is_some());
}

#[test]
fn what_settled_variables_are_made_of_is_settled() {
    for variable in Variable::ALL
        .iter()
        .filter(|variable| variables::is_settled(**variable))
    {
        let (sources, _) = variables::sources(*variable);
        assert!(
            sources.iter().all(|source| variables::is_settled(*source)),
            "{variable}"
        );
    }
}

#[test]
fn requirements_are_what_patterns_need() {
    let of = |pattern: &str| {
        Pattern::compile(pattern.as_bytes(), &Limits::default())
            .unwrap()
            .requirement()
            .clone()
    };
    let literals = |pattern: &str| {
        let clauses = of(pattern).clauses;
        let texts = |clause: &requirement::Clause| {
            let literals = clause
                .literals
                .iter()
                .map(|literal| String::from_utf8_lossy(literal).into_owned());
            let bytes = clause.bytes.iter().map(|byte| char::from(byte).to_string());
            literals.chain(bytes).collect::<Vec<_>>().join(" ")
        };
        clauses.iter().map(texts).collect::<Vec<_>>()
    };
    for (pattern, expected) in [
        ("select", vec!["select"]),
        ("(?i)SeLect", vec!["select"]),
        ("https?://", vec!["http:// https://"]),
        ("(?:union|select).*from", vec!["select union", "from"]),
        ("a[<>]b", vec!["a<b a>b"]),
        ("x*", vec![]),
        ("(?:foo|x*)bar", vec!["bar"]),
        ("(?:foo|.)", vec![]),
        (r"\$\{.+\}", vec!["${", "}"]),
        ("averylongliteral", vec!["averylon"]),
        ("(?:<[a-z]|javascript:)+", vec!["javascri <"]),
        ("[^a-z]", vec![]),
        ("(?:a|b)c", vec!["ac bc"]),
    ] {
        assert_eq!(literals(pattern), expected, "{pattern}");
    }
    assert_eq!(of("^a.{3,}b?$").min_len, 4);
    for (pattern, allowed, others) in [
        ("^[ab]c", &["ac", "Bx"][..], &["", "ca", " ac"][..]),
        ("^x?(?:y|z+)$", &["xy", "xz", "z"], &["a", "xa", "ay"]),
        (r"^\d*$", &["", "a", "1a"], &[]),
        (r"(?i)a.*B$", &["xxab", "b"], &["a", "bc"]),
        ("(?m)^a", &["b\na", "b"], &[]),
        ("a|^b", &["c"], &[]),
        (r"^(?:\b|x)y", &["y", "xy"], &["z"]),
    ] {
        let ends = of(pattern).ends;
        for value in allowed {
            assert!(ends.allow(value.as_bytes()), "{pattern} {value}");
        }
        for value in others {
            assert!(!ends.allow(value.as_bytes()), "{pattern} {value}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn plans_change_no_verdict(rules in rules(), requests in prop::collection::vec(request(), 1..4)) {
        // Some of the random rules aren't rules.
        let (lowered, findings) = lower(&[Arc::new(parse(rules.as_bytes()))]);
        let refused = findings.iter().any(|finding| finding.diagnostic.severity == coraza_seclang::Severity::Error);
        prop_assume!(!refused && Program::compile(&lowered, &Options::default()).is_ok());
        assert_same(&rules, &requests);
    }
}

/// What a transaction shows, but for what was captured.
fn without_captures(shown: Shown) -> Shown {
    let (matched, interruption, interrupted, mut tx) = shown;
    tx.retain(|(key, _)| !matches!(key.as_slice(), [digit] if digit.is_ascii_digit()));
    (matched, interruption, interrupted, tx)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_nobody_reads_need_not_be_captured(rules in rules(), requests in prop::collection::vec(request(), 1..4)) {
        // As many rules capture as don't.
        let rules = rules.replace(",log,", ",log,capture,").replace("logdata:'%{tx.0} ", "logdata:'");
        let (lowered, findings) = lower(&[Arc::new(parse(rules.as_bytes()))]);
        let refused = findings.iter().any(|finding| finding.diagnostic.severity == coraza_seclang::Severity::Error);
        prop_assume!(!refused);
        let programs = [false, true].map(|everything| {
            let mut builder = crate::ProgramBuilder::new(&lowered);
            builder.captures_everything = everything;
            while builder.step(&Options::default()) {}
            builder.finish().map(Arc::new)
        });
        let [Ok(narrow), Ok(everything)] = programs else { return Ok(()) };
        for request in &requests {
            let shown = [&narrow, &everything].map(|program| without_captures(run(program, request)));
            prop_assert_eq!(&shown[0], &shown[1], "{}", rules);
        }
    }
}

/// Patterns without anchors, for which matching texts can be made.
fn pattern() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        4 => prop::sample::select(&["a", "B", "select", "/etc/", "'", "ab", "xyz"][..]).prop_map(str::to_owned),
        2 => prop::sample::select(&["[a-c]", "[<>]", "[^a]", ".", r"\d", r"\s", "[A-Z]", "[@-_]"][..]).prop_map(str::to_owned),
    ];
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            (
                inner.clone(),
                prop::sample::select(&["?", "*", "+", "{2}", "{1,3}", "{0,2}"][..])
            )
                .prop_map(|(part, count)| format!("(?:{part}){count}")),
            inner.prop_map(|part| format!("(?i:{part})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_matches_is_a_candidate(
        (pattern, inside) in pattern().prop_flat_map(|pattern| {
            let matching = bytes_regex(&format!("(?s-u){pattern}")).unwrap();
            (Just(pattern), matching)
        }),
        before in prop::collection::vec(any::<u8>(), 0..4),
        after in prop::collection::vec(any::<u8>(), 0..4),
        anchors in any::<(bool, bool)>(),
    ) {
        let (start, before) = if anchors.0 { ("^", Vec::new()) } else { ("", before) };
        let (end, after) = if anchors.1 { ("$", Vec::new()) } else { ("", after) };
        let pattern = format!("{start}(?:{pattern}){end}");
        let compiled = Pattern::compile(pattern.as_bytes(), &Limits::default()).unwrap();
        let value = [before, inside, after].concat();
        prop_assert!(compiled.is_match(&mut compiled.create_cache(), &value));
        // Beside others, whose clauses must not get mixed up with its own.
        let others = ["union", "[a-f]x", ""].map(|pattern| Pattern::compile(pattern.as_bytes(), &Limits::default()).unwrap());
        let mut requirements: Vec<_> = others.iter().map(|other| other.requirement().clone()).collect();
        requirements.push(compiled.requirement().clone());
        let filter = Filter::new(&requirements);
        prop_assert!(filter.candidates(&value, &ByteMask::of(&value)).contains(3), "{requirements:?}");
        for value in [b"union".as_slice(), b"ex", b""] {
            let candidates = filter.candidates(value, &ByteMask::of(value));
            for (at, other) in others.iter().enumerate() {
                if other.is_match(&mut other.create_cache(), value) {
                    prop_assert!(candidates.contains(at));
                }
            }
        }
    }
}
