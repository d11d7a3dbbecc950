//! Runs a test and says how its outcome differs from what is expected. No IO.

use std::collections::BTreeSet;
use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Disruption, MatchedRule, Program};
use regex_automata::meta::Regex;

use crate::case::{Case, Expected, Request, Response, Stage};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What is logged.
    Log,
    /// And what the client is answered.
    All,
}

/// The status with which a web server refuses a request that it can't read. Where a test expects it and the rules let the request pass, the
/// test is about the server.
const BAD_REQUEST: u16 = 400;

/// Runs a test and says how its outcome differs from what is expected; `None` if it is about something that a web server does.
/// `verbose` adds what was logged.
#[must_use]
pub fn judge(program: &Arc<Program>, case: &Case, scope: Scope, verbose: bool) -> Option<Vec<String>> {
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
            None => {
                checked |= compare(&stage.expected, &logged, &log, &mut differences);
                if scope == Scope::All {
                    checked |= compare_answer(stage, &report, &mut differences);
                }
            }
        }
        if verbose && !differences.is_empty() {
            differences.extend(log.iter().map(|line| format!("\n  {line}")));
        }
    }
    checked.then_some(differences)
}

/// Compares what was logged with what should be. Whether anything should or should not.
fn compare(expected: &Expected, logged: &[&MatchedRule], log: &[String], differences: &mut Vec<String>) -> bool {
    let ids: BTreeSet<u64> = logged.iter().filter_map(|rule| Some(rule.id?.0)).collect();
    let missing = expected.ids.iter().filter(|id| !ids.contains(id));
    differences.extend(missing.map(|id| format!("no match of {id}")));
    let surplus = expected.no_ids.iter().filter(|id| ids.contains(id));
    differences.extend(surplus.map(|id| format!("a match of {id}")));
    if expected.isolated {
        let others = ids.iter().filter(|id| !expected.ids.contains(id));
        differences.extend(others.map(|id| format!("a match of {id}, which should be none but those expected")));
    }
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
    !expected.ids.is_empty()
        || !expected.no_ids.is_empty()
        || expected.isolated
        || patterns.iter().any(|(pattern, _)| pattern.is_some())
}

/// Compares what the client is answered with what it should be. Whether that is for rules to say.
fn compare_answer(stage: &Stage, report: &Report, differences: &mut Vec<String>) -> bool {
    let expected = &stage.expected;
    let interruption = report.interruption.as_ref().filter(|_| report.interrupted);
    let is_dropped = interruption.is_some_and(|interruption| interruption.action == Disruption::Drop);
    if expected.error {
        // Without a drop, no answer is a web server's doing.
        return is_dropped;
    }
    let mut checked = false;
    if let Some(wanted) = expected.status {
        let status = match interruption {
            _ if is_dropped => None,
            Some(interruption) => Some(interruption.status),
            None => Some(stage.response.status),
        };
        if status != Some(wanted) && (interruption.is_some() || wanted != BAD_REQUEST) {
            let status = status.map_or_else(
                || "none, for the connection is closed".to_owned(),
                |status| status.to_string(),
            );
            differences.push(format!("the status is {status}, not {wanted}"));
        }
        checked = interruption.is_some() || wanted != BAD_REQUEST;
    }
    if let Some(wanted) = &expected.response_contains {
        let body = if interruption.is_some() {
            &[]
        } else {
            stage.response.body.as_slice()
        };
        if !String::from_utf8_lossy(body).contains(wanted.as_str()) {
            differences.push(format!("the answer lacks {wanted:?}"));
        }
        checked = true;
    }
    checked
}

/// One request and its response through all phases.
#[must_use]
pub fn run(program: &Arc<Program>, port: u16, request: &Request, response: &Response) -> Report {
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

/// Takes a transaction through all phases.
///
/// # Errors
/// What interrupts it.
pub fn phases(
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

#[cfg(test)]
mod tests {
    use coraza_engine::{Options, Source};

    use super::*;

    const RULES: &str = r#"
SecRuleEngine On
SecRule ARGS:a "@streq drop" "id:1,phase:2,drop"
SecRule ARGS:a "@streq deny" "id:2,phase:2,deny,status:403,msg:'no'"
SecRule ARGS:a "@streq bad" "id:3,phase:2,deny,status:400"
SecRule ARGS:a "@contains e" "id:4,phase:1,pass,log"
"#;

    /// How a request with this argument differs from what is expected.
    fn differences(argument: &str, expected: Expected) -> Option<Vec<String>> {
        let source = Source::new("rules.conf", RULES.as_bytes());
        let program = Arc::new(Program::from_sources(&[source], &Options::default()).unwrap());
        let stage = Stage {
            port: 80,
            request: Request {
                method: b"GET".to_vec(),
                uri: format!("/?a={argument}").into_bytes(),
                version: b"HTTP/1.1".to_vec(),
                ..Request::default()
            },
            response: Response {
                body: b"hello".to_vec(),
                ..Response::default()
            },
            expected,
        };
        let case = Case {
            stages: vec![stage],
            ..Case::default()
        };
        judge(&program, &case, Scope::All, false)
    }

    #[test]
    fn answers_are_compared_where_they_are_the_rules_doing() {
        let status = |status| Expected {
            status: Some(status),
            ..Expected::default()
        };
        let contains = |text: &str| Expected {
            response_contains: Some(text.into()),
            ..Expected::default()
        };
        let error = || Expected {
            error: true,
            ..Expected::default()
        };
        let isolated = |ids: &[u64]| Expected {
            ids: ids.to_vec(),
            isolated: true,
            ..Expected::default()
        };
        let fine = || Some(vec![]);
        let said = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(differences("x", status(200)), fine());
        assert_eq!(differences("x", status(403)), said("the status is 200, not 403"));
        assert_eq!(differences("x", status(400)), None, "a web server's");
        assert_eq!(differences("bad", status(400)), fine());
        assert_eq!(differences("deny", status(403)), fine());
        assert_eq!(differences("deny", status(200)), said("the status is 403, not 200"));
        assert_eq!(
            differences("drop", status(403)),
            said("the status is none, for the connection is closed, not 403")
        );
        assert_eq!(differences("drop", error()), fine());
        assert_eq!(differences("x", error()), None, "a web server's");
        assert_eq!(differences("x", contains("ell")), fine());
        assert_eq!(differences("deny", contains("ell")), said("the answer lacks \"ell\""));
        assert_eq!(differences("e", isolated(&[4])), fine());
        assert_eq!(
            differences("deny", isolated(&[2])),
            said("a match of 4, which should be none but those expected")
        );
        assert_eq!(differences("x", Expected::default()), None, "nothing is expected");
    }
}
