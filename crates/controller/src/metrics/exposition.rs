//! One series of every metric of the controller, as it is scraped. `cargo xtask generate` makes the table in `docs/metrics.md` of the snapshot.

use std::time::Duration;

use coraza_runtime::tls::expiry::{Expiries, Expiry};
use coraza_runtime::tls::x509::Validity;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::tests::{conditions, delivery};
use super::*;
use crate::publish::Publisher;
use crate::queue::schedule::Outcome as Ended;
use crate::queue::{Item, Queue};
use crate::watch;
use crate::{caches, certificates};

/// What a process of ours registers, each family with a series.
fn registry() -> Registry {
    let (metrics, watches, queue) = (Metrics::default(), watch::metrics::Metrics::default(), Queue::new(1));
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    watches.register(&mut registry);
    registry.register_collector(Box::new(caches::Metrics::new(Publisher::new(Duration::from_secs(15)))));
    queue.register(&mut registry);
    let (certificates, expiries) = (certificates::Metrics::default(), Expiries::default());
    certificates.register(&mut registry);
    expiries.register(&mut registry);

    let (name, namespace): (_, Arc<str>) = (Name::new("shop", "waf"), "shop".into());
    let all = conditions(&[("Ready", "True"), ("Enforced", "True")]);
    metrics.ruleset(&name, &all, 2, 1);
    metrics.delivery(&name, &delivery());
    metrics.rulesource(&name, &all);
    metrics.ruledata(&name, &all);
    metrics.ruleset_validated(&namespace, Validation::Valid, Duration::ZERO);
    metrics.rulesource_validated(&namespace, Validation::Valid, Duration::ZERO);
    metrics.cache_set(&namespace, Duration::ZERO);
    metrics.istio("ServiceEntry", true);
    metrics.engine_conditions(&name, &all);
    metrics.engine_token(&name, Some((1, 2)));
    metrics.engine_info(EngineInfo {
        namespace: "shop".into(),
        name: "waf".into(),
        target_name: "public".into(),
        target_type: "Gateway",
        driver_type: "wasm",
        ruleset_name: "crs".into(),
        failure_policy: "fail",
    });
    watches.up("Engine", true);
    watches.failed("Engine");
    watches.undecodable("Engine");
    certificates.wrote("ca");
    expiries.add("grpc", || {
        let validity = |not_before, not_after| Validity { not_before, not_after };
        Some(Expiry {
            certificate: validity(3, 1),
            authority: Some(validity(4, 2)),
        })
    });
    queue.finish(Item::Istio, Ended::Failed, Duration::ZERO);
    registry
}

/// The same, with the series of each family in an order: they come in none.
fn ordered(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let runs = lines.chunk_by(|one, other| !one.starts_with('#') && !other.starts_with('#'));
    let ordered = runs.flat_map(|run| {
        let mut run = run.to_vec();
        run.sort_unstable();
        run
    });
    ordered.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn every_metric() {
    let mut text = String::new();
    encode(&mut text, &registry()).unwrap();
    // A family without a series is one that this file forgot.
    let silent: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|family| !text.lines().any(|line| line.starts_with(family)))
        .collect();
    assert_eq!(silent, Vec::<&str>::new());
    insta::assert_snapshot!(ordered(&text));
}
