//! A Gateway with its proxy: a real Envoy under pilot-agent, which `cargo xtask cluster gateway` runs as a kubelet would.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::object::{GATEWAY, HTTP_ROUTE};
use crate::origin::Origin;
use crate::process::Process;
use crate::wait::{until, until_within};
use crate::{Namespace, environment, service};

/// The port that Gateways listen on.
const PORT: u16 = 8080;

/// How long a proxy may take to start. When a file's tests begin, each starts one, and istiod and the controller manager make their objects one after the other.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running Gateway. Dropping it kills its proxy.
#[derive(Debug)]
pub struct Gateway {
    /// The Gateway's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its proxy's name.
    pub pod: String,
    address: Ipv4Addr,
    /// The network namespace of its proxy.
    network: String,
    process: Process,
}

impl Gateway {
    /// Makes a Gateway, with a route to an origin, and starts its proxy.
    pub async fn start(namespace: &Namespace, name: &str, origin: &Origin) -> Self {
        Self::start_before(namespace, name, origin.address).await
    }

    /// As [`start`](Self::start), with a route to any server on the node.
    pub async fn start_before(namespace: &Namespace, name: &str, upstream: SocketAddr) -> Self {
        Self::create(namespace, name, upstream).await;
        Self::run(&namespace.name, name).await
    }

    /// As [`start_before`](Self::start_before), with annotations for the proxy's Pod, as Istio's users write them.
    pub async fn start_annotated(namespace: &Namespace, name: &str, upstream: SocketAddr, annotations: Value) -> Self {
        Self::create_annotated(namespace, name, upstream, annotations).await;
        Self::run(&namespace.name, name).await
    }

    /// Makes a Gateway without starting its proxy.
    pub async fn create(namespace: &Namespace, name: &str, upstream: SocketAddr) {
        Self::create_annotated(namespace, name, upstream, json!({})).await;
    }

    async fn create_annotated(namespace: &Namespace, name: &str, upstream: SocketAddr, annotations: Value) {
        let listener = json!({ "name": "http", "port": PORT, "protocol": "HTTP" });
        let infrastructure = json!({ "annotations": annotations });
        let gateway = json!({ "gatewayClassName": "istio", "listeners": [listener], "infrastructure": infrastructure });
        GATEWAY.apply(&namespace.client, &namespace.name, name, gateway).await;
        let backend = format!("{name}-origin");
        service::create(&namespace.client, &namespace.name, &backend, 80, &[upstream]).await;
        let route = json!({
            "parentRefs": [{ "name": name }],
            "rules": [{ "backendRefs": [{ "name": backend, "port": 80 }] }],
        });
        HTTP_ROUTE.apply(&namespace.client, &namespace.name, name, route).await;
    }

    /// Starts the proxy of a Gateway that is there.
    ///
    /// # Panics
    /// If it ends, or isn't ready in time.
    pub async fn run(namespace: &str, name: &str) -> Self {
        let address = free_address();
        let environment = environment();
        let mut command = Process::command(&environment.xtask);
        command.args(["cluster", "gateway", name, "--namespace", namespace]);
        command
            .arg(format!("--address={address}"))
            .arg("--dir")
            .arg(&environment.cluster.dir);
        let process = Process::start(&format!("gateway-{name}"), command);
        let (pod, network) = until_within(
            PATIENCE,
            &format!("the proxy of Gateway {namespace}/{name}"),
            async || {
                if let Some(status) = process.ended() {
                    panic!(
                        "the proxy of Gateway {namespace}/{name} ended: {status}\n{}",
                        process.log()
                    );
                }
                let log = process.log();
                let ready = log
                    .lines()
                    .find_map(|line| line.strip_prefix("ready: Pod ")?.split_once(" in "));
                ready
                    .map(|(pod, network)| (pod.to_owned(), network.to_owned()))
                    .ok_or(log)
            },
        )
        .await;
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            pod,
            address,
            network,
            process,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), PORT)
    }

    /// GET through it.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        http::get(self.address(), path, None).await
    }

    /// What curl prints when it is run beside the proxy.
    ///
    /// # Errors
    /// What curl says when it fails.
    pub fn curl(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network));
        command
            .args(["--", "curl", "--silent", "--show-error", "--max-time", "5"])
            .args(args);
        let output = command.output().expect("nsenter and curl can be run");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The part of Envoy's configuration that has messages of this type: `EcdsConfigDump`, `ListenersConfigDump`, `ClustersConfigDump`.
    ///
    /// # Panics
    /// If Envoy's administration doesn't answer.
    #[must_use]
    pub fn config_dump(&self, part: &str) -> Value {
        let dump = self
            .curl(&["http://127.0.0.1:15000/config_dump"])
            .expect("Envoy's administration answers");
        let dump: Value = serde_json::from_str(&dump).expect("Envoy's configuration is JSON");
        let configs = dump["configs"].as_array().expect("a list of parts");
        let wanted = format!("type.googleapis.com/envoy.admin.v3.{part}");
        let found = configs.iter().find(|config| config["@type"] == wanted.as_str());
        found.cloned().unwrap_or_default()
    }

    /// Envoy's counters and gauges with this in their name, which is a regular expression.
    ///
    /// # Panics
    /// If Envoy's administration doesn't answer.
    #[must_use]
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        let url = format!("http://127.0.0.1:15000/stats?filter={filter}");
        let text = self.curl(&[&url]).expect("Envoy's administration answers");
        let stats = text.lines().filter_map(|line| line.split_once(": "));
        stats
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// All that pilot-agent and Envoy have written.
    #[must_use]
    pub fn agent_log(&self) -> String {
        log(&self.namespace, self.address)
    }

    /// Waits until pilot-agent or Envoy has written something.
    pub async fn agent_log_has(&self, wanted: &str) {
        until(&format!("pilot-agent to say {wanted:?}"), async || {
            let log = self.agent_log();
            if log.contains(wanted) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// Deletes its Pod, with its proxy, and starts the proxy of the Pod that its Deployment makes instead.
    ///
    /// # Panics
    /// If there is no such Pod, or its successor isn't ready in time.
    pub async fn replace(self, namespace: &Namespace) -> Self {
        self.process.kill();
        // Nobody else would: a Pod on a node is the kubelet's to end.
        let at_once = DeleteParams::default().grace_period(0);
        let deleted = namespace.api::<Pod>().delete(&self.pod, &at_once).await;
        deleted.unwrap_or_else(|error| panic!("failed to delete Pod {}: {error}", self.pod));
        Self::run(&self.namespace, &self.name).await
    }
}

/// All that pilot-agent and Envoy have written in the Pod of a Gateway at an address.
pub(crate) fn log(namespace: &str, address: Ipv4Addr) -> String {
    let pods = environment().cluster.dir.join("pods");
    let log = std::fs::read(pods.join(format!("{namespace}-{address}/pilot-agent.log")));
    log.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// An address of the Pods' network that no Pod of this suite has had.
fn free_address() -> Ipv4Addr {
    // A suite has its node to itself, and the node is 10.99.1.1.
    static LAST: AtomicU8 = AtomicU8::new(9);
    let last = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    assert!(last < u8::MAX, "no address is left for another Pod");
    Ipv4Addr::new(10, 99, 1, last)
}
