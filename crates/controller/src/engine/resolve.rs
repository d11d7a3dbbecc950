//! From an Engine and what it names to a `ResolvedEngine`, or why there is none. Pure.

use std::sync::Arc;

use coraza_api::engine::{FailurePolicy, ObservabilityMode};
use coraza_ruleset::RuleSetKey;

use crate::engine::outcome;
use crate::engine::triggers::trouble;
use crate::status::conditions::Outcome;
use crate::watch::foreign::{GatewayClassView, GatewayView};
use crate::watch::object::{EngineView, ObjectKey, RuleSetView};
use crate::watch::store::{Object, Presence, Store};

/// The longest DNS label.
const MAX_LABEL: usize = 63;

/// An Engine that can be provisioned.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedEngine {
    /// Which Engine.
    pub key: ObjectKey,
    /// Which of that name.
    pub uid: String,
    /// The Gateway's name, which is a label's value and selects its pods.
    pub gateway: Arc<str>,
    /// The RuleSet.
    pub ruleset: RuleSetKey,
    /// What happens to a request that can't be checked.
    pub failure_policy: FailurePolicy,
    /// How often a gateway asks for new rules.
    pub poll_interval_seconds: i32,
    /// The module that the Engine asks for.
    pub image: Option<String>,
    /// The Secret to pull it with.
    pub pull_secret: Option<String>,
    /// Whether a collector takes the gateway's access logs.
    pub logs: Logs,
    /// What a person should know, though it keeps nothing from working.
    pub note: Option<String>,
}

/// Whether a collector takes a gateway's access logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logs {
    /// Nobody asked for it.
    Off,
    /// One does.
    Collected,
    /// One should, and there is none, for this reason.
    Impossible(String),
    /// One should, and it isn't known yet whether there is one: what is there stays.
    Unknown,
}

/// What an Engine names, as far as it is there.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// All Gateways.
    pub gateways: &'a Store<GatewayView>,
    /// All GatewayClasses.
    pub classes: &'a Store<GatewayClassView>,
    /// All Engines that name the same Gateway, by key, this one too.
    pub claimants: Vec<(ObjectKey, Object<EngineView>)>,
    /// The RuleSet.
    pub ruleset: Option<Object<RuleSetView>>,
    /// The RuleSet that the gateways were told of last, if they were.
    pub enforced: Option<RuleSetKey>,
}

/// What came of an Engine.
#[derive(Debug, PartialEq)]
pub enum Resolved {
    /// It can't be read or asks for what can't be. What was made for it stays.
    Invalid(Outcome),
    /// Its target isn't there, or is another's: nothing may be made for it.
    Rejected(Outcome),
    /// It isn't known yet whether its target is there. What was made for it stays.
    Undetermined(Outcome),
    /// Its target is its own. What is wrong with its RuleSet, and what is to be done about its objects.
    Accepted(Box<ResolvedEngine>, Option<Outcome>, Provision),
}

/// What is to be done about an Engine's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provision {
    /// They are made as they should be.
    Full,
    /// There are no rules to enforce: what is there stays, with good tokens.
    Hold,
}

