//! The reconciliation of a RuleSource: its own syntax, in its own status. What needs other sources or data is judged on the
//! RuleSets that name it.

use std::sync::Arc;

use coraza_api::condition::reason;
use coraza_api::{RuleSource, RuleSourceStatus};
use coraza_compiler::{Diagnostics, ResolvedSource, Validation};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use crate::context::Context;
use crate::metrics::{self, Name};
use crate::queue::schedule::Outcome;
use crate::report::{ReportError, Subject};
use crate::status::conditions;
use crate::status::events::{Event, Reporter};
use crate::status::outcome;
use crate::unreadable;
use crate::watch::object::{ObjectKey, SourceView};
use crate::watch::store::Object;

/// Reconciles the RuleSource of a key, whether it exists or not.
///
/// # Errors
/// [`ReportError`]: it is tried again after a back-off.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Outcome, ReportError> {
    // 1. Look up. No client. A source that is gone or can't be read is reported on the RuleSets that name it, too.
    let found = context.watched.index().sources.get(key).cloned();
    let name = Name::new(Arc::clone(&key.namespace), Arc::clone(&key.name));
    let source = match found {
        Some(Object::Known(source)) => source,
        Some(Object::Unknown(object)) => {
            let conditions = unreadable::report::<RuleSource>(context, key, &object).await?;
            context.metrics.rulesource(&name, &conditions);
            return Ok(Outcome::Done);
        }
        None => {
            context.metrics.forget_rulesource(&name);
            return Ok(Outcome::Done);
        }
    };
    // Only the leader has somebody to tell; a standby parses the source when it compiles.
    if context.leadership.epoch().is_none() {
        context.metrics.rulesource(&name, &source.conditions);
        return Ok(Outcome::Done);
    }

    // 2. Check. No client.
    let started = Instant::now();
    let outcome = if source.validate {
        let findings = check(context, key, &source).await?;
        judge(&key.name, &findings)
    } else {
        outcome::validation_skipped()
    };

    context
        .metrics
        .rulesource_validated(&key.namespace, validation(&outcome), started.elapsed());

    // 3. Report. Client.
    let now = Time(Timestamp::now());
    let status = RuleSourceStatus {
        conditions: outcome.apply(&source.conditions, source.meta.generation, &now),
    };
    context.metrics.rulesource(&name, &status.conditions);
    let current = RuleSourceStatus {
        conditions: source.conditions.clone(),
    };
    let subject = Subject {
        key,
        meta: &source.meta,
        reporter: Reporter::RuleSource,
    };
    if subject.write::<RuleSource, _>(context, &current, &status).await?
        && let Some(event) = Event::of(&outcome, &current.conditions)
    {
        subject.record::<RuleSource>(context, &event).await;
    }
    Ok(Outcome::Done)
}

async fn check(context: &Context, key: &ObjectKey, source: &SourceView) -> Result<Diagnostics, ReportError> {
    let source = ResolvedSource {
        name: Arc::clone(&key.name),
        text: Arc::clone(&source.text),
        validation: Validation::Own,
    };
    let compiler = Arc::clone(&context.compiler);
    context
        .compute(move || compiler.check(&source))
        .await
        .map_err(ReportError::Compute)
}

/// The outcome as metrics have it.
fn validation(outcome: &conditions::Outcome) -> metrics::Validation {
    match outcome.reason {
        reason::VALIDATION_SKIPPED => metrics::Validation::Skipped,
        reason::VALIDATED => metrics::Validation::Valid,
        _ => metrics::Validation::Invalid,
    }
}

/// What the findings in a source make of it: warnings leave it valid.
fn judge(name: &str, findings: &Diagnostics) -> conditions::Outcome {
    let errors = findings.errors();
    if errors.is_empty() {
        outcome::validated()
    } else {
        outcome::invalid_rules(name, errors)
    }
}
