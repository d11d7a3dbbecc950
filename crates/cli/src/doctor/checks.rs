//! The checks: each takes the facts and gives what it finds. Pure.

mod caches;
mod certificates;
mod crds;
mod engines;
mod istio;
mod kubernetes;
mod operator;
mod plugins;
mod rights;

pub(crate) use engines::pull_secret;

use crate::doctor::facts::{Facts, Operator};
use crate::doctor::finding::{Checked, Finding, Known};

/// Where the operator is installed if nobody says anything else.
pub(crate) const USUAL_NAMESPACE: &str = "coraza-system";

/// All checks, in the order in which one thing needs the other.
pub(crate) fn all(facts: &Facts) -> Vec<Checked> {
    vec![
        kubernetes::version(facts),
        crds::ours(facts),
        crds::others(facts),
        istio::control_planes(facts),
        istio::visibility(facts),
        operator::deployments(facts),
        operator::versions(facts),
        operator::leader(facts),
        operator::go_operator(facts),
        rights::of_the_operator(facts),
        certificates::secrets(facts),
        certificates::authority(facts),
        caches::reachable(facts),
        caches::subscribed(facts),
        engines::rule_sets(facts),
        engines::engines(facts),
        plugins::plugins(facts),
    ]
}

/// What a check finds about the operator, if it is there; that it isn't is said by one check only.
fn about_the_operator(
    check: &'static str,
    facts: &Facts,
    look: impl FnOnce(&Operator) -> (String, Vec<Finding>),
) -> Checked {
    let (looked_at, findings) = match &facts.operator {
        Ok(Some(operator)) => look(operator),
        Ok(None) => ("no operator".to_owned(), Vec::new()),
        Err(why) => (
            "no operator".to_owned(),
            vec![Finding::unchecked("the operator can't be looked for", why)],
        ),
    };
    Checked {
        check,
        looked_at,
        findings,
    }
}

/// What is known, or a finding that it isn't.
fn known<'a, T>(fact: &'a Known<T>, what: &str, findings: &mut Vec<Finding>) -> Option<&'a T> {
    fact.as_ref()
        .map_err(|why| findings.push(Finding::unchecked(what, why)))
        .ok()
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {one}s")
    }
}

#[cfg(test)]
pub(crate) mod tests;
