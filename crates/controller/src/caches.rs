//! What the controller says about the caches that are subscribed: `/debug/caches` for people, gauges and counters for machines. How
//! many caches hold what is told here and in no status, or scaling the caches would rewrite every RuleSet.

use std::collections::BTreeMap;
use std::fmt;

use coraza_ruleset::Revision;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;

use crate::lease::Leadership;
use crate::publish::{CacheState, Counters, Publisher};

/// The document at `/debug/caches`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// Whether this controller publishes; another one's caches are not known here.
    leading: bool,
    epoch: Option<u64>,
    caches: Vec<Cache>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cache {
    replica: String,
    process_id: String,
    complete: bool,
    held: BTreeMap<String, Held>,
    refused: BTreeMap<String, String>,
    awaited: Vec<String>,
    grants: usize,
    in_flight: usize,
}

#[derive(Debug, Serialize)]
struct Held {
    uuid: String,
    timestamp: String,
}

/// The JSON document at `/debug/caches`.
#[must_use]
pub fn document(publisher: &Publisher, leadership: &Leadership) -> String {
    let epoch = leadership.epoch();
    let caches = publisher.caches().into_iter().map(cache).collect();
    let document = Document {
        leading: epoch.is_some(),
        epoch,
        caches,
    };
    // Strings, numbers and maps of strings always make JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn cache(state: CacheState) -> Cache {
    let CacheState {
        replica,
        process_id,
        complete,
        held,
        refused,
        awaited,
        grants,
        in_flight,
    } = state;
    let revision = |revision: Revision| Held {
        uuid: revision.uuid().to_string(),
        timestamp: revision.timestamp.to_string(),
    };
    Cache {
        replica,
        process_id: process_id.to_string(),
        complete,
        held: held
            .into_iter()
            .map(|(key, held)| (key.to_string(), revision(held)))
            .collect(),
        refused: refused.into_iter().map(|(key, why)| (key.to_string(), why)).collect(),
        awaited: awaited.iter().map(ToString::to_string).collect(),
        grants,
        in_flight,
    }
}

/// Gauges and counters of the distribution, read when they are scraped.
#[derive(Debug)]
pub struct Metrics {
    publisher: Publisher,
}

impl Metrics {
    /// The metrics of a publisher.
    #[must_use]
    pub const fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Counters {
            nacks,
            oversized,
            recalls,
            incomplete_snapshots,
        } = self.publisher.counters();
        let caches = self.publisher.caches();
        let complete = caches.iter().filter(|cache| cache.complete).count();
        let held = caches.iter().map(|cache| cache.held.len()).sum();
        for (name, help, value) in [
            ("coraza_distribution_caches", "Caches that are subscribed", caches.len()),
            (
                "coraza_distribution_caches_complete",
                "Caches that have a complete snapshot",
                complete,
            ),
            (
                "coraza_distribution_held",
                "RuleSets that caches hold, counted once per cache",
                held,
            ),
            (
                "coraza_distribution_grants",
                "Tokens that caches let in",
                self.publisher.grants(),
            ),
            (
                "coraza_distribution_pollers",
                "Data planes that caches report, 10240 at most",
                self.publisher.all_pollers(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in [
            ("coraza_distribution_nacks", "Revisions that a cache refused", nacks),
            (
                "coraza_distribution_oversized",
                "Revisions not sent because the cache takes none of that size",
                oversized,
            ),
            (
                "coraza_distribution_recalls",
                "Last good contents that a cache sent back",
                recalls,
            ),
            (
                "coraza_distribution_incomplete_snapshots",
                "Snapshots completed without a last good content",
                incomplete_snapshots,
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use std::time::Duration;

    #[test]
    fn a_controller_without_caches_says_so() {
        let publisher = Publisher::new(Duration::from_secs(15));
        let document: serde_json::Value =
            serde_json::from_str(&document(&publisher, &Leadership::unopposed())).expect("JSON");
        assert_eq!(
            (&document["leading"], &document["caches"]),
            (&true.into(), &serde_json::json!([]))
        );

        let mut registry = Registry::default();
        registry.register_collector(Box::new(Metrics::new(publisher)));
        let mut text = String::new();
        encode(&mut text, &registry).expect("encoded");
        for line in ["coraza_distribution_caches 0\n", "coraza_distribution_nacks_total 0\n"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
