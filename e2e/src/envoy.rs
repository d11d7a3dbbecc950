//! Envoy with the plugin, alone: a static bootstrap, a listener that can be replaced while it runs, a cluster behind it and one for the
//! cache.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{Answer, send};
use crate::process::{self, Process};
use crate::{environment, port, until_within};

/// As Istio names clusters.
pub const CACHE_CLUSTER: &str = "outbound|80||coraza-cache.waf.svc.cluster.local";

/// How long Envoy may take for its listener, and the plugin for its first rules: V8 compiles the module for each, which is seconds where other
/// tests run too.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the plugin tells access logs of a block, as the Go plugin names it.
const FILTER_STATE: [&str; 8] = [
    "rule_id",
    "phase",
    "event",
    "action",
    "status",
    "severity",
    "category",
    "client_ip",
];

/// How Envoy is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Worker threads.
    pub concurrency: u32,
    /// What Envoy does when the module traps.
    pub failure_policy: &'static str,
    /// How much of a body Envoy holds; its default is 1 MiB.
    pub buffer_limit: Option<u32>,
    /// The module.
    pub module: PathBuf,
    /// Keys of the plugin's configuration, over those that every test has.
    pub configuration: Value,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            concurrency: 1,
            failure_policy: "FAIL_CLOSED",
            buffer_limit: None,
            module: environment().plugin.clone(),
            configuration: json!({}),
        }
    }
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    listener: SocketAddr,
    admin: SocketAddr,
    folder: PathBuf,
    setup: Setup,
}

impl Envoy {
    /// Starts one, and waits until it listens.
    pub async fn start(setup: Setup, cache: SocketAddr, upstream: SocketAddr) -> Self {
        let (listener, admin) = (port::free(), port::free());
        let folder = process::folder("envoy");
        let bootstrap = json!({
            "node": { "id": "router~10.0.0.7~gateway-0.shop~shop.svc.cluster.local", "cluster": "gateway" },
            "admin": { "address": address(admin) },
            "dynamic_resources": { "lds_config": { "path_config_source": { "path": folder.join("lds.json") } } },
            "static_resources": { "clusters": [cluster("upstream", upstream), cluster(CACHE_CLUSTER, cache)] },
        });
        std::fs::write(folder.join("bootstrap.json"), bootstrap.to_string()).expect("written");
        write_listener(&folder, &setup, listener);
        let mut command = Process::command(&environment().envoy);
        command
            .arg("--config-path")
            .arg(folder.join("bootstrap.json"))
            .args(["--concurrency", &setup.concurrency.to_string()])
            .args(["--log-level", "warning", "--component-log-level", "wasm:debug"])
            .args(["--disable-hot-restart", "--drain-time-s", "5"]);
        let process = Process::start("envoy", command);
        let envoy = Self {
            process,
            listener,
            admin,
            folder,
            setup,
        };
        until_within(PATIENCE, "Envoy's listener", async || {
            assert!(envoy.process.ended().is_none(), "Envoy ended: {}", envoy.process.log());
            TcpStream::connect(listener).await.map(drop)
        })
        .await;
        envoy
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Its admin server, with `/stats/prometheus`.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives the plugin another configuration: keys over those of the set-up.
    ///
    /// # Panics
    /// If the listener's file can't be replaced.
    pub fn reconfigure(&self, configuration: &Value) {
        let mut setup = self.setup.clone();
        merge(&mut setup.configuration, configuration);
        write_listener(&self.folder, &setup, self.listener);
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If there is no whole answer.
    pub async fn send(&self, request: Request<String>) -> Answer {
        send(self.listener, request)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// GET.
    ///
    /// # Panics
    /// If there is no whole answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(String::new()).expect("a request"))
            .await
    }

    /// POST of a form.
    ///
    /// # Panics
    /// If there is no whole answer.
    pub async fn post(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(form.to_owned()).expect("a request")).await
    }

    /// Sends bytes as they are and gives all that comes back until the end, or until nothing comes for two seconds.
    ///
    /// # Panics
    /// If Envoy takes no connection.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.listener).await.expect("connected");
        // Envoy may refuse the rest in the middle.
        let _ = stream.write_all(bytes).await;
        read_until_silent(&mut stream).await
    }

    /// Waits until requests get a status, as they do when the first rules are in.
    pub async fn until_status(&self, path: &str, status: u16) {
        until_within(PATIENCE, &format!("status {status} at {path}"), async || {
            let answer = send(
                self.listener,
                Request::get(path).body(String::new()).expect("a request"),
            )
            .await;
            let answer = answer.map_err(|error| format!("{error:#}"))?;
            if answer.status == status {
                Ok(())
            } else {
                Err(answer.status.to_string())
            }
        })
        .await;
    }

