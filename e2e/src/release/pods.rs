//! What runs of a release on real nodes, as suites named `node_*` have them: its Pods, who leads, what is served.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::Release;
use crate::nodes::is_ready;
use crate::wait::until_within;
use crate::{cluster, http};

/// How long a roll-out may take: each Pod drains for seconds, and two nodes share this machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a cache serves rules.
const RULES: u16 = 18080;
/// Where both components serve metrics.
const METRICS: u16 = 8443;

impl Release {
    /// The Pods of a component.
    ///
    /// # Panics
    /// If the API server doesn't answer.
    pub async fn pods(&self, component: &str) -> Vec<Pod> {
        let selector = format!("app.kubernetes.io/component={component}");
        let list = self.api::<Pod>().list(&ListParams::default().labels(&selector)).await;
        list.expect("a list of Pods").items
    }

    /// Waits until a component has exactly so many Pods and all are Ready, and gives them.
    pub async fn settled(&self, component: &str, count: usize) -> Vec<Pod> {
        until_within(PATIENCE, &format!("{count} Pods of the {component}"), async || {
            let pods = self.pods(component).await;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            if pods.len() == count && ready == count {
                Ok(pods)
            } else {
                Err(format!("{ready} of {} are Ready", pods.len()))
            }
        })
        .await
    }

    /// Starts all Pods of a component anew, as `kubectl rollout restart` does, and waits until that is done.
    pub async fn restart(&self, component: &str) {
        let deployment = format!("deployment/{}-{component}", self.full_name());
        let namespace = format!("--namespace={}", self.namespace);
        tokio::task::block_in_place(|| {
            cluster::kubectl(&["rollout", "restart", &namespace, &deployment]);
            cluster::kubectl(&["rollout", "status", &namespace, "--timeout=180s", &deployment]);
        });
        let replicas = self.replicas(component).await;
        self.settled(component, usize::try_from(replicas).unwrap_or_default())
            .await;
    }

    /// Who holds the Lease: a process of a Pod, by the Pod's name and a number of its own.
    ///
    /// # Errors
    /// If nobody does.
    pub async fn holder(&self) -> Result<String, String> {
        let lease = self.api::<Lease>().get("waf.k8s.coraza.io").await;
        let lease = lease.map_err(|error| error.to_string())?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        holder
            .filter(|holder| !holder.is_empty())
            .ok_or_else(|| "nobody leads".to_owned())
    }

    /// The Pod of the controller that leads.
    pub async fn leader(&self) -> Pod {
        until_within(PATIENCE, "a leader", async || {
            let holder = self.holder().await?;
            let pods = self.pods("controller").await;
            let leader = pods.into_iter().find(|pod| holder.starts_with(&pod.name_any()));
            leader.ok_or(format!("the Lease is held by {holder}"))
        })
        .await
    }

    /// The address of the caches' Service, which every Pod and every test reaches.
    ///
    /// # Panics
    /// If it has none.
    pub async fn rules(&self) -> SocketAddr {
        let services = self.api::<Service>();
        let service = services.get(&self.full_name()).await.expect("a Service");
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        SocketAddr::new(
            address.and_then(|address| address.parse().ok()).expect("an address"),
            80,
        )
    }

    /// Waits until each Ready cache serves a revision of a RuleSet. `token` may read it.
    pub async fn served(&self, ruleset: &str, token: &str, uuid: &str) {
        let path = format!("/rules/{ruleset}/latest");
        until_within(
            PATIENCE,
            &format!("every cache to serve {ruleset} at {uuid}"),
            async || {
                for pod in self.pods("cache").await.iter().filter(|pod| is_ready(pod)) {
                    let answer = http::get(address(pod, RULES)?, &path, Some(token)).await;
                    let answer = answer.map_err(|error| format!("{}: {error:#}", pod.name_any()))?;
                    if answer.status != 200 || answer.json::<serde_json::Value>()["uuid"] != uuid {
                        return Err(format!("{}: {} {}", pod.name_any(), answer.status, answer.text()));
                    }
                }
                Ok(())
            },
        )
        .await;
    }

    /// What each Ready Pod of some components says of a series, by the Pod's name. For releases with `metrics.secure=false`.
    ///
    /// # Errors
    /// If one doesn't say.
    pub async fn samples(&self, components: &[&str], series: &str) -> Result<BTreeMap<String, i64>, String> {
        let mut samples = BTreeMap::new();
        for component in components {
            for pod in self.pods(component).await.iter().filter(|pod| is_ready(pod)) {
                let page = http::get(address(pod, METRICS)?, "/metrics", None).await;
                let page = page.map_err(|error| format!("{}: {error:#}", pod.name_any()))?.text();
                let sample = page
                    .lines()
                    .find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
                let sample = sample.ok_or_else(|| format!("{} has no {series}", pod.name_any()))?;
                samples.insert(pod.name_any(), sample);
            }
        }
        Ok(samples)
    }
}

fn address(pod: &Pod, port: u16) -> Result<SocketAddr, String> {
    let address = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.as_ref()?.parse().ok());
    let address: IpAddr = address.ok_or_else(|| format!("{} has no address", pod.name_any()))?;
    Ok(SocketAddr::new(address, port))
}
