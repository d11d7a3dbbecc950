//! WasmPlugins: what gateways were told of each Engine.

use coraza_api::Engine;
use coraza_api::condition::condition_type::READY;
use coraza_api::status::condition;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;

use crate::doctor::checks::{known, plural};
use crate::doctor::deployment::setting;
use crate::doctor::facts::{Facts, PLUGIN_PORT, Plugin, RULES_PORT};
use crate::doctor::finding::{Checked, Finding};

/// A token is renewed at 80 % of its life: one that is older than this share was not.
const RENEWED_BY: f64 = 0.9;

/// That each Engine's WasmPlugin is there, is its own, points at the caches, and carries a token that is good.
pub(super) fn plugins(facts: &Facts) -> Checked {
    let mut findings = Vec::new();
    let engines: &[_] = facts.engines.as_ref().map(Vec::as_slice).unwrap_or_default();
    let plugins = known(&facts.plugins, "WasmPlugins can't be read", &mut findings);
    let mut looked_at = 0;
    for engine in engines.iter().filter(|engine| is_accepted(engine)) {
        let Some(plugins) = plugins else { break };
        looked_at += 1;
        let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
        let what = format!("Engine {namespace}/{name}");
        match plugins.get(&(namespace.clone(), format!("coraza-engine-{name}"))) {
            // A name that is too long is shortened, and isn't looked for.
            None if name.len() > 200 => {}
            None => findings.push(Finding::problem(
                format!("{what} has no WasmPlugin: its gateway runs no firewall"),
                format!("there is no WasmPlugin {namespace}/coraza-engine-{name}"),
                format!("kubectl -n {namespace} describe engine {name}; the controller makes it again when it can"),
            )),
            Some(plugin) => findings.extend(trouble(plugin, engine, &what, facts)),
        }
    }
    Checked {
        check: "WasmPlugins",
        looked_at: plural(looked_at, "WasmPlugin"),
        findings,
    }
}

fn is_accepted(engine: &Engine) -> bool {
    let conditions = engine
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition(conditions, READY).is_some_and(|ready| ready.status == "True")
}

fn trouble(plugin: &Plugin, engine: &Engine, what: &str, facts: &Facts) -> Option<Finding> {
    let caches = Caches::of(facts);
    somebody_elses(plugin, engine, what)
        .or_else(|| caches.as_ref()?.rules_missed(plugin, what))
        .or_else(|| caches.as_ref()?.module_missed(plugin, what))
        .or_else(|| token(plugin, what, facts.now.as_second()))
}

fn somebody_elses(plugin: &Plugin, engine: &Engine, what: &str) -> Option<Finding> {
    let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
    let is_own = plugin.owners.contains(engine.uid().as_deref().unwrap_or_default());
    (!is_own).then(|| {
        Finding::problem(
            format!("the WasmPlugin of {what} is somebody else's"),
            format!("WasmPlugin {namespace}/coraza-engine-{name} is not owned by the Engine"),
            format!("kubectl -n {namespace} delete wasmplugin coraza-engine-{name}"),
        )
    })
}

/// Where the caches are, as gateways must be told.
struct Caches<'a> {
    namespace: &'a str,
    service: &'a Service,
    /// What the controller is told to call them instead.
    called: Option<&'a str>,
}

impl<'a> Caches<'a> {
    /// Nothing if there is no operator or no Service, which is said where those are looked at.
    fn of(facts: &'a Facts) -> Option<Self> {
        let operator = facts.operator.as_ref().ok()?.as_ref()?;
        let controller = operator.controller.as_ref().ok().and_then(Option::as_ref);
        Some(Self {
            namespace: &operator.namespace,
            service: operator.service.as_ref().ok()?.as_ref()?,
            called: controller.and_then(|controller| setting(controller, "envoy-cluster-name")),
        })
    }

