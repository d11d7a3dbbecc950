//! What must be reconciled after a change of an object. Pure.
//!
//! A RuleSet is looked at after any change of its own: if nothing is new, that costs a few look-ups, writes nothing, and repairs a
//! status that somebody else wrote. Of a RuleSource or RuleData only what it says matters to the RuleSets that name it, or each
//! write of a source's status would send them all through a compile.

use std::sync::Arc;

use coraza_ruleset::RuleSetKey;

use crate::queue::Item;
use crate::watch::index::ruleset_key;
use crate::watch::object::{DataView, ObjectKey, RuleSetView, SourceView};
use crate::watch::references::References;
use crate::watch::store::{Change, Object};

/// After a change of a RuleSet: itself, and the RuleData that it names no longer or for the first time, whose status says whether
/// somebody does.
#[must_use]
pub fn of_ruleset(change: &Change<RuleSetView>, before: &[Arc<str>], after: &[Arc<str>]) -> Vec<Item> {
    let data = |name: &Arc<str>| Item::RuleData(ObjectKey::new(Arc::clone(&change.key.namespace), Arc::clone(name)));
    let gone = before.iter().filter(|name| !after.contains(name));
    let new = after.iter().filter(|name| !before.contains(name));
    ruleset_key(&change.key)
        .map(Item::RuleSet)
        .into_iter()
        .chain(gone.chain(new).map(data))
        .collect()
}

/// After a change of a RuleSource: itself, and the RuleSets that name it if its text changed, or whether that is judged alone, or if it
/// came, went, or became readable or unreadable.
#[must_use]
pub fn of_source(change: &Change<SourceView>, users: &References) -> Vec<Item> {
    let same = same_content(change, |before, after| {
        before.validate == after.validate && (Arc::ptr_eq(&before.text, &after.text) || before.text == after.text)
    });
    let users = users
        .to(&change.key)
        .filter(|_| !same)
        .filter_map(ruleset_key)
        .map(Item::RuleSet);
    users.chain([Item::RuleSource(change.key.clone())]).collect()
}

/// After a change of a RuleData, as [`of_source`].
#[must_use]
pub fn of_data(change: &Change<DataView>, users: &References) -> Vec<Item> {
    let same = same_content(change, |before, after| before.files == after.files);
    let users = users
        .to(&change.key)
        .filter(|_| !same)
        .filter_map(ruleset_key)
        .map(Item::RuleSet);
    users.chain([Item::RuleData(change.key.clone())]).collect()
}

/// After a change of what an Engine names: the RuleSet that it named, which may be nobody's any more, and the one that it names now.
#[must_use]
pub fn of_engine(engine: &ObjectKey, before: &[Arc<str>], after: &[Arc<str>]) -> Vec<Item> {
    let changed = before
        .iter()
        .chain(after)
        .filter(|name| before.contains(name) != after.contains(name));
    changed
        .filter_map(|name| RuleSetKey::new(&engine.namespace, name).ok())
        .map(Item::RuleSet)
        .collect()
}

fn same_content<T>(change: &Change<T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (&change.before, &change.after) {
        (Some(Object::Known(before)), Some(Object::Known(after))) => same(before, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
