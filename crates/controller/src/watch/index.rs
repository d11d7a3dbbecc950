//! `Index`: the objects of all watched kinds and who names whom. Pure: events go in, what has to be reconciled comes out.

use std::sync::Arc;

use coraza_ruleset::RuleSetKey;

use crate::queue::Item;
use crate::ruleset::triggers;
use crate::watch::object::{DataView, EngineView, ObjectKey, RuleSetView, SourceView, View};
use crate::watch::references::References;
use crate::watch::store::{Change, Event, Object, Store};

/// The objects of all watched kinds.
#[derive(Debug, Default)]
pub struct Index {
    /// All RuleSets.
    pub rulesets: Store<RuleSetView>,
    /// All RuleSources.
    pub sources: Store<SourceView>,
    /// All RuleData.
    pub data: Store<DataView>,
    /// All Engines.
    pub engines: Store<EngineView>,
    /// Which RuleSets name a RuleSource.
    pub source_users: References,
    /// Which RuleSets name a RuleData.
    pub data_users: References,
    /// Which Engines name a RuleSet.
    pub ruleset_users: References,
}

/// A kind that the index has a store for.
pub trait Indexed: View + PartialEq {
    /// Its store.
    fn store(index: &mut Index) -> &mut Store<Self>;

    /// Follows a change of an object and says what must be reconciled because of it.
    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item>;
}

impl Index {
    /// Takes in an event of a watch and says what must be reconciled because of it.
    pub fn apply<V: Indexed>(&mut self, event: Event<V>) -> Vec<Item> {
        let changes = V::store(self).apply(event);
        changes.iter().flat_map(|change| V::changed(self, change)).collect()
    }

    /// Whether every kind was listed completely once: before that, what isn't here may exist all the same.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        let Self {
            rulesets,
            sources,
            data,
            engines,
            source_users: _,
            data_users: _,
            ruleset_users: _,
        } = self;
        rulesets.is_synced() && sources.is_synced() && data.is_synced() && engines.is_synced()
    }

    /// Everything that can be reconciled.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let named = self
            .engines
            .iter()
            .filter_map(|(key, engine)| target(key, engine.known()?));
        let rulesets = self
            .rulesets
            .iter()
            .filter_map(|(key, _)| ruleset_key(key))
            .chain(named)
            .map(Item::RuleSet);
        let sources = self.sources.iter().map(|(key, _)| Item::RuleSource(key.clone()));
        let data = self.data.iter().map(|(key, _)| Item::RuleData(key.clone()));
        rulesets.chain(sources).chain(data).collect()
    }

    /// The Engines that name a RuleSet and can be read.
    pub fn engines_of(&self, key: &RuleSetKey) -> impl Iterator<Item = &Arc<EngineView>> {
        let users = self.ruleset_users.to(&object_key(key)).cloned().collect::<Vec<_>>();
        users.into_iter().filter_map(|user| self.engines.get(&user)?.known())
    }

    /// Whether an Engine names this RuleSet.
    #[must_use]
    pub fn is_named(&self, key: &RuleSetKey) -> bool {
        self.ruleset_users.to(&object_key(key)).next().is_some()
    }
}

impl Indexed for RuleSetView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.rulesets
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let Some((sources, data)) = named(change.after.as_ref(), |set| (set.sources.clone(), set.data.clone())) else {
            return triggers::of_ruleset(change, &[], &[]);
        };
        index.source_users.set(&change.key, sources);
        let before = index.data_users.set(&change.key, data.clone());
        triggers::of_ruleset(change, &before, &data)
    }
}

impl Indexed for SourceView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.sources
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        triggers::of_source(change, &index.source_users)
    }
}

impl Indexed for DataView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.data
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        triggers::of_data(change, &index.data_users)
    }
}

impl Indexed for EngineView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.engines
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let Some(after) = named(change.after.as_ref(), |engine| vec![Arc::clone(&engine.ruleset)]) else {
            return Vec::new();
        };
        let before = index.ruleset_users.set(&change.key, after.clone());
        triggers::of_engine(&change.key, &before, &after)
    }
}

/// What an object names now: nothing if it is gone. None if it can't be read: then it still names what it named.
fn named<T, N: Default>(object: Option<&Object<T>>, names: impl FnOnce(&T) -> N) -> Option<N> {
    match object {
        None => Some(N::default()),
        Some(Object::Known(object)) => Some(names(object)),
        Some(Object::Unknown(_)) => None,
    }
}

/// The RuleSet that an Engine names, if that is a name that a RuleSet can have.
#[must_use]
pub fn target(engine: &ObjectKey, view: &EngineView) -> Option<RuleSetKey> {
    RuleSetKey::new(&engine.namespace, &view.ruleset).ok()
}

/// The key of a RuleSet's object as its key for the caches. The API server accepts no name that makes none.
#[must_use]
pub fn ruleset_key(key: &ObjectKey) -> Option<RuleSetKey> {
    RuleSetKey::new(&key.namespace, &key.name).ok()
}

/// The key of a RuleSet's object.
#[must_use]
pub fn object_key(key: &RuleSetKey) -> ObjectKey {
    ObjectKey::new(key.namespace(), key.name())
}
