//! Each name of the language does something: for every directive, action, `ctl`, variable, operator and transformation there is a case whose
//! verdict changes when what the name stands for is taken out, or a row of `DEVIATIONS.md` that says why there is nothing to take out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Options, Program};
use coraza_seclang::rules::{ActionName, CtlName, DirectiveName, OperatorName, Transformation, Variable};
use coraza_seclang::{Severity, lower, parse};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vocabulary {
    operators: BTreeMap<String, [String; 3]>,
    transformations: BTreeMap<String, [String; 2]>,
    variables: BTreeMap<String, Select>,
    actions: BTreeMap<String, Case>,
    ctl: BTreeMap<String, Case>,
    directives: BTreeMap<String, Case>,
}

/// A variable that has a value.
#[derive(Deserialize)]
struct Select {
    target: Option<String>,
    operator: Option<String>,
    value: String,
    phase: Option<u8>,
    #[serde(default)]
    setup: String,
    /// The first rule of a chain, of which the rule is the second.
    chain: Option<String>,
    #[serde(flatten)]
    exchange: Exchange,
}

/// Rules with an outcome, and what is to be replaced to have another one.
#[derive(Deserialize)]
struct Case {
    rules: String,
    expect: String,
    cut: [String; 2],
    #[serde(flatten)]
    exchange: Exchange,
}

/// A request and its response.
#[derive(Clone, Default, Deserialize)]
struct Exchange {
    uri: Option<String>,
    /// Of the request's content; `form` and `upload` stand for usual ones.
    r#type: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    /// How many more headers there are.
    #[serde(default)]
    many: usize,
    #[serde(default)]
    body: String,
    status: Option<u16>,
    #[serde(default)]
    response_headers: Vec<String>,
    #[serde(default)]
    response_body: String,
}

const UPLOAD: &str = "--b\r\nContent-Disposition: form-data; name=\"up\"; filename=\"f.txt\"\r\n\r\nabc\r\n--b--\r\n";

/// Before the rules of each case.
const BODIES: &str = "SecRequestBodyAccess On\nSecResponseBodyAccess On\n\
SecDataset words `\none\ntwo\n`\nSecDataset networks `\n10.0.0.0/8\n`\n";

fn vocabulary() -> Vocabulary {
    toml::from_str(include_str!("vocabulary.toml")).unwrap_or_else(|error| panic!("{}", error.message()))
}

/// `\xHH` is a byte; everything else stands for itself.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = rest.strip_prefix(b"\\x").and_then(|rest| rest.split_at_checked(2));
        let byte = escape.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { after };
    }
    out
}

fn compile(rules: &[u8]) -> Result<Arc<Program>, String> {
    let files = BTreeMap::from([
        ("words.txt".to_owned(), "one\ntwo\n"),
        ("networks.txt".to_owned(), "10.0.0.0/8\n"),
    ]);
    let parsed = Arc::new(parse(rules));
    let (lowered, findings) = lower(&[Arc::clone(&parsed)]);
    let together = findings.iter().map(|finding| &finding.diagnostic);
    let mut all = parsed.diagnostics.iter().chain(together);
    if let Some(error) = all.find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let options = Options {
        files: &files,
        ..Options::default()
    };
    let program = Program::compile(&lowered, &options);
    program.map(Arc::new).map_err(|errors| errors[0].diagnostic.to_string())
}

/// What there is to see of a transaction: status, rules, all that is said about them, the audit log.
fn outcome(rules: &[u8], exchange: &Exchange) -> String {
    let rules = [BODIES.as_bytes(), rules].concat();
    let shown = String::from_utf8_lossy(&rules);
    let program = compile(&rules).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let connection = Connection {
        client_address: b"192.0.2.7",
        client_port: 4711,
        server_address: b"198.51.100.1",
        server_port: 8080,
    };
    let identity = Identity {
        unique_id: b"one",
        started: Duration::new(951_868_798, 500_000_000),
    };
    let mut transaction = Transaction::new(&program, &connection, &identity);
    transaction.set_elapsed(Duration::from_micros(1_500_000));
    let report = phases(transaction, exchange)
        .unwrap_or_else(|interrupted| interrupted.transaction)
        .log();
    show(&report)
}

