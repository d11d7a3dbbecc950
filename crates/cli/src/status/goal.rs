//! `--wait-for`: whether what is waited for has come. Pure.

use coraza_api::condition::condition_type::{ACCEPTED, ENFORCED, READY};

use crate::status::model::{EngineStatus, State, Status};
use crate::status::text::sentence;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WaitFor {
    /// Each Engine and each RuleSet is Ready as it is specified now
    Ready,
    /// Also each ready pod of each Engine's Gateway runs the RuleSet's revision
    Enforced,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has come.
    Met,
    /// What is still missing: the first thing.
    NotYet(String),
}

impl WaitFor {
    /// Whether it has come. With a revision, its Engines or RuleSets must have exactly that.
    pub(crate) fn judge(self, status: &Status, revision: Option<&str>) -> Verdict {
        let missing = match self {
            Self::Ready => not_ready(status, revision),
            Self::Enforced => not_ready(status, revision).or_else(|| not_enforced(status, revision)),
        };
        missing.map_or(Verdict::Met, Verdict::NotYet)
    }
}

fn not_ready(status: &Status, revision: Option<&str>) -> Option<String> {
    let rule_sets = status.rule_sets.iter().find_map(|rule_set| {
        let name = format!("RuleSet {}/{}", rule_set.namespace, rule_set.name);
        let has = rule_set.revision.as_ref().map(|revision| revision.uuid.as_str());
        lacks(&name, &[(READY, &rule_set.ready)]).or_else(|| other(&name, has, revision))
    });
    let engines = || {
        let name = |engine: &EngineStatus| format!("Engine {}/{}", engine.namespace, engine.name);
        let said =
            |engine: &EngineStatus| lacks(&name(engine), &[(ACCEPTED, &engine.accepted), (READY, &engine.ready)]);
        status.engines.iter().find_map(said)
    };
    rule_sets.or_else(engines)
}

fn not_enforced(status: &Status, revision: Option<&str>) -> Option<String> {
    status.engines.iter().find_map(|engine| {
        let name = format!("Engine {}/{}", engine.namespace, engine.name);
        // Nothing can enforce what has no pods; somebody waits for pods, too.
        let desired = engine.pods.as_ref().map(|pods| pods.desired.as_str());
        let of_rule_set = status
            .rule_sets
            .iter()
            .find(|rule_set| rule_set.namespace == engine.namespace && rule_set.name == engine.rule_set);
        // A condition may be of the revision before, for the moment until the controller looks again.
        let published = of_rule_set.and_then(|rule_set| rule_set.revision.as_ref());
        let wanted = revision.or(published.map(|revision| revision.uuid.as_str()));
        lacks(&name, &[(ENFORCED, &engine.enforced)]).or_else(|| other(&name, desired, wanted))
    })
}

fn lacks(name: &str, states: &[(&str, &State)]) -> Option<String> {
    let missing = states.iter().find(|(_, state)| !state.holds());
    missing.map(|(type_, state)| format!("{name}: {}", sentence(type_, state)))
}

fn other(name: &str, has: Option<&str>, wanted: Option<&str>) -> Option<String> {
    let wanted = wanted.filter(|wanted| has != Some(wanted))?;
    Some(format!(
        "{name}: its revision is {}, not {wanted}",
        has.unwrap_or("none")
    ))
}
