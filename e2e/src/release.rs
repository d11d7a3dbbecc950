//! A release of the chart on real nodes: Helm installs it with the images that `cargo xtask images` assembled.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};

use crate::manifests::{chart, helm, try_helm};
use crate::nodes::is_ready;
use crate::wait::until_within;
use crate::{cluster, http};

use std::time::Duration;

/// How long a roll-out may take: each Pod drains for seconds, and two nodes share this machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A release in a namespace of its own. Dropping it takes both away.
pub struct Release {
    /// Its name, and its namespace's.
    pub name: String,
    /// A client with all rights.
    pub client: Client,
}

impl Release {
    /// Installs it and waits until all Pods are Ready.
    ///
    /// # Panics
    /// If Helm fails.
    pub async fn install(flags: &[&str]) -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let release = Self {
            name: format!("waf-{}", unique.get(..8).unwrap_or_default()),
            client: crate::client().await,
        };
        // The CRDs of an earlier release are there.
        let mut all = vec!["--create-namespace", "--take-ownership", "--wait"];
        all.extend(flags);
        release.helm("install", &all);
        release
    }

    /// What its objects' names begin with.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}-coraza-kubernetes-operator", self.name)
    }

    /// Runs a command of Helm on it, with our chart if the command wants one, and gives what it printed.
    ///
    /// # Panics
    /// If Helm fails.
    pub fn helm(&self, command: &str, more: &[&str]) -> String {
        let chart = ["install", "upgrade"]
            .contains(&command)
            .then(|| chart().display().to_string());
        let mut args = vec![command, &self.name, "--namespace", &self.name];
        args.extend(chart.as_deref());
        if more.contains(&"--wait") {
            args.push("--timeout=180s");
        }
        args.extend(more);
        // Whatever else the test does goes on meanwhile.
        tokio::task::block_in_place(|| helm(&args))
    }

    /// Objects of a kind in its namespace.
    #[must_use]
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

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
        let namespace = format!("--namespace={}", self.name);
        tokio::task::block_in_place(|| {
            cluster::kubectl(&["rollout", "restart", &namespace, &deployment]);
            cluster::kubectl(&["rollout", "status", &namespace, "--timeout=180s", &deployment]);
        });
        let deployment = self.api::<Deployment>();
        let deployment = deployment.get(&format!("{}-{component}", self.full_name())).await;
        let replicas = deployment.expect("a Deployment").spec.and_then(|spec| spec.replicas);
        self.settled(component, usize::try_from(replicas.unwrap_or(1)).unwrap_or(1))
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
                    let address: Option<IpAddr> = pod
                        .status
                        .as_ref()
                        .and_then(|status| status.pod_ip.as_ref()?.parse().ok());
                    let address = address.ok_or("a Pod without an address")?;
                    let answer = http::get(SocketAddr::new(address, 18080), &path, Some(token)).await;
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
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let namespace = format!("--namespace={}", self.name);
            for what in [
                &["get", "pods,endpointslices", "--output=wide"][..],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["logs", "--selector=app.kubernetes.io/component", "--prefix", "--tail=5"],
            ] {
                eprintln!("{}", cluster::kubectl(&[what, &[&namespace]].concat()));
            }
        }
        let _ = try_helm(&["uninstall", &self.name, "--namespace", &self.name, "--ignore-not-found"]);
        cluster::kubectl(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}
