//! What the cache tells about its contents and callers. Names and meaning are the Go operator's where it has them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::auth::Grants;
use crate::http::Gauges;
use crate::store::{Store, Usage};
use crate::subscribe::State;

/// Where the numbers come from. They are read when they are scraped: nothing is kept twice.
#[derive(Debug)]
pub struct Sources {
    /// What is held.
    pub store: Store,
    /// Who asks for it.
    pub http: Gauges,
    /// Who may.
    pub grants: Grants,
    /// Who says what it should be.
    pub subscription: watch::Receiver<State>,
    /// How many bytes of bodies there is memory for, 0 if nobody knows; nothing but a metric depends on it.
    pub max_size: u64,
}

/// Registers every metric of the cache.
pub fn register(registry: &mut Registry, sources: Sources) {
    registry.register_collector(Box::new(sources.http.requests.clone()));
    registry.register_collector(Box::new(sources));
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Usage {
            rulesets,
            content,
            bodies,
        } = self.store.usage();
        let Gauges {
            requests: _,
            waiters,
            pollers,
            connections,
        } = &self.http;
        let State {
            connected,
            complete,
            streams,
            acks,
            nacks,
        } = *self.subscription.borrow();
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "coraza_cache_size_bytes",
                "Rules and data files of all RuleSets",
                count(content),
            ),
            (
                "coraza_cache_body_bytes",
                "Ready-made bodies, plain and compressed",
                count(bodies),
            ),
            ("coraza_cache_instances", "RuleSets", count(rulesets)),
            (
                "coraza_cache_total_entries",
                "Revisions: the latest one of each RuleSet",
                count(rulesets),
            ),
            (
                "coraza_cache_config_max_size_bytes",
                "Bytes of bodies that there is memory for, 0 without a limit; nothing is dropped",
                i64::try_from(self.max_size).unwrap_or(i64::MAX),
            ),
            (
                "coraza_cache_connected",
                "1 while the stream from the leading controller is up",
                i64::from(connected.is_some()),
            ),
            (
                "coraza_cache_publisher_epoch",
                "Epoch of the controller that is obeyed, 0 without one",
                i64::try_from(connected.unwrap_or_default()).unwrap_or(i64::MAX),
            ),
            (
                "coraza_cache_snapshot_complete",
                "1 since the first whole snapshot",
                i64::from(complete),
            ),
            (
                "coraza_cache_waiting_polls",
                "Requests that wait for news",
                count(waiters.len()),
            ),
            (
                "coraza_cache_pollers",
                "Data planes that poll with an Engine's token, as far as they are remembered",
                count(pollers.len()),
            ),
            (
                "coraza_cache_grants",
                "Tokens that the controller lets in",
                count(self.grants.len()),
            ),
            (
                "coraza_cache_connections",
                "Open connections",
                count(connections.open()),
            ),
            (
                "coraza_cache_config_max_connections",
                "Connections that may be open",
                count(connections.max()),
            ),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        let mut pruned = encoder.encode_descriptor(
            "coraza_cache_gc_pruned_entries",
            "Always 0: no old revision is kept",
            None,
            MetricType::Counter,
        )?;
        for reason in ["age", "size"] {
            pruned
                .encode_family(&[("reason", reason)])?
                .encode_counter::<NoLabelSet, _, u64>(&0_u64, None)?;
        }
        for (name, help, value) in [
            (
                "coraza_cache_gc_size_limit_exceeded",
                "Always 0: no old revision is kept",
                0,
            ),
            (
                "coraza_cache_subscriptions",
                "Streams from a leading controller",
                streams,
            ),
            (
                "coraza_cache_updates_acked",
                "Messages of the controller that were applied",
                acks,
            ),
            (
                "coraza_cache_updates_nacked",
                "Messages of the controller that were refused",
                nacks,
            ),
            (
                "coraza_cache_connections_refused",
                "Connections for which there was no room",
                connections.refused(),
            ),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use coraza_ruleset::{CompiledRuleSet, Content, Revision, RuleSetKey, RulesText, Timestamp};
    use prometheus_client::encoding::text::encode;

    use crate::StoreUpdate;
    use crate::http::capacity::Connections;
    use crate::http::metrics::Requests;
    use crate::pollers::Pollers;
    use coraza_runtime::tls::expiry::{Expiries, Expiry};
    use coraza_runtime::tls::x509::Validity;

    #[test]
    fn exposition() {
        let (store, _compressor) = Store::new();
        for name in ["a", "b"] {
            let content = Content {
                rules: RulesText::new([Arc::from("SecRuleEngine On")]),
                ..Content::default()
            };
            let revision = Revision {
                digest: content.digest(),
                timestamp: Timestamp::from_unix_nanos(1),
            };
            let key = RuleSetKey::new("team", name).expect("key");
            store.apply(StoreUpdate::Upsert(CompiledRuleSet { key, revision, content }));
        }
        let connections = Arc::new(Connections::new(1));
        let gauges = Gauges {
            requests: Requests::new(1),
            waiters: Arc::default(),
            pollers: Pollers::default(),
            connections: Arc::clone(&connections),
        };
        let address = [10, 0, 0, 1].into();
        let permit = gauges
            .waiters
            .enter(&RuleSetKey::new("team", "a").expect("key"), address)
            .zip(connections.admit(address));
        assert!(connections.admit(address).is_none());
        let mut registry = Registry::default();
        let state = State {
            connected: Some(7),
            complete: true,
            streams: 2,
            acks: 5,
            nacks: 1,
        };
        let (_state, subscription) = watch::channel(state);
        register(
            &mut registry,
            Sources {
                store,
                http: gauges,
                grants: Grants::default(),
                subscription,
                max_size: 100 << 20,
            },
        );
        let expiries = Expiries::default();
        expiries.register(&mut registry);
        expiries.add("grpc", || {
            let validity = |not_before, not_after| Validity { not_before, not_after };
            Some(Expiry {
                certificate: validity(3, 1),
                authority: Some(validity(4, 2)),
            })
        });
        let mut text = String::new();
        encode(&mut text, &registry).expect("encoded");
        drop(permit);
        insta::assert_snapshot!(text);
    }
}
