//! A fleet as it runs in a mesh: behind a Service that proxies reach, with a registry for its plugin.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cache::Cache;
use crate::fleet::{Fleet, Size};
use crate::http;
use crate::registry::Registry;
use crate::service::{self, Port};
use crate::{environment, wasm};

/// The caches' Service, in the fleet's namespace.
pub const CACHE_SERVICE: &str = "coraza-cache";

/// The plugin of Engines that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultImage {
    /// [`wasm::echo`], from the registry.
    Echo,
    /// The plugin, from the registry.
    Plugin,
    /// The plugin, from the caches.
    Embedded,
}

/// One controller and two caches, and what they need of a mesh.
#[derive(Debug)]
pub struct Mesh {
    /// The controller and the caches.
    pub fleet: Fleet,
    /// Where plugins are pulled from.
    pub registry: Registry,
    /// The URL of [`wasm::echo`].
    pub echo: String,
    /// The URL of the plugin itself.
    pub plugin: String,
    /// The URL of the plugin that can be made to trap.
    pub plugin_with_trap: String,
}

static SHARED: OnceCell<Mesh> = OnceCell::const_new();

impl Mesh {
    /// The one that the tests of a *shared* file have in common; ready. Engines that name no image get [`wasm::echo`].
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| Self::launch(DefaultImage::Echo, Size::of(1, 2), true))
            .await
    }

    /// The same in a file where no filter that fails is started anew: a file's tests have one of these in common.
    pub async fn shared_without_reload() -> &'static Self {
        let size = Size::of(1, 2).controller_flags(&["--fail-reload=never"]);
        SHARED
            .get_or_init(|| Self::launch(DefaultImage::Echo, size, true))
            .await
    }

    /// The same with caches that serve rules over TLS, by the controller's own CA.
    pub async fn shared_over_tls() -> &'static Self {
        let flags = ["--cache-tls-ca-configmap=coraza-cache-ca"];
        let size = Size::of(1, 2).own_ca().http_tls().controller_flags(&flags);
        SHARED
            .get_or_init(|| Self::launch(DefaultImage::Plugin, size, true))
            .await
    }

    /// The same in a file whose Engines that name no image get the plugin itself.
    pub async fn shared_with_plugin() -> &'static Self {
        SHARED
            .get_or_init(|| Self::launch(DefaultImage::Plugin, Size::of(1, 2), true))
            .await
    }

    /// One of the test's own, ready. Waits until no other test has one.
    pub async fn start(image: DefaultImage) -> Self {
        Self::launch(image, Size::of(1, 2), false).await
    }

    /// Its fleet, if a test has asked for it.
    pub(crate) fn shared_fleet_if_started() -> Option<&'static Fleet> {
        SHARED.get().map(|mesh| &mesh.fleet)
    }

    async fn launch(image: DefaultImage, size: Size, shared: bool) -> Self {
        let registry = Registry::start().await;
        let echo = registry.push("echo", "v1", &wasm::echo()).await;
        let read = |path| std::fs::read(path).expect("the plugin can be read");
        let plugin = registry.push("coraza", "v1", &read(&environment().plugin)).await;
        let with_trap = read(&environment().plugin_with_trap);
        let plugin_with_trap = registry.push("coraza", "with-trap", &with_trap).await;
        let default_image = match image {
            DefaultImage::Echo => &echo,
            DefaultImage::Plugin => &plugin,
            DefaultImage::Embedded => "embedded",
        };
        let default_image = format!("--default-wasm-image={default_image}");
        let service = format!("--cache-service={CACHE_SERVICE}");
        let module = format!("--plugin-file={}", environment().plugin.display());
        let cache_flags: &[&str] = if image == DefaultImage::Embedded {
            &[&module]
        } else {
            &[]
        };
        let size = size
            .controller_flags(&[&default_image, &service, "--operator-name=coraza-controller"])
            .cache_flags(cache_flags);
        let fleet = if shared {
            let fleet = Fleet::launch(size, None).await;
            fleet.ready().await;
            fleet
        } else {
            Fleet::start(size).await
        };
        let mesh = Self {
            fleet,
            registry,
            echo,
            plugin,
            plugin_with_trap,
        };
        mesh.serve_plugins_at(mesh.on_node(|cache| cache.plugin)).await;
        mesh
    }

    /// Makes the caches' Service, with plugins from these servers: as many as there are caches.
    pub async fn serve_plugins_at(&self, plugins: Vec<SocketAddr>) {
        let ports = [("http", 80, self.caches()), ("http-plugin", 18_081, plugins)];
        let ports = ports.map(|(name, number, endpoints)| Port {
            name,
            number,
            endpoints,
        });
        let client = crate::client().await;
        service::create_with(&client, &self.fleet.namespace, CACHE_SERVICE, &ports).await;
    }

    /// The caches as Pods reach them.
    #[must_use]
    pub fn caches(&self) -> Vec<SocketAddr> {
        self.on_node(|cache| cache.http)
    }

    /// Addresses of the caches as Pods reach them.
    #[must_use]
    pub fn on_node(&self, address: fn(&Cache) -> SocketAddr) -> Vec<SocketAddr> {
        let node = IpAddr::V4(environment().cluster.istio().node);
        let ports = self.fleet.caches.iter().map(|cache| address(cache).port());
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
