//! The process that owns a cluster's processes: starts them in order, does what it is asked, and ends with all of them when one fails or it is told to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::{TcpStream, UnixListener};

use super::component::{self, Ports};
use super::control::{self, ApiServer, Power, Request};
use super::kubectl::Kubectl;
use super::nodes::{self, Nodes};
use super::pki::Pki;
use super::services::Services;
use super::state::{self, Istio, Process, State};
use super::{Parts, istio, network, port};
use crate::program::{Program, Running};
use crate::tools::{self, ClusterTools};

/// How long a component may take to answer.
const READY_PATIENCE: Duration = Duration::from_secs(90);

/// How long the API server may take to end: it waits a minute for watches to be closed, and those of the controller manager aren't.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Where in-cluster configuration looks for the API server, on a node of its own.
const HTTPS: u16 = 443;

const NOT_RUNNING: &str = "the API server doesn't run";

/// How often it is asked.
const POLL: Duration = Duration::from_millis(100);

/// `cluster run`: a cluster in `dir`, with Istio, with nodes or with neither, until it is told to stop, by a request or by a signal (which drops this future, and with it every process).
pub(crate) async fn run(dir: &Path, parts: &Parts) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    super::prepare(&dir)?;
    let _announcement = Announcement(&dir);
    if parts.isolated() {
        network::make_node(!parts.nodes).await?;
    }
    Supervisor::start(&dir, parts).await?.serve().await
}

/// The state file, which goes when the cluster does, however that ends.
struct Announcement<'a>(&'a Path);

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        state::remove(self.0);
    }
}

struct Supervisor {
    dir: PathBuf,
    tools: ClusterTools,
    ports: Ports,
    pki: Pki,
    // Ended in this order when dropped: each before what it needs.
    services: Option<Services>,
    nodes: Option<Nodes>,
    istiod: Option<Running>,
    controller_manager: Option<Running>,
    apiserver: Option<Running>,
    etcd: Running,
}

impl Supervisor {
    async fn start(dir: &Path, parts: &Parts) -> Result<Self> {
        let started = Instant::now();
        let tools = tools::cluster().await?;
        let [etcd, etcd_peer, apiserver, controller_manager] = port::free()?;
        let apiserver = if parts.isolated() { HTTPS } else { apiserver };
        let ports = Ports {
            node: parts.isolated(),
            kubelets: parts.nodes,
            etcd,
            etcd_peer,
            apiserver,
            controller_manager,
        };
        let pki = Pki::create(dir, &ports.server(), if parts.nodes { &nodes::Name::ALL } else { &[] })?;
        std::fs::write(component::audit_policy(dir), component::AUDIT_POLICY)?;
        let etcd = Program::new(&tools.etcd)
            .args(component::etcd(dir, &ports))
            .start_logged(&dir.join("etcd.log"))?;
        let mut cluster = Self {
            dir: dir.to_owned(),
            tools,
            ports,
            pki,
            services: None,
            nodes: None,
            istiod: None,
            controller_manager: None,
            apiserver: None,
            etcd,
        };
        cluster.start_apiserver().await?;
        cluster.start_controller_manager().await?;
        eprintln!(
            "API server {} ready after {:.1?}",
            cluster.ports.server(),
            started.elapsed()
        );
        if parts.istio {
            cluster.start_istiod().await?;
            eprintln!("istiod ready after {:.1?}", started.elapsed());
        }
        if parts.nodes {
            let kubectl = Kubectl::of(&cluster.tools, &cluster.pki);
            cluster.nodes = Some(Nodes::start(dir, &cluster.tools, &kubectl, &parts.image).await?);
            eprintln!("nodes Ready after {:.1?}", started.elapsed());
        }
        Ok(cluster)
    }

