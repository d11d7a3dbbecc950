//! Tables of configurations.

use super::*;
use proptest::prelude::*;

fn parse(json: &str) -> (Config, Vec<String>) {
    Config::parse(json.as_bytes())
}

fn cache(json: &str) -> Cache {
    match parse(json).0.source {
        Source::Cache(cache) => cache,
        Source::Static(other) => panic!("{other:?}"),
    }
}

#[test]
fn what_the_operator_writes_is_read() {
    let json = r#"{"cache_server_instance":"shop/rules","cache_server_cluster":"outbound|80||cache.waf.svc.cluster.local",
        "rule_reload_interval_seconds":15,"failure_policy":"allow","cache_token":"a.b.c","engine":"shop","namespace":"prod"}"#;
    let (config, warnings) = parse(json);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.failure_policy, FailurePolicy::Allow);
    assert_eq!(
        (config.engine.as_deref(), config.namespace.as_deref()),
        (Some("shop"), Some("prod"))
    );
    let cache = cache(json);
    assert_eq!(cache.authority(), "cache.waf.svc.cluster.local");
    assert_eq!(cache.instance, "shop/rules");
    assert_eq!(cache.interval, Some(Duration::from_secs(15)));
    assert_eq!(cache.token, "a.b.c");
    assert!(!format!("{cache:?}").contains("a.b.c"));
}

#[test]
fn defaults_are_those_of_the_go_plugin() {
    let (config, warnings) = parse(r#"{"cache_server_cluster":"cache"}"#);
    assert!(warnings.is_empty());
    let Source::Cache(cache) = &config.source else {
        panic!("cache mode")
    };
    assert_eq!(
        (cache.authority(), &*cache.instance, &*cache.token),
        ("cache", "default", "")
    );
    assert_eq!(cache.interval, Some(Duration::from_secs(30)));
    assert_eq!(cache.max_rules_bytes, 8 << 20);
    assert_eq!(config.failure_policy, FailurePolicy::Fail);
    assert_eq!(
        (config.filter_state, config.match_log, config.work_limit),
        (false, MatchLog::Sampled, None)
    );
    assert!(config.metric_labels.is_empty() && config.stream_content_types.is_empty());
    assert_eq!((config.engine, config.namespace), (None, None));
    assert_eq!(parse("{}").0.source, Source::Static(Static::default()));
}

#[test]
fn intervals_are_bounded_as_in_the_go_plugin() {
    for (seconds, expected) in [
        ("0", None),
        ("-5", None),
        ("1", Some(5)),
        ("5", Some(5)),
        ("\"20\"", Some(20)),
        ("7.0", Some(7)),
        ("9223372036854775807", Some(86_400)),
        ("1e300", Some(86_400)),
        ("7.5", Some(30)),
        ("true", Some(30)),
    ] {
        let json = format!(r#"{{"cache_server_cluster":"c","rule_reload_interval_seconds":{seconds}}}"#);
        assert_eq!(cache(&json).interval, expected.map(Duration::from_secs), "{seconds}");
    }
}

#[test]
fn static_mode_has_sets_by_authority() {
    let (config, warnings) = parse(
        r#"{"directives_map":{"a":["SecRuleEngine On","SecAction \"id:1\""],"b":[]},"default_directives":"a",
        "per_authority_directives":{"b.example":"b"}}"#,
    );
    assert!(warnings.is_empty());
    let Source::Static(source) = config.source else {
        panic!("static mode")
    };
    assert_eq!(source.directives["a"], "SecRuleEngine On\nSecAction \"id:1\"");
    assert_eq!(source.default.as_deref(), Some("a"));
    assert_eq!(source.authorities["b.example"], "b");
    let (config, _) = parse(r#"{"rules":["SecRuleEngine On"]}"#);
    let Source::Static(source) = config.source else {
        panic!("static mode")
    };
    assert_eq!(
        (source.directives.len(), source.default.as_deref()),
        (1, Some("default"))
    );
}

#[test]
fn what_cannot_be_read_is_named_and_costs_nothing_else() {
    for (json, warned) in [
        ("", "no JSON"),
        ("[]", "no JSON object"),
        (r#"{"cache_server_cluster":1}"#, "cache_server_cluster"),
        (r#"{"failure_policy":true}"#, "failure_policy"),
        (r#"{"enable_filter_state_logs":"yes"}"#, "enable_filter_state_logs"),
        (r#"{"metric_labels":{"a":1}}"#, "metric_labels"),
        (r#"{"directives_map":{"a":"b"}}"#, "directives_map"),
        (r#"{"stream_content_types":"a"}"#, "stream_content_types"),
        (r#"{"nobody":1,"knows":2}"#, "unknown keys are ignored: knows, nobody"),
    ] {
        let (_, warnings) = parse(json);
        assert_eq!(warnings.len(), 1, "{json}: {warnings:?}");
        assert!(warnings[0].contains(warned), "{json}: {warnings:?}");
    }
    assert!(
        parse(r#"{"failure_policy":null,"metrics_mode":"contract","suppress_crs_audit_logs":true}"#)
            .1
            .is_empty()
    );
    let broken = cache(r#"{"cache_server_cluster":"c","cache_token":"a\nb","cache_server_instance":[]}"#);
    assert_eq!((&*broken.token, &*broken.instance), ("", "default"));
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in ".*") {
        parse(&text);
    }
}
