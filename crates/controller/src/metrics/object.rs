//! The series that every kind has: that an object exists, what its conditions are, how many there are in a namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use coraza_api::status::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Namespace, count};

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Name {
    /// The object of this name in this namespace.
    #[must_use]
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// The names of a kind's objects, by namespace.
type Names = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionOf {
    namespace: Arc<str>,
    name: Arc<str>,
    condition: &'static str,
}

/// The objects of one kind.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    condition_types: &'static [&'static str],
    /// Nothing for a kind whose objects say more than their name.
    info: Option<Family<Name, Gauge>>,
    conditions: Family<ConditionOf, Gauge>,
    totals: Family<Namespace, Gauge>,
    /// What the totals count. A std mutex is right: nothing awaits under it.
    known: Arc<Mutex<Names>>,
}

impl Objects {
    /// Objects whose conditions of these types are measured, whether they have them or not.
    pub(super) fn new(condition_types: &'static [&'static str]) -> Self {
        Self {
            condition_types,
            info: Some(Family::default()),
            conditions: Family::default(),
            totals: Family::default(),
            known: Arc::default(),
        }
    }

    /// The same, where [`Infos`] says that they exist.
    pub(super) fn without_info(condition_types: &'static [&'static str]) -> Self {
        Self {
            info: None,
            ..Self::new(condition_types)
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, kind: &str, total: &str, plural: &str) {
        let Self {
            condition_types: _,
            info,
            conditions,
            totals,
            known: _,
        } = self;
        if let Some(info) = info {
            registry.register(format!("coraza_{kind}_info"), format!("{plural}, each 1"), info.clone());
        }
        let help = format!("Conditions of {plural}: 1 True, 0 False, -1 Unknown or absent");
        registry.register(format!("coraza_{kind}_condition"), help, conditions.clone());
        registry.register(total, format!("Number of {plural}"), totals.clone());
    }

    pub(super) fn observe(&self, name: &Name, conditions: &[Condition]) {
        if let Some(info) = &self.info {
            info.get_or_create(name).set(1);
        }
        for condition_type in self.condition_types {
            let value = condition(conditions, condition_type).map_or(-1, |condition| match condition.status.as_str() {
                "True" => 1,
                "False" => 0,
                _ => -1,
            });
            self.conditions
                .get_or_create(&ConditionOf::new(name, condition_type))
                .set(value);
        }
        self.count(&name.namespace, |names| names.insert(Arc::clone(&name.name)));
    }

    pub(super) fn forget(&self, name: &Name) {
        if let Some(info) = &self.info {
            info.remove(name);
        }
        for condition_type in self.condition_types {
            self.conditions.remove(&ConditionOf::new(name, condition_type));
        }
        self.count(&name.namespace, |names| names.remove(&name.name));
    }

    /// Changes what is known of a namespace and its total with it; a namespace without objects has no series.
    fn count(&self, namespace: &Arc<str>, change: impl FnOnce(&mut BTreeSet<Arc<str>>) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let names = known.entry(Arc::clone(namespace)).or_default();
        if !change(names) && !names.is_empty() {
            return;
        }
        let labels = Namespace {
            namespace: Arc::clone(namespace),
        };
        if names.is_empty() {
            known.remove(namespace);
            self.totals.remove(&labels);
        } else {
            self.totals.get_or_create(&labels).set(count(names.len()));
        }
    }
}

impl ConditionOf {
    fn new(name: &Name, condition: &'static str) -> Self {
        Self {
            namespace: Arc::clone(&name.namespace),
            name: Arc::clone(&name.name),
            condition,
        }
    }
}

/// What an Engine asks for, as labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EngineInfo {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its target's name.
    pub target_name: Arc<str>,
    /// Its target's kind.
    pub target_type: &'static str,
    /// How the firewall gets into the gateway.
    pub driver_type: &'static str,
    /// Its RuleSet's name.
    pub ruleset_name: Arc<str>,
    /// What happens to a request that can't be checked.
    pub failure_policy: &'static str,
}

/// One series per Engine, whose labels change with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Infos {
    family: Family<EngineInfo, Gauge>,
    current: Arc<Mutex<BTreeMap<Name, EngineInfo>>>,
}

impl Infos {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "coraza_engine_info",
            "Engines and what they ask for, each 1",
            self.family.clone(),
        );
    }

    pub(super) fn set(&self, info: EngineInfo) {
        let name = Name::new(Arc::clone(&info.namespace), Arc::clone(&info.name));
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = current.get(&name).filter(|before| **before != info) {
            self.family.remove(before);
        }
        self.family.get_or_create(&info).set(1);
        current.insert(name, info);
    }

    pub(super) fn forget(&self, name: &Name) {
        let before = self.current.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(before) = before {
            self.family.remove(&before);
        }
    }
}