fn show(report: &Report) -> String {
    let interruption = report.interruption.as_ref().filter(|_| report.interrupted);
    let mut shown = interruption.map_or_else(
        || "status none".to_owned(),
        |interruption| {
            format!(
                "status {} {} {:?}",
                interruption.status,
                interruption.action.name(),
                interruption.action
            )
        },
    );
    let ids: Vec<_> = report
        .matched
        .iter()
        .filter_map(|rule| rule.id)
        .map(|id| id.to_string())
        .collect();
    // Those that are for the audit log alone are there too.
    let logged = report
        .matched
        .iter()
        .filter(|rule| rule.log)
        .filter_map(|rule| rule.id)
        .map(|id| id.to_string());
    write!(shown, "\nids {};\n", logged.collect::<Vec<_>>().join(",")).unwrap();
    write!(shown, "all {};\n{:?}\n", ids.join(","), report.matched).unwrap();
    if let Some(record) = &report.audit_log {
        write!(shown, "audit record {record}").unwrap();
    }
    // `redirect` holds its place as bytes.
    if let Some(coraza_engine::Disruption::Redirect(place)) = interruption.map(|interruption| &interruption.action) {
        write!(shown, "\n{}", String::from_utf8_lossy(place)).unwrap();
    }
    shown
}

fn phases(
    transaction: Transaction<states::Connected>,
    exchange: &Exchange,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let pairs = |headers: &[String]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let pairs = headers.iter().map(|header| header.split_once(": ").unwrap());
        pairs
            .map(|(name, value)| (name.as_bytes().to_vec(), bytes(value)))
            .collect()
    };
    let mut headers = vec!["Host: www.example.com:8080".to_owned()];
    headers.extend(exchange.headers.iter().cloned());
    headers.extend((0..exchange.many).map(|number| format!("X-{number}: {number}")));
    let mut body = bytes(&exchange.body);
    match exchange.r#type.as_deref() {
        None => {}
        Some("form") => headers.push("Content-Type: application/x-www-form-urlencoded".to_owned()),
        Some("upload") => {
            headers.push("Content-Type: multipart/form-data; boundary=b".to_owned());
            body = UPLOAD.as_bytes().to_vec();
        }
        Some(other) => headers.push(format!("Content-Type: {other}")),
    }
    let mut response_headers = exchange.response_headers.clone();
    if !response_headers.iter().any(|header| header.starts_with("Content-Type")) {
        response_headers.push("Content-Type: text/html; charset=utf-8".to_owned());
    }
    let line = RequestLine {
        method: b"GET",
        uri: exchange.uri.as_deref().unwrap_or("/").as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let (headers, response_headers) = (pairs(&headers), pairs(&response_headers));
    fn borrowed(headers: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
        headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
    transaction
        .request_headers(&line, borrowed(&headers))?
        .append(&body)?
        .request_body()?
        .response_headers(exchange.status.unwrap_or(200), b"HTTP/1.1", borrowed(&response_headers))?
        .append(&bytes(&exchange.response_body))?
        .response_body()
}

/// Whether a rule about the value of the header `v` matches. The header has its value as it is, with white space around it.
fn header_matches(operator: &[u8], actions: &str, value: &[u8]) -> bool {
    let rule = [
        b"SecRule REQUEST_HEADERS:v \"",
        operator,
        b"\" \"id:1,phase:1,pass",
        actions.as_bytes(),
        b"\"",
    ]
    .concat();
    let program = compile(&[BODIES.as_bytes(), rule.as_slice()].concat());
    let program = program.unwrap_or_else(|error| panic!("{error}\n{}", rule.escape_ascii()));
    let transaction = Transaction::new(&program, &Connection::default(), &Identity::default());
    let line = RequestLine {
        method: b"GET",
        uri: b"/",
        protocol: b"HTTP/1.1",
    };
    let transaction = transaction.request_headers(&line, [(b"v".as_slice(), value)]).unwrap();
    !transaction.matched().is_empty()
}

#[test]
fn operators_tell_values_apart() {
    for (name, [argument, matching, other]) in &vocabulary().operators {
        let operator = [format!("@{name} ").as_bytes(), &bytes(argument)].concat();
        let operator = operator.trim_ascii_end();
        assert!(header_matches(operator, "", &bytes(matching)), "{name} {matching}");
        assert!(!header_matches(operator, "", &bytes(other)), "{name} {other}");
    }
    // Two that need no value to be told apart.
    assert!(header_matches(b"@unconditionalMatch", "", b"a"));
    assert!(!header_matches(b"!@unconditionalMatch", "", b"a"));
    assert!(header_matches(b"!@noMatch", "", b"a"));
    assert!(!header_matches(b"@noMatch", "", b"a"));
}

#[test]
fn transformations_change_values() {
    for (name, [from, to]) in &vocabulary().transformations {
        let operator = [b"@streq ".as_slice(), &bytes(to)].concat();
        // White space around an argument isn't part of it.
        let operator = match bytes(to).trim_ascii() == bytes(to) {
            true => operator,
            false => format!("@rx ^{}$", to.replace(' ', "\\x20")).into_bytes(),
        };
        assert!(
            header_matches(&operator, &format!(",t:{name}"), &bytes(from)),
            "{name} {from}"
        );
        assert!(!header_matches(&operator, "", &bytes(from)), "{name} {from}");
    }
    assert!(header_matches(b"@streq A", ",t:lowercase,t:none", b"A"));
}

#[test]
fn variables_have_values() {
    let mut wrong = Vec::new();
    for (name, select) in &vocabulary().variables {
        let Select {
            target,
            operator,
            value,
            phase,
            setup,
            chain,
            exchange,
        } = select;
        let (target, operator) = (target.as_ref().unwrap_or(name), operator.as_deref().unwrap_or("streq"));
        let phase = phase.unwrap_or(2);
        let rules = match chain {
            None => format!("{setup}\nSecRule {target} \"@{operator} {value}\" \"id:1,phase:{phase},pass\""),
            Some(first) => {
                format!("{setup}\n{first} \"id:1,phase:{phase},pass,chain\"\nSecRule {target} \"@{operator} {value}\"")
            }
        };
        let outcome = outcome(rules.as_bytes(), exchange);
        if !outcome.contains("ids 1;") {
            wrong.push(format!("{rules}\n{outcome}"));
        }
        assert!(
            !value.is_empty() && value != "0" || name.starts_with("TIME"),
            "{name}: nothing has this value too"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn actions_and_directives_change_what_happens() {
    let Vocabulary {
        actions,
        ctl,
        directives,
        ..
    } = vocabulary();
    for (name, case) in actions.iter().chain(&ctl).chain(&directives) {
        let [cut, put] = &case.cut;
        let with = outcome(case.rules.as_bytes(), &case.exchange);
        assert!(with.contains(&case.expect), "{name}: {} lacks {}", with, case.expect);
        let without = case.rules.replacen(cut.as_str(), put, 1);
        assert_ne!(case.rules, without, "{name}");
        let without = outcome(without.as_bytes(), &case.exchange);
        assert!(
            !without.contains(&case.expect),
            "{name}: {} has {}",
            without,
            case.expect
        );
    }
}

/// What becomes of a name that isn't supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Warned,
    Ignored,
}

/// The rows of "What is not supported": the names of a kind, and their fate.
fn unsupported() -> Vec<(String, String, Fate)> {
    let text = include_str!("../DEVIATIONS.md");
    let (_, table) = text.split_once("## What is not supported").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut found = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let fate = match cells[2] {
            "refused" => Fate::Refused,
            "warned" => Fate::Warned,
            "ignored" => Fate::Ignored,
            other => panic!("{other}: {row}"),
        };
        let names = cells[1].split('`').skip(1).step_by(2);
        found.extend(names.map(|name| (cells[0].to_owned(), name.to_owned(), fate)));
    }
    found
}

/// Rules that use a name as its kind is used.
fn example(kind: &str, name: &str) -> String {
    let argument = match name {
        "SecRequestBodyInMemoryLimit" | "SecCollectionTimeout" | "SecDebugLogLevel" | "SecCookieFormat" => "1",
        "SecAuditLogFormat" => "JSON",
        _ => "On",
    };
    match kind {
        "directive" => format!("{name} {argument}"),
        "operator" => format!("SecRule ARGS \"@{name} x\" \"id:1,phase:1,pass\""),
        "variable" => format!("SecRule {name} \"@rx x\" \"id:1,phase:1,pass\""),
        "ctl" if name == "debugLogLevel" => format!("SecAction \"id:1,phase:1,pass,ctl:{name}=1\""),
        "ctl" => format!("SecAction \"id:1,phase:1,pass,ctl:{name}=On\""),
        "action" => {
            let value = match name {
                "initcol" => ":ip=x",
                "expirevar" | "deprecatevar" => ":ip.x=1",
                "setenv" | "xmlns" => ":a=b",
                "pause" => ":1",
                "exec" => ":/bin/true",
                "proxy" => ":http://a/",
                "sanitiseMatched" => "",
                _ => ":x",
            };
            format!("SecAction \"id:1,phase:1,pass,{name}{value}\"")
        }
        other => panic!("{other}"),
    }
}

fn fate(rules: &str) -> Fate {
    let parsed = Arc::new(parse(rules.as_bytes()));
    if compile(rules.as_bytes()).is_err() {
        return Fate::Refused;
    }
    let (_, findings) = lower(&[Arc::clone(&parsed)]);
    match parsed.diagnostics.is_empty() && findings.is_empty() {
        true => Fate::Ignored,
        false => Fate::Warned,
    }
}

#[test]
fn what_is_not_supported_is_refused_or_warned_of_as_the_table_says() {
    let wrong = unsupported().into_iter().filter_map(|(kind, name, told)| {
        let fate = fate(&example(&kind, &name));
        (fate != told).then(|| format!("{kind} {name} is {fate:?}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_name_has_a_case_or_a_row() {
    let Vocabulary {
        operators,
        transformations,
        variables,
        actions,
        ctl,
        directives,
    } = vocabulary();
    let names = |kind: &'static str, names: Vec<&'static str>| names.into_iter().map(move |name| (kind, name));
    let known: BTreeSet<(&str, &str)> = names("operator", OperatorName::ALL.iter().map(|name| name.name()).collect())
        .chain(names(
            "transformation",
            Transformation::ALL.iter().map(|name| name.name()).collect(),
        ))
        .chain(names(
            "variable",
            Variable::ALL.iter().map(|name| name.name()).collect(),
        ))
        .chain(names(
            "action",
            ActionName::ALL.iter().map(|name| name.name()).collect(),
        ))
        .chain(names("ctl", CtlName::ALL.iter().map(|name| name.name()).collect()))
        .chain(names(
            "directive",
            DirectiveName::ALL.iter().map(|name| name.name()).collect(),
        ))
        .collect();
    // Those that the tests above have without a table.
    let mut covered = vec![
        ("operator", "noMatch"),
        ("operator", "unconditionalMatch"),
        ("transformation", "none"),
    ];
    covered.extend(operators.keys().map(|name| ("operator", name.as_str())));
    covered.extend(transformations.keys().map(|name| ("transformation", name.as_str())));
    covered.extend(variables.keys().map(|name| ("variable", name.as_str())));
    covered.extend(actions.keys().map(|name| ("action", name.as_str())));
    covered.extend(ctl.keys().map(|name| ("ctl", name.as_str())));
    covered.extend(directives.keys().map(|name| ("directive", name.as_str())));
    let rows = unsupported();
    covered.extend(rows.iter().map(|(kind, name, _)| (kind.as_str(), name.as_str())));
    let twice: Vec<_> = covered
        .iter()
        .filter(|name| covered.iter().filter(|other| other == name).count() > 1)
        .collect();
    assert!(twice.is_empty(), "a case and a row, or two: {twice:?}");
    let covered: BTreeSet<_> = covered.into_iter().collect();
    let missing: Vec<_> = known.difference(&covered).collect();
    let unknown: Vec<_> = covered.difference(&known).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}
