//! What an Engine's status says.

use super::*;
use crate::engine::resolve::{Logs, Provision, ResolvedEngine};
use crate::watch::object::decode;
use coraza_compiler::Compiler;
use serde_json::{Value, json};

fn engine(status: &Value) -> Arc<EngineView> {
    let spec = json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "public"}});
    let metadata = json!({"namespace": "shop", "name": "waf", "uid": "u", "resourceVersion": "1", "generation": 3});
    let object =
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("an object");
    let (_, object) = decode::<EngineView>(object, &Compiler::new()).expect("a name");
    Arc::clone(object.known().expect("decoded"))
}

fn accepted() -> Resolved {
    let engine = ResolvedEngine {
        key: ObjectKey::new("shop", "waf"),
        uid: "u".to_owned(),
        gateway: "public".into(),
        ruleset: "shop/crs".parse().expect("a key"),
        failure_policy: FailurePolicy::Fail,
        poll_interval_seconds: 15,
        image: None,
        pull_secret: None,
        logs: Logs::Off,
        note: None,
    };
    Resolved::Accepted(Box::new(engine), None, Provision::Full)
}

/// The conditions as `type=status reason`, sorted.
fn said(engine: &EngineView, resolved: &Resolved, outcome: Option<&Outcome>) -> Vec<String> {
    let now = Time(Timestamp::UNIX_EPOCH);
    let status = status(engine, Some(resolved), outcome, None, &now);
    let show = |condition: &Condition| {
        assert_eq!(condition.observed_generation, Some(3));
        format!("{}={} {}", condition.type_, condition.status, condition.reason)
    };
    let mut shown: Vec<_> = status.conditions.iter().map(show).collect();
    shown.sort();
    shown
}

#[test]
fn each_outcome_says_what_the_go_operator_says() {
    let new = engine(&json!({}));
    let key = ObjectKey::new("shop", "public");
    let (rejected, conflict) = (
        outcome::target_not_found(&key),
        outcome::target_conflict("public", "old"),
    );
    let unknown = outcome::target_unknown(&key, crate::watch::store::Presence::Unknown);
    let failed = |reason| outcome::failed(reason, "x", "y");
    let table = [
        (
            Resolved::Rejected(rejected.clone()),
            rejected,
            vec!["Accepted=False TargetNotFound", "Ready=False TargetNotFound"],
        ),
        (
            Resolved::Rejected(conflict.clone()),
            conflict,
            vec!["Accepted=False TargetConflict", "Ready=False TargetConflict"],
        ),
        (
            Resolved::Undetermined(unknown.clone()),
            unknown,
            vec!["Progressing=True Reconciling", "Ready=False Reconciling"],
        ),
        (
            Resolved::Invalid(outcome::no_selector("a.b")),
            outcome::no_selector("a.b"),
            vec!["Degraded=True InvalidConfiguration", "Ready=False InvalidConfiguration"],
        ),
        (
            accepted(),
            Outcome::new(State::Ready, reason::CONFIGURED, ""),
            vec!["Accepted=True Accepted", "Ready=True Configured"],
        ),
        (
            accepted(),
            outcome::no_module(),
            vec![
                "Accepted=True Accepted",
                "Progressing=True AwaitingCache",
                "Ready=False AwaitingCache",
            ],
        ),
        (
            accepted(),
            outcome::ruleset_not_found("crs"),
            vec![
                "Accepted=True Accepted",
                "Degraded=True RuleSetNotFound",
                "Ready=False RuleSetNotFound",
            ],
        ),
        (
            accepted(),
            outcome::ruleset_degraded("crs", "x"),
            vec![
                "Accepted=True Accepted",
                "Degraded=True RuleSetDegraded",
                "Ready=False RuleSetDegraded",
            ],
        ),
        (
            accepted(),
            failed(reason::NETWORK_POLICY_FAILED),
            vec![
                "Accepted=True Accepted",
                "Degraded=True NetworkPolicyFailed",
                "Ready=False NetworkPolicyFailed",
            ],
        ),
        (
            accepted(),
            failed(reason::TOKEN_FAILED),
            vec![
                "Accepted=True Accepted",
                "Degraded=True TokenFailed",
                "Ready=False TokenFailed",
            ],
        ),
        (
            accepted(),
            failed(reason::SERVICE_ACCOUNT_FAILED),
            vec![
                "Accepted=True Accepted",
                "Degraded=True ServiceAccountFailed",
                "Ready=False ServiceAccountFailed",
            ],
        ),
        (
            accepted(),
            outcome::not_installed("WasmPlugin", "g"),
            vec![
                "Accepted=True Accepted",
                "Degraded=True ProvisioningFailed",
                "Ready=False ProvisioningFailed",
            ],
        ),
    ];
    for (resolved, outcome, expected) in table {
        assert_eq!(said(&new, &resolved, Some(&outcome)), expected);
    }
}

#[test]
fn a_rejection_takes_away_what_was_degraded_and_a_status_of_another_type_stays() {
    let condition = |condition_type: &str| {
        json!({"type": condition_type, "status": "True", "reason": "R", "message": "m",
        "observedGeneration": 3, "lastTransitionTime": "2026-05-01T10:00:00Z"})
    };
    let before =
        engine(&json!({"conditions": [condition("Degraded"), condition("Progressing"), condition("Enforced")]}));
    let rejection = outcome::target_conflict("public", "old");
    let after = said(&before, &Resolved::Rejected(rejection.clone()), Some(&rejection));
    assert_eq!(
        after,
        [
            "Accepted=False TargetConflict",
            "Enforced=True R",
            "Ready=False TargetConflict"
        ]
    );
}

#[test]
fn a_controller_that_has_just_started_flips_no_status() {
    let condition = |condition_type: &str, reason: &str| {
        json!({"type": condition_type, "status": "True", "reason": reason,
        "message": "m", "observedGeneration": 3, "lastTransitionTime": "2026-05-01T10:00:00Z"})
    };
    let ready = engine(&json!({"conditions": [condition("Ready", "Configured")]}));
    assert_eq!(
        said(&ready, &accepted(), Some(&outcome::plugins_unknown())),
        ["Accepted=True Accepted", "Ready=True Configured"]
    );
}

#[test]
fn the_last_good_revision_outlives_the_ruleset() {
    let revision = json!({"uuid": "x", "digest": "ab".repeat(32), "timestamp": "t", "bytes": 9, "rules": 1});
    let before = engine(&json!({"revision": revision}));
    let now = Time(Timestamp::UNIX_EPOCH);
    let kept = status(&before, None, None, None, &now);
    assert_eq!(kept, before.status);
}
