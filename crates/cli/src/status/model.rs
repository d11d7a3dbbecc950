//! What `status` answers: Engines, RuleSets, their revisions, the caches, and what is wrong. Pure: objects go in, values that can be written come out.

use coraza_api::condition::condition_type::{ACCEPTED, DEGRADED, ENFORCED, READY};
use coraza_api::engine::FailurePolicy;
use coraza_api::ruleset::{Diagnostic, Severity};
use coraza_api::status::{RevisionStatus, condition};
use coraza_api::{Engine, RuleSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::caches::{CachesView, Document};

/// How many diagnostics of a RuleSet are shown; its status has all.
const FIRST_DIAGNOSTICS: usize = 5;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    /// By namespace and name.
    pub(crate) engines: Vec<EngineStatus>,
    /// By namespace and name.
    pub(crate) rule_sets: Vec<RuleSetStatus>,
    /// What the leading controller knows of the caches.
    pub(crate) caches: CachesView,
}

/// A condition, as far as people ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// `True`, `False` or `Unknown`; `Unknown` too if nobody has said it.
    pub(crate) status: String,
    /// One word.
    pub(crate) reason: String,
    /// What it is, and what to do about it.
    pub(crate) message: String,
    /// Whether it was said of the object as it is specified now.
    pub(crate) current: bool,
}

/// An Engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EngineStatus {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) gateway: String,
    pub(crate) rule_set: String,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) accepted: State,
    pub(crate) ready: State,
    pub(crate) enforced: State,
    /// What the gateway's pods reported, if they did.
    pub(crate) pods: Option<Pods>,
    /// The RuleSet's last good revision, which gateways go on enforcing whatever becomes of the RuleSet.
    pub(crate) revision: Option<RevisionStatus>,
    /// RFC 3339.
    pub(crate) created: Option<String>,
}

/// Ready pods of a Gateway, and what they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pods {
    /// The uuid of the revision that they should run.
    pub(crate) desired: String,
    pub(crate) expected: u32,
    pub(crate) current: u32,
    pub(crate) stale: u32,
    /// Neither current nor stale.
    pub(crate) silent: u32,
    /// RFC 3339.
    pub(crate) since: String,
}

/// A RuleSet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleSetStatus {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) ready: State,
    /// Why it is degraded, if it is.
    pub(crate) degraded: Option<State>,
    pub(crate) revision: Option<RevisionStatus>,
    /// The Engines that name it.
    pub(crate) engines: Vec<String>,
    /// How many caches hold its revision, if that is known.
    pub(crate) caches: Option<Held>,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    /// Errors first.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// RFC 3339.
    pub(crate) created: Option<String>,
}

/// How many caches hold a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    pub(crate) current: usize,
    pub(crate) refused: usize,
    pub(crate) all: usize,
}

impl Status {
    /// The answer about these objects. `used_by` are all Engines that there are, which may be more than are shown.
    pub(crate) fn of(engines: &[&Engine], rule_sets: &[&RuleSet], used_by: &[&Engine], caches: CachesView) -> Self {
        let mut engines: Vec<_> = engines.iter().map(|engine| EngineStatus::of(engine)).collect();
        engines.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        let mut rule_sets: Vec<_> = rule_sets
            .iter()
            .map(|rule_set| RuleSetStatus::of(rule_set, used_by, caches.document()))
            .collect();
        rule_sets.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        Self {
            engines,
            rule_sets,
            caches,
        }
    }
}

impl State {
    fn of(conditions: &[Condition], type_: &str, generation: Option<i64>) -> Self {
        condition(conditions, type_).map_or_else(
            || Self {
                status: "Unknown".to_owned(),
                reason: String::new(),
                message: format!("nobody has said yet whether it is {type_}: does coraza-controller run?"),
                current: true,
            },
            |said| Self {
                status: said.status.clone(),
                reason: said.reason.clone(),
                message: said.message.clone(),
                // Whoever doesn't say of which generation he speaks, speaks of the present one.
                current: said.observed_generation.is_none() || said.observed_generation == generation,
            },
        )
    }

    /// Whether it holds for the object as it is now.
    pub(crate) fn holds(&self) -> bool {
        self.status == "True" && self.current
    }
}

