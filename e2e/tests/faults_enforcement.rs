//! What Engines say of their gateway pods: real Pod objects, and data planes that the test plays. *Faults*: one test at a time, each with its own processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::sync::Arc;
use std::time::Duration;

use coraza_api::Engine;
use coraza_api::engine::Enforcement;
use coraza_e2e::cluster;
use coraza_e2e::object::GATEWAY;
use coraza_e2e::poller::{Poll, plugin_config, token};
use coraza_e2e::{Cache, Fleet, Namespace, Size, until, until_within};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Three intervals of a second are less than caches need to report, so that a pod has 15 s; twice that on a busy machine.
const WINDOW: Duration = Duration::from_secs(60);

/// A namespace with RuleSet and Engine `waf` on Gateway `gateway`, which polls every second.
async fn engine(fleet: &Fleet) -> Namespace {
    cluster::install_mesh().await;
    cluster::apply(&[&coraza_e2e::environment::checkout("e2e/data/gateway-class.yaml")]);
    let namespace = Namespace::create().await;
    namespace.source("rules", "SecRuleEngine On").await;
    namespace.ruleset("waf", &["rules"], &[]).await;
    let revision = namespace.ready("waf").await;
    namespace.served(&fleet.caches, "waf", &revision.uuid).await;
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    let gateway = json!({"gatewayClassName": "coraza-e2e", "listeners": [listener]});
    GATEWAY
        .apply(&namespace.client, &namespace.name, "gateway", gateway)
        .await;
    let image = format!("oci://registry.example/coraza@sha256:{}", "0".repeat(64));
    let spec = json!({
        "ruleSet": {"name": "waf"},
        "target": {"type": "Gateway", "name": "gateway"},
        "driver": {"type": "wasm", "wasm": {"image": image}},
        "ruleSetCacheServer": {"pollIntervalSeconds": 1},
    });
    namespace.apply::<Engine>("waf", spec).await;
    token(&namespace.client, &namespace.name, "waf").await;
    namespace
}

/// A Pod of the Gateway, as a kubelet would have it.
async fn pod(namespace: &Namespace, name: &str, address: &str) {
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some("default".to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let created = namespace
        .api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await;
    assert!(created.is_ok() || matches!(created, Err(kube::Error::Api(status)) if status.code == 409));
    let object: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"gateway.networking.k8s.io/gateway-name": "gateway"}},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "istio-proxy", "image": "registry.example/proxy"}],
        },
    }))
    .unwrap();
    namespace
        .api::<Pod>()
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    ready(namespace, name, address, true).await;
}

