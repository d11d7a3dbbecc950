//! What controller-runtime reports about its controllers, under its names: existing alerts use them.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::queue::Queue;
use crate::queue::schedule::Outcome;

/// The upper bounds in seconds of `controller_runtime_reconcile_time_seconds`: from a status check to a compile of many seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    controller: &'static str,
    result: &'static str,
}

/// The metrics of the work queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciled: Family<Reconciled, Counter>,
    errors: Family<Controller, Counter>,
    seconds: Family<Controller, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciled: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Metrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            reconciled,
            errors,
            seconds,
        } = self;
        registry.register(
            "controller_runtime_reconcile",
            "Reconciliations per controller and result",
            reconciled.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Failed reconciliations per controller",
            errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time per reconciliation",
            seconds.clone(),
        );
    }

    /// Work of a controller ended.
    pub(crate) fn reconciled(&self, controller: &'static str, outcome: Outcome, took: Duration) {
        let result = match outcome {
            Outcome::Done => "success",
            Outcome::Again(_) => "requeue_after",
            Outcome::Failed => "error",
        };
        self.reconciled.get_or_create(&Reconciled { controller, result }).inc();
        if outcome == Outcome::Failed {
            self.errors.get_or_create(&Controller { controller }).inc();
        }
        self.seconds
            .get_or_create(&Controller { controller })
            .observe(took.as_secs_f64());
    }
}

/// How many items wait, counted when it is scraped: at each change it would cost more than the change.
#[derive(Debug)]
pub(super) struct Depth(pub(super) Queue);

impl Collector for Depth {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = MetricType::Gauge;
        let mut family = encoder.encode_descriptor("workqueue_depth", "Items that wait for a worker", None, gauge)?;
        for (controller, waiting) in self.0.depths() {
            let waiting = ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX));
            waiting.encode(family.encode_family(&[("name", controller)])?)?;
        }
        Ok(())
    }
}
