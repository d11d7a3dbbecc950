//! The exposition, line by line, as a scraper reads it.

use super::*;
use crate::publish::Nack;
use coraza_ruleset::{Digest, Revision, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use prometheus_client::encoding::text::encode;

pub(super) fn conditions(types: &[(&str, &str)]) -> Vec<Condition> {
    let condition = |(type_, status): &(&str, &str)| Condition {
        type_: (*type_).to_owned(),
        status: (*status).to_owned(),
        reason: "R".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    };
    types.iter().map(condition).collect()
}

/// The samples, sorted, without buckets that repeat the one before.
fn samples(metrics: &Metrics) -> Vec<String> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let mut samples: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    samples.sort();
    samples
}

fn nothing() -> Vec<String> {
    samples(&Metrics::default())
}

#[test]
fn a_process_that_knows_nothing_says_that_it_stands_by() {
    assert_eq!(
        nothing(),
        [r#"leader_election_master_status{name="waf.k8s.coraza.io"} 0"#]
    );
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    metrics.leads(true);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(
        text.contains(r#"leader_election_master_status{name="waf.k8s.coraza.io"} 1"#),
        "{text}"
    );
}

#[test]
fn objects_have_the_go_operators_series() {
    let metrics = Metrics::default();
    let ready = conditions(&[("Ready", "True")]);
    metrics.ruleset(
        &Name::new("shop", "crs"),
        &conditions(&[("Ready", "False"), ("Degraded", "True")]),
        3,
        1,
    );
    metrics.ruleset(&Name::new("shop", "own"), &conditions(&[("Ready", "Unknown")]), 1, 0);
    metrics.rulesource(&Name::new("shop", "base"), &ready);
    metrics.ruledata(&Name::new("shop", "words"), &ready);
    let expected = [
        r#"coraza_ruledata_condition{namespace="shop",name="words",condition="Ready"} 1"#,
        r#"coraza_ruledata_info{namespace="shop",name="words"} 1"#,
        r#"coraza_ruledatas{namespace="shop"} 1"#,
        r#"coraza_ruleset_condition{namespace="shop",name="crs",condition="Degraded"} 1"#,
        r#"coraza_ruleset_condition{namespace="shop",name="crs",condition="Progressing"} -1"#,
        r#"coraza_ruleset_condition{namespace="shop",name="crs",condition="Ready"} 0"#,
        r#"coraza_ruleset_condition{namespace="shop",name="own",condition="Degraded"} -1"#,
        r#"coraza_ruleset_condition{namespace="shop",name="own",condition="Progressing"} -1"#,
        r#"coraza_ruleset_condition{namespace="shop",name="own",condition="Ready"} -1"#,
        r#"coraza_ruleset_data_files{namespace="shop",name="crs"} 1"#,
        r#"coraza_ruleset_data_files{namespace="shop",name="own"} 0"#,
        r#"coraza_ruleset_info{namespace="shop",name="crs"} 1"#,
        r#"coraza_ruleset_info{namespace="shop",name="own"} 1"#,
        r#"coraza_ruleset_sources{namespace="shop",name="crs"} 3"#,
        r#"coraza_ruleset_sources{namespace="shop",name="own"} 1"#,
        r#"coraza_rulesets{namespace="shop"} 2"#,
        r#"coraza_rulesource_condition{namespace="shop",name="base",condition="Degraded"} -1"#,
        r#"coraza_rulesource_condition{namespace="shop",name="base",condition="Ready"} 1"#,
        r#"coraza_rulesource_info{namespace="shop",name="base"} 1"#,
        r#"coraza_rulesources{namespace="shop"} 1"#,
        r#"leader_election_master_status{name="waf.k8s.coraza.io"} 0"#,
    ];
    assert_eq!(samples(&metrics), expected);
}

#[test]
fn objects_that_are_gone_leave_no_series() {
    let metrics = Metrics::default();
    let name = Name::new("shop", "crs");
    for _ in 0..2 {
        metrics.ruleset(&name, &[], 3, 1);
        metrics.delivery(&name, &delivery());
        metrics.rulesource(&name, &[]);
        metrics.ruledata(&name, &[]);
        metrics.forget_ruleset(&name);
        metrics.forget_rulesource(&name);
        metrics.forget_ruledata(&name);
        metrics.forget_ruledata(&name);
        assert_eq!(samples(&metrics), nothing());
    }
}

pub(super) fn delivery() -> Delivery {
    Delivery {
        revision: Revision {
            digest: Digest::new([1; 32]),
            timestamp: Timestamp::from_unix_nanos(1),
        },
        bytes: 1,
        connected: 4,
        acked: 2,
        nacked: vec![Nack {
            replica: "cache-0".into(),
            detail: "too large".into(),
        }],
        ever_connected: true,
    }
}

#[test]
fn caches_are_counted_by_what_they_did() {
    let metrics = Metrics::default();
    metrics.delivery(&Name::new("shop", "crs"), &delivery());
    let expected = [
        r#"coraza_ruleset_caches{namespace="shop",name="crs",state="acked"} 2"#,
        r#"coraza_ruleset_caches{namespace="shop",name="crs",state="nacked"} 1"#,
        r#"coraza_ruleset_caches{namespace="shop",name="crs",state="pending"} 1"#,
    ];
    assert_eq!(samples(&metrics)[..3], expected);
}

/// The upper bounds and the other samples of a histogram.
fn bounds(samples: &[String], bucket: &str) -> Vec<String> {
    let mut bounds: Vec<f64> = samples
        .iter()
        .filter(|line| line.starts_with(bucket))
        .filter_map(|line| line.split_once("le=\"")?.1.split_once('"')?.0.parse().ok())
        .collect();
    bounds.sort_by(f64::total_cmp);
    bounds.iter().map(ToString::to_string).collect()
}

#[test]
fn validations_are_counted_and_timed() {
    let metrics = Metrics::default();
    let namespace: Arc<str> = "shop".into();
    metrics.ruleset_validated(&namespace, Validation::Valid, Duration::from_millis(30));
    metrics.rulesource_validated(&namespace, Validation::Invalid, Duration::from_millis(2));
    metrics.rulesource_validated(&namespace, Validation::Skipped, Duration::ZERO);
    metrics.cache_set(&namespace, Duration::from_micros(200));
    let samples = samples(&metrics);
    for sample in [
        r#"coraza_ruleset_validations_total{namespace="shop",outcome="valid"} 1"#,
        r#"coraza_ruleset_validation_duration_seconds_count{namespace="shop",outcome="valid"} 1"#,
        r#"coraza_ruleset_validation_duration_seconds_bucket{le="0.025",namespace="shop",outcome="valid"} 0"#,
        r#"coraza_ruleset_validation_duration_seconds_bucket{le="0.05",namespace="shop",outcome="valid"} 1"#,
        r#"coraza_rulesource_validations_total{namespace="shop",outcome="invalid"} 1"#,
        r#"coraza_rulesource_validations_total{namespace="shop",outcome="skipped"} 1"#,
        r#"coraza_rulesource_validation_duration_seconds_count{namespace="shop",outcome="invalid"} 1"#,
        r#"coraza_cache_set_duration_seconds_count{namespace="shop"} 1"#,
    ] {
        assert!(
            samples.iter().any(|line| line == sample),
            "{sample} is not in\n{}",
            samples.join("\n")
        );
    }
    assert!(
        !samples
            .iter()
            .any(|line| line.contains("duration") && line.contains("skipped"))
    );
    let validation = [
        "0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "inf",
    ];
    assert_eq!(
        bounds(&samples, "coraza_ruleset_validation_duration_seconds_bucket"),
        validation
    );
    assert_eq!(
        bounds(&samples, "coraza_rulesource_validation_duration_seconds_bucket"),
        validation
    );
    let cache_set = [
        "0.0001", "0.0005", "0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "inf",
    ];
    assert_eq!(bounds(&samples, "coraza_cache_set_duration_seconds_bucket"), cache_set);
}

/// Two scrapers of one cluster add these; they must be able to tell the series apart by our labels only.
#[test]
fn types_and_helps_are_said_once() {
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    metrics.ruleset_validated(&"shop".into(), Validation::Valid, Duration::ZERO);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("# TYPE coraza_ruleset_validations counter\n"), "{text}");
    assert!(
        text.contains("# TYPE coraza_ruleset_validation_duration_seconds histogram\n"),
        "{text}"
    );
    assert!(!text.contains("job=") && !text.contains("instance="), "{text}");
}

#[test]
fn an_engine_has_the_go_operators_series_and_one_info_whose_labels_follow_it() {
    let metrics = Metrics::default();
    let info = |failure_policy| EngineInfo {
        namespace: "shop".into(),
        name: "waf".into(),
        target_name: "public".into(),
        target_type: "Gateway",
        driver_type: "wasm",
        ruleset_name: "crs".into(),
        failure_policy,
    };
    metrics.engine_conditions(
        &Name::new("shop", "waf"),
        &conditions(&[("Ready", "True"), ("Accepted", "True")]),
    );
    metrics.engine_token(&Name::new("shop", "waf"), Some((1_000, 1_250)));
    metrics.engine_info(info("fail"));
    metrics.engine_info(info("allow"));
    metrics.engine_info(info("allow"));
    let expected = [
        r#"coraza_engine_condition{namespace="shop",name="waf",condition="Accepted"} 1"#,
        r#"coraza_engine_condition{namespace="shop",name="waf",condition="Degraded"} -1"#,
        r#"coraza_engine_condition{namespace="shop",name="waf",condition="Progressing"} -1"#,
        r#"coraza_engine_condition{namespace="shop",name="waf",condition="Ready"} 1"#,
        r#"coraza_engine_enforced{namespace="shop",name="waf"} -1"#,
        r#"coraza_engine_info{namespace="shop",name="waf",target_name="public",target_type="Gateway",driver_type="wasm",ruleset_name="crs",failure_policy="allow"} 1"#,
        r#"coraza_engine_token_expiration_timestamp_seconds{namespace="shop",name="waf"} 1250"#,
        r#"coraza_engine_token_renewal_timestamp_seconds{namespace="shop",name="waf"} 1000"#,
        r#"coraza_engines{namespace="shop"} 1"#,
    ];
    let engines: Vec<_> = samples(&metrics)
        .into_iter()
        .filter(|line| line.starts_with("coraza_engine"))
        .collect();
    assert_eq!(engines, expected);
    metrics.forget_engine(&Name::new("shop", "waf"));
    assert_eq!(samples(&metrics), nothing());
}