    /// That the cluster which is polled for rules isn't the Service's.
    fn rules_missed(&self, plugin: &Plugin, what: &str) -> Option<Finding> {
        let cluster = plugin.cluster.as_str();
        let port = self.port(RULES_PORT)?;
        // `outbound|80||coraza-cache.coraza-system.svc.cluster.local`, as Istio names clusters.
        let mut parts = cluster.strip_prefix("outbound|").unwrap_or_default().split('|');
        let (number, host) = (parts.next(), parts.next_back());
        if number.and_then(|number| number.parse().ok()) == Some(port) && self.is_host(host.unwrap_or_default()) {
            return None;
        }
        let seen = format!("pluginConfig.cache_server_cluster is {cluster:?}; {}", self.seen(port));
        if self.called == Some(cluster) {
            return Some(Finding::warning(
                format!(
                    "the gateway of {what} polls another cluster than the caches' Service, as the controller is told"
                ),
                seen,
                "see that this cluster reaches the caches, or take --envoy-cluster-name away from the controller",
            ));
        }
        Some(Finding::problem(
            format!("the WasmPlugin of {what} does not point at the caches: its gateway gets no rules"),
            seen,
            self.rewrite(),
        ))
    }

    /// That the module which caches serve is looked for elsewhere, or isn't served.
    fn module_missed(&self, plugin: &Plugin, what: &str) -> Option<Finding> {
        let authority = embedded(plugin)?;
        let Some(port) = self.port(PLUGIN_PORT) else {
            return Some(Finding::problem(
                format!(
                    "the module of {what} is the caches', whose Service does not serve it: gateway pods that start get no plugin"
                ),
                format!(
                    "its url is {}; Service {}/{} has no port {PLUGIN_PORT}",
                    plugin.url,
                    self.namespace,
                    self.service.name_any()
                ),
                "helm upgrade with cache.pluginFile set, or name another module by defaultWasmImage",
            ));
        };
        let (host, number) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let is_there = self.is_host(host) && number == port.to_string();
        (!is_there).then(|| {
            Finding::problem(
                format!("the WasmPlugin of {what} does not get its module from the caches: gateway pods that start get no plugin"),
                format!("its url is {}; {}", plugin.url, self.seen(port)),
                self.rewrite(),
            )
        })
    }

    fn port(&self, name: &str) -> Option<i32> {
        let mut ports = self.service.spec.as_ref()?.ports.as_ref()?.iter();
        ports
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.port)
    }

    /// Whether this is the Service's name in the cluster's DNS, whatever the cluster's domain.
    fn is_host(&self, host: &str) -> bool {
        let own = format!("{}.{}.svc", self.service.name_any(), self.namespace);
        host.strip_prefix(&own)
            .is_some_and(|domain| domain.is_empty() || domain.starts_with('.'))
    }

    fn seen(&self, port: i32) -> String {
        format!(
            "the caches' Service is {}/{}, port {port}",
            self.namespace,
            self.service.name_any()
        )
    }

    fn rewrite(&self) -> String {
        format!(
            "see that the controller has --cache-service={} (helm upgrade gives it) and one leads: it writes its WasmPlugins again",
            self.service.name_any()
        )
    }
}

/// Whom the module is asked of, if it is the one that caches serve: under its digest, which no other module is written with.
fn embedded(plugin: &Plugin) -> Option<&str> {
    let path = format!("/plugins/coraza-{}.wasm", plugin.sha256);
    let url = plugin
        .url
        .strip_prefix("http://")
        .filter(|_| !plugin.sha256.is_empty())?;
    url.strip_suffix(&path)
}

/// That the token is none, or old.
fn token(plugin: &Plugin, what: &str, now: i64) -> Option<Finding> {
    let renew =
        "see that a controller leads and may create serviceaccounts/token of coraza-plugin: it renews tokens by itself";
    let Some(expires) = plugin.token_expires else {
        let what = format!("the WasmPlugin of {what} carries no token: its gateway gets no rules");
        return Some(Finding::problem(what, "pluginConfig.cache_token is no token", renew));
    };
    if expires <= now {
        return Some(Finding::problem(
            format!("the token of {what} has expired: gateway pods that start get no rules"),
            format!("it expired {} s ago", now - expires),
            renew,
        ));
    }
    let life = plugin.token_issued.map(|issued| (issued, expires - issued));
    #[expect(clippy::cast_precision_loss, reason = "lives of tokens are small numbers of seconds")]
    let late = life.is_some_and(|(issued, life)| (now - issued) as f64 > life as f64 * RENEWED_BY);
    late.then(|| {
        Finding::warning(
            format!("the token of {what} should have been renewed"),
            format!("it expires in {} s", expires - now),
            renew,
        )
    })
}
