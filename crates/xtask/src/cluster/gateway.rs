//! `cargo xtask cluster gateway`: the kubelet of a Gateway's one Pod. istiod makes the Deployment, the controller manager the Pod; this runs its program, pilot-agent
//! with Envoy, in a network namespace of its own, and says in the Pod's status how it is.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::istio::NODE_NAME;
use super::kubectl::Kubectl;
use super::network::{self, NODE, PodNetwork};
use super::services;
use super::state::State;
use crate::program::Running;
use crate::tools;

/// How long it may take until there is a Pod to run, and until that is ready: a second each on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked.
const POLL: Duration = Duration::from_millis(50);

/// What a kubelet mounts, in the Pod's own view of the file system; then the program. `$1` is the Pod's folder.
const MOUNT_AND_RUN: &str = r#"mount -t tmpfs pod /var/lib && mkdir -p /var/lib/istio/data && mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf && shift && exec "$@""#;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The Gateway's name
    gateway: String,
    /// Its namespace
    #[arg(long)]
    namespace: String,
    /// The Pod's address: one of 10.99.1.2 to 10.99.1.254 that no other Pod has
    #[arg(long)]
    address: Ipv4Addr,
}

/// Runs the Pod until its program ends or we are told to end. Says on standard output when it is ready, and where.
pub(super) async fn run(state: &State, args: &Args) -> Result<()> {
    let istio = state
        .istio
        .as_ref()
        .context("the cluster has no Istio: start one by `cluster start --istio`")?;
    ensure!(
        network::is_here(&istio.namespace),
        "the cluster is in another network namespace: `nsenter --net={}`",
        istio.namespace.display()
    );
    let gateway = Gateway {
        kubectl: Kubectl {
            program: state.kubectl.clone(),
            kubeconfig: state.kubeconfig.clone(),
        },
        folder: state
            .dir
            .join("pods")
            .join(format!("{}-{}", args.namespace, args.address)),
        args,
    };
    let pod = within("the Gateway's Pod", gateway.unbound_pod()).await?;
    gateway.bind(&pod).await?;
    gateway.mount(&pod).await?;
    let network = PodNetwork::create(args.address, &gateway.folder.join("pause.log")).await?;
    gateway.report(&pod, false).await?;
    let mut agent = gateway.start_agent(&pod, &network).await?;
    within("the proxy", gateway.ready(&mut agent, &network)).await?;
    gateway.report(&pod, true).await?;
    gateway.give_address().await?;
    println!("ready: Pod {} in {}", pod.name, network.namespace()?.display());
    let status = agent.wait().await?;
    bail!("pilot-agent ended ({status}); its log is {}", gateway.log().display())
}

struct Gateway<'a> {
    kubectl: Kubectl,
    folder: PathBuf,
    args: &'a Args,
}

/// What is known of the Pod.
struct Pod {
    name: String,
    uid: String,
    service_account: String,
    labels: Value,
    annotations: Value,
}

