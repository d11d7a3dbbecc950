//! What the language means: small rule sets against small requests, each test with a verdict that changes when the feature is taken out.

#![allow(clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Cause, Disruption, Options, Program};
use coraza_seclang::rules::RuleId;
use coraza_seclang::{Kind, Severity, lower, parse};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A request and its response.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    method: &'a str,
    uri: &'a str,
    headers: Headers<'a>,
    body: &'a [u8],
    status: u16,
    response_headers: Headers<'a>,
    response_body: &'a [u8],
}

const GET: Exchange<'_> = Exchange {
    method: "GET",
    uri: "/",
    headers: &[("Host", "example.com:8080"), ("User-Agent", "test")],
    body: b"",
    status: 200,
    response_headers: &[("Content-Type", "text/html; charset=utf-8")],
    response_body: b"",
};

const FORM: Headers<'_> = &[("Content-Type", "application/x-www-form-urlencoded")];

fn compile(rules: &str) -> Result<Arc<Program>, Vec<Kind>> {
    let files = BTreeMap::from([
        ("words".to_owned(), "# words\nsecret\n"),
        ("networks".to_owned(), "192.0.2.0/24\n"),
    ]);
    let parsed = Arc::new(parse(rules.as_bytes()));
    let (lowered, findings) = lower(&[Arc::clone(&parsed)]);
    let all = parsed
        .diagnostics
        .iter()
        .chain(findings.iter().map(|finding| &finding.diagnostic));
    let errors: Vec<_> = all
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{rules}: {errors:?}");
    let options = Options {
        files: &files,
        ..Options::default()
    };
    let program = Program::compile(&lowered, &options);
    program
        .map(Arc::new)
        .map_err(|errors| errors.iter().map(|error| error.diagnostic.kind).collect())
}

fn run(rules: &str, exchange: &Exchange<'_>) -> Report {
    let program = compile(rules).expect(rules);
    let connection = Connection {
        client_address: b"192.0.2.7",
        client_port: 4711,
        server_address: b"198.51.100.1",
        server_port: 8080,
    };
    let identity = Identity {
        unique_id: b"one",
        started: Duration::from_secs(951_868_799),
    };
    let transaction = Transaction::new(&program, &connection, &identity);
    phases(transaction, exchange)
        .unwrap_or_else(|interrupted| interrupted.transaction)
        .log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    exchange: &Exchange<'_>,
) -> Result<Transaction<states::Logging>, Interrupted> {
    fn pairs<'h>(headers: Headers<'h>) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
    let line = RequestLine {
        method: exchange.method.as_bytes(),
        uri: exchange.uri.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    transaction
        .request_headers(&line, pairs(exchange.headers))?
        .append(exchange.body)?
        .request_body()?
        .response_headers(exchange.status, b"HTTP/1.1", pairs(exchange.response_headers))?
        .append(exchange.response_body)?
        .response_body()
}

fn ids(report: &Report) -> Vec<u64> {
    report
        .matched
        .iter()
        .filter_map(|rule| rule.id)
        .map(|id| id.0)
        .collect()
}

/// Asserts which rules match for a request.
fn check(rules: &str, exchange: &Exchange<'_>, expected: &[u64]) {
    assert_eq!(ids(&run(rules, exchange)), expected, "{rules}");
}

/// A request for a target.
fn get(uri: &str) -> Exchange<'_> {
    Exchange { uri, ..GET }
}

