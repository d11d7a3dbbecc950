//! Real nodes, as suites named `node_*` have them: what runs on them, and cutting their power.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::cluster;
use crate::environment::environment;
use crate::process::Process;

/// The image of Pods that tests make: it waits, and asks for what `kubectl exec` has it ask for.
pub const POD_IMAGE: &str = "localhost/pod:1";

/// A node, as `cluster.json` has it.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network namespace.
    pub namespace: PathBuf,
    /// The cgroup that its Pods are below of, in each hierarchy.
    pub cgroup: String,
}

/// A cluster's nodes, as `cluster.json` has them.
#[derive(Debug, Deserialize)]
pub struct Nodes {
    /// Those that ran when the suite began.
    pub nodes: Vec<Node>,
}

/// The time in which a node is away. Dropping it, as a test that fails does, brings it back for those that follow.
#[derive(Debug)]
#[must_use = "the node is back when this is dropped"]
pub struct PowerCut {
    node: &'static str,
    over: bool,
}

impl PowerCut {
    /// Ends all processes of a node at once.
    pub async fn begin(node: &'static str) -> Self {
        cluster::control(&format!("node {node} kill")).await;
        Self { node, over: false }
    }

    /// Starts the node again, with nothing on its disk; returns when it is Ready.
    pub async fn end(mut self) {
        cluster::control(&format!("node {} start", self.node)).await;
        self.over = true;
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        if !self.over {
            cluster::control_from_drop(&format!("node {} start", self.node));
        }
    }
}

/// The state of a Pod's only container.
///
/// # Panics
/// If it has none yet.
#[must_use]
pub fn container(pod: &Pod) -> &ContainerStatus {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses.and_then(|statuses| statuses.first()).expect("a container")
}

/// Whether a Pod is Ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = |conditions: &Vec<k8s_openapi::api::core::v1::PodCondition>| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    pod.metadata.deletion_timestamp.is_none() && conditions.is_some_and(ready)
}

/// The cgroup of a Pod's only container in the hierarchy that counts memory.
fn memory_cgroup(pod: &Pod) -> PathBuf {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let nodes = &environment()
        .cluster
        .nodes
        .as_ref()
        .expect("a suite named node_*")
        .nodes;
    let node = nodes.iter().find(|known| Some(known.name.as_str()) == node);
    let id = container(pod)
        .container_id
        .as_deref()
        .and_then(|id| id.split_once("://"));
    let (_, id) = id.expect("a container that runs");
    let uid = pod.metadata.uid.as_deref().expect("a UID");
    let class = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    let class = class.map(str::to_lowercase).filter(|class| class != "guaranteed");
    let path = Path::new("/sys/fs/cgroup/memory")
        .join(node.expect("a node that runs").cgroup.trim_start_matches('/'))
        .join("kubepods");
    let path = class.map_or(path.clone(), |class| path.join(class));
    path.join(format!("pod{uid}")).join(id)
}

/// The processes of a Pod's only container.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn processes(pod: &Pod) -> Vec<i32> {
    let file = memory_cgroup(pod).join("cgroup.procs");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Kills a Pod's only container, as a crash of its program would.
///
/// # Panics
/// If it doesn't run.
pub fn crash(pod: &Pod) {
    for process in processes(pod) {
        let pid = Pid::from_raw(process).expect("a process");
        kill_process(pid, Signal::KILL).expect("a process that runs");
    }
}

/// Fills the memory that a Pod's container may have, until the kernel kills its program for it. What fills it ends with its handle.
///
/// # Panics
/// If it can't be put into the container's cgroup.
#[must_use]
pub fn exhaust_memory(pod: &Pod) -> Process {
    for process in processes(pod) {
        // The kernel kills whoever is worst: that has to be the program, and not what fills its memory.
        std::fs::write(format!("/proc/{process}/oom_score_adj"), "1000").expect("a process that runs");
    }
    let group = memory_cgroup(pod).join("cgroup.procs");
    let mut command = Process::command(Path::new("sh"));
    // A line without an end is kept whole.
    command
        .args(["-c", "echo $$ > \"$1\" && exec tail /dev/zero", "sh"])
        .arg(group);
    Process::start("memory-filler", command)
}
