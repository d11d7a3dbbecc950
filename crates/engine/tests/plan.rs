//! Programs that run by their plan have the verdicts of those that run naively, on every request of every suite: rules that matched with
//! all that they say, what they stored, interruptions. What isn't in the checkout is skipped, visibly.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test, in its helpers too"
)]

#[path = "../examples/conformance/suites.rs"]
mod suites;

use std::path::Path;
use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Interrupted, RequestLine, Transaction, states};
use coraza_engine::{Evaluation, Interruption, MatchedRule, Program};
use coraza_ftw::{Case, Stage};
use suites::ftw::rules::{self, Setup};
use suites::ftw::{folder, recording};
use suites::{core_rule_set, shared};

/// All that a transaction shows.
#[derive(Debug, PartialEq)]
struct Shown {
    matched: Vec<MatchedRule>,
    interruption: Option<Interruption>,
    interrupted: bool,
    audit_log: Option<String>,
    tx: Vec<(Vec<u8>, Vec<u8>)>,
}

fn run(program: &Arc<Program>, stage: &Stage) -> Shown {
    let connection = Connection {
        client_address: b"127.0.0.1",
        client_port: 40_000,
        server_address: b"127.0.0.1",
        server_port: stage.port,
    };
    let transaction = Transaction::new(program, &connection, &Identity::default());
    let ended = phases(transaction, stage).unwrap_or_else(|interrupted| interrupted.transaction);
    let tx = ended.tx().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let report = ended.log();
    Shown {
        matched: report.matched,
        interruption: report.interruption,
        interrupted: report.interrupted,
        audit_log: report.audit_log,
        tx,
    }
}

fn phases(
    transaction: Transaction<states::Connected>,
    stage: &Stage,
) -> Result<Transaction<states::Logging>, Interrupted> {
    fn pairs(headers: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
        headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
    let line = RequestLine {
        method: &stage.request.method,
        uri: &stage.request.uri,
        protocol: &stage.request.version,
    };
    transaction
        .request_headers(&line, pairs(&stage.request.headers))?
        .append(&stage.request.body)?
        .request_body()?
        .response_headers(stage.response.status, b"HTTP/1.1", pairs(&stage.response.headers))?
        .append(&stage.response.body)?
        .response_body()
}

/// Runs all requests both ways.
fn compare(rules: &Path, setup: &Setup, cases: &[Case]) {
    assert!(!cases.is_empty());
    let program = |evaluation| rules::load_as(rules, setup, evaluation).unwrap();
    let (planned, naive) = (program(Evaluation::Planned), program(Evaluation::Naive));
    for case in cases {
        for stage in &case.stages {
            assert_eq!(run(&planned, stage), run(&naive, stage), "{}", case.name);
        }
    }
    println!("{} cases", cases.len());
}

fn recorded(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| recording::parse(line).unwrap()).collect()
}

#[test]
fn on_the_tests_of_the_core_rule_set() {
    let module = core_rule_set().unwrap();
    let cases = folder::read_folder(&module.join("tests")).unwrap();
    compare(&module.join("rules"), &Setup::detection(), &cases);
}

#[test]
fn on_the_newest_tests_of_the_core_rule_set() {
    let (Ok(rules), Ok(tests)) = (shared("crs"), shared("ftw/dev.jsonl")) else {
        println!("SKIPPED: ../shared/data is absent");
        return;
    };
    // Most of them are those of 4.25.
    let cases: Vec<Case> = recorded(&tests).into_iter().step_by(5).collect();
    compare(&rules, &Setup::detection(), &cases);
}

#[test]
fn on_our_traffic() {
    let (Ok(rules), Ok(corpus)) = (shared("crs"), shared("corpus")) else {
        println!("SKIPPED: ../shared/data is absent");
        return;
    };
    let files = ["attacks.jsonl", "benign.jsonl", "reference-fp.jsonl"];
    let cases: Vec<Case> = files.iter().flat_map(|name| recorded(&corpus.join(name))).collect();
    compare(&rules, &Setup::blocking(1), &cases);
}
