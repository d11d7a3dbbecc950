//! `Index`: the objects of all watched kinds and who names whom. Pure: events go in, what has to be reconciled comes out.

mod foreign;
mod own;

pub use foreign::IndexedChild;

use std::collections::BTreeMap;
use std::sync::Arc;

use coraza_api::istio::{DestinationRule, ServiceEntry, Telemetry, WasmPlugin};
use coraza_ruleset::RuleSetKey;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::engine::child::Child;
use crate::engine::triggers;
use crate::queue::Item;
use crate::watch::foreign::{ChildView, DeploymentView, GatewayClassView, GatewayView};
use crate::watch::object::{DataView, EngineView, ObjectKey, RuleSetView, SourceView, View};
use crate::watch::pod::PodView;
use crate::watch::references::References;
use crate::watch::store::{Change, Event, Presence, Store};

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
    /// Which Engines name a Gateway.
    pub gateway_users: References,
    /// All Gateways.
    pub gateways: Store<GatewayView>,
    /// All GatewayClasses.
    pub classes: Store<GatewayClassView>,
    /// All WasmPlugins.
    pub plugins: Children<WasmPlugin>,
    /// All Telemetries.
    pub telemetries: Children<Telemetry>,
    /// The NetworkPolicies of our own namespace.
    pub policies: Children<NetworkPolicy>,
    /// The ServiceEntries of our own namespace.
    pub service_entries: Children<ServiceEntry>,
    /// The DestinationRules of our own namespace.
    pub destination_rules: Children<DestinationRule>,
    /// The pods of Gateways.
    pub pods: Store<PodView>,
    /// Which pods name a Gateway.
    pub gateway_pods: References,
    /// The Deployment that this process belongs to, if it is one.
    pub deployments: Store<DeploymentView>,
}

/// The objects of a kind that we make: as they are, and as we want them.
#[derive(Debug)]
pub struct Children<K> {
    /// As they are.
    pub live: Store<ChildView<K>>,
    wanted: BTreeMap<ObjectKey, Wanted>,
}

/// An object as it was wanted last.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// By whom.
    pub by: Item,
    /// The object.
    pub child: Arc<Child>,
}

impl<K> Default for Children<K> {
    fn default() -> Self {
        Self {
            live: Store::default(),
            wanted: BTreeMap::new(),
        }
    }
}

impl<K> Children<K> {
    /// An object is about to be made so: what the watch tells of it needs no work as long as it is so.
    pub fn want(&mut self, by: Item, child: Arc<Child>) {
        self.wanted.insert(child.key.clone(), Wanted { by, child });
    }

    /// An object isn't wanted any more.
    pub fn unwant(&mut self, key: &ObjectKey) {
        self.wanted.remove(key);
    }

    fn unwant_all(&mut self, by: &Item) {
        self.wanted.retain(|_, wanted| wanted.by != *by);
    }

    /// The object as it was wanted last.
    #[must_use]
    pub fn wanted(&self, key: &ObjectKey) -> Option<&Wanted> {
        self.wanted.get(key)
    }
}

/// A kind that the index has a store for.
pub trait Indexed: View + PartialEq {
    /// Its store.
    fn store(index: &mut Index) -> &mut Store<Self>;

    /// Follows a change of an object and says what must be reconciled because of it.
    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item>;

    /// What must be reconciled when it becomes known whether the kind exists, and what there is of it.
    fn appeared(_: &Index) -> Vec<Item> {
        Vec::new()
    }

    /// Whether the event is older than what is known: our own writes are known before the watch tells of them.
    fn is_outdated(_: &Index, _: &Event<Self>) -> bool {
        false
    }
}

impl Index {
    /// Takes in an event of a watch and says what must be reconciled because of it.
    pub fn apply<V: Indexed>(&mut self, event: Event<V>) -> Vec<Item> {
        if V::is_outdated(self, &event) {
            return Vec::new();
        }
        let complete = matches!(event, Event::InitDone);
        let store = V::store(self);
        let news = complete && store.presence() != Presence::Listed;
        let changes = store.apply(event);
        let mut items: Vec<Item> = changes.iter().flat_map(|change| V::changed(self, change)).collect();
        if news {
            items.extend(V::appeared(self));
        }
        items
    }

    /// A kind isn't installed. Says what must be reconciled because of it.
    pub fn absent<V: Indexed>(&mut self) -> Vec<Item> {
        if V::store(self).set_absent() {
            V::appeared(self)
        } else {
            Vec::new()
        }
    }

    /// Whether every kind of ours was listed completely once: before that, what isn't here may exist all the same. Other kinds hold up
    /// nobody but the Engines that need them.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.rulesets.is_synced() && self.sources.is_synced() && self.data.is_synced() && self.engines.is_synced()
    }

    /// Whether it is known which tokens are in use: all Engines are, and all WasmPlugins or that there are none.
    #[must_use]
    pub fn knows_tokens(&self) -> bool {
        self.engines.is_synced() && self.plugins.live.presence() != Presence::Unknown
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
        let policies = self.policies.live.iter().filter_map(|(_, policy)| policy.known());
        // A NetworkPolicy may be all that is left of an Engine.
        let bereaved = policies.filter_map(|policy| triggers::engine_of_policy(policy));
        let engines = self.engine_items().into_iter();
        rulesets
            .chain(sources)
            .chain(data)
            .chain(engines)
            .chain(bereaved.map(Item::Engine))
            .chain([Item::Istio])
            .collect()
    }

    /// All Engines.
    #[must_use]
    pub fn engine_items(&self) -> Vec<Item> {
        self.engines.iter().map(|(key, _)| Item::Engine(key.clone())).collect()
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

    /// Nothing is wanted any more on behalf of somebody.
    pub fn unwant(&mut self, by: &Item) {
        self.plugins.unwant_all(by);
        self.telemetries.unwant_all(by);
        self.policies.unwant_all(by);
        self.service_entries.unwant_all(by);
        self.destination_rules.unwant_all(by);
    }

    /// The NetworkPolicies that were made for an Engine, by us or by the Go operator.
    pub fn policies_of(
        &self,
        engine: &ObjectKey,
    ) -> impl Iterator<Item = (&ObjectKey, &Arc<ChildView<NetworkPolicy>>)> {
        let policies = self.policies.live.iter();
        policies.filter_map(|(key, policy)| {
            let policy = policy.known()?;
            (triggers::engine_of_policy(policy).as_ref() == Some(engine)).then_some((key, policy))
        })
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
