//! What a transaction says to those who read logs: golden texts in the form of libmodsecurity 3.0.15, whose own output for such
//! rules they were compared with, and the bounds of all of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test states what must hold by unwrapping it"
)]

use std::sync::Arc;
use std::time::Duration;

use coraza_engine::transaction::{Connection, Identity, Report, RequestLine, Transaction, states};
use coraza_engine::{AnomalyScores, Options, Program, Source};
use coraza_seclang::{lower, parse};
use serde_json::Value;

const SETUP: &str = r#"SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecComponentSignature "OWASP_CRS/4.25.0"
SecSensorId sensor-1
SecAuditEngine RelevantOnly
SecAuditLogFormat JSON
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecAuditLogParts ABCEFHJZ
"#;

const RULES: &str = r#"SecRule ARGS "@rx a(b+)" "id:1,phase:2,pass,msg:'first %{MATCHED_VAR}',logdata:'data %{TX.1}',severity:CRITICAL,\
    tag:'x/y',tag:'is %{MATCHED_VAR_NAME}',rev:3,ver:'V/1',maturity:5,accuracy:7,capture,t:lowercase"

SecRule ARGS:x "@rx z" "id:2,phase:2,pass,chain"
    SecRule REQUEST_METHOD "@streq POST"
SecRule REQUEST_HEADERS:X-Q "@contains q" "id:3,phase:1,pass,nolog,auditlog"
SecAction "id:4,phase:2,pass,noauditlog,msg:'act'"
SecRule ARGS "@detectSQLi" "id:5,phase:2,pass,setvar:tx.inbound_anomaly_score_pl1=+5"
SecRule ARGS:deny "!@rx ^no$" "id:6,phase:2,deny,status:405,msg:'denied \"it\"',logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
SecRule RESPONSE_BODY "@contains away" "id:7,phase:4,redirect:'http://e/',msg:'redirected'"
"#;

fn program(rules: &str) -> Arc<Program> {
    let texts = [SETUP, rules];
    let parsed = texts.map(|text| Arc::new(parse(text.as_bytes())));
    let (rules, diagnostics) = lower(&parsed);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let sources = ["setup.conf", "rules.conf"].into_iter().zip(texts);
    let sources: Vec<_> = sources.map(|(name, text)| Source::new(name, text.as_bytes())).collect();
    let options = Options {
        sources: &sources,
        ..Options::default()
    };
    Arc::new(Program::compile(&rules, &options).unwrap())
}

/// A form, and the answer to it.
struct Exchange<'a> {
    uri: &'a str,
    body: &'a [u8],
    status: u16,
    answer: &'a [u8],
}

const PLAIN: Exchange<'_> = Exchange {
    uri: "/p?d=1",
    body: b"",
    status: 200,
    answer: b"fine",
};

fn run(program: &Arc<Program>, exchange: &Exchange<'_>) -> Report {
    finish(program, exchange).unwrap_or_else(|ended| ended).log()
}

type Ended = Transaction<states::Logging>;

fn finish(program: &Arc<Program>, exchange: &Exchange<'_>) -> Result<Ended, Ended> {
    let connection = Connection {
        client_address: b"10.0.0.1",
        client_port: 1234,
        server_address: b"10.0.0.2",
        server_port: 80,
    };
    let identity = Identity {
        unique_id: b"id-1",
        started: Duration::from_secs(1_795_993_605),
    };
    let line = RequestLine {
        method: b"POST",
        uri: exchange.uri.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers: [(&[u8], &[u8]); 5] = [
        (b"Host", b"example.com"),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"X-Q", b"q\"z\x01\xff"),
        (b"X-Dup", b"1"),
        (b"X-Dup", b"2"),
    ];
    let transaction = Transaction::new(program, &connection, &identity);
    let request = transaction.request_headers(&line, headers);
    let request = request.and_then(|request| request.append(exchange.body));
    let response = request.and_then(Transaction::<states::RequestBody>::request_body);
    let headers: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/html")];
    let response = response.and_then(|response| response.response_headers(exchange.status, b"HTTP/1.1", headers));
    let response = response.and_then(|response| response.append(exchange.answer));
    let ended = response.and_then(Transaction::<states::ResponseBody>::response_body);
    ended.map_err(|interrupted| interrupted.transaction)
}

