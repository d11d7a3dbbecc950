//! Tells what came of an Engine: its status, Events, metrics. Client, but for [`status`].

use std::sync::Arc;

use coraza_api::condition::reason;
use coraza_api::engine::{DriverType, FailurePolicy, TargetType};
use coraza_api::{Engine, EngineStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::context::Context;
use crate::engine::enforce::{self, Seen};
use crate::engine::provision::Work;
use crate::engine::resolve::Resolved;
use crate::engine::{Found, live_token, metric_name, name, outcome};
use crate::metrics::EngineInfo;
use crate::queue::schedule::Outcome as Ended;
use crate::report::{ReportError, Subject};
use crate::status::conditions::{Outcome, State};
use crate::status::events::{Event, Kind, Reporter};
use crate::watch::object::{EngineView, ObjectKey, RuleSetView};
use crate::watch::store::Object;

/// Tells what came of an Engine.
pub(super) async fn report(
    context: &Context,
    key: &ObjectKey,
    engine: &EngineView,
    found: &Found,
    seen: Option<&Seen>,
    work: Work,
) -> Result<Ended, ReportError> {
    let Work {
        outcome,
        retry,
        created,
        again,
        deposed,
    } = work;
    if deposed {
        return Ok(Ended::Done);
    }
    if let Some(outcome) = outcome.as_ref().filter(|_| retry) {
        let Outcome { reason, message, .. } = outcome;
        tracing::warn!(engine = %key, reason, message, "failed to provision an engine, trying again later");
    }
    let now = Time(Timestamp::now());
    let mut status = status(
        engine,
        found.resolved.as_ref(),
        outcome.as_ref(),
        found.ruleset.as_ref(),
        &now,
    );
    if matches!(found.resolved, Some(Resolved::Accepted(..))) {
        enforce::report_attached(&mut status);
    }
    let look_again = match (seen, &found.resolved) {
        (Some(seen), _) => enforce::report(context, key, engine, seen, &mut status, &now),
        (None, Some(Resolved::Rejected(_))) => {
            enforce::report_detached(&mut status, engine.meta.generation, &now);
            None
        }
        (None, _) => None,
    };
    measure(context, key, engine, &status.conditions);
    let subject = Subject {
        key,
        meta: &engine.meta,
        reporter: Reporter::Engine,
    };
    let current = &engine.status;
    let written = subject.write::<Engine, _>(context, current, &status).await?;
    if let Some(outcome) = outcome.filter(|_| written)
        && let Some(event) = Event::of(&outcome, &current.conditions)
    {
        subject.record::<Engine>(context, &event).await;
    }
    if created {
        subject.record::<Engine>(context, &plugin_created(key)).await;
    }
    if retry {
        return Ok(Ended::Failed);
    }
    let again = [again, look_again].into_iter().flatten().min();
    Ok(again.map_or(Ended::Done, Ended::Again))
}

/// The status that says what came of an Engine.
fn status(
    engine: &EngineView,
    resolved: Option<&Resolved>,
    outcome: Option<&Outcome>,
    ruleset: Option<&Object<RuleSetView>>,
    now: &Time,
) -> EngineStatus {
    let EngineStatus {
        conditions,
        revision,
        enforcement,
    } = engine.status.clone();
    let generation = engine.meta.generation;
    let mut conditions = conditions;
    match resolved {
        Some(Resolved::Accepted(..)) => outcome::accept(&mut conditions, None, generation, now),
        Some(Resolved::Rejected(rejection)) => outcome::accept(&mut conditions, Some(rejection), generation, now),
        Some(Resolved::Invalid(_) | Resolved::Undetermined(_)) | None => {}
    }
    if let Some(outcome) = outcome.filter(|outcome| is_news(outcome, &conditions)) {
        conditions = outcome.apply(&conditions, generation, now);
    }
    EngineStatus {
        conditions,
        revision: match ruleset {
            Some(Object::Known(ruleset)) => ruleset.status.revision.clone().or(revision),
            // What the gateways have is the last good one.
            Some(Object::Unknown(_)) | None => revision,
        },
        enforcement,
    }
}

/// That something isn't known yet is said only where nothing else was said: a controller that has just started flips no status.
fn is_news(outcome: &Outcome, conditions: &[Condition]) -> bool {
    outcome.state != State::Progressing
        || !conditions.iter().any(|condition| condition.type_ == "Ready")
        || conditions.iter().any(|condition| condition.type_ == "Progressing")
}

fn plugin_created(key: &ObjectKey) -> Event {
    Event {
        kind: Kind::Normal,
        reason: reason::WASM_PLUGIN_CREATED,
        note: format!("Created WasmPlugin {}", name::plugin(key)),
    }
}

/// When the token in an Engine's WasmPlugin is renewed and ends: not the one that was granted last, which may not have got there.
fn token_schedule(context: &Context, key: &ObjectKey) -> Option<(i64, i64)> {
    let index = context.watched.index();
    let plugin = index
        .plugins
        .live
        .get(&name::plugin(key))
        .and_then(Object::known)
        .map(Arc::clone)?;
    live_token(&plugin).map(|token| token.schedule(&context.settings.tokens))
}

/// Measures an Engine by its conditions.
pub(super) fn measure(context: &Context, key: &ObjectKey, engine: &EngineView, conditions: &[Condition]) {
    let name = metric_name(key);
    context.metrics.engine_conditions(&name, conditions);
    context.metrics.engine_token(&name, token_schedule(context, key));
    if let Ok(spec) = &engine.spec {
        let target_type = match spec.target.target_type {
            TargetType::Gateway => "Gateway",
        };
        let driver_type = match spec.driver.as_ref().map(|driver| driver.driver_type) {
            Some(DriverType::Wasm) | None => "wasm",
        };
        let failure_policy = match spec.failure_policy {
            FailurePolicy::Fail => "fail",
            FailurePolicy::Allow => "allow",
        };
        context.metrics.engine_info(EngineInfo {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            target_name: spec.target.name.as_str().into(),
            target_type,
            driver_type,
            ruleset_name: Arc::clone(&engine.ruleset),
            failure_policy,
        });
    }
}

#[cfg(test)]
mod tests;
