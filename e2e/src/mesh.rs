//! A fleet as it runs in a mesh: behind a Service that proxies reach, with a registry for its plugin.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::fleet::{Fleet, Size};
use crate::http;
use crate::registry::Registry;
use crate::{environment, service, wasm};

/// The caches' Service, in the fleet's namespace.
pub const CACHE_SERVICE: &str = "coraza-cache";

/// One controller and two caches, and what they need of a mesh.
#[derive(Debug)]
pub struct Mesh {
    /// The controller and the caches.
    pub fleet: Fleet,
    /// Where plugins are pulled from.
    pub registry: Registry,
    /// The URL of the filter that Engines without an image get: [`wasm::echo`].
    pub echo: String,
    /// The URL of the plugin itself.
    pub plugin: String,
    /// The URL of the plugin that can be made to trap.
    pub plugin_with_trap: String,
}

static SHARED: OnceCell<Mesh> = OnceCell::const_new();

impl Mesh {
    /// The one that the tests of a *shared* file have in common; ready.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(&[])).await
    }

    /// The same in a file where no filter that fails is started anew: a file's tests have either this one or [`shared`](Self::shared) in common.
    pub async fn shared_without_reload() -> &'static Self {
        SHARED.get_or_init(|| Self::start(&["--fail-reload=never"])).await
    }

    /// Its fleet, if a test has asked for it.
    pub(crate) fn shared_fleet_if_started() -> Option<&'static Fleet> {
        SHARED.get().map(|mesh| &mesh.fleet)
    }

    async fn start(controller_flags: &[&str]) -> Self {
        let registry = Registry::start().await;
        let echo = registry.push("echo", "v1", &wasm::echo()).await;
        let read = |path| std::fs::read(path).expect("the plugin can be read");
        let plugin = registry.push("coraza", "v1", &read(&environment().plugin)).await;
        let with_trap = read(&environment().plugin_with_trap);
        let plugin_with_trap = registry.push("coraza", "with-trap", &with_trap).await;
        let default_image = format!("--default-wasm-image={echo}");
        let service = format!("--cache-service={CACHE_SERVICE}");
        let size = Size::of(1, 2)
            .controller_flags(&[&default_image, &service, "--operator-name=coraza-controller"])
            .controller_flags(controller_flags);
        let fleet = Fleet::launch(size, None).await;
        fleet.ready().await;
        let mesh = Self {
            fleet,
            registry,
            echo,
            plugin,
            plugin_with_trap,
        };
        service::create(
            &crate::client().await,
            &mesh.fleet.namespace,
            CACHE_SERVICE,
            80,
            &mesh.caches(),
        )
        .await;
        mesh
    }

    /// The caches as Pods reach them.
    #[must_use]
    pub fn caches(&self) -> Vec<SocketAddr> {
        let node = IpAddr::V4(environment().cluster.istio().node);
        let ports = self.fleet.caches.iter().map(|cache| cache.http.port());
        ports.map(|port| SocketAddr::new(node, port)).collect()
    }

    /// What Envoy calls the caches' cluster.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        format!(
            "outbound|80||{CACHE_SERVICE}.{}.svc.cluster.local",
            self.fleet.namespace
        )
    }
}

/// What istiod has sent to a proxy and that has refused; empty if all is well.
///
/// # Panics
/// If istiod doesn't answer.
pub async fn refused_by(pod: &str) -> Vec<Value> {
    let debug = SocketAddr::from(([127, 0, 0, 1], environment().cluster.istio().debug_port));
    let answer = http::get(debug, "/debug/syncz", None).await.expect("istiod answers");
    let proxies: Vec<Value> = answer.json();
    let ours = proxies.iter().filter(|proxy| {
        let name = proxy["proxy"].as_str().unwrap_or_default();
        name.split('.').next() == Some(pod)
    });
    let resources = ours.filter_map(|proxy| proxy["resources"].as_object()).flatten();
    let refused = resources.filter(|(_, state)| state["lastError"].as_str().is_some_and(|error| !error.is_empty()));
    refused.map(|(kind, state)| json!({ kind: state })).collect()
}