impl Gateway<'_> {
    /// The Gateway's Pod, which nobody runs yet.
    async fn unbound_pod(&self) -> Result<Pod> {
        let selector = format!(
            "--selector=gateway.networking.k8s.io/gateway-name={}",
            self.args.gateway
        );
        loop {
            let list: Value = serde_json::from_str(&self.get(&["pods", &selector, "--output=json"]).await?)?;
            let pods = list.get("items").and_then(Value::as_array).into_iter().flatten();
            let mut unbound = pods.filter(|pod| {
                pod.pointer("/spec/nodeName").is_none() && pod.pointer("/metadata/deletionTimestamp").is_none()
            });
            if let Some(pod) = unbound.next() {
                return Pod::read(pod);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What a scheduler does.
    async fn bind(&self, pod: &Pod) -> Result<()> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod.name, "namespace": self.args.namespace },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NODE_NAME },
        });
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), binding.to_string())?;
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", self.args.namespace, pod.name);
        let filename = format!("--filename={}", file.path().display());
        self.kubectl
            .stdout(&["create", "--raw", &path, &filename])
            .await
            .map(drop)
    }

    /// Fills the folder with what its volumes have: a token, the mesh's authority, labels and annotations.
    async fn mount(&self, pod: &Pod) -> Result<()> {
        // What an earlier Pod at this address left.
        let _ = fs::remove_dir_all(&self.folder);
        for folder in [
            "etc/istio/proxy",
            "etc/istio/pod",
            "var/run/secrets/tokens",
            "var/run/secrets/istio",
        ] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        let bound = [
            "--bound-object-kind=Pod".to_owned(),
            format!("--bound-object-name={}", pod.name),
            format!("--bound-object-uid={}", pod.uid),
        ];
        let [kind, name, uid] = &bound;
        let namespace = format!("--namespace={}", self.args.namespace);
        let token = [
            "create",
            "token",
            &pod.service_account,
            "--audience=istio-ca",
            &namespace,
            kind,
            name,
            uid,
        ];
        let token = self.kubectl.stdout(&token).await?;
        let authority = [
            "configmap",
            "istio-ca-root-cert",
            r"--output=jsonpath={.data.root-cert\.pem}",
        ];
        let authority = self.get(&authority).await?;
        let hosts = format!("127.0.0.1 localhost\n{NODE} istiod.istio-system.svc\n");
        for (path, text) in [
            ("var/run/secrets/tokens/istio-token", token.trim_end()),
            ("var/run/secrets/istio/root-cert.pem", &authority),
            ("etc/istio/pod/labels", &downward(&pod.labels)),
            ("etc/istio/pod/annotations", &downward(&pod.annotations)),
            ("hosts", &hosts),
            ("resolv.conf", &services::resolver(&self.args.namespace)),
        ] {
            fs::write(self.folder.join(path), text).with_context(|| format!("failed to write {path}"))?;
        }
        Ok(())
    }

    /// Says in the Pod's status that its container runs, and whether it is ready.
    async fn report(&self, pod: &Pod, ready: bool) -> Result<()> {
        let condition =
            |kind: &str, holds: bool| json!({ "type": kind, "status": if holds { "True" } else { "False" } });
        let status = json!({
            "phase": "Running",
            "hostIP": NODE,
            "podIP": self.args.address,
            "podIPs": [{ "ip": self.args.address }],
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "containerStatuses": [{
                "name": "istio-proxy",
                "image": "local",
                "imageID": "local",
                "ready": ready,
                "started": true,
                "restartCount": 0,
                "state": { "running": {} },
            }],
        });
        let namespace = format!("--namespace={}", self.args.namespace);
        self.kubectl
            .patch_status(&["pod", &pod.name, &namespace], &status)
            .await
    }

    /// Starts the container's program, with the variables that the Deployment gives it and with our Envoy.
    async fn start_agent(&self, pod: &Pod, network: &PodNetwork) -> Result<Running> {
        let envoy = tools::envoy::provide().await?;
        let agent = tools::istio::provide().await?.agent;
        let bootstrap = tools::istio::module()
            .await?
            .join("tools/packaging/common/envoy_bootstrap.json");
        let Args {
            gateway,
            namespace,
            address,
        } = self.args;
        let workload = format!("{gateway}-istio");
        let proxy_config = json!({
            "binaryPath": envoy,
            "discoveryAddress": "istiod.istio-system.svc:15012",
            "concurrency": 1,
            "drainDuration": "1s",
            "terminationDrainDuration": "1s",
        });
        let owner = format!("kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{workload}");
        let isolate = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
        let program = network.program()?.args(isolate).args(["sh", "-c", MOUNT_AND_RUN, "sh"]);
        [
            ("POD_NAME", pod.name.as_str()),
            ("POD_NAMESPACE", namespace),
            ("SERVICE_ACCOUNT", &pod.service_account),
            ("INSTANCE_IP", &address.to_string()),
            ("HOST_IP", &NODE.to_string()),
            ("TRUST_DOMAIN", "cluster.local"),
            ("CA_ADDR", "istiod.istio-system.svc:15012"),
            ("PILOT_CERT_PROVIDER", "istiod"),
            ("CLOUD_PLATFORM", "none"),
            ("PEER_METADATA_DISCOVERY", "false"),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_META_NODE_NAME", NODE_NAME),
            ("ISTIO_META_MESH_ID", "cluster.local"),
            ("ISTIO_META_WORKLOAD_NAME", &workload),
            ("ISTIO_META_OWNER", &owner),
            ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
            // The tests' registry speaks plain HTTP.
            ("WASM_INSECURE_REGISTRIES", "*"),
            ("PROXY_CONFIG", &proxy_config.to_string()),
        ]
        .into_iter()
        .fold(program.clean(&self.folder), |program, (name, value)| {
            program.env(name, value)
        })
        .dir(&self.folder)
        .arg(&self.folder)
        .arg(agent)
        .args([
            "proxy",
            "router",
            "--proxyLogLevel=warning,wasm:info",
            "--log_output_level=default:info",
        ])
        .arg(format!("--domain={namespace}.svc.cluster.local"))
        .arg(format!("--templateFile={}", bootstrap.display()))
        .start_logged(&self.log())
    }

    /// What its readiness probe does.
    async fn ready(&self, agent: &mut Running, network: &PodNetwork) -> Result<()> {
        let probe = [
            "curl",
            "--silent",
            "--fail",
            "--max-time",
            "2",
            "http://127.0.0.1:15021/healthz/ready",
        ];
        while network.program()?.args(probe).stdout().await.is_err() {
            if let Some(status) = agent.ended() {
                bail!("pilot-agent ended ({status}); its log is {}", self.log().display());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What a cloud's load balancer does: without an address a Gateway isn't Programmed.
    async fn give_address(&self) -> Result<()> {
        let service = format!("{}-istio", self.args.gateway);
        let namespace = format!("--namespace={}", self.args.namespace);
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": self.args.address }] } });
        self.kubectl
            .patch_status(&["service", &service, &namespace], &status)
            .await
    }

    async fn get(&self, args: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={}", self.args.namespace);
        self.kubectl.stdout(&[&["get", &namespace], args].concat()).await
    }

    fn log(&self) -> PathBuf {
        self.folder.join("pilot-agent.log")
    }
}

impl Pod {
    fn read(pod: &Value) -> Result<Self> {
        let text = |path: &str| {
            let value = pod.pointer(path).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("a Pod without {path}"))
        };
        let map = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
        Ok(Self {
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
            service_account: text("/spec/serviceAccountName")?,
            labels: map("/metadata/labels"),
            annotations: map("/metadata/annotations"),
        })
    }
}

/// Labels or annotations as the downward API writes them: a line each, the value quoted.
fn downward(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    pairs.map(|(name, value)| format!("{name}={value}\n")).collect()
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.with_context(|| format!("{what} was not there within {PATIENCE:?}"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_the_downward_api_does() {
        let labels = json!({ "app": "web", "istio.io/rev": "default" });
        assert_eq!(downward(&labels), "app=\"web\"\nistio.io/rev=\"default\"\n");
        assert_eq!(downward(&Value::Null), "");
    }
}