/// Resolves an Engine.
#[must_use]
pub fn resolve(key: &ObjectKey, engine: &EngineView, around: &Surroundings<'_>) -> Resolved {
    let spec = match &engine.spec {
        Ok(spec) => spec,
        Err(why) => return Resolved::Invalid(outcome::unreadable(&why.to_string())),
    };
    // The selector is a security boundary: one that selects nothing, or other pods, must never be made.
    let gateway = spec.target.name.as_str();
    if !is_label(gateway) {
        return Resolved::Invalid(outcome::no_selector(gateway));
    }
    let Ok(ruleset) = RuleSetKey::new(&key.namespace, &engine.ruleset) else {
        return Resolved::Invalid(outcome::no_ruleset_name(&engine.ruleset));
    };
    let gateway_key = ObjectKey::new(Arc::clone(&key.namespace), gateway);
    let target = around.gateways.get(&gateway_key);
    let accepted_before = outcome::was_accepted(&engine.status.conditions);
    match (target, around.gateways.presence()) {
        (Some(_), _) => {}
        (None, Presence::Listed) => return Resolved::Rejected(outcome::target_not_found(&gateway_key)),
        // Who was accepted stays it: the Gateway API may be away for a while.
        (None, Presence::Unknown | Presence::Absent) if accepted_before => {}
        (None, presence) => return Resolved::Undetermined(outcome::target_unknown(&gateway_key, presence)),
    }
    if let Some(winner) = winner(&around.claimants).filter(|winner| *winner != key) {
        return Resolved::Rejected(outcome::target_conflict(gateway, &winner.name));
    }
    let class = target.and_then(Object::known).map(|gateway| &gateway.class);
    let class = class.and_then(|class| {
        Some((
            class,
            around.classes.get(&ObjectKey::new("", Arc::clone(class)))?.known()?,
        ))
    });
    let wants_logs = spec
        .observability
        .as_ref()
        .is_some_and(|observability| observability.mode == ObservabilityMode::Enabled);
    let wasm = spec.driver.as_ref().and_then(|driver| driver.wasm.as_ref());
    let resolved = ResolvedEngine {
        key: key.clone(),
        uid: engine.meta.uid.clone(),
        gateway: gateway.into(),
        failure_policy: spec.failure_policy,
        poll_interval_seconds: spec.poll_interval_seconds(),
        image: wasm.and_then(|wasm| wasm.image.clone()),
        pull_secret: wasm.and_then(|wasm| wasm.image_pull_secret.clone()),
        logs: if wants_logs {
            logs(
                gateway,
                class.map(|(name, class)| (&**name, &**class)),
                target.is_some(),
                around,
            )
        } else {
            Logs::Off
        },
        note: class.and_then(|(name, class)| outcome::foreign_class(name, &class.controller)),
        ruleset,
    };
    let (trouble, provision) = judge(&resolved.ruleset, engine, around);
    Resolved::Accepted(Box::new(resolved), trouble, provision)
}

/// Who has a Gateway: the oldest of those that claim it, and among equals the first by name. One that is being deleted has given it up.
fn winner(claimants: &[(ObjectKey, Object<EngineView>)]) -> Option<&ObjectKey> {
    let standing = claimants.iter().filter_map(|(key, engine)| {
        let meta = match engine {
            Object::Known(engine) => &engine.meta,
            Object::Unknown(unreadable) => &unreadable.meta,
        };
        (!meta.deleting).then_some((meta.created, key))
    });
    standing.min().map(|(_, key)| key)
}

/// What is wrong with the RuleSet, and whether there may be rules to enforce all the same: the last good ones.
fn judge(key: &RuleSetKey, engine: &EngineView, around: &Surroundings<'_>) -> (Option<Outcome>, Provision) {
    let enforced = around.enforced.as_ref() == Some(key);
    let (trouble, has_rules) = match &around.ruleset {
        None => (
            Some(outcome::ruleset_not_found(key.name())),
            enforced || (around.enforced.is_none() && engine.status.revision.is_some()),
        ),
        Some(Object::Unknown(unreadable)) => (
            Some(outcome::ruleset_degraded(key.name(), "it can't be read")),
            enforced || unreadable.revision.is_some(),
        ),
        Some(Object::Known(ruleset)) => {
            let trouble = trouble(&ruleset.status.conditions);
            let has_rules = trouble.is_none() || enforced || ruleset.status.revision.is_some();
            (
                trouble.map(|why| outcome::ruleset_degraded(key.name(), &why)),
                has_rules,
            )
        }
    };
    (trouble, if has_rules { Provision::Full } else { Provision::Hold })
}

fn logs(
    gateway: &str,
    class: Option<(&str, &GatewayClassView)>,
    target_known: bool,
    around: &Surroundings<'_>,
) -> Logs {
    match class {
        None if !target_known || around.classes.presence() != Presence::Listed => Logs::Unknown,
        None => Logs::Impossible(format!(
            "the GatewayClass of Gateway {gateway} is not known, so nobody says who takes the access logs"
        )),
        Some((_, class)) if class.log_collector.is_some() => Logs::Collected,
        Some((name, _)) => Logs::Impossible(format!(
            "GatewayClass {name} does not declare {}, so nobody says who takes the access logs",
            coraza_api::metadata::annotation::LOG_COLLECTOR
        )),
    }
}

/// A DNS-1035 label, as the CRD asks for: whatever isn't one can't be the value of a pod's label, or is another's.
fn is_label(name: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = name.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|byte| *byte != b'-')
        && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests;