#[test]
fn variables_hold_what_the_wire_says() {
    let exchange = Exchange {
        method: "POST",
        uri: "/dir/page%20x.php?a=1&A=2&b=%41+c",
        headers: &[
            ("Host", "example.com:8080"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Cookie", "sid=%41; theme=dark"),
            ("Authorization", "Basic dXNlcjpwYXNz"),
        ],
        body: b"a=3&post=x%00y",
        status: 404,
        response_headers: &[("Content-Type", "text/html; charset=utf-8"), ("Server", "x")],
        response_body: b"<html>",
    };
    let prelude = "SecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n";
    for (target, phase, expected) in [
        ("REQUEST_METHOD", 1, "POST"),
        ("REQUEST_URI", 1, "/dir/page x.php?a=1&A=2&b=A+c"),
        ("REQUEST_URI_RAW", 1, "/dir/page%20x.php?a=1&A=2&b=%41+c"),
        ("REQUEST_FILENAME", 1, "/dir/page x.php"),
        ("REQUEST_BASENAME", 1, "page x.php"),
        ("QUERY_STRING", 1, "a=1&A=2&b=%41+c"),
        ("REQUEST_PROTOCOL", 1, "HTTP/1.1"),
        ("REQUEST_LINE", 1, "POST /dir/page%20x.php?a=1&A=2&b=%41+c HTTP/1.1"),
        ("SERVER_NAME", 1, "example.com"),
        ("SERVER_PORT", 1, "8080"),
        ("SERVER_ADDR", 1, "198.51.100.1"),
        ("REMOTE_ADDR", 1, "192.0.2.7"),
        ("REMOTE_PORT", 1, "4711"),
        ("AUTH_TYPE", 1, "Basic"),
        ("REMOTE_USER", 1, "user"),
        ("UNIQUE_ID", 1, "one"),
        ("TIME_YEAR", 1, "2000"),
        ("REQUEST_HEADERS:host", 1, "example.com:8080"),
        ("REQUEST_HEADERS_NAMES:COOKIE", 1, "Cookie"),
        ("REQUEST_COOKIES:sid", 1, "%41"),
        ("REQUEST_COOKIES_NAMES:theme", 1, "theme"),
        ("REQBODY_PROCESSOR", 1, "URLENCODED"),
        ("&ARGS_GET", 1, "3"),
        ("&ARGS:a", 1, "2"),
        ("&ARGS:/^A$/", 1, "2"),
        ("ARGS_GET:b", 1, "A c"),
        ("ARGS_GET_NAMES:b", 1, "b"),
        ("HIGHEST_SEVERITY", 1, "255"),
        ("&ARGS", 2, "5"),
        ("ARGS_POST:a", 2, "3"),
        ("ARGS_POST_NAMES:post", 2, "post"),
        ("ARGS_COMBINED_SIZE", 2, "17"),
        ("REQUEST_BODY", 2, "a=3&post=x%00y"),
        ("REQUEST_BODY_LENGTH", 2, "14"),
        ("REQBODY_ERROR", 2, "0"),
        ("MULTIPART_STRICT_ERROR", 2, "0"),
        ("RESPONSE_STATUS", 3, "404"),
        ("STATUS_LINE", 3, "HTTP/1.1 404"),
        ("RESPONSE_CONTENT_TYPE", 3, "text/html"),
        ("RESPONSE_HEADERS:server", 3, "x"),
        ("RESPONSE_HEADERS_NAMES:Server", 3, "Server"),
        ("RESPONSE_BODY", 4, "<html>"),
        ("RESPONSE_CONTENT_LENGTH", 4, "6"),
    ] {
        let rule = format!("{prelude}SecRule {target} \"@streq {expected}\" \"id:1,phase:{phase},pass\"");
        check(&rule, &exchange, &[1]);
    }
}

#[test]
fn multipart_json_and_xml_bodies_are_read() {
    let rules = "SecRequestBodyAccess On
        SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"
        SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"
        SecRule REQBODY_PROCESSOR \"@rx ^(JSON|XML|MULTIPART)$\" \"id:3,phase:1,pass\"
        SecRule ARGS:json.a.0 \"@streq x\" \"id:4,phase:2,pass\"
        SecRule XML:/* \"@contains x\" \"id:5,phase:2,pass\"
        SecRule XML://@* \"@streq y\" \"id:6,phase:2,pass\"
        SecRule FILES:f \"@streq n.txt\" \"id:7,phase:2,pass\"
        SecRule FILES_NAMES \"@streq f\" \"id:8,phase:2,pass\"
        SecRule FILES_SIZES|FILES_COMBINED_SIZE \"@eq 3\" \"id:9,phase:2,pass\"
        SecRule ARGS_POST:a \"@streq x\" \"id:10,phase:2,pass\"
        SecRule MULTIPART_PART_HEADERS:f \"@beginsWith Content-Disposition:\" \"id:11,phase:2,pass\"
        SecRule REQUEST_BODY \"@rx .\" \"id:12,phase:2,pass\"
        SecRule MULTIPART_STRICT_ERROR|REQBODY_ERROR \"@eq 1\" \"id:13,phase:2,pass\"";
    let post = |content_type, body: &[u8]| {
        let headers = [("Content-Type", content_type)];
        let exchange = Exchange {
            method: "POST",
            headers: &headers,
            body,
            ..GET
        };
        ids(&run(rules, &exchange))
    };
    assert_eq!(post("application/json", br#"{"a":["x"]}"#), [3, 4]);
    assert_eq!(post("text/xml", br#"<a b="y">x</a>"#), [3, 5, 6]);
    let form = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b\r\n\
        Content-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n\r\nxyz\r\n--b--\r\n";
    assert_eq!(post("multipart/form-data; boundary=b", form), [3, 7, 8, 9, 10, 11]);
    assert_eq!(post("multipart/form-data; boundary=b", b"--b\r\n"), [3, 13]);
    assert_eq!(post("application/json", b"{"), [3, 13]);
    // Nothing knows this type, so nothing reads the body.
    assert!(post("text/plain", b"a=x").is_empty());
}

#[test]
fn operators_compare() {
    for (operator, matching, other) in [
        ("@rx ^a.c$", "a%0ac", "xabc"),
        ("@contains bc", "abcd", "ab"),
        ("@containsWord bc", "a%20bc%20d", "abcd"),
        ("@beginsWith ab", "abc", "cab"),
        ("@endsWith bc", "abc", "bca"),
        ("@streq abc", "abc", "Abc"),
        ("@strmatch bc", "abcd", "ab"),
        ("@within abc,def", "bc", "x"),
        ("@within %{ARGS.o}", "th", "x"),
        ("@eq 5", "5", "6"),
        ("@ge 5", "5", "4"),
        ("@gt 5", "6", "5"),
        ("@le 5", "5", "6"),
        ("@lt 5", "4", "5"),
        ("@pm one two", "aTWOb", "three"),
        ("@pmFromFile words", "a%20SECRET", "words"),
        ("@pmFromDataset list", "a%20item", "words"),
        ("@ipMatch 192.0.2.0/24", "192.0.2.1", "192.0.3.1"),
        ("@ipMatchFromFile networks", "192.0.2.1", "192.0.3.1"),
        ("@ipMatchFromDataset nets", "10.1.1.1", "192.0.3.1"),
        ("@validateByteRange 32-126", "%01", "a"),
        ("@validateUrlEncoding", "%25zz", "%2541"),
        ("@validateUtf8Encoding", "%ff", "a"),
        ("@detectSQLi", "1%27%20or%20%271%27=%271", "hello"),
        ("@detectXSS", "%3Cscript%3E", "hello"),
        ("@verifyCC \\d{13,16}", "x4012888888881881", "4012888888881882"),
        ("@verifySSN \\d{3}-?\\d{2}-?\\d{4}", "078-05-1120", "000-05-1120"),
        ("@rx ^%{ARGS.o}$", "other", "x"),
        ("!@rx a", "b", "a"),
        ("!@eq 0", "1", "0"),
    ] {
        let rule = format!(
            "SecDataset list `\nitem\n`\nSecDataset nets `\n10.0.0.0/8\n`\nSecRule ARGS:a \"{operator}\" \"id:1,phase:1,pass\""
        );
        check(&rule, &get(&format!("/?o=other&a={matching}")), &[1]);
        check(&rule, &get(&format!("/?o=other&a={other}")), &[]);
    }
    check(
        "SecRule ARGS \"@unconditionalMatch\" \"id:1,phase:1,pass\"",
        &get("/?a"),
        &[1],
    );
    check("SecRule ARGS \"@noMatch\" \"id:1,phase:1,pass\"", &get("/?a"), &[]);
}

#[test]
fn transformations_run_in_order_after_the_last_none() {
    let rule = |list| format!("SecRule ARGS \"@streq ab\" \"id:1,phase:1,pass,{list}\"");
    check(&rule("t:lowercase,t:removeWhitespace"), &get("/?x=A%20B"), &[1]);
    check(&rule("t:lowercase,t:none,t:removeWhitespace"), &get("/?x=A%20B"), &[]);
    check(&rule("t:hexDecode,t:lowercase"), &get("/?x=4142"), &[1]);
    check(&rule("t:lowercase,t:hexDecode"), &get("/?x=4142"), &[]);
}

#[test]
fn multi_match_looks_at_every_step() {
    let rule = |operator, extra| {
        format!("SecRule ARGS \"@streq {operator}\" \"id:1,phase:1,pass,nolog,t:lowercase,t:removeWhitespace,setvar:tx.n=+1{extra}\"
            SecRule TX:n \"@ge 1\" \"id:2,phase:1,pass\"")
    };
    for (value, expected) in [("A B", [2].as_slice()), ("a b", &[2]), ("ab", &[2]), ("AB", &[])] {
        check(&rule(value, ",multiMatch"), &get("/?x=A%20B"), expected);
    }
    check(&rule("a b", ""), &get("/?x=A%20B"), &[]);
    check(&rule("ab", ""), &get("/?x=A%20B"), &[2]);
    // A step that changes nothing is not looked at again.
    let counts = "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,nolog,multiMatch,t:lowercase,t:urlDecode,setvar:tx.n=+1\"
        SecRule TX:n \"@eq 2\" \"id:2,phase:1,pass\"";
    check(counts, &get("/?x=A"), &[2]);
}

#[test]
fn chains_match_together_but_act_apart() {
    let rules = "SecRule ARGS:a \"@rx ^(.)(.)\" \"id:1,phase:1,deny,capture,setvar:tx.seen=1,chain\"
            SecRule TX:2 \"@streq y\" \"chain\"
            SecRule MATCHED_VARS \"@streq xy\" \"setvar:tx.all=1\"
        SecRule TX:seen \"@eq 1\" \"id:2,phase:1,pass\"
        SecRule &TX:all \"@eq 1\" \"id:3,phase:1,pass\"";
    let report = run(rules, &get("/?a=xy"));
    assert_eq!(ids(&report), [1]);
    assert_eq!(report.interruption.map(|interruption| interruption.status), Some(403));
    check(rules, &get("/?a=xz"), &[2]);
    check(rules, &get("/?a=x"), &[]);
    let status = "SecRule ARGS:a \"@streq x\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS:b \"@streq y\" \"status:410\"
        SecRule MATCHED_VAR|MATCHED_VAR_NAME \"@rx .\" \"id:2,phase:1,pass\"";
    assert_eq!(run(status, &get("/?a=x&b=y")).interruption.unwrap().status, 410);
    check(status, &get("/?a=x"), &[]);
}

#[test]
fn a_chain_sees_the_groups_of_the_last_value_that_matches() {
    let rules = "SecRule ARGS_NAMES|ARGS \"@rx ^([a-z])=([a-z])$\" \"id:1,phase:1,pass,capture,chain\"
            SecRule TX:1 \"@streq %{TX.2}\"";
    check(rules, &get("/?z=a%3db&y=none&a=x%3dx&m=none"), &[1]);
    check(rules, &get("/?a=x%3dx&y=none&z=a%3db&m=none"), &[]);
    check(rules, &get("/?z=x%3dx&x%3dy=none"), &[1]);
}

#[test]
fn each_step_sees_a_value_without_its_broken_characters() {
    let rules = "SecRule ARGS \"@rx union\" \"id:1,phase:1,pass,multiMatch,t:none,t:utf8toUnicode\"";
    check(rules, &get("/?a=uni%c0on"), &[1]);
    check(rules, &get("/?a=uni%2fon"), &[]);
}

#[test]
fn captures_stay_until_the_next_ones() {
    let rules = "SecRule ARGS:a \"@rx (a)(b)?(c)\" \"id:1,phase:1,pass,nolog,capture\"
        SecRule ARGS:a \"@rx (z)\" \"id:2,phase:1,pass,nolog,capture\"
        SecRule TX:0 \"@streq ac\" \"id:3,phase:1,pass\"
        SecRule TX:3 \"@streq c\" \"id:4,phase:1,pass\"
        SecRule &TX:2 \"@eq 0\" \"id:5,phase:1,pass\"
        SecRule ARGS:a \"@pm q ac\" \"id:6,phase:1,pass,nolog,capture\"
        SecRule &TX:3 \"@eq 0\" \"id:7,phase:1,pass\"
        SecRule ARGS:s \"@detectSQLi\" \"id:8,phase:1,pass,capture,logdata:'%{tx.0}'\"
        SecRule ARGS:a \"@rxGlobal [ac]\" \"id:9,phase:1,pass,nolog,capture\"
        SecRule TX:1 \"@streq c\" \"id:10,phase:1,pass\"";
    let report = run(rules, &get("/?a=xacq&s=1%27%20or%20%271%27=%271"));
    assert_eq!(ids(&report), [3, 4, 5, 7, 8, 10]);
    assert_eq!(report.matched[4].data, "s&sos");
}

#[test]
fn setvar_counts_and_expands() {
    let rules = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=5,setvar:tx.b=%{tx.A}0,setvar:tx.a=+%{tx.b},setvar:tx.c\"
        SecAction \"id:2,phase:1,pass,nolog,setvar:tx.a=-1,setvar:!tx.c,setvar:tx.%{REQUEST_METHOD}=x,setvar:tx.none=[%{tx.nothing}]\"
        SecRule TX:a \"@streq 54\" \"id:3,phase:1,pass\"
        SecRule TX:b \"@streq 50\" \"id:4,phase:1,pass\"
        SecRule &TX:c \"@eq 0\" \"id:5,phase:1,pass\"
        SecRule TX:get \"@streq x\" \"id:6,phase:1,pass\"
        SecRule TX:none \"@streq []\" \"id:7,phase:1,pass\"
        SecRule ARGS \"@rx .\" \"id:8,phase:1,pass,nolog,setvar:tx.n=+1\"
        SecRule TX:n \"@eq 2\" \"id:9,phase:1,pass\"
        SecRule RULE:id \"@streq 10\" \"id:10,phase:1,pass\"";
    check(rules, &get("/?x=1&y=2"), &[3, 4, 5, 6, 7, 9, 10]);
}

#[test]
fn exclusions_take_values_away() {
    let get = get("/?a=x&b=x&pass1=x");
    let rule = |targets| {
        format!(
            "SecRule {targets} \"@streq x\" \"id:1,phase:1,pass,nolog,setvar:tx.n=+1\"
        SecRule TX:n \"@eq 1\" \"id:2,phase:1,pass\""
        )
    };
    check(&rule("ARGS|!ARGS:A|!ARGS:/^PASS/"), &get, &[2]);
    check(&rule("ARGS|!ARGS:a"), &get, &[]);
    let by_ctl = |ctl| {
        format!(
            "SecAction \"id:9,phase:1,pass,nolog,ctl:{ctl}\"
            SecRule ARGS|ARGS_GET:b \"@streq x\" \"id:1,phase:1,pass,nolog,tag:'t/x',msg:'m',setvar:tx.n=+1\"
            SecRule TX:n \"@eq 1\" \"id:2,phase:1,pass\""
        )
    };
    check(&by_ctl("ruleRemoveTargetById=1;ARGS"), &get, &[2]);
    check(&by_ctl("ruleRemoveTargetByTag=t/x;ARGS"), &get, &[2]);
    check(&by_ctl("ruleRemoveTargetByMsg=m;ARGS"), &get, &[2]);
    check(&by_ctl("ruleRemoveTargetById=2;ARGS"), &get, &[]);
    let count = "SecAction \"id:9,phase:1,pass,nolog,ctl:ruleRemoveTargetById=1;ARGS\"
        SecRule &ARGS \"@eq 0\" \"id:1,phase:1,pass\"";
    check(count, &get, &[]);
}

#[test]
fn rules_are_removed_for_one_transaction() {
    for ctl in [
        "ruleRemoveById=1",
        "ruleRemoveById=1-2",
        "ruleRemoveByTag=t",
        "ruleRemoveByMsg=m",
    ] {
        let rules = format!(
            "SecRule ARGS:a \"@streq x\" \"id:9,phase:1,pass,nolog,ctl:{ctl}\"
            SecAction \"id:1,phase:2,pass,tag:t,msg:m\""
        );
        check(&rules, &get("/?a=x"), &[]);
        check(&rules, &get("/?a=y"), &[1]);
    }
}

#[test]
fn skips_leave_rules_out() {
    let rules = "SecRule ARGS:a \"@streq skip\" \"id:1,phase:1,pass,nolog,skip:1\"
        SecAction \"id:2,phase:1,pass\"
        SecRule ARGS:a \"@streq after\" \"id:3,phase:1,pass,nolog,skipAfter:END\"
        SecAction \"id:4,phase:1,pass\"
        SecAction \"id:5,phase:2,pass\"
        SecMarker END
        SecAction \"id:6,phase:1,pass\"";
    check(rules, &get("/?a=skip"), &[4, 6, 5]);
    check(rules, &get("/?a=after"), &[2, 6, 5]);
    check(rules, &get("/"), &[2, 4, 6, 5]);
}

#[test]
fn interruptions_say_what_is_to_be_done() {
    for (action, disruption, status) in [
        ("deny", Disruption::Deny, 403),
        ("deny,status:503", Disruption::Deny, 503),
        ("drop", Disruption::Drop, 403),
        (
            "redirect:'/login?to=%{REQUEST_URI}'",
            Disruption::Redirect(b"/login?to=/x".to_vec()),
            302,
        ),
        ("redirect:/,status:301", Disruption::Redirect(b"/".to_vec()), 301),
        ("redirect:/,status:403", Disruption::Redirect(b"/".to_vec()), 302),
    ] {
        let rules = format!(
            "SecAction \"id:1,phase:1,{action}\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"
            SecAction \"id:5,phase:5,pass\""
        );
        let report = run(&rules, &get("/x"));
        assert_eq!(ids(&report), [1, 5], "{action}");
        let interruption = report.interruption.unwrap();
        assert_eq!(
            (interruption.action, interruption.status),
            (disruption, status),
            "{action}"
        );
        assert_eq!(interruption.cause, Cause::Rule(Some(RuleId(1))));
        assert!(report.interrupted);
    }
}

#[test]
fn block_does_what_the_default_says() {
    let rules = |default| format!("SecDefaultAction \"{default}\"\nSecAction \"id:1,phase:1,block\"");
    assert_eq!(
        run(&rules("phase:1,log,deny,status:401"), &GET)
            .interruption
            .unwrap()
            .status,
        401
    );
    assert!(run(&rules("phase:1,log,pass"), &GET).interruption.is_none());
    assert!(run(&rules("phase:2,log,deny"), &GET).interruption.is_none());
}

#[test]
fn detection_interrupts_nothing_but_says_what_would() {
    let rules =
        "SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny,status:401\"\nSecAction \"id:2,phase:2,deny\"";
    let report = run(rules, &GET);
    assert_eq!(ids(&report), [1, 2]);
    assert!(!report.interrupted);
    assert_eq!(report.interruption.map(|interruption| interruption.status), Some(401));
    assert_eq!(report.matched[0].action, None);
}

#[test]
fn the_engine_can_be_switched_by_a_rule() {
    let rules = "SecRule ARGS:m \"@streq off\" \"id:1,phase:1,pass,nolog,ctl:ruleEngine=Off\"
        SecRule ARGS:m \"@streq detect\" \"id:2,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly\"
        SecAction \"id:3,phase:1,deny\"";
    check(rules, &get("/?m=off"), &[]);
    assert!(!run(rules, &get("/?m=detect")).interrupted);
    assert!(run(rules, &get("/")).interrupted);
}

#[test]
fn allow_lets_its_scope_pass() {
    let rules = |allow| {
        format!(
            "SecAction \"id:1,phase:1,{allow}\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"
        SecAction \"id:4,phase:3,pass\"\nSecAction \"id:5,phase:5,pass\""
        )
    };
    check(&rules("allow"), &GET, &[1, 5]);
    check(&rules("allow:request"), &GET, &[1, 4, 5]);
    check(&rules("allow:phase"), &GET, &[1, 3, 4, 5]);
}

#[test]
fn bodies_over_the_limit_are_cut_or_refused() {
    let rules = |action| {
        format!(
            "SecRequestBodyAccess On\nSecRequestBodyLimit 4\nSecRequestBodyLimitAction {action}
        SecRule ARGS:a \"@streq 12\" \"id:1,phase:2,pass\"\nSecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:2,pass\""
        )
    };
    let form = |body| Exchange {
        headers: FORM,
        body,
        ..GET
    };
    check(&rules("ProcessPartial"), &form(b"a=123"), &[1, 2]);
    check(&rules("Reject"), &form(b"a=12"), &[1]);
    let report = run(&rules("Reject"), &form(b"a=123"));
    let interruption = report.interruption.unwrap();
    assert_eq!(
        (interruption.status, interruption.cause),
        (413, Cause::RequestBodyLimit)
    );
    let response = |action| {
        format!("SecResponseBodyAccess On\nSecResponseBodyMimeType text/html\nSecResponseBodyLimit 4
        SecResponseBodyLimitAction {action}
        SecRule RESPONSE_BODY \"@streq 1234\" \"id:1,phase:4,pass\"\nSecRule OUTBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:4,pass\"")
    };
    let page = Exchange {
        response_body: b"12345",
        ..GET
    };
    check(&response("ProcessPartial"), &page, &[1, 2]);
    assert_eq!(run(&response("Reject"), &page).interruption.unwrap().status, 500);
    let unlisted = response("ProcessPartial").replace("SecResponseBodyMimeType text/html", "");
    check(&unlisted, &page, &[1, 2]);
    let picture = Exchange {
        response_headers: &[("Content-Type", "image/png")],
        ..page
    };
    check(&response("Reject"), &picture, &[]);
}

#[test]
fn limits_of_arguments_and_of_what_is_no_file_hold() {
    let rules = "SecRequestBodyAccess On\nSecArgumentsLimit 2\nSecRequestBodyNoFilesLimit 9
        SecRule &ARGS \"@eq 2\" \"id:1,phase:2,pass\"\nSecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,pass\"";
    let form = |uri, body| Exchange {
        uri,
        headers: FORM,
        body,
        ..GET
    };
    check(rules, &form("/?a=1", b"b=2"), &[1]);
    check(rules, &form("/?a=1", b"b=2&c=3"), &[1, 2]);
    check(rules, &form("/", b"b=123456&c=1"), &[1, 2]);
}

#[test]
fn forced_bodies_are_seen() {
    let rules = "SecRequestBodyAccess On
        SecRule REQUEST_METHOD \"@streq POST\" \"id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"
        SecRule REQUEST_BODY \"@streq x\" \"id:2,phase:2,pass\"";
    let plain = Exchange {
        headers: &[("Content-Type", "text/plain")],
        body: b"x",
        ..GET
    };
    check(rules, &plain, &[]);
    check(
        rules,
        &Exchange {
            method: "POST",
            ..plain
        },
        &[2],
    );
}

#[test]
fn events_say_what_matched() {
    let rules = "SecRule ARGS:a \"@rx (e)v\" \"id:1,phase:1,deny,capture,t:lowercase,severity:CRITICAL,rev:2,ver:v/1,maturity:3,\
        accuracy:4,msg:'found %{tx.1} in %{MATCHED_VAR_NAME}',logdata:'%{MATCHED_VAR}',tag:one,tag:'two/%{REQUEST_METHOD}'\"
        SecRule HIGHEST_SEVERITY \"@eq 2\" \"id:2,phase:5,pass,nolog,auditlog\"";
    let report = run(rules, &get("/?a=EV%22%0a"));
    let event = &report.matched[0];
    assert_eq!(event.message, "found e in ARGS:a");
    assert_eq!(event.data, r#"ev"\x0a"#);
    assert_eq!(
        (event.variable.as_str(), event.value.as_str()),
        ("ARGS:a", r#"EV"\x0a"#)
    );
    assert_eq!(event.tags, ["one", "two/GET"]);
    assert_eq!(event.operator, "@rx (e)v");
    assert_eq!(event.action, Some("deny"));
    assert_eq!(
        event.to_string(),
        "Access denied with code 403 (phase 1). Matched \"Operator `Rx' with parameter `(e)v' against variable `ARGS:a' \
         (Value: `EV\\\"\\x0a' ) [file \"\"] [line \"0\"] [id \"1\"] [rev \"2\"] [msg \"found e in ARGS:a\"] [data \"ev\\\"\\x0a\"] \
         [severity \"2\"] [ver \"v/1\"] [maturity \"3\"] [accuracy \"4\"] [tag \"one\"] [tag \"two/GET\"]"
    );
    let audited = &report.matched[1];
    assert!(event.log && event.audit && !audited.log && audited.audit);
}

#[test]
fn macros_in_patterns_are_bounded() {
    let rules = "SecRule ARGS:a \"@rx ^%{ARGS.p}$\" \"id:1,phase:1,pass\"";
    check(rules, &get("/?a=xx&p=x%2b"), &[1]);
    check(rules, &get("/?a=(&p=("), &[]);
    let long = format!("/?a=x&p={}", "x?".repeat(600));
    check(rules, &get(&long), &[]);
}

#[test]
fn work_has_a_limit() {
    let storing =
        "SecRequestBodyLimitAction ACTION\nSecAction \"id:1,phase:1,pass,nolog,setvar:tx.big=%{ARGS.a}%{ARGS.a}\"
        SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,setvar:tx.%{MATCHED_VAR_NAME}=%{tx.big}%{tx.big}\"
        SecRule TX:MSC_PCRE_LIMITS_EXCEEDED \"@eq 1\" \"id:3,phase:1,pass\"
        SecRule ARGS:a \"@rx x\" \"id:4,phase:1,pass\"";
    let uri = format!("/?a={}{}", "x".repeat(30_000), "&b=1".repeat(200));
    let report = run(&storing.replace("ACTION", "ProcessPartial"), &get(&uri));
    assert_eq!(ids(&report), [3]);
    let report = run(&storing.replace("ACTION", "Reject"), &get(&uri));
    assert_eq!(report.interruption.unwrap().cause, Cause::WorkLimit);
}

#[test]
fn what_cannot_be_run_is_refused() {
    for (rules, kind) in [
        ("SecRule ARGS \"@fuzzyHash x\" \"id:1\"", Kind::Unsupported),
        ("SecRule ARGS \"@rsub s/a/b/\" \"id:1\"", Kind::Unsupported),
        ("SecRule ENV:PATH \"@rx x\" \"id:1\"", Kind::Unsupported),
        ("SecRule XML:/a/b \"@rx x\" \"id:1\"", Kind::Unsupported),
        ("SecAction \"id:1,proxy:'http://x'\"", Kind::Unsupported),
        ("SecRule ARGS \"@rx (?=a)\" \"id:1\"", Kind::InvalidPattern),
        ("SecRule ARGS:/(?=a)/ \"@rx a\" \"id:1\"", Kind::InvalidPattern),
        ("SecRule ARGS \"@pmFromFile absent\" \"id:1\"", Kind::MissingFile),
        ("SecRule ARGS \"@pmFromDataset absent\" \"id:1\"", Kind::MissingFile),
        ("SecMarker X\nSecAction \"id:1,skipAfter:X\"", Kind::MissingMarker),
        ("SecAction \"id:1\"\nSecAction \"id:1\"", Kind::DuplicateId),
    ] {
        assert_eq!(compile(rules).err(), Some(vec![kind]), "{rules}");
    }
}
