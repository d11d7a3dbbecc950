//! What the controller measures about RuleSets, RuleSources and RuleData, under the names and buckets that dashboards and alerts
//! of the Go operator know. Values are set when objects are reconciled, never when they are scraped; no IO.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::publish::Delivery;
use coraza_api::condition::condition_type;

mod object;

pub use object::{EngineInfo, Name};
use object::{Infos, Objects};

/// The upper bounds in seconds of validations: the Go operator's.
const VALIDATION_SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The upper bounds in seconds of handing content over: the Go operator's, where that is a copy in memory, as it is here.
const CACHE_SET_SECONDS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1];
/// The name of our Lease, as a label.
const LEASE: &str = "waf.k8s.coraza.io";

/// How a validation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Validation {
    /// Good.
    Valid,
    /// Not good.
    Invalid,
    /// Not looked at, as an annotation asks. RuleSources only.
    Skipped,
}

impl EncodeLabelValue for Validation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Skipped => "skipped",
        }
        .encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    namespace: Arc<str>,
    outcome: Validation,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Namespace {
    namespace: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CachesThat {
    namespace: Arc<str>,
    name: Arc<str>,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Election {
    name: &'static str,
}

/// How often something was judged, and how long it took.
#[derive(Debug, Clone)]
struct Validations {
    total: Family<Outcome, Counter>,
    seconds: Family<Outcome, Histogram, fn() -> Histogram>,
}

impl Default for Validations {
    fn default() -> Self {
        Self {
            total: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(VALIDATION_SECONDS)),
        }
    }
}

impl Validations {
    fn register(&self, registry: &mut Registry, kind: &str, plural: &str) {
        let Self { total, seconds } = self;
        registry.register(
            format!("coraza_{kind}_validations"),
            format!("Validations of {plural} per outcome"),
            total.clone(),
        );
        registry.register(
            format!("coraza_{kind}_validation_duration_seconds"),
            format!("Time per validation of {plural}"),
            seconds.clone(),
        );
    }

    fn observe(&self, namespace: &Arc<str>, outcome: Validation, took: Option<Duration>) {
        let labels = Outcome {
            namespace: Arc::clone(namespace),
            outcome,
        };
        self.total.get_or_create(&labels).inc();
        if let Some(took) = took {
            self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }
}

/// The metrics of the custom resources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    rulesets: Objects,
    rulesources: Objects,
    ruledata: Objects,
    ruleset_sources: Family<Name, Gauge>,
    ruleset_data_files: Family<Name, Gauge>,
    ruleset_caches: Family<CachesThat, Gauge>,
    ruleset_validations: Validations,
    rulesource_validations: Validations,
    cache_set: Family<Namespace, Histogram, fn() -> Histogram>,
    leader: Family<Election, Gauge>,
    engines: Objects,
    engine_info: Infos,
    engine_enforced: Family<Name, Gauge>,
    engine_token_ends: Family<Name, Gauge>,
    engine_token_renewal: Family<Name, Gauge>,
    istio: Family<Kind, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rulesets: Objects::new(&["Ready", "Progressing", "Degraded"]),
            rulesources: Objects::new(&["Ready", "Degraded"]),
            ruledata: Objects::new(&["Ready"]),
            ruleset_sources: Family::default(),
            ruleset_data_files: Family::default(),
            ruleset_caches: Family::default(),
            ruleset_validations: Validations::default(),
            rulesource_validations: Validations::default(),
            cache_set: Family::new_with_constructor(|| Histogram::new(CACHE_SET_SECONDS)),
            leader: Family::default(),
            engines: Objects::without_info(&["Ready", "Progressing", "Degraded", "Accepted"]),
            engine_info: Infos::default(),
            engine_enforced: Family::default(),
            engine_token_ends: Family::default(),
            engine_token_renewal: Family::default(),
            istio: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            rulesets,
            rulesources,
            ruledata,
            ruleset_sources,
            ruleset_data_files,
            ruleset_caches,
            ruleset_validations,
            rulesource_validations,
            cache_set,
            leader,
            engines,
            engine_info,
            engine_enforced,
            engine_token_ends,
            engine_token_renewal,
            istio,
        } = self;
        rulesets.register(registry, "ruleset", "coraza_rulesets", "RuleSets");
        rulesources.register(registry, "rulesource", "coraza_rulesources", "RuleSources");
        ruledata.register(
            registry,
            "ruledata",
            "coraza_ruledatas",
            "RuleData that a RuleSet names",
        );
        registry.register(
            "coraza_ruleset_sources",
            "RuleSources that a RuleSet names",
            ruleset_sources.clone(),
        );
        registry.register(
            "coraza_ruleset_data_files",
            "RuleData that a RuleSet names",
            ruleset_data_files.clone(),
        );
        registry.register(
            "coraza_ruleset_caches",
            "Caches by what they did with a RuleSet's revision",
            ruleset_caches.clone(),
        );
        ruleset_validations.register(registry, "ruleset", "RuleSets");
        rulesource_validations.register(registry, "rulesource", "RuleSources");
        registry.register(
            "coraza_cache_set_duration_seconds",
            "Time to hand content over for distribution",
            cache_set.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "Whether this process leads (1) or stands by (0)",
            leader.clone(),
        );
        engines.register(registry, "engine", "coraza_engines", "Engines");
        engine_info.register(registry);
        registry.register(
            "coraza_engine_enforced",
            "Whether the ready gateway pods run the desired revision: 1 all, 0 not all, -1 unknown",
            engine_enforced.clone(),
        );
        registry.register(
            "coraza_engine_token_expiration_timestamp_seconds",
            "When the token that an Engine's gateways poll with ends, in seconds since 1970",
            engine_token_ends.clone(),
        );
        registry.register(
            "coraza_engine_token_renewal_timestamp_seconds",
            "When that token is renewed, in seconds since 1970",
            engine_token_renewal.clone(),
        );
        registry.register(
            "coraza_istio_told",
            "Whether the mesh is told of the caches by an object of this kind (1) or that failed (0)",
            istio.clone(),
        );
        self.leads(false);
    }

    /// A RuleSet has these conditions and names so many RuleSources and RuleData.
    pub fn ruleset(&self, name: &Name, conditions: &[Condition], sources: usize, data: usize) {
        self.rulesets.observe(name, conditions);
        self.ruleset_sources.get_or_create(name).set(count(sources));
        self.ruleset_data_files.get_or_create(name).set(count(data));
    }

    /// A RuleSet's revision is at the caches as far as this.
    pub fn delivery(&self, name: &Name, delivery: &Delivery) {
        let answered = delivery.acked.saturating_add(delivery.nacked.len());
        let states = [
            ("acked", delivery.acked),
            ("nacked", delivery.nacked.len()),
            ("pending", delivery.connected.saturating_sub(answered)),
        ];
        for (state, caches) in states {
            self.ruleset_caches
                .get_or_create(&CachesThat::new(name, state))
                .set(count(caches));
        }
    }

    /// A RuleSet is gone, and what was measured of it goes too.
    pub fn forget_ruleset(&self, name: &Name) {
        self.rulesets.forget(name);
        self.ruleset_sources.remove(name);
        self.ruleset_data_files.remove(name);
        for state in ["acked", "nacked", "pending"] {
            self.ruleset_caches.remove(&CachesThat::new(name, state));
        }
    }

    /// A RuleSource has these conditions.
    pub fn rulesource(&self, name: &Name, conditions: &[Condition]) {
        self.rulesources.observe(name, conditions);
    }

    /// A RuleSource is gone.
    pub fn forget_rulesource(&self, name: &Name) {
        self.rulesources.forget(name);
    }

    /// A RuleData that a RuleSet names has these conditions.
    pub fn ruledata(&self, name: &Name, conditions: &[Condition]) {
        self.ruledata.observe(name, conditions);
    }

    /// A RuleData is gone, or no RuleSet names it any more.
    pub fn forget_ruledata(&self, name: &Name) {
        self.ruledata.forget(name);
    }

    /// A RuleSet was compiled, or failed to in this time.
    pub fn ruleset_validated(&self, namespace: &Arc<str>, outcome: Validation, took: Duration) {
        self.ruleset_validations.observe(namespace, outcome, Some(took));
    }

    /// A RuleSource's syntax was judged; nothing is timed of one that was skipped.
    pub fn rulesource_validated(&self, namespace: &Arc<str>, outcome: Validation, took: Duration) {
        self.rulesource_validations
            .observe(namespace, outcome, (outcome != Validation::Skipped).then_some(took));
    }

    /// Content was handed over to the publisher.
    pub fn cache_set(&self, namespace: &Arc<str>, took: Duration) {
        self.cache_set
            .get_or_create(&Namespace {
                namespace: Arc::clone(namespace),
            })
            .observe(took.as_secs_f64());
    }

    /// An Engine has these conditions.
    pub fn engine_conditions(&self, name: &Name, conditions: &[Condition]) {
        self.engines.observe(name, conditions);
        let enforced = conditions
            .iter()
            .find(|condition| condition.type_ == condition_type::ENFORCED);
        let enforced = match enforced.map(|condition| &*condition.status) {
            Some("True") => 1,
            Some("False") => 0,
            _ => -1,
        };
        self.engine_enforced.get_or_create(name).set(enforced);
    }

    /// When the token that an Engine's gateways have is renewed and when it ends, in seconds since 1970; nothing if they have none.
    pub fn engine_token(&self, name: &Name, token: Option<(i64, i64)>) {
        let families = [&self.engine_token_renewal, &self.engine_token_ends];
        if let Some((renewal, ends)) = token {
            for (family, at) in families.into_iter().zip([renewal, ends]) {
                family.get_or_create(name).set(at);
            }
        } else {
            for family in families {
                family.remove(name);
            }
        }
    }

    /// What an Engine asks for.
    pub fn engine_info(&self, info: EngineInfo) {
        self.engine_info.set(info);
    }

    /// An Engine is gone.
    pub fn forget_engine(&self, name: &Name) {
        self.engines.forget(name);
        self.engine_info.forget(name);
        self.engine_enforced.remove(name);
        self.engine_token(name, None);
    }

    /// The mesh is told of the caches by an object of this kind, or that failed.
    pub fn istio(&self, kind: &'static str, told: bool) {
        self.istio.get_or_create(&Kind { kind }).set(told.into());
    }

    /// This process leads or stands by.
    pub fn leads(&self, leads: bool) {
        self.leader.get_or_create(&Election { name: LEASE }).set(leads.into());
    }
}

impl CachesThat {
    fn new(name: &Name, state: &'static str) -> Self {
        Self {
            namespace: Arc::clone(&name.namespace),
            name: Arc::clone(&name.name),
            state,
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod exposition;
#[cfg(test)]
mod tests;
