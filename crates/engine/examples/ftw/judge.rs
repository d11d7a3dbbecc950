//! Runs a test and says how its outcome differs from what is expected. No IO.

use std::collections::BTreeMap;
use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{MatchedRule, Program};
use regex_automata::meta::Regex;

use crate::cases::{Case, Stage};

/// The tests that are known to fail, with the reasons.
pub(crate) fn known(list: &str) -> BTreeMap<&str, &str> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect()
}

/// What came of a test.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How it differs from what is expected.
    pub(crate) differences: Vec<String>,
    /// What the rules wrote to the log.
    pub(crate) log: Vec<String>,
}

/// Runs a test; `None` if it is about something that a web server does.
pub(crate) fn judge(program: &Arc<Program>, case: &Case) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    let mut checked = false;
    for stage in &case.stages {
        let report = run(program, stage);
        let logged: Vec<&MatchedRule> = report.matched.iter().filter(|rule| rule.log).collect();
        let log: Vec<String> = logged.iter().map(ToString::to_string).collect();
        match case.blocked {
            Some(blocked) => {
                checked = true;
                if report.interrupted != blocked {
                    outcome.differences.push(format!("blocked is {}", report.interrupted));
                }
            }
            None => checked |= compare(stage, &logged, &log, &mut outcome.differences),
        }
        outcome.log.extend(log);
    }
    checked.then_some(outcome)
}

/// Compares what was logged with what should be. Whether anything should or should not.
fn compare(stage: &Stage, logged: &[&MatchedRule], log: &[String], differences: &mut Vec<String>) -> bool {
    let has = |id: &u64| logged.iter().any(|rule| rule.id.is_some_and(|own| own.0 == *id));
    let missing = stage.expect_ids.iter().filter(|id| !has(id));
    differences.extend(missing.map(|id| format!("no match of {id}")));
    let surplus = stage.no_expect_ids.iter().filter(|id| has(id));
    differences.extend(surplus.map(|id| format!("a match of {id}")));
    let patterns = [(&stage.log_contains, true), (&stage.no_log_contains, false)];
    for (pattern, wanted) in &patterns {
        let Some(pattern) = pattern else { continue };
        let found = Regex::new(pattern).is_ok_and(|regex| log.iter().any(|line| regex.is_match(line)));
        if found != *wanted {
            differences.push(format!("the log {} {pattern}", if found { "has" } else { "lacks" }));
        }
    }
    !stage.expect_ids.is_empty()
        || !stage.no_expect_ids.is_empty()
        || patterns.iter().any(|(pattern, _)| pattern.is_some())
}

/// One request and its response through all phases.
fn run(program: &Arc<Program>, stage: &Stage) -> Report {
    let connection = Connection {
        client_address: b"127.0.0.1",
        client_port: 40_000,
        server_address: b"127.0.0.1",
        server_port: stage.port,
    };
    let transaction = Transaction::new(program, &connection, &Identity::default());
    phases(transaction, stage)
        .unwrap_or_else(|interrupted| interrupted.transaction)
        .log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    stage: &Stage,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let line = RequestLine {
        method: &stage.method,
        uri: &stage.uri,
        protocol: &stage.version,
    };
    transaction
        .request_headers(&line, pairs(&stage.headers))?
        .append(&stage.body)?
        .request_body()?
        .response_headers(stage.response_status, b"HTTP/1.1", pairs(&stage.response_headers))?
        .append(&stage.response_body)?
        .response_body()
}

fn pairs(headers: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}
