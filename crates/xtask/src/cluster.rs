//! `cargo xtask cluster`: etcd, an API server and a controller manager as plain processes on loopback, for the tests, the demo and a developer's hands.
//!
//! With Istio it is in a network namespace of its own instead, with istiod, and Gateways get a proxy each (`cluster gateway`). With nodes it is in one,
//! too, with a scheduler, DNS, and two nodes that run Pods.
//!
//! One process, the supervisor (`cluster run`), owns the others and ends them; it is asked over a Unix socket to end, or to take the API server away and back.

mod component;
mod control;
mod gateway;
mod istio;
mod kubectl;
pub(crate) mod network;
mod node;
pub(crate) mod nodes;
mod pki;
pub(crate) mod port;
mod services;
mod state;
mod supervisor;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use self::control::Request;
pub(crate) use self::state::State;
use crate::program::{End, Program, Running};
use crate::workspace;

/// How long a start may take: 5 s when the machine is quiet.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How often the state file of a cluster that starts is looked for.
const POLL: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The cluster's folder: keys, logs, data and state
    #[arg(long, global = true, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    parts: Parts,
    #[command(subcommand)]
    action: Action,
}

/// What a cluster has beside the API server.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct Parts {
    /// With istiod and the CRDs of Istio and of the Gateway API, in a network namespace of its own
    #[arg(long, global = true)]
    istio: bool,
    /// With two nodes that run Pods, in namespaces of their own
    #[arg(long, global = true, conflicts_with = "istio")]
    nodes: bool,
    /// Archives of images for the nodes, which reach no registry
    #[arg(long, global = true, value_name = "FILE", requires = "nodes")]
    image: Vec<PathBuf>,
}

impl Parts {
    /// Whether it is in a network of its own.
    fn isolated(&self) -> bool {
        self.istio || self.nodes
    }

    fn flags(&self) -> Vec<OsString> {
        let parts = [("--istio", self.istio), ("--nodes", self.nodes)];
        let flags = parts.into_iter().filter(|(_, wanted)| *wanted);
        let mut flags: Vec<OsString> = flags.map(|(flag, _)| flag.into()).collect();
        for image in &self.image {
            flags.extend(["--image".into(), image.into()]);
        }
        flags
    }
}

#[derive(Subcommand)]
enum Action {
    /// Start one and leave it running; prints how to use it
    Start,
    /// Stop it and wait until its processes are gone
    Stop,
    /// Run one until Ctrl-C
    Run,
    /// Take the API server of a running one away, or bring it back
    Apiserver {
        #[arg(value_enum)]
        action: control::ApiServer,
    },
    /// Run a Gateway's proxy, Envoy under pilot-agent, in a running cluster with Istio, until Ctrl-C
    Gateway(gateway::Args),
    /// What a node's namespaces run; `start --nodes` makes them
    #[command(hide = true)]
    Node(node::Args),
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let dir = args.dir.unwrap_or_else(|| workspace::work_dir().join("cluster"));
    match args.action {
        Action::Start => start(&dir, &args.parts).await,
        Action::Stop => stop(&dir).await,
        Action::Run => supervisor::run(&dir, &args.parts).await,
        Action::Gateway(args) => gateway::run(&state::read(&dir)?, &args).await,
        Action::Node(args) => node::run(&dir, &args).await,
        Action::Apiserver { action } => control::ask(&state::read(&dir)?.control, Request::ApiServer(action)).await,
    }
}

/// Where a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On loopback, where everybody has it, without Istio.
    Loopback,
    /// With Istio, in a network namespace of its own.
    Isolated,
    /// With Istio, in the network namespace that we are in.
    Here,
}

impl Place {
    fn parts(self) -> Parts {
        Parts {
            istio: self != Self::Loopback,
            ..Parts::default()
        }
    }
}

/// A cluster that ends with its handle, or with us.
pub(crate) struct Cluster {
    pub(crate) state: State,
    supervisor: Running,
}

impl Cluster {
    /// Starts one in `dir`, whose earlier contents are lost, that ends with its handle.
    pub(crate) async fn start(dir: &Path, place: Place) -> Result<Self> {
        Self::start_until(End::Terminate, dir, &place.parts(), place == Place::Here).await
    }