fn log(report: &Report) -> String {
    report.error_log().map(|(_, line)| line + "\n").collect()
}

fn audit(report: &Report) -> String {
    let record: Value = serde_json::from_str(report.audit_log.as_ref().unwrap()).unwrap();
    // Names keep their order, and a name that stands twice is one here: this is for reading, the text is compared elsewhere.
    serde_json::to_string_pretty(&record).unwrap()
}

#[test]
fn matches_are_told_in_modsecuritys_form() {
    let program = program(RULES);
    let attack = Exchange {
        uri: "/p?y=1'+or+'1'='1&a=xABBB&x=z%22",
        body: b"c=\x01\xff%ffab",
        ..PLAIN
    };
    let report = run(&program, &attack);
    insta::assert_snapshot!("error_log_warnings", log(&report));
    insta::assert_snapshot!("audit_log_warnings", audit(&report));
    assert_eq!(
        report.anomaly_scores,
        AnomalyScores {
            inbound: Some(5),
            outbound: None
        }
    );
    let sqli = report
        .matched
        .iter()
        .find(|rule| rule.id.is_some_and(|id| id.0 == 5))
        .unwrap();
    assert_eq!(sqli.scores, report.anomaly_scores, "the match's own points are counted");
    assert_eq!((&*sqli.file, sqli.line), ("rules.conf", 8));

    let denied = run(
        &program,
        &Exchange {
            uri: "/p?deny=yes%22%5d",
            ..PLAIN
        },
    );
    insta::assert_snapshot!("error_log_denied", log(&denied));
    let redirected = run(
        &program,
        &Exchange {
            answer: b"go away",
            ..PLAIN
        },
    );
    insta::assert_snapshot!("error_log_redirected", log(&redirected));
    insta::assert_snapshot!("audit_log_redirected", audit(&redirected));
}

/// The text itself: one line, names in libmodsecurity's order, and headers that came twice.
#[test]
fn a_record_has_the_shape_that_programs_know() {
    let report = run(
        &program(RULES),
        &Exchange {
            body: b"c=1",
            status: 503,
            ..PLAIN
        },
    );
    let record = report.audit_log.unwrap();
    assert!(!record.contains('\n'));
    let names = [
        "{\"transaction\":{\"client_ip\":\"10.0.0.1\",\"time_stamp\":\"Sun Nov 29 23:06:45 2026\",\"server_id\":\"sensor-1\"",
        ",\"client_port\":1234,\"host_ip\":\"10.0.0.2\",\"host_port\":80,\"unique_id\":\"id-1\",\"is_interrupted\":false",
        ",\"request\":{\"method\":\"POST\",\"http_version\":\"1.1\",\"hostname\":\"example.com\",\"uri\":\"/p?d=1\",\"body\":\"c=1\"",
        ",\"headers\":{\"Host\":\"example.com\",\"Content-Type\":\"application/x-www-form-urlencoded\",\"X-Q\":\"q\\\"z\\\\x01\\\\xff\"",
        ",\"X-Dup\":\"1\",\"X-Dup\":\"2\"}},\"response\":{\"body\":\"fine\",\"http_code\":503,\"headers\":{\"Content-Type\":\"text/html\"}}",
        ",\"uploads\":{\"info\":[],\"total\":0},\"producer\":{",
        "},\"messages\":[{\"message\":\"\",\"details\":{\"match\":\"Matched \\\"Operator `Contains' with parameter `q' against",
    ];
    let mut rest = record.as_str();
    for name in names {
        let at = rest.find(name).unwrap_or_else(|| panic!("{name} isn't in {rest}"));
        rest = rest.get(at + name.len()..).unwrap();
    }
}

