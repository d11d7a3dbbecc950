//! The reconciliation of a RuleData: its status says that it was read, once a RuleSet names it.

use std::sync::Arc;

use coraza_api::{RuleData, RuleDataStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::context::Context;
use crate::metrics::Name;
use crate::queue::schedule::Outcome;
use crate::report::{ReportError, Subject};
use crate::status::events::{Event, Reporter};
use crate::status::outcome;
use crate::unreadable;
use crate::watch::object::ObjectKey;
use crate::watch::store::Object;

/// Reconciles the RuleData of a key, whether it exists or not.
///
/// # Errors
/// [`ReportError`]: it is tried again after a back-off.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Outcome, ReportError> {
    // 1. Look up. No client.
    let found = {
        let index = context.watched.index();
        let named = index.data_users.to(key).next().is_some();
        index.data.get(key).filter(|_| named).cloned()
    };
    let name = Name::new(Arc::clone(&key.namespace), Arc::clone(&key.name));
    let data = match found {
        Some(Object::Known(data)) => data,
        Some(Object::Unknown(object)) => {
            let conditions = unreadable::report::<RuleData>(context, key, &object).await?;
            context.metrics.ruledata(&name, &conditions);
            return Ok(Outcome::Done);
        }
        None => {
            context.metrics.forget_ruledata(&name);
            return Ok(Outcome::Done);
        }
    };

    // 2. Judge. No client.
    let bytes = data.files.values().map(bytes::Bytes::len).sum();
    let outcome = outcome::loaded(data.files.len(), bytes);
    let now = Time(Timestamp::now());
    let status = RuleDataStatus {
        conditions: outcome.apply(&data.conditions, data.meta.generation, &now),
    };

    context.metrics.ruledata(&name, &status.conditions);
    if context.leadership.epoch().is_none() {
        return Ok(Outcome::Done);
    }

    // 3. Report. Client.
    let current = RuleDataStatus {
        conditions: data.conditions.clone(),
    };
    let subject = Subject {
        key,
        meta: &data.meta,
        reporter: Reporter::RuleSet,
    };
    if subject.write::<RuleData, _>(context, &current, &status).await?
        && let Some(event) = Event::of(&outcome, &current.conditions)
    {
        subject.record::<RuleData>(context, &event).await;
    }
    Ok(Outcome::Done)
}
