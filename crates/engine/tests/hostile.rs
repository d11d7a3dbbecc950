//! Requests that are made to be expensive cost work in proportion to their length, whatever they are made of. What is asserted is the
//! counted work, which is the same on every machine; `cargo xtask bench engine` measures their time.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test, in its helpers too"
)]

#[path = "../examples/bench/hostile.rs"]
mod hostile;
#[path = "../examples/conformance/suites.rs"]
mod suites;

use std::sync::Arc;

use coraza_engine::seclang::{lower, parse};
use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Cause, Evaluation, Options, Program};
use suites::ftw::rules::{self, Setup};

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
