//! A release's processes where no Pod runs, for want of a node: started with the flags of its Deployments and exactly the rights of its ServiceAccounts.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Release;
use crate::certificates::{self, Authority, Identity};
use crate::{Cache, Controller, cache, controller, environment, token};

/// What the API server is to grant tokens for that are used with it.
const API_AUDIENCE: &str = "https://kubernetes.default.svc";

/// Flags that say where a controller listens and what it reads, which a test's own has in its own way.
const OF_CONTROLLERS: [&str; 5] = [
    "--debug-bind-address",
    "--grpc-bind-address",
    "--health-probe-bind-address",
    "--metrics-bind-address",
    "--tls-dir",
];

/// The same of a cache.
const OF_CACHES: [&str; 7] = [
    "--controller-address",
    "--cache-server-port",
    "--health-probe-bind-address",
    "--metrics-bind-address",
    "--tls-dir",
    "--plugin-file",
    "--plugin-port",
];

impl Release {
    /// Starts a controller; without a certificate it waits for one.
    ///
    /// # Panics
    /// If it can't be started.
    pub async fn controller(&self, identity: Option<Identity>) -> Controller {
        Controller::start(controller::Settings {
            name: format!("{}-controller", self.name),
            namespace: self.namespace.clone(),
            identity,
            kubeconfig: self.kubeconfig("controller").await,
            flags: self.flags("controller", &OF_CONTROLLERS).await,
        })
    }

    /// Starts a cache that serves a module.
    ///
    /// # Panics
    /// If it can't be started.
    pub async fn cache(&self, authority: &Authority, controller: &Controller, module: &Path) -> Cache {
        let mut flags = self.flags("cache", &OF_CACHES).await;
        flags.push(format!("--plugin-file={}", module.display()));
        Cache::start(cache::Settings {
            name: format!("{}-cache", self.name),
            namespace: self.namespace.clone(),
            identity: Some(authority.issue(certificates::CACHE)),
            http_tls: false,
            controllers: vec![controller.grpc],
            kubeconfig: self.kubeconfig("cache").await,
            flags,
        })
    }

    /// The flags of a component's container, but for those that a test has in its own way.
    async fn flags(&self, component: &str, own: &[&str]) -> Vec<String> {
        let pod = self
            .deployment(component)
            .await
            .spec
            .and_then(|spec| spec.template.spec);
        let containers = pod.expect("a Pod to make").containers;
        let flags = containers
            .into_iter()
            .flat_map(|container| container.args.unwrap_or_default());
        flags
            .filter(|flag| !own.contains(&flag.split('=').next().unwrap_or_default()))
            .collect()
    }

    /// A kubeconfig of a component's ServiceAccount.
    async fn kubeconfig(&self, component: &str) -> PathBuf {
        let account = format!("{}-{component}", self.full_name());
        let token = token::request(&self.client, &self.namespace, &account, API_AUDIENCE).await;
        let cluster = &environment().cluster;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": cluster.server, "certificate-authority": cluster.ca}}],
            "users": [{"name": account, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": account}}],
            "current-context": "test",
        });
        let path = environment().logs.join(format!("{account}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}
