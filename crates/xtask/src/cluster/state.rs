//! What others need to know of a running cluster: one JSON file in its folder, written when everything answers and removed when it ends.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// The file's name in the cluster's folder.
const FILE: &str = "cluster.json";

/// A running cluster, as `cluster.json` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Its folder, absolute.
    pub(crate) dir: PathBuf,
    /// `https://127.0.0.1:port`
    pub(crate) server: String,
    /// The certificate authority of the API server and of all its clients.
    pub(crate) ca: PathBuf,
    /// Of a member of `system:masters`.
    pub(crate) kubeconfig: PathBuf,
    /// With the rights that `deploy/rbac` gives to the controller's ServiceAccount, once that is applied.
    pub(crate) controller_kubeconfig: PathBuf,
    /// The same for the cache's.
    pub(crate) cache_kubeconfig: PathBuf,
    /// The RSA key that ServiceAccount tokens are signed with: a test can make an expired one.
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_issuer: String,
    /// etcd's client endpoint, plain HTTP with its JSON gateway: a test can compact it.
    pub(crate) etcd: String,
    pub(crate) kubectl: PathBuf,
    /// What our processes have asked the API server, as it wrote down: an `audit.k8s.io/v1` Event in JSON a line.
    pub(crate) audit: PathBuf,
    /// The supervisor's Unix socket.
    pub(crate) control: PathBuf,
    /// With Istio only.
    pub(crate) istio: Option<Istio>,
    /// With real nodes only.
    pub(crate) nodes: Option<Nodes>,
    /// The supervisor first.
    pub(crate) processes: Vec<Process>,
}

/// Where a cluster with Istio is: in a network of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Istio {
    /// The node's network namespace: programs that talk to the cluster have to be in it.
    pub(crate) namespace: PathBuf,
    /// The node as its Pods reach it.
    pub(crate) node: Ipv4Addr,
    /// Of istiod's debug pages, on the node's loopback.
    pub(crate) debug_port: u16,
}

/// Where a cluster with real nodes is: in a network of its own, from which nodes, Pods and Services are reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Nodes {
    /// The network namespace of the API server: programs that talk to the cluster have to be in it.
    pub(crate) namespace: PathBuf,
    /// Those that run.
    pub(crate) nodes: Vec<Node>,
}

/// A real node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// Its network namespace, where packets of its Pods can be filtered.
    pub(crate) namespace: PathBuf,
    /// The cgroup, in each hierarchy, below which its Pods are.
    pub(crate) cgroup: String,
}

/// A process, with its command line: process ids are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) command_line: Vec<String>,
}

impl Process {
    /// The process of this id as it is now.
    pub(crate) fn of(name: &str, pid: u32) -> Result<Self> {
        let command_line = command_line(pid).with_context(|| format!("{name} ended as it started"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            command_line,
        })
    }

    /// Whether it still is the process of this id.
    pub(crate) fn alive(&self) -> bool {
        command_line(self.pid).is_some_and(|now| now == self.command_line)
    }

    /// Kills it. Whoever calls this has just seen that it [is](Self::alive) this process.
    pub(crate) fn kill(&self) -> Result<()> {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("{} is no process id", self.pid))?;
        kill_process(pid, Signal::KILL).with_context(|| format!("failed to kill {}", self.name))
    }
}

/// The arguments of a process; none when it is gone, or has ended and was not waited for.
fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline"))
        .ok()
        .filter(|bytes| !bytes.is_empty())?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    Some(
        bytes
            .split(|byte| *byte == 0)
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect(),
    )
}

impl State {
    /// The network namespace that a cluster is in, if that isn't everybody's.
    pub(crate) fn network(&self) -> Option<&Path> {
        let nodes = self.nodes.as_ref().map(|nodes| nodes.namespace.as_path());
        nodes.or(self.istio.as_ref().map(|istio| istio.namespace.as_path()))
    }

    /// Whether its supervisor lives.
    pub(crate) fn alive(&self) -> bool {
        self.processes.first().is_some_and(Process::alive)
    }
}

/// Reads the state of the cluster in a folder.
pub(crate) fn read(dir: &Path) -> Result<State> {
    let path = dir.join(FILE);
    let text = fs::read(&path).with_context(|| format!("no cluster runs in {}", dir.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("failed to read {}", path.display()))
}

/// Writes it whole or not at all: others wait for this file.
pub(crate) fn write(state: &State) -> Result<()> {
    let path = state.dir.join(FILE);
    let unfinished = state.dir.join("cluster.json.new");
    fs::write(&unfinished, serde_json::to_vec_pretty(state)?)?;
    fs::rename(&unfinished, &path).with_context(|| format!("failed to write {}", path.display()))
}

/// Removes it, so that nobody uses what has ended.
pub(crate) fn remove(dir: &Path) {
    // There is none if the cluster never got that far.
    let _ = fs::remove_file(dir.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_that_is_somebody_else_now_is_not_the_process() {
        let ours = Process::of("test", std::process::id()).unwrap();
        assert!(ours.alive());
        assert!(
            !Process {
                command_line: vec!["etcd".to_owned()],
                ..ours
            }
            .alive()
        );
    }
}
