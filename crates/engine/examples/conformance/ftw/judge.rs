//! Runs a test and says how its outcome differs from what is expected. No IO.

use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{MatchedRule, Program};
use regex_automata::meta::Regex;

use super::case::{Case, Expected, Request, Response};

/// Runs a test and says how its outcome differs from what is expected; `None` if it is about something that a web server does.
/// `verbose` adds what was logged.
pub(crate) fn judge(program: &Arc<Program>, case: &Case, verbose: bool) -> Option<Vec<String>> {
    let mut differences = Vec::new();
    let mut checked = false;
    for stage in &case.stages {
        let report = run(program, stage.port, &stage.request, &stage.response);
        let logged: Vec<&MatchedRule> = report.matched.iter().filter(|rule| rule.log).collect();
        let log: Vec<String> = logged.iter().map(ToString::to_string).collect();
        match case.blocked {
            Some(blocked) => {
                checked = true;
                if report.interrupted != blocked {
                    differences.push(format!("blocked is {}", report.interrupted));
                }
            }
            None => checked |= compare(&stage.expected, &logged, &log, &mut differences),
        }
        if verbose && !differences.is_empty() {
            differences.extend(log.iter().map(|line| format!("\n  {line}")));
        }
    }
    checked.then_some(differences)
}

/// Compares what was logged with what should be. Whether anything should or should not.
fn compare(expected: &Expected, logged: &[&MatchedRule], log: &[String], differences: &mut Vec<String>) -> bool {
    let has = |id: &u64| logged.iter().any(|rule| rule.id.is_some_and(|own| own.0 == *id));
    let missing = expected.ids.iter().filter(|id| !has(id));
    differences.extend(missing.map(|id| format!("no match of {id}")));
    let surplus = expected.no_ids.iter().filter(|id| has(id));
    differences.extend(surplus.map(|id| format!("a match of {id}")));
    let patterns = [(&expected.log_contains, true), (&expected.no_log_contains, false)];
    for (pattern, wanted) in &patterns {
        let Some(pattern) = pattern else { continue };
        match Regex::new(pattern) {
            Err(error) => differences.push(format!("the test's pattern {pattern}: {error}")),
            Ok(regex) if log.iter().any(|line| regex.is_match(line)) != *wanted => {
                differences.push(format!("the log {} {pattern}", if *wanted { "lacks" } else { "has" }));
            }
            Ok(_) => {}
        }
    }
    !expected.ids.is_empty() || !expected.no_ids.is_empty() || patterns.iter().any(|(pattern, _)| pattern.is_some())
}

/// One request and its response through all phases.
pub(crate) fn run(program: &Arc<Program>, port: u16, request: &Request, response: &Response) -> Report {
    let connection = Connection {
        client_address: b"127.0.0.1",
        client_port: 40_000,
        server_address: b"127.0.0.1",
        server_port: port,
    };
    let transaction = Transaction::new(program, &connection, &Identity::default());
    phases(transaction, request, response)
        .unwrap_or_else(|interrupted| interrupted.transaction)
        .log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    request: &Request,
    response: &Response,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let line = RequestLine {
        method: &request.method,
        uri: &request.uri,
        protocol: &request.version,
    };
    transaction
        .request_headers(&line, pairs(&request.headers))?
        .append(&request.body)?
        .request_body()?
        .response_headers(response.status, b"HTTP/1.1", pairs(&response.headers))?
        .append(&response.body)?
        .response_body()
}

fn pairs(headers: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}
