//! Envoy with and without the plugin, as two listeners of one process before one upstream.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::rules::INSTANCE;
use crate::bench::http::{ask, get, until};
use crate::bench::usage::{cpu_seconds, resident_mebibytes};
use crate::cluster::port;
use crate::program::{Program, Running};

/// As Istio names clusters.
const CACHE: &str = "outbound|80||coraza-cache.coraza-system.svc.cluster.local";
/// How long the first rules may take: V8 compiles the module first.
const PATIENCE: Duration = Duration::from_secs(120);
/// Loads of rules that succeeded, of all VMs together: one for each worker and one of Envoy's main thread.
const LOADS: &str =
    "wasmcustom.coraza_waf_plugin_loads_total_driver_type_wasm_engine_bench_namespace_bench_status_success";
const MEMORY: &str = "wasmcustom.waf_filter.vm.memory_bytes";

/// How Envoy is set up.
pub(super) struct Setup<'a> {
    pub(super) envoy: &'a Path,
    /// The plugin's module, if there is to be a listener with it.
    pub(super) module: Option<&'a Path>,
    pub(super) workers: u32,
    /// The core that it is bound to, if it is.
    pub(super) core: Option<usize>,
    /// Of caches.
    pub(super) caches: &'a [u16],
    /// The RuleSet and the token for it.
    pub(super) rules: (&'a str, &'a str),
    pub(super) upstream: u16,
}

impl<'a> Setup<'a> {
    /// One with the rules of one server of ours.
    pub(super) fn new(tools: &'a super::Tools, caches: &'a [u16], upstream: u16) -> Self {
        Self {
            envoy: &tools.envoy,
            module: Some(&tools.module),
            workers: 1,
            core: None,
            caches,
            rules: (INSTANCE, "token"),
            upstream,
        }
    }
}

/// A running Envoy.
pub(super) struct Proxy {
    process: Running,
    /// Without the plugin.
    pub(super) plain: u16,
    /// With it.
    pub(super) filtered: u16,
    admin: u16,
    workers: u32,
    log: PathBuf,
}

impl Proxy {
    /// Starts it, and waits until requests get through, inspected or not.
    pub(super) async fn start(dir: &Path, setup: &Setup<'_>) -> Result<Self> {
        let [plain, filtered, admin] = port::free()?;
        let mut listeners = vec![listener("plain", plain, None)];
        if let Some(module) = setup.module {
            listeners.push(listener("filtered", filtered, Some(filter(module, setup.rules))));
        }
        let clusters = [cluster("upstream", &[setup.upstream]), cluster(CACHE, setup.caches)];
        let bootstrap = json!({
            "node": { "id": "router~10.0.0.7~gateway-0.bench~bench.svc.cluster.local", "cluster": "gateway" },
            "admin": { "address": address(admin) },
            "static_resources": { "listeners": listeners, "clusters": clusters },
        });
        let config = dir.join(format!("envoy-{admin}.json"));
        std::fs::write(&config, bootstrap.to_string())?;
        let log = dir.join(format!("envoy-{admin}.log"));
        let program = match setup.core {
            Some(core) => Program::new("taskset").args(["-c", &core.to_string()]).arg(setup.envoy),
            None => Program::new(setup.envoy),
        };
        let process = program
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", &setup.workers.to_string(), "--disable-hot-restart"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .start_logged(&log)?;
        until(PATIENCE, || get(plain, "/", "")).await?;
        let proxy = Self {
            process,
            plain,
            filtered,
            admin,
            workers: setup.workers,
            log,
        };
        if setup.module.is_some() {
            proxy.until_loads(1).await?;
            until(PATIENCE, || get(filtered, "/", "")).await?;
        }
        Ok(proxy)
    }

    /// Waits until every VM has loaded so many revisions.
    pub(super) async fn until_loads(&self, revisions: u64) -> Result<()> {
        let wanted = revisions * u64::from(self.workers + 1);
        until(PATIENCE, || async {
            let loads = self.stat(LOADS).await?;
            ensure!(loads >= wanted, "{loads} of {wanted} loads: {}", self.log.display());
            Ok(())
        })
        .await
    }

    /// MiB of the VM that reported last.
    pub(super) async fn vm_mebibytes(&self) -> Result<f64> {
        Ok(self.stat(MEMORY).await? as f64 / f64::from(1 << 20))
    }

    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.process)
    }

    pub(super) fn resident_mebibytes(&self) -> Result<f64> {
        resident_mebibytes(&self.process)
    }

    /// The longest that one step of loading took since its start, in milliseconds.
    pub(super) fn longest_step(&self) -> Result<u64> {
        let log = std::fs::read_to_string(&self.log)?;
        let steps = log
            .lines()
            .filter_map(|line| line.split_once("\"longest_step_milliseconds\":\""));
        let steps = steps.filter_map(|(_, rest)| rest.split('"').next()?.parse().ok());
        steps.max().context("the plugin logged no load")
    }

    async fn stat(&self, name: &str) -> Result<u64> {
        let answer = ask(self.admin, &format!("/stats?filter=^{name}$"), "").await?;
        // In chunks, of which one has the line.
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse().ok());
        Ok(value.unwrap_or_default())
    }
}

fn filter(module: &Path, (instance, token): (&str, &str)) -> Value {
    let configuration = json!({
        "cache_server_cluster": CACHE,
        "cache_server_instance": instance,
        "cache_token": token,
        "rule_reload_interval_seconds": 15,
        "engine": "bench",
        "namespace": "bench",
    });
    json!({ "name": "coraza", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "coraza",
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string() },
            "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": module } } },
        },
    } })
}

/// Connections are spread over all workers evenly, so that a few of them reach each.
fn listener(name: &str, port: u16, filter: Option<Value>) -> Value {
    let router = json!({ "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
    let filters: Vec<Value> = filter.into_iter().chain([router]).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "upstream", "timeout": "0s" } },
        ] }] },
        "http_filters": filters,
    });
    json!({
        "name": name,
        "address": address(port),
        "connection_balance_config": { "exact_balance": {} },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    })
}

fn cluster(name: &str, ports: &[u16]) -> Value {
    let endpoints = ports
        .iter()
        .map(|port| json!({ "endpoint": { "address": address(*port) } }));
    let endpoints: Vec<Value> = endpoints.collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
