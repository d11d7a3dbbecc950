//! Real nodes for a cluster: two, each in network, mount, host name and process namespaces of its own, and what a cluster with nodes needs besides: a
//! scheduler and DNS. Nothing leads out of them, and a node ends with one process.

mod cgroup;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use self::cgroup::Cgroup;
use super::kubectl::Kubectl;
use super::network::{self, NODE, PodNetwork};
use super::node::POD;
use super::pki::Pki;
use super::state;
use crate::images::{Platform, USER};
use crate::oci::{Compression, Image, Recipe, Tagged, Tar};
use crate::program::{Program, Running};
use crate::tools::{self, ClusterTools};
use crate::{toolchain, workspace};

/// The addresses of all Pods; each node has a part of them.
pub(super) const PODS: &str = "10.88.0.0/16";

/// How long a node may take to be Ready: 10 s when the machine is quiet.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether it is.
const POLL: Duration = Duration::from_millis(200);

/// Runs a program as the second process of its namespace: the first one has to wait for whatever is left behind, and a shell does.
const FIRST_PROCESS: &str = r#""$@" & wait "$!""#;

/// A node, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    N1,
    N2,
}

impl Name {
    pub(crate) const ALL: [Self; 2] = [Self::N1, Self::N2];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::N1 => "n1",
            Self::N2 => "n2",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::N1 => 1,
            Self::N2 => 2,
        }
    }

    pub(super) const fn address(self) -> Ipv4Addr {
        let [a, b, c, _] = NODE.octets();
        Ipv4Addr::new(a, b, c, 10 + self.number())
    }

    fn pods(self) -> String {
        format!("10.88.{}.0/24", self.number())
    }
}

/// Whether nodes can be made here; the error says what is missing.
pub(crate) async fn preflight() -> Result<()> {
    network::preflight().await?;
    cgroup::preflight()?;
    let filesystems = std::fs::read_to_string("/proc/filesystems")?;
    ensure!(filesystems.contains("overlay"), "the kernel has no overlayfs");
    let tools = tools::debian::node().await?;
    let tried =
        network::isolated(crate::program::End::Kill).args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"]);
    let tried = tools
        .with_path(tried)
        .arg("nft")
        .args(["add", "table", "inet", "preflight"])
        .stdout()
        .await;
    tried.map(drop).context("nodes can't be made here")
}

/// The nodes of a cluster and what they need. Dropping it ends all of them and empties their disks.
pub(super) struct Nodes {
    dir: PathBuf,
    /// What a node's namespaces run: this very program, whose path in `/proc` isn't theirs.
    program: PathBuf,
    images: Vec<PathBuf>,
    running: BTreeMap<Name, Node>,
    scheduler: Running,
    dns: Running,
    cgroup: Cgroup,
}

/// A node; it ends with its handle, as a machine does whose power is cut.
struct Node {
    running: Running,
    network: PodNetwork,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.running.clear();
        for name in Name::ALL {
            // The next cluster of this folder says so if something of it can't be removed.
            let _ = std::fs::remove_dir_all(self.dir.join(name.text()));
        }
    }
}

impl Nodes {
    pub(super) async fn start(dir: &Path, tools: &ClusterTools, kubectl: &Kubectl, images: &[PathBuf]) -> Result<Self> {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        let program = dir.join("xtask");
        std::fs::copy("/proc/self/exe", &program)?;
        let mut images = images.to_vec();
        images.push(pod(dir).await?);
        let mut nodes = Self {
            dir: dir.to_owned(),
            program,
            images,
            running: BTreeMap::new(),
            scheduler: scheduler(dir, tools)?,
            dns: dns(dir).await?,
            cgroup: Cgroup::create()?,
        };
        for name in Name::ALL {
            nodes.begin(name).await?;
        }
        for name in Name::ALL {
            nodes.ready(name, kubectl).await?;
        }
        Ok(nodes)
    }

    /// Starts a node and waits until it is Ready.
    pub(super) async fn bring(&mut self, name: Name, kubectl: &Kubectl) -> Result<()> {
        self.begin(name).await?;
        self.ready(name, kubectl).await
    }

    /// Cuts a node's power.
    pub(super) fn kill(&mut self, name: Name) -> Result<()> {
        let node = self.running.remove(&name);
        node.map(drop)
            .with_context(|| format!("node {} doesn't run", name.text()))
    }