#[test]
fn parts_are_honoured() {
    let record = |parts: &str| {
        let rules = format!("{RULES}SecAuditLogParts {parts}");
        let report = run(&program(&rules), &Exchange { body: b"c=1", ..PLAIN });
        let record: Value = serde_json::from_str(&report.audit_log.unwrap()).unwrap();
        record["transaction"].clone()
    };
    let places = [
        ('B', "/request/headers"),
        ('C', "/request/body"),
        ('I', "/request/body"),
        ('E', "/response/body"),
        ('F', "/response/headers"),
        ('H', "/producer"),
        ('H', "/messages"),
        ('J', "/uploads"),
    ];
    for (part, place) in places {
        assert!(record("AZ").pointer(place).is_none(), "{place}");
        assert!(record(&format!("A{part}Z")).pointer(place).is_some(), "{part}: {place}");
    }
}

/// Each case: rules after the others, the answer's status, and whether the transaction belongs in the log.
#[test]
fn only_what_is_relevant_is_audited() {
    let quiet = "SecRuleRemoveById 1-7\n";
    let cases = [
        ("", 200, false),
        ("", 404, false),
        ("", 403, true),
        ("", 500, true),
        ("SecAuditEngine On", 200, true),
        ("SecAuditEngine Off", 500, false),
        ("SecAction \"id:10,phase:5,pass,nolog,auditlog\"", 200, true),
        ("SecAction \"id:10,phase:5,pass,noauditlog\"", 200, false),
        ("SecAction \"id:10,phase:5,pass,nolog,ctl:auditEngine=On\"", 200, true),
        ("SecAction \"id:10,phase:1,pass,nolog,ctl:auditEngine=Off\"", 500, false),
        ("SecAction \"id:10,phase:1,deny,noauditlog,status:403\"", 200, true),
        ("SecAction \"id:10,phase:1,deny,noauditlog,status:404\"", 200, false),
    ];
    for (rules, status, expected) in cases {
        let report = run(
            &program(&format!("{RULES}{quiet}{rules}")),
            &Exchange { status, ..PLAIN },
        );
        assert_eq!(report.audit_log.is_some(), expected, "{rules} {status}");
    }
}

/// An interruption without a rule is told as well: nobody should have to guess why a request was refused.
#[test]
fn limits_are_told_like_matches() {
    let rules = "SecRequestBodyLimit 10\nSecAuditEngine RelevantOnly";
    let report = run(
        &program(rules),
        &Exchange {
            body: &[b'a'; 11],
            ..PLAIN
        },
    );
    insta::assert_snapshot!("error_log_limit", log(&report));
    let record: Value = serde_json::from_str(&report.audit_log.unwrap()).unwrap();
    let message = record
        .pointer("/transaction/messages/0/message")
        .and_then(Value::as_str);
    let expected = "Access denied with code 413 (phase 2). Request body is larger than the configured limit.";
    assert_eq!(message, Some(expected));
}

/// However much a client sends, lines stay lines.
#[test]
fn sizes_are_bounded() {
    let rules = "SecRequestBodyLimit 10000000
        SecAuditEngine On
        SecRule ARGS|REQUEST_HEADERS \"@rx .\" \"id:1,phase:2,pass,msg:'%{MATCHED_VAR}',logdata:'%{MATCHED_VAR}',\
            tag:'%{MATCHED_VAR}'\"";
    let many: String = (10..3000)
        .map(|id| format!("\nSecAction \"id:{id},phase:2,pass\""))
        .collect();
    let program = program(&(rules.to_owned() + &many));
    let body = [b"a=".as_slice(), &[0; 5_000_000]].concat();
    let report = run(
        &program,
        &Exchange {
            body: &body,
            answer: &body,
            ..PLAIN
        },
    );
    assert_eq!((report.matched.len(), report.forgotten), (1024, 1967));
    let longest = report.error_log().map(|(_, line)| line.len()).max().unwrap();
    assert!(longest < 5_000, "{longest}");
    // Each byte of a body takes up to five characters.
    let record = report.audit_log.unwrap().len();
    assert!(record < 6 * (64 << 10), "{record}");
}
