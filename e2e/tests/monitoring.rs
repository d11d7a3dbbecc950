//! Metrics, alerts and dashboards: what the chart brings for Prometheus and Grafana, tried on a real Prometheus that scrapes real processes. *Faults*: the one
//! test that has processes has its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use coraza_api::Engine;
use coraza_e2e::envoy::{CACHE_CLUSTER, Setup};
use coraza_e2e::manifests::{chart, is, objects, render, values};
use coraza_e2e::object::GATEWAY;
use coraza_e2e::poller::plugin_config;
use coraza_e2e::prometheus::{Job, Prometheus, promtool};
use coraza_e2e::upstream::Upstream;
use coraza_e2e::{Envoy, Fleet, Namespace, Size, cluster, environment::checkout, until_within};
use http::Request;
use serde_json::{Value, json};

/// For the first rules to be in Envoy, and for two scrapes of everything afterwards.
const PATIENCE: Duration = Duration::from_secs(120);

/// A dashboard's panels: what each is called, and its expressions.
type Panels = Vec<(String, Vec<String>)>;

fn dashboards() -> BTreeMap<String, Panels> {
    let files = fs::read_dir(chart().join("dashboards")).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let panels = dashboard["panels"].as_array().unwrap().iter();
            let panels = panels.filter(|panel| panel["type"] != "row").map(|panel| {
                let targets = panel["targets"].as_array().unwrap().iter();
                let expressions = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
                (panel["title"].as_str().unwrap().to_owned(), expressions.collect())
            });
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), panels.collect())
        })
        .collect()
}

fn rules() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(rules_file()).unwrap()).unwrap()
}

fn rules_file() -> std::path::PathBuf {
    chart().join("files/prometheus-rules.yaml")
}

/// The rules of all groups.
fn all_rules() -> Vec<Value> {
    let rules = rules();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// The names in the table of `docs/metrics.md`, with their types.
fn table() -> BTreeMap<String, String> {
    let text = fs::read_to_string(checkout("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, cells.next()?.trim().to_owned()))
    });
    let table: BTreeMap<_, _> = rows.collect();
    assert!(table.len() > 50, "{table:?}");
    table
}

/// The metric of the table that a series is of.
fn metric<'a>(table: &'a BTreeMap<String, String>, series: &str) -> Option<&'a str> {
    let histogram = ["_bucket", "_count", "_sum"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix))
        .filter(|name| table.get(*name).is_some_and(|kind| kind == "histogram"));
    table
        .get_key_value(histogram.unwrap_or(series))
        .map(|(name, _)| name.as_str())
}

/// The names of series in an expression: words with `_` or `:` that are no function's, outside of strings, braces and label lists.
fn series(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut word = String::new();
    let (mut quoted, mut braces, mut labels) = (false, 0, false);
    for char in expression.chars().chain([' ']) {
        match char {
            '"' => quoted = !quoted,
            _ if quoted => continue,
            '{' | '[' => braces += 1,
            '}' | ']' => braces -= 1,
            ')' if labels => {
                labels = false;
                word.clear();
            }
            _ => {}
        }
        if char.is_ascii_alphanumeric() || char == '_' || char == ':' {
            if braces == 0 && !labels {
                word.push(char);
            }
            continue;
        }
        let grouping = ["by", "on", "without", "ignoring"].contains(&&*word);
        if (grouping && char != ',') || (labels && char != '(') {
            // The list of labels follows, perhaps after a space.
            labels = true;
        } else if char != '(' && (word.contains('_') || word.contains(':')) {
            names.insert(word.clone());
        }
        word.clear();
    }
    names
}