async fn ready(namespace: &Namespace, name: &str, address: &str, ready: bool) {
    let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
    let status = json!({"status": {"conditions": [condition], "podIP": address, "podIPs": [{"ip": address}]}});
    let patch = Patch::Merge(status);
    namespace
        .api::<Pod>()
        .patch_status(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Data planes that poll until they are stopped: each asks one cache after the other and runs what it is given.
struct DataPlanes {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl DataPlanes {
    async fn start(caches: &[Cache], namespace: &Namespace, pods: &[&str]) -> Self {
        let token = token(&namespace.client, &namespace.name, "waf").await;
        let mut planes = Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        };
        let addresses: Arc<[_]> = caches.iter().map(|cache| cache.http).collect();
        for pod in pods {
            let (token, pod, stop) = (token.clone(), (*pod).to_owned(), planes.stop.subscribe());
            let (ruleset, addresses) = (format!("{}/waf", namespace.name), Arc::clone(&addresses));
            planes.tasks.spawn(async move {
                let mut etag: Option<String> = None;
                for address in addresses.iter().cycle() {
                    if *stop.borrow() {
                        return;
                    }
                    let poll = Poll {
                        pod: Some(&pod),
                        etag: etag.as_deref(),
                        wait: Some(Duration::from_secs(1)),
                        ..Poll::new(&ruleset, &token)
                    };
                    let answer = poll.send(*address, "").await.unwrap();
                    if answer.status.is_success() {
                        etag = Some(answer.header("etag").to_owned());
                    }
                }
            });
        }
        planes
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Waits until the Engine says this of its enforcement, and gives the counts.
async fn says(namespace: &Namespace, status: &str, reason: &str) -> Option<Enforcement> {
    let what = format!("Engine {}/waf to be Enforced={status} ({reason})", namespace.name);
    until_within(WINDOW, &what, async || {
        let engine = namespace
            .api::<Engine>()
            .get("waf")
            .await
            .map_err(|error| error.to_string())?;
        let engine_status = engine.status.unwrap_or_default();
        let condition = engine_status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Enforced");
        match condition {
            Some(condition) if condition.status == status && condition.reason == reason => {
                Ok(engine_status.enforcement)
            }
            Some(condition) => Err(format!("{condition:?}")),
            None => Err("no condition".to_owned()),
        }
    })
    .await
}

async fn measures(fleet: &Fleet, namespace: &Namespace, value: i64) {
    let metric = "coraza_engine_enforced";
    let line = format!("{metric}{{namespace=\"{}\",name=\"waf\"}} {value}\n", namespace.name);
    until(&line, async || {
        let page = fleet.controllers[0].page("/metrics").await.unwrap().text();
        if page.contains(&line) {
            return Ok(());
        }
        Err(page
            .lines()
            .filter(|line| line.starts_with(metric))
            .collect::<Vec<_>>()
            .join("; "))
    })
    .await;
}

fn counts(enforcement: Option<Enforcement>) -> (u32, u32, u32) {
    let counts = enforcement.expect("counts");
    (counts.expected, counts.current, counts.stale)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_engine_says_whether_its_gateway_pods_enforce_what_is_served() {
    let fleet = Fleet::start(Size::of(1, 2)).await;
    let namespace = engine(&fleet).await;
    says(&namespace, "Unknown", "NoGatewayPods").await;
    measures(&fleet, &namespace, -1).await;

    pod(&namespace, "gateway-0", "10.9.0.1").await;
    pod(&namespace, "gateway-1", "10.9.0.2").await;
    let planes = DataPlanes::start(&fleet.caches, &namespace, &["gateway-0", "gateway-1"]).await;
    let enforcement = says(&namespace, "True", "RevisionEnforced").await;
    assert_eq!(counts(enforcement), (2, 2, 0));
    measures(&fleet, &namespace, 1).await;

    // An edit that reaches the pods at once turns nothing.
    let before = namespace.ready("waf").await;
    namespace.source("rules", "SecRuleEngine Off").await;
    let revised = namespace.revised("waf", &before.uuid).await;
    until("the new revision to be enforced", async || {
        let enforcement = says(&namespace, "True", "RevisionEnforced").await;
        match enforcement {
            Some(counts) if counts.desired == revised.uuid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // One pod stops polling.
    planes.stop().await;
    let planes = DataPlanes::start(&fleet.caches, &namespace, &["gateway-0"]).await;
    says(&namespace, "False", "PodsSilent").await;
    measures(&fleet, &namespace, 0).await;
    ready(&namespace, "gateway-1", "10.9.0.2", false).await;
    assert_eq!(counts(says(&namespace, "True", "RevisionEnforced").await), (1, 1, 0));

    // A pod with the Go plugin says nothing; it is known by its address and by what it was sent.
    pod(&namespace, "gateway-go", "127.0.0.1").await;
    let go_token = token(&namespace.client, &namespace.name, "waf").await;
    let ruleset = format!("{}/waf", namespace.name);
    let answer = Poll::new(&ruleset, &go_token)
        .send(fleet.caches[0].http, "")
        .await
        .unwrap();
    assert!(answer.status.is_success());
    assert_eq!(counts(says(&namespace, "True", "RevisionEnforced").await).0, 1);
    until("both pods to be counted", async || {
        let polled = Poll::new(&ruleset, &go_token)
            .send(fleet.caches[1].http, "/latest")
            .await;
        assert!(polled.unwrap().status.is_success());
        let page = fleet.controllers[0].page("/metrics").await.unwrap().text();
        let pollers = page
            .lines()
            .find(|line| line.starts_with("coraza_distribution_pollers "));
        if pollers == Some("coraza_distribution_pollers 3") {
            Ok(())
        } else {
            Err(format!("{pollers:?}"))
        }
    })
    .await;

    planes.stop().await;
    for name in ["gateway-0", "gateway-1", "gateway-go"] {
        namespace
            .api::<Pod>()
            .delete(name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }
    says(&namespace, "Unknown", "NoGatewayPods").await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_restart_of_the_controller_turns_no_condition_and_writes_nothing() {
    let mut fleet = Fleet::start(Size::of(1, 2)).await;
    let namespace = engine(&fleet).await;
    pod(&namespace, "gateway-0", "10.9.0.1").await;
    let planes = DataPlanes::start(&fleet.caches, &namespace, &["gateway-0"]).await;
    let before = says(&namespace, "True", "RevisionEnforced").await;
    let version = || async {
        namespace
            .api::<Engine>()
            .get("waf")
            .await
            .unwrap()
            .metadata
            .resource_version
    };
    let written = version().await;
    fleet.controllers[0].restart();
    fleet.ready().await;
    measures(&fleet, &namespace, 1).await;
    // It hears of the pod, in time.
    until("a report", async || {
        let page = fleet.controllers[0].page("/metrics").await.unwrap().text();
        if page.contains("coraza_distribution_pollers 1\n") {
            Ok(())
        } else {
            Err("none")
        }
    })
    .await;
    assert_eq!(says(&namespace, "True", "RevisionEnforced").await, before);
    assert_eq!(version().await, written, "a restart writes nothing");
    planes.stop().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_gateway_that_does_not_poll_is_driven() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let namespace = engine(&fleet).await;
    let before = plugin_config(&namespace.client, &namespace.name, "waf").await;
    assert!(before.get("redrive").is_none(), "{before}");
    pod(&namespace, "gateway-0", "10.9.0.1").await;
    until_within(Duration::from_secs(120), "a changed key", async || {
        let config = plugin_config(&namespace.client, &namespace.name, "waf").await;
        if config.get("redrive").is_some() {
            Ok(())
        } else {
            Err("none")
        }
    })
    .await;
    says(&namespace, "False", "PodsSilent").await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_token_speaks_for_no_other_engine_than_its_own() {
    let fleet = Fleet::start(Size::of(1, 1)).await;
    let (victim, liar) = (engine(&fleet).await, engine(&fleet).await);
    for namespace in [&victim, &liar] {
        pod(namespace, "gateway-0", "10.9.0.1").await;
    }
    let token = token(&liar.client, &liar.name, "waf").await;
    let (own, other) = (format!("{}/waf", liar.name), format!("{}/waf", victim.name));
    // Their rules are the same, and so is their revision but for its time: a lie about the one is as good as one about the other.
    let etags = async |namespace: &Namespace| {
        let own = coraza_e2e::poller::token(&namespace.client, &namespace.name, "waf").await;
        let ruleset = format!("{}/waf", namespace.name);
        let answer = Poll::new(&ruleset, &own).send(fleet.caches[0].http, "").await.unwrap();
        answer.header("etag").to_owned()
    };
    for etag in [etags(&victim).await, etags(&liar).await] {
        let poll = Poll {
            engine: Some(&other),
            pod: Some("gateway-0"),
            etag: Some(&etag),
            ..Poll::new(&own, &token)
        };
        let answer = poll.send(fleet.caches[0].http, "/latest").await.unwrap();
        assert!(answer.status.is_success() || answer.status == 304, "{}", answer.status);
        let refused = Poll::new(&other, &token).send(fleet.caches[0].http, "/latest").await;
        assert_eq!(refused.unwrap().status, 403);
    }
    // It is heard, and taken for what the token says.
    assert_eq!(counts(says(&liar, "True", "RevisionEnforced").await), (1, 1, 0));
    assert_eq!(counts(says(&victim, "False", "PodsSilent").await).1, 0);
}
