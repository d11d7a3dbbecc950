//! Tells about an object that can't be decoded, in its own status: conditions can be written without reading the rest of it.

use coraza_api::condition::reason;
use coraza_api::{Engine, RuleData, RuleSet, RuleSource};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::{NamespaceResourceScope, Resource};
use serde::Serialize;

use crate::context::Context;
use crate::report::{ReportError, Subject};
use crate::status::events::{Event, Reporter};
use crate::status::outcome;
use crate::watch::object::ObjectKey;
use crate::watch::store::Unreadable;

/// A kind whose objects may be beyond reading.
pub trait Told: Resource<DynamicType = (), Scope = NamespaceResourceScope> {
    /// The condition's reason.
    const REASON: &'static str;
    /// Who tells.
    const REPORTER: Reporter;
}

impl Told for RuleSet {
    const REASON: &'static str = reason::INVALID_RULE_SET;
    const REPORTER: Reporter = Reporter::RuleSet;
}

impl Told for RuleSource {
    const REASON: &'static str = reason::RULE_SOURCE_ACCESS_ERROR;
    const REPORTER: Reporter = Reporter::RuleSource;
}

impl Told for RuleData {
    const REASON: &'static str = reason::RULE_DATA_ACCESS_ERROR;
    const REPORTER: Reporter = Reporter::RuleSet;
}

impl Told for Engine {
    const REASON: &'static str = reason::INVALID_CONFIGURATION;
    const REPORTER: Reporter = Reporter::Engine;
}

/// The part of a status that all kinds have, and all that is written here.
#[derive(Debug, Serialize)]
struct Conditions<'a> {
    conditions: &'a [Condition],
}

/// The object's conditions as they should be, written if this process leads.
///
/// # Errors
/// [`ReportError`]: it is tried again after a back-off.
pub async fn report<K: Told>(
    context: &Context,
    key: &ObjectKey,
    unreadable: &Unreadable,
) -> Result<Vec<Condition>, ReportError> {
    let Unreadable {
        why,
        meta,
        revision: _,
        conditions: current,
    } = unreadable;
    if context.leadership.epoch().is_none() {
        return Ok(current.clone());
    }
    let outcome = outcome::unreadable(K::REASON, &K::kind(&()), why);
    let conditions = outcome.apply(current, meta.generation, &Time(Timestamp::now()));
    let subject = Subject {
        key,
        meta,
        reporter: K::REPORTER,
    };
    let [before, after] = [current, &conditions].map(|conditions| Conditions { conditions });
    if subject.write::<K, _>(context, &before, &after).await?
        && let Some(event) = Event::of(&outcome, current)
    {
        subject.record::<K>(context, &event).await;
    }
    Ok(conditions)
}