    /// Starts one with real nodes, which have these images.
    pub(crate) async fn start_with_nodes(dir: &Path, image: Vec<PathBuf>) -> Result<Self> {
        let parts = Parts {
            nodes: true,
            image,
            ..Parts::default()
        };
        Self::start_until(End::Terminate, dir, &parts, false).await
    }

    /// Starts one that may be [left running](Self::detach).
    pub(crate) async fn start_detachable(dir: &Path, place: Place) -> Result<Self> {
        Self::start_until(End::TerminateUnlessDetached, dir, &place.parts(), place == Place::Here).await
    }

    /// `here` is to use the network namespace that we are in, if it needs one.
    async fn start_until(end: End, dir: &Path, parts: &Parts, here: bool) -> Result<Self> {
        if let Ok(state) = state::read(dir)
            && state.alive()
        {
            bail!(
                "a cluster runs in {} already: stop it (`cargo xtask cluster stop --dir {0}`) or choose another --dir",
                dir.display()
            );
        }
        // Its tools are provided here, where progress is seen; the supervisor's output goes to a file.
        crate::tools::cluster().await?;
        if parts.istio {
            network::preflight().await?;
            crate::tools::istio::provide().await?;
            crate::tools::envoy::provide().await?;
        }
        if parts.nodes {
            nodes::preflight().await?;
            crate::tools::coredns().await?;
        }
        prepare(dir)?;
        let supervisor = if parts.isolated() && !here {
            network::isolated(end).arg(this_program())
        } else {
            Program::ended_by(end, this_program())
        };
        let supervisor = supervisor.args(["cluster", "run", "--dir"]).arg(dir);
        let supervisor = supervisor.args(parts.flags());
        let mut supervisor = supervisor.start_logged(&supervisor_log(dir))?;
        let state = tokio::time::timeout(START_PATIENCE, started(dir, &mut supervisor)).await;
        let state = state.with_context(|| {
            format!(
                "the cluster did not start within {START_PATIENCE:?}; its logs are in {}",
                dir.display()
            )
        })??;
        Ok(Self { state, supervisor })
    }

    /// Leaves it running after us.
    pub(crate) fn detach(self) -> State {
        self.supervisor.detach();
        self.state
    }
}

/// This very program: its file may have been replaced by the build that we have just run.
pub(crate) fn this_program() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// Waits for the state file, which the supervisor writes when everything answers.
async fn started(dir: &Path, supervisor: &mut Running) -> Result<State> {
    loop {
        if let Ok(state) = state::read(dir) {
            return Ok(state);
        }
        if let Some(status) = supervisor.ended() {
            let said = std::fs::read_to_string(supervisor_log(dir)).unwrap_or_default();
            bail!("the cluster did not start ({status}):\n{}", said.trim_end());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Empties the folder of what an earlier cluster left. Only what is a cluster's folder, or nothing yet.
fn prepare(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name == "etcd" {
            std::fs::remove_dir_all(&path)?;
        } else if LEFTOVERS.iter().any(|suffix| name.ends_with(suffix)) && path != supervisor_log(dir) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// How the files of a cluster's folder end.
const LEFTOVERS: [&str; 6] = [".crt", ".key", ".kubeconfig", ".json", ".log", ".sock"];

fn supervisor_log(dir: &Path) -> PathBuf {
    dir.join("supervisor.log")
}

async fn start(dir: &Path, parts: &Parts) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    let cluster = Cluster::start_until(End::TerminateUnlessDetached, &dir, parts, false).await?;
    let state = cluster.detach();
    if let Some(network) = state.network() {
        println!("nsenter --net={} -- bash", network.display());
    }
    println!("export KUBECONFIG={}", state.kubeconfig.display());
    println!("{} get namespaces", state.kubectl.display());
    println!("cargo xtask cluster stop --dir {}", state.dir.display());
    Ok(())
}

/// Asks the supervisor to stop; where that has died, ends what it left, each only if its process id still is that process.
async fn stop(dir: &Path) -> Result<()> {
    let state = state::read(dir)?;
    if state.alive() {
        control::ask(&state.control, Request::Stop).await?;
    }
    for process in state.processes.iter().filter(|process| process.alive()) {
        process.kill()?;
    }
    while state.processes.iter().any(state::Process::alive) {
        tokio::time::sleep(POLL).await;
    }
    state::remove(dir);
    Ok(())
}
