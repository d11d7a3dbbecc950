//! Which Engines must be reconciled after a change of something that they depend on. Pure.
//!
//! An Engine is looked at after any change of its own, as a RuleSet is. Of everything else only what it says to Engines matters: a
//! status of Istio's or of the Gateway API's, and the echo of our own write, are no reason.

use std::sync::Arc;

use coraza_api::condition::condition_type::{DEGRADED, READY};
use coraza_api::metadata::{FIELD_MANAGER, annotation, label};
use coraza_api::status::condition;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::queue::Item;
use crate::watch::foreign::ChildView;
use crate::watch::index::Wanted;
use crate::watch::object::{EngineView, ObjectKey, RuleSetView};
use crate::watch::references::References;
use crate::watch::store::{Change, Object};

/// After a change of an Engine: itself, and those with the same target if that may change who has it. Asked before the references
/// follow the change and after it: those with the old target and those with the new one.
#[must_use]
pub fn of_engine(change: &Change<EngineView>, users: &References) -> Vec<Item> {
    let own = Item::Engine(change.key.clone());
    let claim = |object: &Option<Object<EngineView>>| {
        let engine = object.as_ref()?.known()?;
        let (meta, target) = (&engine.meta, engine.target().map(ToOwned::to_owned));
        Some((target, meta.created, meta.deleting, meta.uid.clone()))
    };
    if change.before.is_some() && change.after.is_some() && claim(&change.before) == claim(&change.after) {
        return vec![own];
    }
    let rivals = users.names_of(&change.key).iter().flat_map(|gateway| {
        let gateway = ObjectKey::new(Arc::clone(&change.key.namespace), Arc::clone(gateway));
        users.to(&gateway).cloned().collect::<Vec<_>>()
    });
    [own].into_iter().chain(rivals.map(Item::Engine)).collect()
}

/// After a change of a RuleSet: the Engines that name it, if it came, went, became degraded or good, or has another revision.
#[must_use]
pub fn of_ruleset(change: &Change<RuleSetView>, users: &References) -> Vec<Item> {
    if let (Some(Object::Known(before)), Some(Object::Known(after))) = (&change.before, &change.after) {
        let said = |ruleset: &RuleSetView| {
            let conditions = &ruleset.status.conditions;
            (trouble(conditions), ruleset.status.revision.clone())
        };
        if said(before) == said(after) {
            return Vec::new();
        }
    }
    users.to(&change.key).cloned().map(Item::Engine).collect()
}

/// Why a RuleSet is degraded, if it is.
#[must_use]
pub fn trouble(conditions: &[Condition]) -> Option<String> {
    let degraded = condition(conditions, DEGRADED).filter(|degraded| degraded.status == "True")?;
    let ready = condition(conditions, READY).is_some_and(|ready| ready.status == "True");
    (!ready).then(|| degraded.message.clone())
}

/// After a change of a Gateway: the Engines that name it.
#[must_use]
pub fn of_gateway(gateway: &ObjectKey, users: &References) -> Vec<Item> {
    users.to(gateway).cloned().map(Item::Engine).collect()
}

/// After a change of an object of a kind that we make: whoever wants it and whomever it was made for, unless it is as it was wanted.
#[must_use]
pub fn of_child<K>(change: &Change<ChildView<K>>, wanted: Option<&Wanted>, made_for: [Option<Item>; 2]) -> Vec<Item> {
    if let (Some(Wanted { by: _, child }), Some(Object::Known(live))) = (wanted, &change.after)
        && !live.meta.deleting
        && child.owns(live)
        && child.difference(live).is_none()
    {
        return Vec::new();
    }
    let wanted = wanted.map(|wanted| wanted.by.clone());
    let mut items: Vec<Item> = wanted.into_iter().chain(made_for.into_iter().flatten()).collect();
    items.sort();
    items.dedup();
    items
}

/// The Engine that a NetworkPolicy was made for, by us or by the Go operator, whose labels only say so. None of a policy that is
/// somebody else's.
#[must_use]
pub fn engine_of_policy(policy: &ChildView<NetworkPolicy>) -> Option<ObjectKey> {
    let managed = policy
        .labels
        .get(label::MANAGED_BY)
        .is_some_and(|by| by == FIELD_MANAGER);
    if !managed && !policy.annotations.contains_key(annotation::ENGINE_UID) {
        return None;
    }
    let said = |annotation: &str, label: &str| {
        let annotation = policy.annotations.get(annotation);
        annotation.or_else(|| policy.labels.get(label)).map(String::as_str)
    };
    Some(ObjectKey::new(
        said(annotation::ENGINE_NAMESPACE, label::ENGINE_NAMESPACE)?,
        said(annotation::ENGINE_NAME, label::ENGINE_NAME)?,
    ))
}

#[cfg(test)]
mod tests;
