//! `Store`: the objects of one kind as a watch tells of them, and what changed. Pure.
//!
//! kube's shared reflectors forget to say that an object vanished while a watch was down. This store compares every relist with
//! what it had, so a deletion is seen whether the watch reported it or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coraza_ruleset::Revision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::watch::object::{Meta, ObjectKey};

/// An object that exists.
#[derive(Debug)]
pub enum Object<T> {
    /// It was decoded.
    Known(Arc<T>),
    /// It exists, but what it says can't be read: whatever depends on its existence stays as it is.
    Unknown(Arc<Unreadable>),
}

/// What is known about an object that can't be decoded.
#[derive(Debug, Default, PartialEq)]
pub struct Unreadable {
    /// Which field can't be decoded, and why, in the decoder's words.
    pub why: String,
    /// Its metadata, which is always read.
    pub meta: Meta,
    /// The last good revision, if its status names one that can be read.
    pub revision: Option<Revision>,
    /// Its conditions, as far as they can be read.
    pub conditions: Vec<Condition>,
}

impl<T> Clone for Object<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Known(object) => Self::Known(Arc::clone(object)),
            Self::Unknown(why) => Self::Unknown(Arc::clone(why)),
        }
    }
}

impl<T: PartialEq> PartialEq for Object<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => one == other,
            (Self::Unknown(one), Self::Unknown(other)) => one == other,
            _ => false,
        }
    }
}

impl<T> Object<T> {
    /// The object, if it was decoded.
    #[must_use]
    pub fn known(&self) -> Option<&Arc<T>> {
        match self {
            Self::Known(object) => Some(object),
            Self::Unknown(_) => None,
        }
    }
}

/// What a watch says.
#[derive(Debug)]
pub enum Event<T> {
    /// A list begins.
    Init,
    /// The list has this object.
    InitApply(ObjectKey, Object<T>),
    /// The list is complete: what it did not have does not exist.
    InitDone,
    /// The object was created or changed.
    Apply(ObjectKey, Object<T>),
    /// The object was deleted.
    Delete(ObjectKey),
}

/// A difference between the store before and after an event.
#[derive(Debug)]
pub struct Change<T> {
    /// Of which object.
    pub key: ObjectKey,
    /// What it was; nothing if it is new.
    pub before: Option<Object<T>>,
    /// What it is; nothing if it is gone.
    pub after: Option<Object<T>>,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Store<T> {
    objects: BTreeMap<ObjectKey, Object<T>>,
    /// What the list under way had so far; nothing between lists.
    listed: Option<BTreeSet<ObjectKey>>,
    synced: bool,
    absent: bool,
}

/// What is known about a kind as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing yet: an object that isn't here may exist all the same.
    Unknown,
    /// It was listed completely: what isn't here doesn't exist.
    Listed,
    /// It isn't installed.
    Absent,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listed: None,
            synced: false,
            absent: false,
        }
    }
}

impl<T: PartialEq> Store<T> {
    /// Takes in an event and says what it changed: one change at most, but for the end of a list.
    pub fn apply(&mut self, event: Event<T>) -> Vec<Change<T>> {
        match event {
            // A list that failed half-way is begun again; what it had is of no use.
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(key, object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(key.clone());
                }
                self.put(key, object).into_iter().collect()
            }
            Event::InitDone => self.sweep(),
            Event::Apply(key, object) => self.put(key, object).into_iter().collect(),
            Event::Delete(key) => self.take(key).into_iter().collect(),
        }
    }

    fn put(&mut self, key: ObjectKey, object: Object<T>) -> Option<Change<T>> {
        let before = self.objects.insert(key.clone(), object.clone());
        (before.as_ref() != Some(&object)).then_some(Change {
            key,
            before,
            after: Some(object),
        })
    }

    fn take(&mut self, key: ObjectKey) -> Option<Change<T>> {
        let before = self.objects.remove(&key)?;
        Some(Change {
            key,
            before: Some(before),
            after: None,
        })
    }

    /// A list is complete: what it didn't have has vanished.
    fn sweep(&mut self) -> Vec<Change<T>> {
        let Some(listed) = self.listed.take() else {
            return Vec::new();
        };
        self.synced = true;
        self.absent = false;
        let vanished: Vec<_> = self
            .objects
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        vanished.into_iter().filter_map(|key| self.take(key)).collect()
    }
}