    async fn start_apiserver(&mut self) -> Result<()> {
        if self.apiserver.is_some() {
            bail!("the API server runs already");
        }
        let log = self.dir.join("kube-apiserver.log");
        let program = Program::new(&self.tools.apiserver).args(component::apiserver(&self.dir, &self.pki, &self.ports));
        let apiserver = self.apiserver.insert(program.start_logged(&log)?);
        let kubectl = Kubectl::of(&self.tools, &self.pki);
        let answers = async {
            while TcpStream::connect(("127.0.0.1", self.ports.apiserver)).await.is_err()
                || !kubectl.succeeds(&["get", "--raw=/readyz"]).await
            {
                if let Some(status) = apiserver.ended() {
                    bail!("the API server ended: {status}");
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        within(answers, &log).await
    }

    /// Starts it if there is one, and waits for the first thing that a developer would miss.
    async fn start_controller_manager(&mut self) -> Result<()> {
        let Some(program) = &self.tools.controller_manager else {
            return Ok(());
        };
        let log = self.dir.join("kube-controller-manager.log");
        let program = Program::new(program).args(component::controller_manager(&self.pki, &self.ports));
        self.controller_manager = Some(program.start_logged(&log)?);
        let kubectl = Kubectl::of(&self.tools, &self.pki);
        let made = async {
            while !kubectl
                .succeeds(&["get", "serviceaccount", "default", "--namespace=default"])
                .await
            {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        within(made, &log).await
    }

    async fn start_istiod(&mut self) -> Result<()> {
        let tools = tools::istio::provide().await?;
        let kubectl = Kubectl::of(&self.tools, &self.pki);
        let log = self.dir.join("istiod.log");
        let (dir, kubeconfig) = (self.dir.join("istiod"), self.pki.kubeconfig("admin"));
        let started = async {
            self.services = Some(Services::start(&kubectl).await?);
            istio::install(&kubectl).await?;
            self.istiod = Some(istio::start(&tools, &dir, &kubeconfig, &log).await?);
            Ok(())
        };
        within(started, &log).await
    }

    async fn serve(mut self) -> Result<()> {
        let state = self.state()?;
        let listener = UnixListener::bind(&state.control)
            .with_context(|| format!("failed to listen on {}", state.control.display()))?;
        state::write(&state)?;
        loop {
            tokio::select! {
                connection = listener.accept() => {
                    let (mut stream, _) = connection?;
                    match control::receive(&mut stream).await {
                        Ok(Request::Stop) => {
                            // Gone first, answered afterwards: who asked may remove the folder.
                            state::remove(&self.dir);
                            drop(self);
                            control::answer(&mut stream, &Ok(())).await;
                            return Ok(());
                        }
                        Ok(Request::ApiServer(action)) => {
                            let outcome = self.api_server(action).await;
                            control::answer(&mut stream, &outcome).await;
                        }
                        Ok(Request::Node(name, power)) => {
                            let outcome = self.node(name, power).await;
                            control::answer(&mut stream, &outcome).await;
                        }
                        Err(error) => control::answer(&mut stream, &Err(error)).await,
                    }
                }
                failure = self.failure() => return Err(failure),
            }
        }
    }

    async fn api_server(&mut self, action: ApiServer) -> Result<()> {
        match action {
            ApiServer::Start => {
                self.start_apiserver().await?;
                state::write(&self.state()?)
            }
            ApiServer::Stop => self.apiserver.take().context(NOT_RUNNING)?.stop(STOP_PATIENCE).await,
            ApiServer::Kill => self.apiserver.take().context(NOT_RUNNING).map(drop),
        }
    }

    async fn node(&mut self, name: nodes::Name, power: Power) -> Result<()> {
        let nodes = self.nodes.as_mut().context("this cluster has no nodes")?;
        match power {
            Power::Kill => nodes.kill(name)?,
            Power::Start => nodes.bring(name, &Kubectl::of(&self.tools, &self.pki)).await?,
        }
        state::write(&self.state()?)
    }

    /// Waits for a process to end that nobody asked to.
    async fn failure(&mut self) -> anyhow::Error {
        let (name, status) = tokio::select! {
            status = self.etcd.wait() => ("etcd", status),
            status = ended(&mut self.apiserver) => ("kube-apiserver", status),
            status = ended(&mut self.controller_manager) => ("kube-controller-manager", status),
            status = ended(&mut self.istiod) => ("istiod", status),
            error = lost(&mut self.nodes) => return error,
        };
        match status {
            Ok(status) => anyhow::anyhow!(
                "{name} ended: {status}; its log is {}",
                self.dir.join(format!("{name}.log")).display()
            ),
            Err(error) => error,
        }
    }

    fn state(&self) -> Result<State> {
        let mut processes = vec![Process::of("supervisor", std::process::id())?];
        let ours = [
            ("etcd", Some(&self.etcd)),
            ("kube-apiserver", self.apiserver.as_ref()),
            ("kube-controller-manager", self.controller_manager.as_ref()),
            ("istiod", self.istiod.as_ref()),
        ];
        for (name, running) in ours {
            if let Some(pid) = running.and_then(Running::pid) {
                processes.push(Process::of(name, pid)?);
            }
        }
        Ok(State {
            dir: self.dir.clone(),
            server: self.ports.server(),
            ca: self.pki.path("ca.crt"),
            kubeconfig: self.pki.kubeconfig("admin"),
            controller_kubeconfig: self.pki.kubeconfig("coraza-controller"),
            cache_kubeconfig: self.pki.kubeconfig("coraza-cache"),
            service_account_key: self.pki.path("service-accounts.key"),
            service_account_issuer: component::ISSUER.to_owned(),
            etcd: self.ports.etcd_url(),
            kubectl: self.tools.kubectl.clone(),
            audit: component::audit_log(&self.dir),
            control: self.dir.join("control.sock"),
            istio: self.istiod.as_ref().map(|_| Istio {
                namespace: network::namespace_of(std::process::id()),
                node: network::NODE,
                debug_port: istio::DEBUG_PORT,
            }),
            nodes: self.nodes.as_ref().map(Nodes::state).transpose()?,
            processes,
        })
    }
}

/// Waits for the end of a process; for ever if there is none.
async fn ended(running: &mut Option<Running>) -> Result<std::process::ExitStatus> {
    match running {
        Some(running) => running.wait().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of a node that nobody asked to; for ever if there is none.
async fn lost(nodes: &mut Option<Nodes>) -> anyhow::Error {
    match nodes {
        Some(nodes) => nodes.failure().await,
        None => std::future::pending().await,
    }
}

/// Gives a component [`READY_PATIENCE`], and an error that says where its log is.
async fn within(ready: impl Future<Output = Result<()>>, log: &Path) -> Result<()> {
    let outcome = tokio::time::timeout(READY_PATIENCE, ready).await;
    outcome
        .with_context(|| format!("not ready after {READY_PATIENCE:?}"))
        .flatten()
        .with_context(|| format!("see {}", log.display()))
}

impl Kubectl {
    fn of(tools: &ClusterTools, pki: &Pki) -> Self {
        Self {
            program: tools.kubectl.clone(),
            kubeconfig: pki.kubeconfig("admin"),
        }
    }
}
