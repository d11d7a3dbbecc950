//! Outcomes that are said of Engines: their reasons, and messages that say what is the matter and what to do about it. Pure.

use coraza_api::condition::condition_type::ACCEPTED;
use coraza_api::condition::reason;
use coraza_api::status::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::engine::module::Module;
use crate::engine::resolve::ResolvedEngine;
use crate::status::conditions::{Outcome, State, set};
use crate::status::outcome::broken;
use crate::watch::object::ObjectKey;
use crate::watch::store::Presence;

/// Implementations of the Gateway API that are Istio, by how their controllers' names begin.
const ISTIO_CONTROLLERS: [&str; 2] = ["istio.io/", "openshift.io/"];

/// Its specification can't be read.
#[must_use]
pub fn unreadable(why: &str) -> Outcome {
    broken(
        reason::INVALID_CONFIGURATION,
        format_args!(
            "{why}; what was made for the Engine stays. Apply it again as `kubectl explain engine.spec --recursive` says"
        ),
    )
}

/// Its target's name selects no pods.
#[must_use]
pub fn no_selector(target: &str) -> Outcome {
    broken(
        reason::INVALID_CONFIGURATION,
        format_args!(
            "spec.target.name: {target:?} is no DNS-1035 label, so no pods can be selected by it; what was made for the Engine stays"
        ),
    )
}

/// Its RuleSet's name is none.
#[must_use]
pub fn no_ruleset_name(ruleset: &str) -> Outcome {
    broken(
        reason::INVALID_CONFIGURATION,
        format_args!("spec.ruleSet.name: no RuleSet can have the name {ruleset:?}"),
    )
}

/// Its target doesn't exist.
#[must_use]
pub fn target_not_found(gateway: &ObjectKey) -> Outcome {
    let ObjectKey { namespace, name } = gateway;
    let message =
        format!("there is no Gateway {name} in namespace {namespace}: create it, or correct spec.target.name");
    Outcome::new(State::Rejected, reason::TARGET_NOT_FOUND, message)
}

/// Another Engine has its target.
#[must_use]
pub fn target_conflict(gateway: &str, winner: &str) -> Outcome {
    let message = format!(
        "Gateway {gateway} is claimed by Engine {winner}, which is older: delete one of the two, or give it another target"
    );
    Outcome::new(State::Rejected, reason::TARGET_CONFLICT, message)
}

/// It isn't known whether its target exists.
#[must_use]
pub fn target_unknown(gateway: &ObjectKey, presence: Presence) -> Outcome {
    let why = if presence == Presence::Absent {
        "the Gateway API is not installed in this cluster: apply its custom resource definitions (gateway.networking.k8s.io/v1)"
    } else {
        "the API server has not listed the Gateways yet"
    };
    let message = format!("waiting to know whether Gateway {} exists: {why}", gateway.name);
    Outcome::new(State::Progressing, reason::RECONCILING, message)
}

/// Its RuleSet doesn't exist.
#[must_use]
pub fn ruleset_not_found(ruleset: &str) -> Outcome {
    broken(
        reason::RULE_SET_NOT_FOUND,
        format_args!(
            "there is no RuleSet {ruleset}: create it, or correct spec.ruleSet.name; rules that gateways have stay"
        ),
    )
}

/// Its RuleSet is degraded.
#[must_use]
pub fn ruleset_degraded(ruleset: &str, why: &str) -> Outcome {
    broken(
        reason::RULE_SET_DEGRADED,
        format_args!("RuleSet {ruleset} is degraded, and its last good rules stay: {why}"),
    )
}

/// No cache has told which plugin it serves.
#[must_use]
pub fn no_module() -> Outcome {
    Outcome::new(
        State::Waiting,
        reason::AWAITING_CACHE,
        "no cache has told yet which plugin it serves: check that coraza-cache runs, with --plugin-file, and reaches the controller's gRPC port; or name an image in spec.driver.wasm.image or --default-wasm-image",
    )
}

/// It isn't known what there is of its WasmPlugin.
#[must_use]
pub fn plugins_unknown() -> Outcome {
    let message = "waiting for the API server to list the WasmPlugins; the controller's log says what it answers";
    Outcome::new(State::Progressing, reason::RECONCILING, message)
}

/// A kind of Istio's isn't installed.
#[must_use]
pub fn not_installed(kind: &str, group: &str) -> Outcome {
    broken(
        reason::PROVISIONING_FAILED,
        format_args!(
            "{kind} ({group}) is not installed in this cluster: install Istio, or its custom resource definitions; it is tried again until then"
        ),
    )
}

/// Nobody takes its access logs.
#[must_use]
pub fn no_collector(why: &str) -> Outcome {
    broken(
        reason::INVALID_CONFIGURATION,
        format_args!("the firewall is applied, but spec.observability asks for what can't be: {why}"),
    )
}

/// What was to be done about one of its objects failed.
#[must_use]
pub fn failed(reason: &'static str, what: &str, why: &str) -> Outcome {
    broken(reason, format_args!("failed to {what}: {why}"))
}

/// All its objects are applied. `note` is what a person should know beyond that.
#[must_use]
pub fn configured(engine: &ResolvedEngine, plugin: &ObjectKey, module: &Module, notes: &[String]) -> Outcome {
    let mut message = format!(
        "WasmPlugin {} puts {} before the pods of Gateway {} with RuleSet {}",
        plugin.name,
        module.url,
        engine.gateway,
        engine.ruleset.name()
    );
    if let Some(secret) = &engine.pull_secret {
        message.push_str(&format!(
            "; the operator may not see whether Secret {secret} exists: without it nothing is enforced"
        ));
    }
    for note in engine.note.iter().chain(notes) {
        message.push_str("; ");
        message.push_str(note);
    }
    Outcome::new(State::Ready, reason::CONFIGURED, message)
}

/// What a person should know whose Gateway is of a class that isn't Istio's.
#[must_use]
pub fn foreign_class(class: &str, controller: &str) -> Option<String> {
    let istio = ISTIO_CONTROLLERS.iter().any(|prefix| controller.starts_with(prefix));
    (!istio).then(|| {
        format!("GatewayClass {class} is implemented by {controller}, not by Istio: pods that Istio does not configure enforce nothing")
    })
}

/// Whether conditions say that the Engine has its target.
#[must_use]
pub fn was_accepted(conditions: &[Condition]) -> bool {
    condition(conditions, ACCEPTED).is_some_and(|accepted| accepted.status == "True")
}

/// Says in conditions whether the Engine has its target.
pub fn accept(conditions: &mut Vec<Condition>, rejection: Option<&Outcome>, generation: i64, now: &Time) {
    let (status, reason, message) = match rejection {
        None => (
            "True",
            reason::ACCEPTED,
            "the Gateway exists and no older Engine claims it",
        ),
        Some(Outcome {
            state: _,
            reason,
            message,
        }) => ("False", *reason, message.as_str()),
    };
    set(
        conditions,
        Condition {
            type_: ACCEPTED.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(generation),
            last_transition_time: now.clone(),
        },
    );
}
