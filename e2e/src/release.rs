//! A release of the chart by Helm: on an API server alone, or on real nodes, with the images that `cargo xtask images` assembled.

mod go_operator;
mod pods;
mod processes;

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::{ByteString, NamespaceResourceScope};
use kube::{Api, Client, Resource};

use crate::cluster;
use crate::manifests::{NAMESPACE, chart, helm, try_helm};

/// The chart's name, and the Go operator's.
const CHART: &str = "coraza-kubernetes-operator";

/// A release, and the namespace that it is in. Dropping it takes both away, but for the documentation's namespace.
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// A client with all rights.
    pub client: Client,
}

impl Release {
    /// Nothing yet, in a namespace of its own name, which Helm makes.
    ///
    /// # Panics
    /// If the kubeconfig can't be read.
    pub async fn new() -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("waf-{}", unique.get(..8).unwrap_or_default());
        Self {
            namespace: name.clone(),
            name,
            client: crate::client().await,
        }
    }

    /// Nothing yet, where the documentation has it.
    ///
    /// # Panics
    /// If the kubeconfig can't be read.
    pub async fn of_the_documentation() -> Self {
        Self {
            name: CHART.to_owned(),
            namespace: NAMESPACE.to_owned(),
            client: crate::client().await,
        }
    }

    /// Installs one on real nodes and waits until all Pods are Ready.
    ///
    /// # Panics
    /// If Helm fails.
    pub async fn install(flags: &[&str]) -> Self {
        let release = Self::new().await;
        // The CRDs of an earlier release are there.
        let mut all = vec!["--create-namespace", "--take-ownership", "--wait"];
        all.extend(flags);
        release.helm("install", &all);
        release
    }

    /// What its objects' names begin with.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.name == CHART {
            return self.name.clone();
        }
        format!("{}-{CHART}", self.name)
    }

    /// Runs a command of Helm on it, with our chart if the command wants one, and gives what it printed.
    ///
    /// # Panics
    /// If Helm fails.
    pub fn helm(&self, command: &str, more: &[&str]) -> String {
        let chart = chart();
        let chart = ["install", "upgrade"].contains(&command).then_some(chart.as_path());
        self.helm_with(command, chart, more)
    }

    /// As [`helm`](Self::helm), with a chart of the test's own.
    fn helm_with(&self, command: &str, chart: Option<&Path>, more: &[&str]) -> String {
        let args = self.args(command, chart, more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // Whatever else the test does goes on meanwhile.
        tokio::task::block_in_place(|| helm(&args))
    }

    /// What Helm says when it refuses a command.
    ///
    /// # Panics
    /// If it doesn't.
    #[must_use]
    pub fn helm_refuses(&self, command: &str, more: &[&str]) -> String {
        let args = self.args(command, Some(&chart()), more);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = tokio::task::block_in_place(|| try_helm(&args));
        assert!(!output.status.success(), "helm {} was taken", args.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn args(&self, command: &str, chart: Option<&Path>, more: &[&str]) -> Vec<String> {
        let mut args = vec![command.to_owned(), self.name.clone()];
        args.push(format!("--namespace={}", self.namespace));
        args.extend(chart.map(|chart| chart.display().to_string()));
        if more.contains(&"--wait") {
            args.push("--timeout=180s".to_owned());
        }
        args.extend(more.iter().map(|&flag| flag.to_owned()));
        args
    }

    /// Objects of a kind in its namespace.
    #[must_use]
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A component's Deployment.
    ///
    /// # Panics
    /// If there is none.
    pub async fn deployment(&self, component: &str) -> Deployment {
        let name = format!("{}-{component}", self.full_name());
        let deployment = self.api::<Deployment>().get(&name).await;
        deployment.unwrap_or_else(|error| panic!("failed to get Deployment {name}: {error}"))
    }

    /// The replicas that a component's Deployment wants.
    ///
    /// # Panics
    /// If there is no such Deployment.
    pub async fn replicas(&self, component: &str) -> i32 {
        let spec = self.deployment(component).await.spec;
        spec.and_then(|spec| spec.replicas).expect("the API server's default")
    }

    /// What is in the Secrets of the controller's CA, of the controller and of the caches.
    ///
    /// # Panics
    /// If one isn't there.
    pub async fn certificates(&self) -> [BTreeMap<String, ByteString>; 3] {
        let secret = async |name: &str| {
            let name = format!("{}-{name}", self.full_name());
            let secret = self.api::<Secret>().get(&name).await;
            let secret = secret.unwrap_or_else(|error| panic!("failed to get Secret {name}: {error}"));
            secret.data.unwrap_or_default()
        };
        [
            secret("self-signed-ca").await,
            secret("controller-tls").await,
            secret("cache-tls").await,
        ]
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let namespace = format!("--namespace={}", self.namespace);
            for what in [
                &["get", "pods,endpointslices", "--output=wide"][..],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["logs", "--selector=app.kubernetes.io/component", "--prefix", "--tail=5"],
            ] {
                let said = cluster::try_kubectl(&[what, &[&namespace]].concat());
                eprintln!("{}", said.unwrap_or_else(|error| error));
            }
        }
        let _ = try_helm(&[
            "uninstall",
            &self.name,
            "--namespace",
            &self.namespace,
            "--ignore-not-found",
        ]);
        // That of the documentation is also that of `deploy/`, which other suites apply.
        if self.namespace != NAMESPACE {
            cluster::kubectl(&[
                "delete",
                "namespace",
                &self.namespace,
                "--wait=false",
                "--ignore-not-found",
            ]);
        }
    }
}
