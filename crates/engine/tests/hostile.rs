//! Requests that are made to be expensive cost work in proportion to their length, whatever they are made of. What is asserted is the
//! counted work, which is the same on every machine; `cargo xtask bench engine` measures their time.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

#[path = "../examples/bench/hostile.rs"]
mod hostile;
#[path = "../examples/conformance/suites.rs"]
mod suites;

use std::collections::BTreeMap;
use std::sync::Arc;

use coraza_engine::seclang::rules::Rules;
use coraza_engine::seclang::{lower, parse};
use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Cause, Evaluation, Options, Program};
use coraza_ftw::judge;
use suites::ftw::rules::{self, Setup, Sources};
use suites::ftw::{folder, recorded};

/// How much more work twice the length may be: twice, and some for what doesn't happen in short values.
const MAX_GROWTH: f64 = 2.3;

fn run(program: &Arc<Program>, body: &[u8]) -> Report {
    let transaction = Transaction::new(program, &Connection::default(), &Identity::default());
    let ended = phases(transaction, body).unwrap_or_else(|interrupted| interrupted.transaction);
    ended.log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    body: &[u8],
) -> Result<Transaction<states::Logging>, Interrupted> {
    let line = RequestLine {
        method: b"POST",
        uri: b"/",
        protocol: b"HTTP/1.1",
    };
    let headers: [(&[u8], &[u8]); 3] = [
        (b"Host", b"example.com"),
        (b"User-Agent", b"test"),
        (b"Content-Type", b"application/x-www-form-urlencoded"),
    ];
    transaction
        .request_headers(&line, headers)?
        .append(body)?
        .request_body()?
        .response_headers(200, b"HTTP/1.1", [])?
        .response_body()
}

#[test]
fn work_grows_with_the_length_and_no_faster() {
    let module = suites::core_rule_set().unwrap();
    let load = || rules::load_as(&module.join("rules"), &Setup::detection(), Evaluation::Planned).unwrap();
    let (short, long) = (load(), load());
    for (name, make) in hostile::ALL {
        // Long enough that match caches are full in either.
        let work = [(&short, 20_000), (&long, 40_000)].map(|(program, length)| {
            let body = hostile::form(&make(length));
            run(program, &body).work as f64
        });
        let growth = work[1] / work[0];
        assert!(growth <= MAX_GROWTH, "{name}: {work:?}");
    }
}

/// The rules of a Core Rule Set at paranoia level 4, blocking, with a limit.
fn core_rule_set(
    rules: &Rules,
    files: &BTreeMap<String, Vec<u8>>,
    before: Option<&Program>,
    limit: u64,
) -> Arc<Program> {
    let options = Options {
        files,
        previous: before,
        work_limit: limit,
        ..Options::default()
    };
    Arc::new(Program::compile(rules, &options).unwrap())
}

/// What must be the same: the status, the rules, the work, and whether it was too much.
fn verdict(report: &Report) -> (Option<u16>, Vec<Option<u64>>, u64, bool) {
    let ids = report.matched.iter().map(|rule| rule.id.map(|id| id.0));
    let status = report.interruption.as_ref().map(|interruption| interruption.status);
    (status, ids.collect(), report.work, report.exceeded)
}

