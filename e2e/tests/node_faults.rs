//! What goes wrong on real nodes: a controller that crashes, a cache out of memory, a node without power. *Faults*: each test has a release of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::time::Duration;

use coraza_e2e::nodes::{container, crash, exhaust_memory, is_ready};
use coraza_e2e::{Load, Namespace, PowerCut, Release, until_within};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt as _};

/// How long a kubelet and a scheduler may take to put things right on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn rules(number: u32) -> String {
    format!("SecRuleEngine On\nSecRule ARGS \"@contains attack\" \"id:{number},phase:1,deny\"")
}

/// A release, and a RuleSet that all of its caches serve.
struct Serving {
    release: Release,
    namespace: Namespace,
    ruleset: String,
    uuid: String,
    token: String,
}

impl Serving {
    async fn start() -> Self {
        let release = Release::install(&[]).await;
        let namespace = Namespace::create().await;
        namespace.source("rules", &rules(1)).await;
        namespace.ruleset("shop", &["rules"], &[]).await;
        let uuid = namespace.ready("shop").await.uuid;
        let token = namespace.token("shop").await;
        let ruleset = format!("{}/shop", namespace.name);
        release.served(&ruleset, &token, &uuid).await;
        Self {
            release,
            namespace,
            ruleset,
            uuid,
            token,
        }
    }

    async fn load(&self) -> Load {
        Load::start(self.release.rules().await, &self.ruleset, &self.token)
    }

    /// Edits the rules and waits until every Ready cache serves what became of them.
    async fn edit(&mut self, number: u32) {
        self.namespace.source("rules", &rules(number)).await;
        self.uuid = self.namespace.revised("shop", &self.uuid).await.uuid;
        self.release.served(&self.ruleset, &self.token, &self.uuid).await;
    }

    /// Waits until a Pod's container has been started again, and gives the Pod.
    async fn restarted(&self, pod: &Pod) -> Pod {
        let before = container(pod).restart_count;
        until_within(
            PATIENCE,
            &format!("{} to be started again", pod.name_any()),
            async || {
                let now = self.release.api::<Pod>().get(&pod.name_any()).await;
                let now = now.map_err(|error| error.to_string())?;
                if container(&now).restart_count > before && is_ready(&now) {
                    Ok(now)
                } else {
                    Err(format!("{:?}", container(&now).state))
                }
            },
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_controller_that_crashes_costs_no_poll_and_another_leads() {
    let mut serving = Serving::start().await;
    let leader = serving.release.leader().await;
    let holder = serving.release.holder().await;
    let load = serving.load().await;
    crash(&leader);
    // The Lease wasn't released: the standby, or whoever is there by then, takes it when it has expired.
    serving.edit(2).await;
    assert_ne!(serving.release.holder().await, holder);
    serving.restarted(&leader).await;
    serving.edit(3).await;
    let tally = load.stop().await;
    assert!(
        tally.failed.is_empty(),
        "of {} polls failed: {:#?}",
        tally.answered,
        tally.failed
    );
    assert!(tally.answered > 100, "{} polls", tally.answered);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_cache_that_is_out_of_memory_comes_back_filled_and_the_others_serve() {
    let serving = Serving::start().await;
    let caches = serving.release.pods("cache").await;
    let filler = exhaust_memory(&caches[0]);
    let killed = serving.restarted(&caches[0]).await;
    drop(filler);
    let last = container(&killed).last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(last.reason.as_deref(), Some("OOMKilled"), "{last:?}");
    // Ready means filled.
    serving
        .release
        .served(&serving.ruleset, &serving.token, &serving.uuid)
        .await;
    for other in &caches[1..] {
        let now = serving.release.api::<Pod>().get(&other.name_any()).await.unwrap();
        assert_eq!(container(&now).restart_count, 0, "{}", now.name_any());
        assert!(is_ready(&now));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_node_that_is_lost_takes_no_rules_with_it() {
    let mut serving = Serving::start().await;
    let power = PowerCut::begin("n2").await;
    let nodes: Api<Node> = Api::all(serving.release.client.clone());
    until_within(PATIENCE, "the node to be known as lost", async || {
        let node = nodes.get("n2").await.map_err(|error| error.to_string())?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let lost = |condition: &k8s_openapi::api::core::v1::NodeCondition| {
            condition.type_ == "Ready" && condition.status == "Unknown"
        };
        conditions
            .iter()
            .any(lost)
            .then_some(())
            .ok_or_else(|| "it is believed to live".to_owned())
    })
    .await;
    // Its Pods are no endpoints any more once they are not Ready.
    let left = async |component: &str, count: usize| {
        until_within(
            PATIENCE,
            &format!("{count} of the {component} on the other node"),
            async || {
                let pods = serving.release.pods(component).await;
                let there = |pod: &&Pod| {
                    is_ready(pod) && pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some("n1")
                };
                let ready = pods.iter().filter(there).count();
                (ready == count)
                    .then_some(())
                    .ok_or(format!("{ready} of {}", pods.len()))
            },
        )
        .await;
    };
    left("cache", 3).await;
    left("controller", 2).await;
    let load = serving.load().await;
    serving.edit(2).await;
    let tally = load.stop().await;
    assert!(
        tally.failed.is_empty(),
        "of {} polls failed: {:#?}",
        tally.answered,
        tally.failed
    );
    power.end().await;
}