impl EngineStatus {
    fn of(engine: &Engine) -> Self {
        let status = engine.status.clone().unwrap_or_default();
        let generation = engine.metadata.generation;
        let state = |type_| State::of(&status.conditions, type_, generation);
        Self {
            namespace: engine.namespace().unwrap_or_default(),
            name: engine.name_any(),
            gateway: engine.spec.target.name.clone(),
            rule_set: engine.spec.rule_set.name.clone(),
            failure_policy: engine.spec.failure_policy,
            accepted: state(ACCEPTED),
            ready: state(READY),
            enforced: state(ENFORCED),
            pods: status.enforcement.map(|said| Pods {
                silent: said.expected.saturating_sub(said.current.saturating_add(said.stale)),
                desired: said.desired,
                expected: said.expected,
                current: said.current,
                stale: said.stale,
                since: said.since.0.to_string(),
            }),
            revision: status.revision,
            created: created(&engine.metadata.creation_timestamp),
        }
    }

    /// What a person should read about it: the first thing that isn't so.
    pub(crate) fn trouble(&self) -> Option<(&'static str, &State)> {
        let said = [
            (ACCEPTED, &self.accepted),
            (READY, &self.ready),
            (ENFORCED, &self.enforced),
        ];
        said.into_iter().find(|(_, state)| !state.holds())
    }
}

impl RuleSetStatus {
    fn of(rule_set: &RuleSet, engines: &[&Engine], caches: Option<&Document>) -> Self {
        let status = rule_set.status.clone().unwrap_or_default();
        let generation = rule_set.metadata.generation;
        let namespace = rule_set.namespace().unwrap_or_default();
        let name = rule_set.name_any();
        let mut users: Vec<String> = engines
            .iter()
            .filter(|engine| engine.namespace().as_deref() == Some(&namespace) && engine.spec.rule_set.name == name)
            .map(|engine| engine.name_any())
            .collect();
        users.sort_unstable();
        let count = |severity| {
            let diagnostics = status.diagnostics.iter();
            diagnostics.filter(|diagnostic| diagnostic.severity == severity).count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let mut diagnostics = status.diagnostics;
        // Stable: among equals the order is that of the sources.
        diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
        diagnostics.truncate(FIRST_DIAGNOSTICS);
        let key = format!("{namespace}/{name}");
        Self {
            ready: State::of(&status.conditions, READY, generation),
            degraded: condition(&status.conditions, DEGRADED)
                .filter(|said| said.status == "True")
                .map(|_| State::of(&status.conditions, DEGRADED, generation)),
            engines: users,
            caches: caches.map(|caches| held(caches, &key, status.revision.as_ref())),
            revision: status.revision,
            errors,
            warnings,
            diagnostics,
            created: created(&rule_set.metadata.creation_timestamp),
            namespace,
            name,
        }
    }

    /// How many diagnostics aren't shown.
    pub(crate) fn more(&self) -> usize {
        (self.errors + self.warnings).saturating_sub(self.diagnostics.len())
    }

    /// What a person should read about it.
    pub(crate) fn trouble(&self) -> Option<(&'static str, &State)> {
        let degraded = self.degraded.as_ref().map(|state| (DEGRADED, state));
        degraded.or_else(|| (!self.ready.holds()).then_some((READY, &self.ready)))
    }
}

fn held(caches: &Document, key: &str, revision: Option<&RevisionStatus>) -> Held {
    let holds = |replica: &&crate::caches::Replica| {
        let held = replica.held.get(key).map(|held| held.uuid.as_str());
        held.is_some() && held == revision.map(|revision| revision.uuid.as_str())
    };
    Held {
        current: caches.caches.iter().filter(holds).count(),
        refused: caches
            .caches
            .iter()
            .filter(|replica| replica.refused.contains_key(key))
            .count(),
        all: caches.caches.len(),
    }
}

fn created(time: &Option<Time>) -> Option<String> {
    time.as_ref().map(|time| time.0.to_string())
}

/// Reads a time that [`created`] wrote.
pub(crate) fn age(created: Option<&str>, now: Timestamp) -> Option<std::time::Duration> {
    let created: Timestamp = created?.parse().ok()?;
    Some(std::time::Duration::try_from(now.duration_since(created)).unwrap_or_default())
}
