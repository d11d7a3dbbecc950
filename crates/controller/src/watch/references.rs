//! `References`: who names whom, both ways. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::watch::object::ObjectKey;

/// References between the objects of one kind and those of another, within each namespace.
#[derive(Debug, Default)]
pub struct References {
    /// Whom it names.
    names: BTreeMap<ObjectKey, Vec<Arc<str>>>,
    /// Who names it.
    referrers: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl References {
    /// The referrer names these from now on. Gives what it named before.
    pub fn set(&mut self, referrer: &ObjectKey, names: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let before = self.names.remove(referrer).unwrap_or_default();
        for name in &before {
            self.remove(referrer, name);
        }
        for name in &names {
            let target = ObjectKey::new(Arc::clone(&referrer.namespace), Arc::clone(name));
            self.referrers.entry(target).or_default().insert(referrer.clone());
        }
        if !names.is_empty() {
            self.names.insert(referrer.clone(), names);
        }
        before
    }

    /// The objects that name this one, in the order of their keys.
    pub fn to(&self, target: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.referrers.get(target).into_iter().flatten()
    }

    /// Whom this object names.
    #[must_use]
    pub fn names_of(&self, referrer: &ObjectKey) -> &[Arc<str>] {
        self.names.get(referrer).map(Vec::as_slice).unwrap_or_default()
    }

    fn remove(&mut self, referrer: &ObjectKey, name: &Arc<str>) {
        let target = ObjectKey::new(Arc::clone(&referrer.namespace), Arc::clone(name));
        if let Some(referrers) = self.referrers.get_mut(&target) {
            referrers.remove(referrer);
            if referrers.is_empty() {
                self.referrers.remove(&target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_edits_and_stay_in_their_namespace() {
        let key = |namespace: &str, name: &str| ObjectKey::new(namespace, name);
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        let mut references = References::default();
        references.set(&key("a", "set"), names(&["one", "two", "two"]));
        references.set(&key("a", "other"), names(&["two"]));
        references.set(&key("b", "set"), names(&["one"]));
        let to = |references: &References, target| references.to(&target).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(to(&references, key("a", "one")), ["a/set"]);
        assert_eq!(to(&references, key("a", "two")), ["a/other", "a/set"]);

        assert_eq!(
            references.set(&key("a", "set"), names(&["two"])),
            names(&["one", "two", "two"])
        );
        assert!(to(&references, key("a", "one")).is_empty());
        assert_eq!(to(&references, key("b", "one")), ["b/set"]);
        for referrer in [key("a", "set"), key("a", "other"), key("b", "set")] {
            references.set(&referrer, Vec::new());
        }
        assert!(
            references.referrers.is_empty() && references.names.is_empty(),
            "nothing is left behind"
        );
    }
}