    /// A counter or gauge; 0 if there is none yet.
    ///
    /// # Panics
    /// If Envoy's admin doesn't answer.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = self.stats(name).await;
        let value = stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        value.unwrap_or_default()
    }

    /// All stats with this in their name, a line each.
    ///
    /// # Panics
    /// If Envoy's admin doesn't answer.
    pub async fn stats(&self, filter: &str) -> String {
        let mut escaped = String::new();
        for byte in filter.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(char::from(byte)),
                _ => write!(escaped, "%5C%{byte:02X}").expect("a string"),
            }
        }
        let request = Request::get(format!("/stats?filter={escaped}"))
            .body(String::new())
            .expect("a request");
        send(self.admin, request).await.expect("Envoy's admin answers").text()
    }

    /// Checks that no VM was lost: none trapped, none was made anew, and requests are still inspected.
    ///
    /// # Panics
    /// If one was.
    pub async fn assert_healthy(&self, attack: &str, status: u16) {
        let log = self.log();
        for sign in [
            "Function: proxy_",
            "Uncaught RuntimeError",
            "Wasm VM failed",
            "plugin is failed",
        ] {
            assert!(!log.contains(sign), "{sign}");
        }
        assert_eq!(self.stat("wasm.coraza.vm_reload_success").await, 0);
        for _ in 0..4 * self.setup.concurrency {
            assert_eq!(self.get(attack).await.status, status);
        }
    }
}

/// All that comes until the end, or until nothing comes for two seconds.
pub async fn read_until_silent(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 65_536];
    while let Ok(Ok(length @ 1..)) = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut part)).await {
        all.extend_from_slice(&part[..length]);
    }
    all
}

/// Writes the listener's file beside the one that Envoy watches and renames it over that: what it sees is whole.
fn write_listener(folder: &Path, setup: &Setup, listener: SocketAddr) {
    let mut configuration = json!({
        "cache_server_cluster": CACHE_CLUSTER,
        "cache_server_instance": "shop/rules",
        "cache_token": "token",
        "rule_reload_interval_seconds": 15,
        "failure_policy": "fail",
        "engine": "shop",
        "namespace": "prod",
        "match_log": "all",
        "enable_filter_state_logs": true,
    });
    merge(&mut configuration, &setup.configuration);
    let wasm = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "coraza",
            "failure_policy": setup.failure_policy,
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string() },
            "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": setup.module } } },
        },
    });
    let facts: String = FILTER_STATE
        .iter()
        .map(|key| format!(" {key}=%FILTER_STATE(wasm.io.coraza.waf.{key}:PLAIN)%"))
        .collect();
    let line = format!("ACCESS %REQ(:PATH)% %RESPONSE_CODE%{facts}\n");
    let access_log = json!({
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": { "text_format_source": { "inline_string": line } },
    });
    let connection_manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        // Tests find their requests in the log by it.
        "preserve_external_request_id": true,
        "codec_type": "AUTO",
        // As lax as an operator may make it, so that more of what clients send reaches the plugin.
        "max_request_headers_kb": 8_192,
        "common_http_protocol_options": { "max_headers_count": 5_000 },
        "http_protocol_options": { "accept_http_10": true, "default_host_for_http_10": "ten.example" },
        "http2_protocol_options": { "allow_connect": true },
        "upgrade_configs": [{ "upgrade_type": "websocket" }, { "upgrade_type": "CONNECT" }],
        "access_log": [{ "name": "stdout", "typed_config": access_log }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "connect_matcher": {} }, "route": { "cluster": "upstream", "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }] } },
            { "match": { "prefix": "/" }, "route": { "cluster": "upstream", "timeout": "0s" } },
        ] }] },
        "http_filters": [
            { "name": "coraza", "typed_config": wasm },
            { "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } },
        ],
    });
    let filter = json!({ "name": "http", "typed_config": connection_manager });
    let mut resource = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "gateway",
        "address": address(listener),
        "filter_chains": [{ "filters": [filter] }],
    });
    if let Some(limit) = setup.buffer_limit {
        resource["per_connection_buffer_limit_bytes"] = json!(limit);
    }
    let file = folder.join("lds.json.new");
    std::fs::write(&file, json!({ "resources": [resource] }).to_string()).expect("written");
    std::fs::rename(file, folder.join("lds.json")).expect("renamed");
}

fn merge(into: &mut Value, over: &Value) {
    for (key, value) in over.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

fn cluster(name: &str, of: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(of) } }] }] },
    })
}

fn address(of: SocketAddr) -> Value {
    json!({ "socket_address": { "address": of.ip().to_string(), "port_value": of.port() } })
}