#[test]
fn series_are_found_in_expressions() {
    for (expression, expected) in [
        ("max by (name_space, b) (one_a{x=\"two_b\"}) > 0", &["one_a"][..]),
        (
            "histogram_quantile(0.9, sum by (le) (rate(a_bucket[$__rate_interval])))",
            &["a_bucket"],
        ),
        ("a:b:c or vector(0)", &["a:b:c"]),
        ("a_b / on (pod_x) c_d", &["a_b", "c_d"]),
        ("time() - max(a_b) > 1", &["a_b"]),
    ] {
        assert_eq!(series(expression).iter().collect::<Vec<_>>(), expected, "{expression}");
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn alerts_and_dashboards_ask_for_metrics_that_exist() {
    let (table, rules) = (table(), all_rules());
    let recorded: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    let mut expressions: Vec<(String, String)> = rules
        .iter()
        .map(|rule| (rule.to_string(), rule["expr"].as_str().unwrap().to_owned()))
        .collect();
    for (dashboard, panels) in dashboards() {
        for (panel, of_panel) in panels {
            expressions.extend(
                of_panel
                    .into_iter()
                    .map(|expression| (format!("{dashboard}: {panel}"), expression)),
            );
        }
    }
    for (place, expression) in expressions {
        let names = series(&expression);
        assert!(!names.is_empty(), "{place}: {expression}");
        for name in names {
            let known = recorded.contains(&*name) || metric(&table, &name).is_some();
            assert!(known, "nothing exposes {name}, which is asked for in {place}");
        }
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn each_alert_fires_for_what_is_wrong_and_not_for_what_is_well() {
    let file = checkout("e2e/data/prometheus-rules.test.yaml");
    let (content, said) = promtool(&["test", "rules", &file.display().to_string()]);
    assert!(content, "{said}");
    // Each is tested both ways.
    let tests: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let tests = tests["tests"].as_array().unwrap().iter();
    let checks: Vec<Value> = tests
        .flat_map(|test| test["promql_expr_test"].as_array().unwrap().clone())
        .collect();
    for rule in all_rules() {
        let Some(alert) = rule["alert"].as_str() else { continue };
        assert!(
            ["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()),
            "{alert}"
        );
        for annotation in ["summary", "description"] {
            assert!(
                rule["annotations"][annotation].is_string(),
                "{alert} has no {annotation}"
            );
        }
        let expression = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        let of_alert = checks.iter().filter(|check| check["expr"] == expression.as_str());
        let fired: BTreeSet<bool> = of_alert
            .map(|check| !check["exp_samples"].as_array().unwrap().is_empty())
            .collect();
        assert_eq!(fired, BTreeSet::from([false, true]), "{alert} is not tested both ways");
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn the_rendered_rules_are_those_that_are_tested() {
    let rendered = objects(&render(&values()["everything"], &[]));
    let rule = rendered.iter().find(|object| is(object, "PrometheusRule")).unwrap();
    let spec = &rule["spec"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    fs::write(&file, spec.to_string()).unwrap();
    let (content, said) = promtool(&["check", "rules", &file.display().to_string()]);
    assert!(content, "{said}");
    let names = |groups: &Value| -> BTreeSet<String> {
        let groups = groups.as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(ToString::to_string).collect()
    };
    let (rendered, ours) = (names(&spec["groups"]), names(&rules()["groups"]));
    let left_out: Vec<_> = ours.difference(&rendered).collect();
    assert!(
        matches!(left_out[..], [alert] if alert.contains("CorazaCacheGCFrequencyHigh")),
        "{left_out:?}"
    );
    let added: Vec<_> = rendered.difference(&ours).collect();
    assert!(matches!(added[..], [alert] if alert.contains("Mine")), "{added:?}");
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn what_the_cluster_does_not_know_is_left_out() {
    let wanted = [
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.prometheusRule.enabled=true",
        "--set=metrics.podMonitor.enabled=true",
        "--set=metrics.podMonitor.gatewaySelector.matchLabels.a=b",
    ];
    for (api, kinds) in [
        (None, &[][..]),
        (Some("ServiceMonitor"), &["ServiceMonitor"]),
        (Some("PodMonitor"), &["PodMonitor"]),
        (Some("PrometheusRule"), &["PrometheusRule"]),
    ] {
        let api = api.map(|kind| format!("--api-versions=monitoring.coreos.com/v1/{kind}"));
        let flags: Vec<&str> = wanted.into_iter().chain(api.as_deref()).collect();
        let rendered = objects(&render(&values()["default"], &flags));
        let made: Vec<&str> = rendered
            .iter()
            .filter(|object| object["apiVersion"] == "monitoring.coreos.com/v1")
            .map(|object| object["kind"].as_str().unwrap())
            .collect();
        assert_eq!(made, kinds);
    }
}

/// Rules that score, block, match and are left out, so that each metric has something to tell.
const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecAction "id:1,phase:1,pass,nolog,setvar:tx.blocking_inbound_anomaly_score=5"
SecRule ARGS "@contains attack" "id:2,phase:2,deny,status:403,log,msg:'attack',severity:'CRITICAL',tag:'attack-sqli'"
SecRule ARGS "@contains odd" "id:3,phase:2,pass,log,msg:'odd',severity:'NOTICE'"
SecRule ARGS "@contains never" "id:4,phase:2,pass"
SecRuleRemoveById 4
"#;

/// A namespace with RuleSet and Engine `web-waf`, which has a hyphen as names have.
async fn engine(fleet: &Fleet) -> Namespace {
    cluster::install_mesh().await;
    cluster::apply(&[&checkout("e2e/data/gateway-class.yaml")]);
    let namespace = Namespace::create().await;
    namespace.source("rules", RULES).await;
    namespace.data("words", &[("words.data", "word")]).await;
    namespace.ruleset("web-waf", &["rules"], &["words"]).await;
    let revision = namespace.ready("web-waf").await;
    namespace.served(&fleet.caches, "web-waf", &revision.uuid).await;
    let gateway =
        json!({"gatewayClassName": "coraza-e2e", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]});
    GATEWAY
        .apply(&namespace.client, &namespace.name, "gateway", gateway)
        .await;
    let image = format!("oci://registry.example/coraza@sha256:{}", "0".repeat(64));
    let spec = json!({
        "ruleSet": {"name": "web-waf"},
        "target": {"type": "Gateway", "name": "gateway"},
        "driver": {"type": "wasm", "wasm": {"image": image}},
    });
    namespace.apply::<Engine>("web-waf", spec).await;
    namespace
}

/// Requests of every kind, and edits, until the test ends.
async fn busy(envoy: Arc<Envoy>, namespace: &Namespace) -> ! {
    let mut round = 0_u64;
    loop {
        for path in ["/", "/?q=attack", "/?q=odd"] {
            envoy.get(path).await;
        }
        let stream = Request::post("/stream").header("content-type", "application/grpc");
        envoy.send(stream.body("x".to_owned()).unwrap()).await;
        if round.is_multiple_of(5) {
            namespace.source("rules", &format!("{RULES}# {round}\n")).await;
        }
        round += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn every_panel_shows_what_real_processes_tell() {
    let fleet = Fleet::start(Size::of(2, 2)).await;
    let namespace = engine(&fleet).await;
    let mut configuration = plugin_config(&namespace.client, &namespace.name, "web-waf").await;
    configuration["cache_server_cluster"] = json!(CACHE_CLUSTER);
    let upstream = Upstream::start().await;
    // With a token that no cache takes, so that polls fail before they succeed.
    let mut refused = configuration.clone();
    refused["cache_token"] = json!("refused");
    let setup = Setup {
        configuration: refused,
        ..Setup::default()
    };
    let envoy = Arc::new(Envoy::start(setup, fleet.caches[0].http, upstream.address()).await);
    let prometheus = Prometheus::start(&jobs(&fleet, &envoy), &rules_file()).await;
    until_within(PATIENCE, "a poll that is refused", async || {
        let failures = envoy
            .stat("wasmcustom.waf_filter.poll.failures_reason=unauthorized")
            .await;
        (failures > 0).then_some(()).ok_or("none")
    })
    .await;
    envoy.reconfigure(&configuration);
    envoy.until_status("/?q=attack", 403).await;

    let check = async {
        for (dashboard, panels) in dashboards() {
            for (panel, expressions) in panels {
                for expression in expressions {
                    shows(&prometheus, &format!("{dashboard}: {panel}"), &expression).await;
                }
            }
        }
        labels_are_out_of_names(&prometheus, &namespace.name).await;
        all_series_are_in_the_table(&prometheus).await;
        alerts_are_evaluated(&prometheus).await;
    };
    tokio::select! {
        () = check => {}
        never = busy(Arc::clone(&envoy), &namespace) => never,
    }
}

/// The jobs that the chart's monitors stand for.
fn jobs(fleet: &Fleet, envoy: &Envoy) -> [Job; 2] {
    let monitors = objects(&render(
        &values()["default"],
        &[
            "--set=metrics.renderMode=alwaysRender",
            "--set=metrics.serviceMonitor.enabled=true",
            "--set=metrics.podMonitor.enabled=true",
            "--set=metrics.podMonitor.gatewaySelector.matchLabels.a=b",
        ],
    ));
    let relabelings = |kind: &str, pointer: &str| {
        let monitor = monitors.iter().find(|object| is(object, kind)).unwrap();
        monitor.pointer(pointer).unwrap().clone()
    };
    let processes = (fleet.controllers.iter().map(|one| (one.process.name(), one.metrics)))
        .chain(fleet.caches.iter().map(|one| (one.process.name(), one.metrics)));
    [
        Job {
            name: "operator",
            path: "/metrics",
            targets: processes.map(|(pod, address)| (pod.to_owned(), address)).collect(),
            metric_relabelings: relabelings("ServiceMonitor", "/spec/endpoints/0/metricRelabelings"),
        },
        Job {
            name: "gateways",
            path: "/stats/prometheus",
            targets: vec![("gateway-0".to_owned(), envoy.admin())],
            metric_relabelings: relabelings("PodMonitor", "/spec/podMetricsEndpoints/0/metricRelabelings"),
        },
    ]
}

/// Waits until an expression of a panel has a value, with the variables as they are at first.
async fn shows(prometheus: &Prometheus, panel: &str, expression: &str) {
    let filled = expression
        .replace("$__rate_interval", "10s")
        .replace("$namespace", ".*")
        .replace("$engine", ".*");
    until_within(PATIENCE, &format!("data in {panel}: {filled}"), async || {
        let samples = prometheus.query(&filled).await?;
        if samples.iter().any(|sample| sample.value.is_finite()) {
            Ok(())
        } else {
            Err(format!("{samples:?}"))
        }
    })
    .await;
}

/// What the plugin writes into names is labels after the chart's relabelings.
async fn labels_are_out_of_names(prometheus: &Prometheus, namespace: &str) {
    let namespace = namespace.replace('-', "_");
    let common = format!("driver_type=\"wasm\",engine=\"web_waf\",namespace=\"{namespace}\"");
    for series in [
        format!("coraza_waf_requests_total{{{common},outcome=\"block\"}}"),
        format!("coraza_waf_blocked_requests_total{{{common},category=\"sqli\",severity=\"CRITICAL\"}}"),
        format!("coraza_waf_rule_hits_total{{{common},rule_id=\"2\",severity=\"CRITICAL\",outcome=\"block\"}}"),
        format!("coraza_waf_rule_hits_total{{{common},rule_id=\"3\",severity=\"NOTICE\",outcome=\"detect\"}}"),
        format!("coraza_waf_request_anomaly_score_bucket{{{common},le=\"5\"}}"),
        format!("coraza_waf_request_anomaly_score_bucket{{{common},le=\"+Inf\"}}"),
        format!("coraza_waf_plugin_loads_total{{{common},status=\"success\"}}"),
        format!("coraza_waf_rule_overrides{{{common},rule_id=\"4\",type=\"disabled\"}}"),
        format!("coraza_waf_plugin_rule_count{{{common}}} == 3"),
        "waf_filter_poll_failures{reason=\"unauthorized\"}".to_owned(),
    ] {
        shows(prometheus, "the plugin's labels", &series).await;
    }
}

/// Nothing is exposed that nobody wrote down.
async fn all_series_are_in_the_table(prometheus: &Prometheus) {
    let table = table();
    let all = prometheus
        .query("count by (__name__) ({__name__=~\".+\", job=\"\"})")
        .await
        .unwrap();
    assert!(all.len() > 50, "{all:?}");
    for sample in all {
        let name = &sample.labels["__name__"];
        let known = metric(&table, name).is_some()
            || name.starts_with("waf_filter_tx_interruptions")
            || name.starts_with("coraza:")
            || name.starts_with("ALERTS");
        assert!(known, "{name} is exposed and not in docs/metrics.md");
    }
}

/// The rules are loaded, and none fails to be evaluated.
async fn alerts_are_evaluated(prometheus: &Prometheus) {
    let answer = prometheus.ask("rules").await.unwrap();
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert_eq!(rules.len(), all_rules().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
