//! Everything on the wire is an attack: what malformed, conflicting and oversized input does, and that the engine never looks away
//! silently. Each case says which variables tell the rules, or what interrupts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Report, RequestLine, Transaction, states};
use coraza_engine::{Cause, Options, Program};
use coraza_seclang::{lower, parse};

/// A rule for each variable that tells of trouble, under the number of the cases below, and one that finds the attack.
const RULES: &str = r#"SecRequestBodyAccess On
SecResponseBodyAccess On
SecRequestBodyLimit 100000
SecRequestBodyNoFilesLimit 50000
SecArgumentsLimit 100
SecUploadFileLimit 2
SecRequestBodyJsonDepthLimit 20
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:100,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON,ctl:responseBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:101,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQBODY_ERROR "@eq 1" "id:1,phase:2,pass"
SecRule URLENCODED_ERROR "@eq 1" "id:2,phase:2,pass"
SecRule MULTIPART_STRICT_ERROR "@eq 1" "id:3,phase:2,pass"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:4,phase:2,pass"
SecRule INBOUND_DATA_ERROR "@eq 1" "id:5,phase:2,pass"
SecRule ARGS|ARGS_NAMES "@validateUtf8Encoding" "id:6,phase:2,pass"
SecRule &REQUEST_HEADERS:Content-Type|&REQUEST_HEADERS:Content-Length|&REQUEST_HEADERS:Host "@gt 1" "id:7,phase:2,pass"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|FILES|XML:/*|XML://@* "@contains attack" "id:10,phase:2,pass"
SecRule RES_BODY_ERROR "@eq 1" "id:8,phase:4,pass"
SecRule OUTBOUND_DATA_ERROR "@eq 1" "id:9,phase:4,pass"
SecRule MSC_PCRE_ERROR "@eq 1" "id:11,phase:5,pass"
SecRule TX:MSC_PCRE_LIMITS_EXCEEDED "@eq 1" "id:12,phase:5,pass"
"#;

const BODY: u64 = 1;
const ESCAPE: u64 = 2;
const STRICT: u64 = 3;
const BOUNDARY: u64 = 4;
const CUT: u64 = 5;
const UTF8: u64 = 6;
const TWICE: u64 = 7;
const ANSWER: u64 = 8;
const ANSWER_CUT: u64 = 9;
const ATTACK: u64 = 10;
const PATTERN: u64 = 11;
const WORK: u64 = 12;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=0");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const XML: (&str, &str) = ("Content-Type", "text/xml");

fn program(more: &str) -> Arc<Program> {
    let rules = format!("{RULES}{more}");
    let (rules, diagnostics) = lower(&[Arc::new(parse(rules.as_bytes()))]);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    Arc::new(Program::compile(&rules, &Options::default()).unwrap())
}

type Ended = Transaction<states::Logging>;

fn finish(
    program: &Arc<Program>,
    uri: &[u8],
    headers: &[(&str, &str)],
    body: &[u8],
    answer: &[u8],
) -> Result<Ended, Ended> {
    let line = RequestLine {
        method: b"POST",
        uri,
        protocol: b"HTTP/1.1",
    };
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let transaction = Transaction::new(program, &Connection::default(), &Identity::default());
    let request = transaction.request_headers(&line, headers);
    let request = request.and_then(|request| request.append(body));
    let response = request.and_then(Transaction::<states::RequestBody>::request_body);
    let headers = [(&b"Content-Type"[..], &b"text/html"[..])];
    let response = response.and_then(|response| response.response_headers(200, b"HTTP/1.1", headers));
    let response = response.and_then(|response| response.append(answer));
    let ended = response.and_then(Transaction::<states::ResponseBody>::response_body);
    ended.map_err(|interrupted| interrupted.transaction)
}

fn run(program: &Arc<Program>, uri: &[u8], headers: &[(&str, &str)], body: &[u8]) -> Report {
    finish(program, uri, headers, body, b"{}")
        .unwrap_or_else(|ended| ended)
        .log()
}

fn ids(report: &Report) -> Vec<u64> {
    let mut ids: Vec<_> = report.matched.iter().filter_map(|rule| Some(rule.id?.0)).collect();
    ids.sort_unstable();
    ids
}

/// Asserts what a body of each kind tells.
fn check(program: &Arc<Program>, headers: &[(&str, &str)], cases: &[(&[u8], &[u64])]) {
    for (body, expected) in cases {
        let shown = body.get(..200).unwrap_or(body).escape_ascii();
        assert_eq!(
            ids(&run(program, b"/", headers, body)),
            *expected,
            "{headers:?} {shown}"
        );
    }
}

#[test]
fn malformed_percent_encoding_is_told_and_read_all_the_same() {
    let program = program("");
    let cases: [(&[u8], &[u64]); 7] = [
        (b"a=%zzattack", &[ESCAPE, ATTACK]),
        (b"%=attack", &[ESCAPE, ATTACK]),
        (b"a=%4&b=attack", &[ESCAPE, ATTACK]),
        (b"a=%%61ttack", &[ESCAPE, ATTACK]),
        (b"a=%61ttack", &[ATTACK]),
        (b"&&&=&attack&%61ttack==", &[ATTACK]),
        (b"a=%u0061ttack", &[ESCAPE]),
    ];
    check(&program, &[FORM], &cases);
    for (query, expected) in cases {
        let uri = [b"/?", query].concat();
        assert_eq!(
            ids(&run(&program, &uri, &[], b"")),
            expected,
            "{}",
            query.escape_ascii()
        );
    }
}

#[test]
fn overlong_and_broken_utf8_is_told() {
    let cases: [(&[u8], &[u64]); 6] = [
        (b"a=%c0%af", &[UTF8]),
        (b"a=%e0%80%af", &[UTF8]),
        (b"a=\xf8\x80\x80\x80\x80", &[UTF8]),
        (b"a=%ed%a0%80attack", &[UTF8, ATTACK]),
        (b"a=%f4%90%80%80", &[UTF8]),
        (b"a=%c3%a4", &[]),
    ];
    check(&program(""), &[FORM], &cases);
}

#[test]
fn nul_bytes_hide_nothing() {
    let program = program("");
    let cases: [(&[u8], &[u64]); 2] = [(b"a=\0attack", &[ATTACK]), (b"a%00=b&c=x%00attack", &[ATTACK])];
    check(&program, &[FORM], &cases);
    check(&program, &[JSON], &[(b"{\"a\\u0000b\":\"x\\u0000attack\"}", &[ATTACK])]);
    let cookie = [("Cookie", "a=x\0attack")];
    assert_eq!(ids(&run(&program, b"/", &cookie, b"")), [ATTACK]);
    assert_eq!(ids(&run(&program, b"/\0?\0=attack", &[], b"")), [ATTACK]);
}

/// Some of the hundred ways. Whatever can be read is read; that something is wrong is told by one variable at least.
#[test]
fn invalid_multipart_is_told() {
    let program = program("");
    let told = |content_type: &str, body: &str| {
        let told = ids(&run(&program, b"/", &[("Content-Type", content_type)], body.as_bytes()));
        let wrong = told.iter().any(|id| [BODY, STRICT, BOUNDARY].contains(id));
        (wrong, told.contains(&ATTACK))
    };
    let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\nattack\r\n";
    let good = format!("--0\r\n{part}--0--\r\n");
    assert_eq!(told(MULTIPART.1, &good), (false, true));
    let headers = |headers: &str| format!("--0\r\n{headers}\r\n\r\nattack\r\n--0--\r\n");
    let cases = [
        ("x".to_owned(), false),
        (format!("--0\r\n{part}"), true),
        (format!("--0\r\n{part}--0"), true),
        (format!("before\r\n{good}"), true),
        (format!("{good}after"), true),
        (good.replace('\r', ""), true),
        (good.replacen("\r\n", "\n", 1), true),
        (format!("--0\r\n{part}--0\0\r\n{part}--0--\r\n"), true),
        (headers("Content-Disposition: form-data"), false),
        (headers("Content-Disposition: form-data; name='a'"), true),
        (headers("Content-Disposition: form-data; name=\"a"), false),
        (headers("Content-Disposition: form-data; name=a; name=b"), false),
        (headers("Content-Disposition: attachment; name=a"), false),
        (
            headers("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"),
            true,
        ),
        (headers("X: y"), false),
        (headers(": y"), false),
        (headers("Content-Disposition form-data; name=a"), false),
    ];
    for (body, readable) in &cases {
        let (wrong, found) = told(MULTIPART.1, body);
        assert!(wrong, "{body:?} is taken for a form");
        assert!(found || !readable, "{body:?}: the attack isn't seen");
    }
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"0",
        "multipart/form-data; boundary=0; boundary=1",
        "multipart/form-data boundary=0",
    ] {
        assert!(told(content_type, &good).0, "{content_type}");
    }
    let file = "--0\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nx\r\n";
    assert!(
        told(MULTIPART.1, &format!("{}--0--\r\n", file.repeat(3))).0,
        "more files than the limit"
    );
}

/// A server may take either of two headers, so rules see both, and the body is read as any of them asks.
#[test]
fn conflicting_headers_are_all_seen() {
    let program = program("");
    let twice = |first: &str, second: &str| {
        let headers = [("Content-Type", first), ("Content-Type", second)];
        ids(&run(&program, b"/", &headers, b"a=attack"))
    };
    assert_eq!(twice("text/plain", FORM.1), [TWICE, ATTACK]);
    assert_eq!(twice(FORM.1, "text/plain"), [TWICE, ATTACK]);
    let multipart = b"--0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nattack\r\n--0--\r\n";
    let headers = [("Content-Type", "text/plain"), MULTIPART];
    assert_eq!(ids(&run(&program, b"/", &headers, multipart)), [TWICE, ATTACK]);
    let lengths = [
        ("Content-Length", "1"),
        ("Content-Length", "99999999999999999999999999"),
        ("Host", "a"),
        ("Host", "b"),
    ];
    assert_eq!(ids(&run(&program, b"/", &lengths, b"")), [TWICE]);
}

#[test]
fn cookies_have_no_end_and_no_escape() {
    let program = program("");
    let many = "a=b; ".repeat(20_000) + "c=attack";
    assert_eq!(ids(&run(&program, b"/", &[("Cookie", &many)], b"")), [ATTACK]);
    let headers = [("Cookie", "a=b"), ("cookie", "c=attack")];
    assert_eq!(ids(&run(&program, b"/", &headers, b"")), [ATTACK]);
}

#[test]
fn huge_numbers_are_numbers() {
    let rules =
        "SecRule ARGS:n \"@gt 1000\" \"id:20,phase:2,pass\"\nSecRule ARGS:n \"@lt -1000\" \"id:21,phase:2,pass\"";
    let program = program(rules);
    let huge = "9".repeat(5_000);
    assert_eq!(ids(&run(&program, format!("/?n={huge}").as_bytes(), &[], b"")), [20]);
    assert_eq!(ids(&run(&program, format!("/?n=-{huge}").as_bytes(), &[], b"")), [21]);
}

#[test]
fn xml_bombs_go_off_nowhere() {
    let program = program("");
    let entities = b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"attack\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>";
    let deep = "<a>".repeat(5_000) + "attack";
    let cases: [(&[u8], &[u64]); 4] = [
        (entities, &[BODY]),
        (deep.as_bytes(), &[BODY]),
        (b"<a b='attack'><c>", &[BODY, ATTACK]),
        (b"<a>attack</b>", &[BODY, ATTACK]),
    ];
    check(&program, &[XML], &cases);
}

#[test]
fn json_bombs_go_off_nowhere() {
    let program = program("");
    let deep = "[".repeat(10_000);
    let wide = format!("[{}\"attack\"]", "1,".repeat(10_000));
    let twice = "{\"a\":\"x\",\"a\":\"attack\"}";
    let cases: [(&[u8], &[u64]); 6] = [
        (deep.as_bytes(), &[BODY]),
        (wide.as_bytes(), &[BODY]),
        (twice.as_bytes(), &[ATTACK]),
        (b"{\"a\":\"attack\"", &[BODY, ATTACK]),
        (b"{\"a\":\"attack\"} x", &[BODY, ATTACK]),
        (b"{\"a\":\"\\ud800attack\"}", &[ATTACK]),
    ];
    for (body, expected) in cases {
        let told = ids(&run(&program, b"/", &[JSON], body));
        let shown = body.get(..80).unwrap_or(body).escape_ascii();
        assert!(expected.iter().all(|id| told.contains(id)), "{shown}: {told:?}");
    }
    let headers = [JSON];
    let report = finish(&program, b"/", &headers, b"", deep.as_bytes());
    assert!(
        ids(&report.unwrap().log()).contains(&ANSWER),
        "the response is read by the same limits"
    );
}

#[test]
fn gigantic_keys_are_keys() {
    let program = program("");
    let key = "k".repeat(40_000) + "attack";
    check(&program, &[FORM], &[(format!("{key}=1").as_bytes(), &[ATTACK])]);
    check(&program, &[JSON], &[(format!("{{\"{key}\":1}}").as_bytes(), &[ATTACK])]);
}

/// What comes after the hundredth argument isn't seen, so the rules must know that there was more.
#[test]
fn arguments_beyond_the_limit_are_told() {
    let program = program("");
    let many = "a=b&".repeat(100) + "c=attack";
    check(&program, &[FORM], &[(many.as_bytes(), &[BODY])]);
    let uri = format!("/?{many}");
    assert_eq!(
        ids(&run(&program, uri.as_bytes(), &[], b"")),
        [BODY],
        "in the query too"
    );
    let both = ids(&run(
        &program,
        format!("/?{}", "a=b&".repeat(60)).as_bytes(),
        &[FORM],
        &many.as_bytes()[..200],
    ));
    assert_eq!(both, [BODY], "both together");
}

#[test]
fn bodies_beyond_their_limits_are_told_or_refused() {
    let large = [&b"a="[..], &[b'x'; 60_000]].concat();
    check(&program(""), &[FORM], &[(&large, &[BODY])]);
    let larger = [&b"a=attack"[..], &[b'x'; 100_000]].concat();
    let refused = run(&program(""), b"/", &[FORM], &larger);
    let interruption = refused.interruption.unwrap();
    assert!(refused.interrupted);
    assert_eq!(
        (interruption.cause, interruption.status),
        (Cause::RequestBodyLimit, 413)
    );
    let partial = program("SecRequestBodyLimitAction ProcessPartial\nSecRequestBodyNoFilesLimit 1000000");
    check(&partial, &[FORM], &[(&larger, &[CUT, ATTACK])]);
    let answer = vec![b'x'; 1 << 20];
    let report = finish(&program(""), b"/", &[], b"", &answer).unwrap().log();
    assert_eq!(ids(&report), [ANSWER_CUT]);
    let reject = program("SecResponseBodyLimitAction Reject");
    let report = finish(&reject, b"/", &[], b"", &answer).unwrap_err().log();
    assert_eq!(report.interruption.unwrap().status, 500);
}

/// A pattern that a request makes invalid or too large matches nothing: that is told, since the rule didn't do its work.
#[test]
fn patterns_that_a_request_breaks_are_told() {
    let program = program("SecRule ARGS:v \"@rx ^%{ARGS.p}$\" \"id:20,phase:2,pass,nolog\"");
    for (pattern, expected) in [
        ("x%2b", &[][..]),
        ("(", &[PATTERN]),
        ("(%3f=x)", &[PATTERN]),
        ("x{900}{900}", &[PATTERN]),
    ] {
        let uri = format!("/?v=x&p={pattern}");
        assert_eq!(ids(&run(&program, uri.as_bytes(), &[], b"")), expected, "{pattern}");
    }
    let long = format!("/?v=x&p={}", "x".repeat(2_000));
    assert_eq!(ids(&run(&program, long.as_bytes(), &[], b"")), [PATTERN]);
}

/// A rule that stores each cookie compares each name with all others: that is work too, and ends like any other.
#[test]
fn what_a_client_makes_rules_store_is_work() {
    let rules = "SecRequestBodyLimitAction ProcessPartial
        SecRule REQUEST_COOKIES \"@rx .\" \"id:20,phase:1,pass,nolog,setvar:tx.%{MATCHED_VAR_NAME}=1\"";
    let cookies = |count: usize| (0..count).map(|number| format!("c{number}=1; ")).collect::<String>();
    let report = |count| run(&program(rules), b"/", &[("Cookie", &cookies(count))], b"");
    let (once, twice) = (report(500), report(1_000));
    assert!(twice.work > 3 * once.work, "{} and {}", once.work, twice.work);
    assert!(!twice.exceeded && ids(&twice).is_empty());
}

/// A text that macros make is cut at a limit; a rule that looks at it afterwards doesn't see the rest.
#[test]
fn texts_that_are_cut_are_told() {
    let rules = "SecRule ARGS:a \"@rx .\" \"id:20,phase:1,pass,nolog,setvar:tx.copy=%{MATCHED_VAR}\"
        SecRule TX:copy \"@contains attack\" \"id:21,phase:1,pass\"";
    let uri = format!("/?a={}attack", "x".repeat(70_000));
    let partial = program(&format!("SecRequestBodyLimitAction ProcessPartial\n{rules}"));
    let report = run(&partial, uri.as_bytes(), &[], b"");
    assert_eq!(ids(&report), [ATTACK, WORK]);
    let (_, told) = report.error_log().last().unwrap();
    assert!(told.contains("The rules reached the limit of their work"), "{told}");
    let report = run(&program(rules), uri.as_bytes(), &[], b"");
    assert_eq!(
        report.interruption.map(|interruption| interruption.cause),
        Some(Cause::WorkLimit)
    );
    let short = format!("/?a={}attack", "x".repeat(60_000));
    assert_eq!(ids(&run(&program(rules), short.as_bytes(), &[], b"")), [ATTACK, 21]);
}
