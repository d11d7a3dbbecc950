//! How the watches are.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// The metrics of the watches. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    up: Family<Kind, Gauge>,
    failures: Family<Kind, Counter>,
    undecodable: Family<Kind, Counter>,
}

impl Metrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            up,
            failures,
            undecodable,
        } = self;
        registry.register(
            "coraza_watch_up",
            "Whether the watch of a kind works (1) or is being retried (0)",
            up.clone(),
        );
        registry.register(
            "coraza_watch_failures",
            "Failures of the watch of a kind",
            failures.clone(),
        );
        registry.register(
            "coraza_watch_undecodable",
            "Objects seen that could not be decoded",
            undecodable.clone(),
        );
    }

    pub(crate) fn up(&self, kind: &'static str, up: bool) {
        self.up.get_or_create(&Kind { kind }).set(up.into());
    }

    pub(crate) fn failed(&self, kind: &'static str) {
        self.failures.get_or_create(&Kind { kind }).inc();
    }

    pub(crate) fn undecodable(&self, kind: &'static str) {
        self.undecodable.get_or_create(&Kind { kind }).inc();
    }
}
