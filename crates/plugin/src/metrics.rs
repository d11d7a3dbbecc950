//! Metrics: names, and the numbers that the host gave them.
//!
//! Names are made of the configuration and of the rules, never of traffic, so there are only so many.

use std::collections::HashMap;

use crate::config::Config;
use crate::host::{Host, Metric};

/// More names than rules and configurations make in earnest.
const MAX_NAMES: usize = 4_096;
/// The longest value of a label in a name.
const MAX_VALUE: usize = 63;

/// The numbers of the metrics that this VM wrote to.
#[derive(Debug, Default)]
pub struct Metrics(HashMap<String, u32>);

impl Metrics {
    /// Adds to a counter. What the host refuses is lost: there is nobody to tell.
    pub fn add(&mut self, host: &impl Host, name: String, by: u64) {
        if let Some(id) = self.id(host, Metric::Counter, name) {
            let _ = host.add_metric(id, by);
        }
    }

    /// Sets a gauge.
    pub fn set(&mut self, host: &impl Host, name: String, to: u64) {
        if let Some(id) = self.id(host, Metric::Gauge, name) {
            let _ = host.set_metric(id, to);
        }
    }

    fn id(&mut self, host: &impl Host, kind: Metric, name: String) -> Option<u32> {
        if let Some(id) = self.0.get(&name) {
            return Some(*id);
        }
        if self.0.len() >= MAX_NAMES {
            return None;
        }
        let id = host.define_metric(kind, &name).ok()?;
        self.0.insert(name, id);
        Some(id)
    }
}

/// What the names of one configuration have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `_key=value` of each configured label, as the Go plugin appends them.
    labels: String,
    /// Engine and namespace, as the contract `coraza_waf_*` has them.
    engine: String,
}

impl Names {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let labels = config.metric_labels.iter();
        let name = |name: &Option<String>| plain(name.as_deref().unwrap_or("unknown"));
        Self {
            labels: labels
                .map(|(key, value)| format!("_{}={}", plain(key), plain(value)))
                .collect(),
            engine: format!(
                "_driver_type_wasm_engine_{}_namespace_{}",
                name(&config.engine),
                name(&config.namespace)
            ),
        }
    }

    /// `waf_filter.tx.total`, which the Go plugin has too.
    #[must_use]
    pub fn transactions(&self) -> String {
        "waf_filter.tx.total".to_owned()
    }

    /// `waf_filter.tx.interruptions_…`, as the Go plugin has it.
    #[must_use]
    pub fn interruptions(&self, rule: &str, phase: &str, authority: Option<&str>) -> String {
        let authority = authority
            .map(|authority| format!("_authority={}", plain(authority)))
            .unwrap_or_default();
        format!(
            "waf_filter.tx.interruptions_ruleid={rule}_phase={phase}{}{authority}",
            self.labels
        )
    }

    /// A metric of ours, about the plugin itself.
    #[must_use]
    pub fn own(&self, name: &str) -> String {
        format!("waf_filter.{name}{}", self.labels)
    }

    /// A metric of the contract: `coraza_waf_<name>` with its labels.
    #[must_use]
    pub fn contract(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let labels: String = labels
            .iter()
            .map(|(key, value)| format!("_{key}_{}", plain(value)))
            .collect();
        format!("coraza_waf_{name}{}{labels}", self.engine)
    }
}

/// A value as a name may have it.
fn plain(value: &str) -> String {
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() || "-._".contains(char) {
            char
        } else {
            '_'
        }
    };
    value.chars().take(MAX_VALUE).map(plain).collect()
}

#[cfg(test)]
pub(crate) mod catalogue;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mock::MockHost;

    #[test]
    fn names_are_those_that_dashboards_know() {
        let json = br#"{"metric_labels":{"owner":"coraza","identifier":"a b"},"engine":"shop","namespace":"prod"}"#;
        let names = Names::new(&Config::parse(json).0);
        for (name, expected) in [
            (names.transactions(), "waf_filter.tx.total"),
            (
                names.interruptions("949110", "http_request_body", None),
                "waf_filter.tx.interruptions_ruleid=949110_phase=http_request_body_identifier=a_b_owner=coraza",
            ),
            (
                names.interruptions("1", "http_request_headers", Some("a.example:80")),
                "waf_filter.tx.interruptions_ruleid=1_phase=http_request_headers_identifier=a_b_owner=coraza_authority=a.example_80",
            ),
            (
                names.contract("plugin_loads_total", &[("status", "success")]),
                "coraza_waf_plugin_loads_total_driver_type_wasm_engine_shop_namespace_prod_status_success",
            ),
        ] {
            assert_eq!(name, expected);
        }
        let nobody = Names::new(&Config::parse(b"{}").0).contract("requests_total", &[("outcome", "pass")]);
        assert_eq!(
            nobody,
            "coraza_waf_requests_total_driver_type_wasm_engine_unknown_namespace_unknown_outcome_pass"
        );
    }

    #[test]
    fn each_name_is_defined_once_and_there_are_only_so_many() {
        let (host, mut metrics) = (MockHost::default(), Metrics::default());
        metrics.add(&host, "a".into(), 1);
        metrics.add(&host, "a".into(), 2);
        assert_eq!((host.metric("a"), host.metrics.borrow().len()), (3, 1));
        metrics.set(&host, "b".into(), 7);
        assert_eq!(host.metric("b"), 7);
        for name in 0..2 * MAX_NAMES {
            metrics.add(&host, name.to_string(), 1);
        }
        assert_eq!(host.metrics.borrow().len(), MAX_NAMES);
    }
}