#[test]
fn the_same_request_is_the_same_work_whoever_came_before() {
    let module = suites::core_rule_set().unwrap();
    let Sources { texts, files } = rules::sources(&module.join("rules"), &Setup::blocking(4)).unwrap();
    let parsed: Vec<_> = texts.iter().map(|text| Arc::new(parse(text.as_bytes()))).collect();
    let (rules, _) = lower(&parsed);
    let first = core_rule_set(&rules, &files, None, u64::MAX);
    let requests: Vec<Vec<u8>> = [
        b"name=some+words&id=1".to_vec(),
        b"id=1'+or+'1'='1&q=<script>alert(1)</script>".to_vec(),
        hostile::form(
            b"a usual text of some length, with words and 12 numbers. "
                .repeat(20)
                .as_slice(),
        ),
    ]
    .into_iter()
    .chain(hostile::ALL.iter().map(|(_, make)| hostile::form(&make(700))))
    .collect();
    let others: Vec<Vec<u8>> = hostile::ALL
        .iter()
        .map(|(_, make)| hostile::form(&make(6_000)))
        .collect();
    for (at, request) in requests.iter().enumerate() {
        let cold = verdict(&run(&core_rule_set(&rules, &files, Some(&first), u64::MAX), request));
        let work = cold.2;
        // With as much work as it is nothing happens; with a little less, what does is the same each time.
        for limit in [u64::MAX, work, work - 1, work / 2] {
            let program = core_rule_set(&rules, &files, Some(&first), limit);
            let cold = verdict(&run(&program, request));
            assert_eq!(cold.3, limit < work, "{at}, {limit} of {work}");
            assert_eq!(verdict(&run(&program, request)), cold, "{at}, {limit}: after itself");
            if limit >= work || at < 4 {
                let other = others.get(at % others.len()).unwrap();
                for other in [other, others.last().unwrap()] {
                    run(&program, other);
                    assert_eq!(verdict(&run(&program, request)), cold, "{at}, {limit}: after another");
                }
            }
        }
    }
}

/// The part of the limit that a request which isn't made to be expensive may take.
const MAX_SHARE: f64 = 0.2;

#[test]
fn requests_of_the_suites_come_nowhere_near_the_limit() {
    let module = suites::core_rule_set().unwrap();
    let program = rules::load(&module.join("rules"), &Setup::detection()).unwrap();
    let mut cases = folder::read_folder(&module.join("tests")).unwrap();
    match suites::shared("corpus") {
        Ok(corpus) => {
            for name in ["attacks.jsonl", "benign.jsonl", "reference-fp.jsonl"] {
                cases.extend(recorded(&corpus.join(name)).unwrap());
            }
        }
        Err(absent) => println!("SKIPPED: recorded traffic: {absent}"),
    }
    let stages = cases.iter().flat_map(|case| &case.stages);
    let work = stages.map(|stage| judge::run(&program, stage.port, &stage.request, &stage.response).work);
    let largest = work.max().unwrap() as f64 / Options::default().work_limit as f64;
    println!("the largest takes {:.2} % of the limit", 100.0 * largest);
    assert!(largest > 0.0 && largest <= MAX_SHARE, "{largest}");
}

fn limited(action: &str) -> Arc<Program> {
    let text = format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimitAction {action}\n\
         SecRule ARGS \"@rx (?:a|b)*c\" \"id:1,phase:2,pass,log\"\n\
         SecRule ARGS \"@rx x\" \"id:2,phase:2,pass,log\"\n\
         SecRule TX:MSC_PCRE_LIMITS_EXCEEDED \"@eq 1\" \"id:3,phase:2,pass,log\"\n"
    );
    let (rules, _) = lower(&[Arc::new(parse(text.as_bytes()))]);
    let options = Options {
        work_limit: 20_000,
        ..Options::default()
    };
    Arc::new(Program::compile(&rules, &options).unwrap())
}

#[test]
fn work_beyond_its_limit_ends_the_request_or_the_patterns() {
    let small = hostile::form(b"abcx");
    let large = hostile::form(&[b"ab".repeat(20_000), b"cx".to_vec()].concat());
    let ids = |report: &Report| {
        report
            .matched
            .iter()
            .filter_map(|rule| Some(rule.id?.0))
            .collect::<Vec<_>>()
    };
    for action in ["Reject", "ProcessPartial"] {
        let report = run(&limited(action), &small);
        assert_eq!((ids(&report), report.exceeded), (vec![1, 2], false), "{action}");
    }
    let report = run(&limited("Reject"), &large);
    assert!(report.exceeded && report.interrupted);
    assert_eq!(
        report.interruption.map(|interruption| interruption.cause),
        Some(Cause::WorkLimit)
    );
    // Rules go on without patterns, and can tell.
    let report = run(&limited("ProcessPartial"), &large);
    assert!(report.exceeded && !report.interrupted);
    assert!(
        !ids(&report).contains(&2) && ids(&report).contains(&3),
        "{:?}",
        ids(&report)
    );
}
