//! Our own four kinds in the index. Pure.

use std::sync::Arc;

use crate::engine::triggers as engine;
use crate::queue::Item;
use crate::ruleset::triggers;
use crate::watch::index::{Index, Indexed};
use crate::watch::object::{DataView, EngineView, RuleSetView, SourceView};
use crate::watch::store::{Change, Object, Store};

impl Indexed for RuleSetView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.rulesets
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let engines = engine::of_ruleset(change, &index.ruleset_users);
        let Some((sources, data)) = named(change.after.as_ref(), |set| (set.sources.clone(), set.data.clone())) else {
            return [triggers::of_ruleset(change, &[], &[]), engines].concat();
        };
        index.source_users.set(&change.key, sources);
        let before = index.data_users.set(&change.key, data.clone());
        [triggers::of_ruleset(change, &before, &data), engines].concat()
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
        let mut items = engine::of_engine(change, &index.gateway_users);
        if let Some(rulesets) = named(change.after.as_ref(), |engine| vec![Arc::clone(&engine.ruleset)]) {
            let before = index.ruleset_users.set(&change.key, rulesets.clone());
            items.extend(triggers::of_engine(&change.key, &before, &rulesets));
        }
        // A target that can't be read is the one of before.
        let target = named(change.after.as_ref(), |engine| Some(vec![engine.target()?.into()]));
        let target = if change.after.is_none() {
            Some(Vec::new())
        } else {
            target.flatten()
        };
        if let Some(target) = target {
            index.gateway_users.set(&change.key, target);
            items.extend(engine::of_engine(change, &index.gateway_users));
        }
        items
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