    async fn begin(&mut self, name: Name) -> Result<()> {
        ensure!(!self.running.contains_key(&name), "node {} runs already", name.text());
        let own = self.dir.join(name.text());
        if own.exists() {
            // What an earlier one left on its disk.
            std::fs::remove_dir_all(&own).with_context(|| format!("failed to empty {}", own.display()))?;
        }
        std::fs::create_dir_all(&own)?;
        let cgroup = self.cgroup.for_node(name.text())?;
        let log = self.dir.join(format!("{}.log", name.text()));
        let network =
            PodNetwork::create(name.address(), &self.dir.join(format!("{}-network.log", name.text()))).await?;
        let pods = name.pods();
        let gateway = name.address().to_string();
        network::ip(&["route", "replace", &pods, "via", &gateway]).await?;
        if name == Name::N1 {
            // Who is outside of the nodes reaches Services by one of them.
            network::ip(&["route", "replace", network::SERVICES, "via", &gateway]).await?;
        }
        let isolate = [
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ];
        let running = network
            .program()?
            .arg("unshare")
            .args(isolate)
            .args(["--propagation=private", "--", "sh", "-c", FIRST_PROCESS, "sh"])
            .arg(&self.program)
            .args(["cluster", "node", "--dir"])
            .arg(&self.dir)
            .args([
                "--name",
                name.text(),
                "--address",
                &gateway,
                "--pods",
                &pods,
                "--cgroup",
                &cgroup,
            ])
            .args(self.images.iter().map(|image| format!("--image={}", image.display())))
            .start_logged(&log)?;
        self.running.insert(name, Node { running, network });
        Ok(())
    }

    async fn ready(&mut self, name: Name, kubectl: &Kubectl) -> Result<()> {
        let node = self.running.get_mut(&name).context("the node doesn't run")?;
        let log = self.dir.join(format!("{}.log", name.text()));
        let lease = format!(
            "--raw=/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}",
            name.text()
        );
        let ready = async {
            let wait = ["wait", "--for=condition=Ready", "--timeout=1s", "node", name.text()];
            // A node that was lost is Ready again once its new kubelet has said so, which begins with its lease.
            while !kubectl.succeeds(&["get", &lease]).await || !kubectl.succeeds(&wait).await {
                if let Some(status) = node.running.ended() {
                    bail!("it ended: {status}");
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .with_context(|| format!("not Ready after {PATIENCE:?}"))
            .flatten()
            .with_context(|| format!("node {}: see {} and those beside it", name.text(), log.display()))
    }

    /// Waits for a node, or what nodes need, to end that nobody asked to.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        loop {
            for (name, running) in [("kube-scheduler", &mut self.scheduler), ("coredns", &mut self.dns)] {
                if let Some(status) = running.ended() {
                    return anyhow::anyhow!("{name} ended: {status}; see {name}.log in {}", self.dir.display());
                }
            }
            for (name, node) in &mut self.running {
                if let Some(status) = node.running.ended() {
                    return anyhow::anyhow!("node {} ended: {status}", name.text());
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) fn state(&self) -> Result<state::Nodes> {
        let nodes = self.running.iter().map(|(name, node)| {
            anyhow::Ok(state::Node {
                name: name.text().to_owned(),
                address: name.address(),
                namespace: node.network.namespace()?,
                cgroup: self.cgroup.path_of(name.text()),
            })
        });
        Ok(state::Nodes {
            namespace: network::namespace_of(std::process::id()),
            nodes: nodes.collect::<Result<_>>()?,
        })
    }
}

fn scheduler(dir: &Path, tools: &ClusterTools) -> Result<Running> {
    let kubeconfig = Pki::kubeconfig_in(dir, "kube-scheduler");
    let kubeconfig = kubeconfig.display();
    Program::new(tools.beside("kube-scheduler")?)
        .args([
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
        ])
        .args(["--bind-address=127.0.0.1", "--leader-elect=false"])
        .start_logged(&dir.join("kube-scheduler.log"))
}

/// CoreDNS, where kubelets tell Pods that it is.
async fn dns(dir: &Path) -> Result<Running> {
    let corefile = dir.join("Corefile");
    let kubeconfig = Pki::kubeconfig_in(dir, "admin");
    let text = format!(
        ".:53 {{\n    errors\n    kubernetes cluster.local {{\n        kubeconfig {}\n    }}\n}}\n",
        kubeconfig.display()
    );
    std::fs::write(&corefile, text)?;
    Program::new(tools::coredns().await?)
        .arg("-conf")
        .arg(corefile)
        .start_logged(&dir.join("coredns.log"))
}

/// An image of one program: a sandbox's process, which does nothing, and a client for tests.
async fn pod(dir: &Path) -> Result<PathBuf> {
    let platform = Platform::Amd64;
    toolchain::target(platform.target()).await?;
    let folder = dir.join("pod");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("pod");
    Program::new("rustc")
        .args([
            "--edition=2024",
            "-Copt-level=1",
            "-Cstrip=symbols",
            "--target",
            platform.target(),
            "-o",
        ])
        .arg(&program)
        .arg(tools::recipe("pod").join("main.rs"))
        .dir(workspace::root())
        .stdout()
        .await?;
    let mut files = Tar::default();
    files.file("pod", 0o755, &std::fs::read(&program)?)?;
    let image = Image::new(Recipe {
        architecture: platform.name(),
        config: json!({ "User": USER, "Entrypoint": ["/pod"] }),
        annotations: json!({}),
        compression: Compression::fast(),
        files,
    })?;
    Tagged::new(vec![image]).write(&folder, "pod", Some(POD))?;
    Ok(folder.join("pod.tar"))
}