impl<T> Store<T> {
    /// The object of this key, if there is one.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object<T>> {
        self.objects.get(key)
    }

    /// All objects, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Object<T>)> {
        self.objects.iter()
    }

    /// The kind isn't installed. What was known of its objects stays known. Gives whether that is news.
    pub const fn set_absent(&mut self) -> bool {
        !std::mem::replace(&mut self.absent, true)
    }

    /// What is known about the kind as a whole.
    #[must_use]
    pub const fn presence(&self) -> Presence {
        match (self.absent, self.synced) {
            (true, _) => Presence::Absent,
            (false, true) => Presence::Listed,
            (false, false) => Presence::Unknown,
        }
    }

    /// Whether a list was complete once: before that, an object that isn't here may still exist.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("default", name)
    }

    fn known(value: u8) -> Object<u8> {
        Object::Known(Arc::new(value))
    }

    fn names<T>(changes: &[Change<T>]) -> Vec<String> {
        let sign = |change: &Change<T>| match (&change.before, &change.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        changes
            .iter()
            .map(|change| format!("{}{}", sign(change), change.key.name))
            .collect()
    }

    fn list(store: &mut Store<u8>, objects: &[(&str, u8)]) -> Vec<String> {
        let mut changes = store.apply(Event::Init);
        for (name, value) in objects {
            changes.extend(store.apply(Event::InitApply(key(name), known(*value))));
        }
        changes.extend(store.apply(Event::InitDone));
        names(&changes)
    }

    #[test]
    fn an_object_that_vanished_while_the_watch_was_down_is_a_deletion() {
        let mut store = Store::default();
        assert!(!store.is_synced());
        assert_eq!(list(&mut store, &[("a", 1), ("b", 1), ("c", 1)]), ["+a", "+b", "+c"]);
        assert!(store.is_synced());
        assert_eq!(list(&mut store, &[("a", 1), ("c", 2)]), ["~c", "-b"]);
        assert!(store.get(&key("b")).is_none());
    }

    #[test]
    fn a_kind_that_is_not_installed_is_known_not_to_be() {
        let mut store = Store::default();
        assert_eq!(store.presence(), Presence::Unknown);
        assert!(store.set_absent() && !store.set_absent());
        assert_eq!(store.presence(), Presence::Absent);
        list(&mut store, &[("a", 1)]);
        assert_eq!(store.presence(), Presence::Listed);
        assert!(store.set_absent());
        assert!(store.get(&key("a")).is_some(), "nothing is deleted for it");
    }

    #[test]
    fn a_list_that_failed_deletes_nothing() {
        let mut store = Store::default();
        list(&mut store, &[("a", 1), ("b", 1)]);
        store.apply(Event::Init);
        store.apply(Event::InitApply(key("a"), known(1)));
        assert_eq!(list(&mut store, &[("b", 1)]), ["-a"], "only the complete list counts");
        assert!(
            store.apply(Event::InitDone).is_empty(),
            "an end without a begin says nothing"
        );
        assert_eq!(store.iter().count(), 1);
    }

    #[test]
    fn an_object_that_cannot_be_decoded_is_present() {
        let mut store = Store::default();
        list(&mut store, &[("a", 1)]);
        let unknown = || Object::<u8>::Unknown(Arc::default());
        assert_eq!(names(&store.apply(Event::Apply(key("a"), unknown()))), ["~a"]);
        assert!(store.apply(Event::Apply(key("a"), unknown())).is_empty());
        assert!(store.get(&key("a")).is_some_and(|object| object.known().is_none()));
        assert_eq!(names(&store.apply(Event::Delete(key("a")))), ["-a"]);
        assert!(store.apply(Event::Delete(key("a"))).is_empty());
    }

    proptest! {
        /// However lists and single events interleave, the changes tell the whole story.
        #[test]
        fn changes_add_up_to_the_store(
            steps in prop::collection::vec(
                prop_oneof![
                    prop::collection::btree_map(0_u8..6, 0_u8..3, 0..6).prop_map(Err),
                    (0_u8..6, prop::option::of(0_u8..3)).prop_map(Ok),
                ],
                0..30,
            ),
        ) {
            let mut store = Store::default();
            let mut told: BTreeMap<ObjectKey, u8> = BTreeMap::new();
            for step in steps {
                let mut changes = Vec::new();
                match step {
                    Ok((name, Some(value))) => changes.extend(store.apply(Event::Apply(key(&name.to_string()), known(value)))),
                    Ok((name, None)) => changes.extend(store.apply(Event::Delete(key(&name.to_string())))),
                    Err(listed) => {
                        store.apply(Event::Init);
                        for (name, value) in listed {
                            changes.extend(store.apply(Event::InitApply(key(&name.to_string()), known(value))));
                        }
                        changes.extend(store.apply(Event::InitDone));
                    }
                }
                for change in changes {
                    prop_assert_eq!(told.get(&change.key), change.before.as_ref().and_then(Object::known).map(|value| &**value));
                    match change.after.as_ref().and_then(Object::known) {
                        Some(value) => told.insert(change.key, **value),
                        None => told.remove(&change.key),
                    };
                }
            }
            let held: BTreeMap<_, _> = store.iter().filter_map(|(key, object)| Some((key.clone(), **object.known()?))).collect();
            prop_assert_eq!(told, held);
        }
    }
}
