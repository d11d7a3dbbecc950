//! The network of a cluster with Istio: a network namespace that is its one node, with a bridge, and one more for each Pod.
//!
//! None of them has a name: they go with the last process in them, and so do bridge and cables. Nothing leads out of them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::program::{End, Program, Running};

/// The node on its Pods' network; what listens on all addresses of the node is reached here.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);

/// Service `kubernetes`, as in-cluster configuration has it.
pub(super) const KUBERNETES: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The addresses of Services. All of them are the node's own: whoever listens on one of them answers there, and who listens on all addresses on each.
pub(super) const SERVICES: &str = "10.96.0.0/16";

/// The length of the Pods' network's prefix: the last number of an address is the Pod's own.
const PREFIX: u8 = 24;

const BRIDGE: &str = "br0";

/// How long a process may take to be in a namespace of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it is.
const POLL: Duration = Duration::from_millis(5);

/// Whether such networks can be made here; the error says what is missing.
pub(crate) async fn preflight() -> Result<()> {
    let isolate = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let bridge = ["ip", "link", "add", BRIDGE, "type", "bridge"];
    let tried = Program::new("unshare").args(isolate).args(bridge).stdout().await;
    tried.map(drop).context("network namespaces can't be made here")
}

/// A program that becomes another one in a network namespace of its own.
pub(crate) fn isolated(end: End) -> Program {
    Program::ended_by(end, "unshare").args(["--net", "--"])
}

/// A program that runs others in the network namespace that a process is in.
pub(crate) fn within(namespace: &Path) -> Program {
    Program::new("nsenter")
        .arg(format!("--net={}", namespace.display()))
        .arg("--")
}

/// The network namespace of a process.
pub(super) fn namespace_of(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// Whether we are in a node's network namespace.
pub(super) fn is_here(namespace: &Path) -> bool {
    let (ours, theirs) = (std::fs::read_link("/proc/self/ns/net"), std::fs::read_link(namespace));
    ours.ok().zip(theirs.ok()).is_some_and(|(ours, theirs)| ours == theirs)
}

/// Makes the namespace that we are in a node. Refuses one that is used, such as the machine's own. The addresses of Services are its own unless real
/// nodes have them.
pub(super) async fn make_node(services: bool) -> Result<()> {
    let loopback = Program::new("ip").args(["link", "show", "lo"]).stdout().await?;
    ensure!(
        !loopback.contains(",UP"),
        "a node has to be in a new network namespace: run it by `unshare --net`"
    );
    ip(&["link", "set", "lo", "up"]).await?;
    ip(&["address", "add", &format!("{KUBERNETES}/32"), "dev", "lo"]).await?;
    if services {
        ip(&["route", "add", "local", SERVICES, "dev", "lo"]).await?;
    }
    ip(&["link", "add", BRIDGE, "type", "bridge"]).await?;
    ip(&["address", "add", &format!("{NODE}/{PREFIX}"), "dev", BRIDGE]).await?;
    ip(&["link", "set", BRIDGE, "up"]).await
}

/// A Pod's network namespace, connected to the node that we are in. It ends with its handle.
pub(super) struct PodNetwork {
    /// A process that does nothing: it keeps the namespace, whatever becomes of the Pod's programs.
    pause: Running,
}

impl PodNetwork {
    pub(super) async fn create(address: Ipv4Addr, log: &Path) -> Result<Self> {
        let pause = isolated(End::Kill).args(["sleep", "infinity"]).start_logged(log)?;
        let network = Self { pause };
        let pid = network.pid()?;
        tokio::time::timeout(PATIENCE, async {
            while same_namespace(pid, std::process::id())? {
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        })
        .await
        .context("the Pod's network namespace was not made")??;
        let [.., last] = address.octets();
        let (cable, pid) = (format!("pod{last}"), pid.to_string());
        let peer = ["peer", "name", "eth0", "netns", &pid];
        ip(&[&["link", "add", &cable, "type", "veth"], peer.as_slice()].concat()).await?;
        ip(&["link", "set", &cable, "master", BRIDGE, "up"]).await?;
        for command in [
            "link set lo up".to_owned(),
            format!("address add {address}/{PREFIX} dev eth0"),
            "link set eth0 up".to_owned(),
            format!("route add default via {NODE}"),
        ] {
            network.program()?.arg("ip").args(command.split(' ')).stdout().await?;
        }
        Ok(network)
    }

    /// Where it is, for programs that enter it.
    pub(super) fn namespace(&self) -> Result<PathBuf> {
        Ok(namespace_of(self.pid()?))
    }

    /// A program that runs others in it.
    pub(super) fn program(&self) -> Result<Program> {
        Ok(within(&self.namespace()?))
    }

    fn pid(&self) -> Result<u32> {
        self.pause.pid().context("the Pod's pause process has ended")
    }
}

/// Runs `ip` where we are.
pub(super) async fn ip(args: &[&str]) -> Result<()> {
    Program::new("ip").args(args).stdout().await.map(drop)
}

fn same_namespace(one: u32, other: u32) -> Result<bool> {
    let of = |pid| std::fs::read_link(namespace_of(pid)).with_context(|| format!("process {pid} is gone"));
    Ok(of(one)? == of(other)?)
}
