//! What the demo runs on: a cluster, a controller and two caches, each a process of its own, and the shell to reach them.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Args;
use super::poll::Target;
use super::shell::Shell;
use super::{certificates, mesh};
use crate::actors;
use crate::cluster::{Cluster, Place};
use crate::program::{End, Program, Running};
use crate::tools;
use crate::workspace::{self, Build};

/// Where the demo's objects are.
pub(super) const NAMESPACE: &str = "coraza-demo";

/// How often it is looked whether a process has ended.
const WATCH: Duration = Duration::from_millis(100);

/// The ports that all of them were given.
pub(super) struct Ports {
    pub(super) controller: actors::Ports,
    pub(super) caches: [actors::Ports; 2],
}

/// All of it. Dropping it ends every process.
pub(super) struct Stage {
    pub(super) shell: Shell,
    pub(super) ports: Ports,
    dir: PathBuf,
    end: End,
    /// The plugin's module, where there is a mesh.
    plugin: Option<PathBuf>,
    binaries: [PathBuf; 2],
    kubeconfigs: [PathBuf; 2],
    // Ended before the cluster.
    actors: RefCell<Vec<(&'static str, Running)>>,
    cluster: Option<Cluster>,
}

impl Stage {
    /// Starts or finds the cluster, and makes the certificates and the shell.
    pub(super) async fn set(args: &Args, build: &Build, rules: &Path) -> Result<Self> {
        let dir = workspace::work_dir().join("demo");
        std::fs::create_dir_all(&dir)?;
        let mut shell = Shell::default();
        let controller = build.program("coraza-controller")?.to_owned();
        let cache = build.program("coraza-cache")?.to_owned();
        let programs = controller.parent().context("a program in no folder")?.to_owned();
        println!("\n== A Kubernetes API server");
        let (cluster, kubeconfigs) = match &args.context {
            Some(context) => {
                shell.add_to_path(&[&programs])?;
                let kubeconfig = dir.join("kubeconfig");
                shell
                    .quietly(&format!(
                        "umask 077; kubectl config view --minify --flatten --context={context} > {}",
                        kubeconfig.display()
                    ))
                    .await?;
                shell.export("KUBECONFIG", &kubeconfig);
                (None, [kubeconfig.clone(), kubeconfig])
            }
            None => {
                let kubectl = tools::cluster().await?.kubectl;
                let place = args.in_node.as_ref().map_or(Place::Loopback, |_| Place::Here);
                let cluster = if args.keep {
                    Cluster::start_detachable(&dir.join("cluster"), place).await?
                } else {
                    Cluster::start(&dir.join("cluster"), place).await?
                };
                shell.add_to_path(&[&programs, kubectl.parent().context("kubectl in no folder")?])?;
                shell.export("KUBECONFIG", &cluster.state.kubeconfig);
                let kubeconfigs = [
                    cluster.state.controller_kubeconfig.clone(),
                    cluster.state.cache_kubeconfig.clone(),
                ];
                (Some(cluster), kubeconfigs)
            }
        };
        shell.export("CORE_RULE_SET", rules.join("rules/@owasp_crs"));
        certificates::create(&dir)?;
        let [controller_ports, cache_0, cache_1] = actors::Ports::free()?;
        let ports = Ports {
            controller: controller_ports,
            caches: [cache_0, cache_1],
        };
        let end = if args.keep {
            End::TerminateUnlessDetached
        } else {
            End::Kill
        };
        Ok(Self {
            shell,
            ports,
            dir,
            end,
            plugin: args.in_node.clone(),
            binaries: [controller, cache],
            kubeconfigs,
            actors: RefCell::default(),
            cluster,
        })
    }

    /// Whether the cluster is the demo's own.
    pub(super) fn own_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// The node that all of it is on, if it has a mesh.
    pub(super) fn node(&self) -> Option<Ipv4Addr> {
        Some(self.cluster.as_ref()?.state.istio.as_ref()?.node)
    }

    /// The cluster's folder.
    pub(super) fn cluster_dir(&self) -> Result<&Path> {
        let cluster = self.cluster.as_ref().context("the cluster isn't the demo's")?;
        Ok(&cluster.state.dir)
    }

    /// Where the rights are; an operator that is already in the cluster has its Lease in coraza-system.
    fn operator_namespace(&self) -> &'static str {
        if self.own_cluster() { "coraza-system" } else { NAMESPACE }
    }

    /// Starts the controller, and waits until it is ready.
    pub(super) async fn start_controller(&self) -> Result<()> {
        let [kubeconfig, _] = &self.kubeconfigs;
        let [binary, _] = &self.binaries;
        let controller = actors::controller(Program::ended_by(self.end, binary), self.ports.controller, &self.dir);
        let controller = match self.node() {
            Some(_) => controller.args(mesh::CONTROLLER_FLAGS),
            None => controller,
        };
        let controller = self
            .shell
            .program(controller)
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", self.operator_namespace())
            .env("POD_NAME", "coraza-controller-0");
        self.start("coraza-controller-0", controller)?;
        self.ready(self.ports.controller.health).await
    }

    /// Starts both caches, and waits until they are ready.
    pub(super) async fn start_caches(&self) -> Result<()> {
        let [_, kubeconfig] = &self.kubeconfigs;
        let [_, binary] = &self.binaries;
        for (name, ports) in ["coraza-cache-0", "coraza-cache-1"].into_iter().zip(self.ports.caches) {
            let cache = Program::ended_by(self.end, binary);
            let read_at = self.node().map_or(Ipv4Addr::LOCALHOST, |_| Ipv4Addr::UNSPECIFIED);
            let cache = actors::cache(cache, ports, self.ports.controller.service, read_at, &self.dir);
            let cache = match &self.plugin {
                Some(module) => cache
                    .arg(format!("--plugin-file={}", module.display()))
                    .arg(format!("--plugin-port={}", ports.plugin)),
                None => cache,
            };
            self.start(
                name,
                self.shell
                    .program(cache)
                    .env("KUBECONFIG", kubeconfig)
                    .env("POD_NAMESPACE", self.operator_namespace())
                    .env("POD_NAME", name),
            )?;
        }
        for ports in self.ports.caches {
            self.ready(ports.health).await?;
        }
        Ok(())
    }

    /// A program that ends as the demo's processes do.
    pub(super) fn actor(&self, program: impl AsRef<OsStr>) -> Program {
        self.shell.program(Program::ended_by(self.end, program))
    }

    /// Starts a process that must not end.
    pub(super) fn start(&self, name: &'static str, program: Program) -> Result<()> {
        let log = self.log(name);
        let running = program.start_logged(&log)?;
        println!("$ {} > {} 2>&1 &", running.line(), log.display());
        // A test of the demo reads this line.
        println!("{name}: pid {}", running.pid().context("it ended at once")?);
        self.actors.borrow_mut().push((name, running));
        Ok(())
    }

    /// What a process writes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    async fn ready(&self, port: u16) -> Result<()> {
        Target {
            port,
            path: "/readyz",
            token: "",
        }
        .until("readiness", |_| true)
        .await
        .map(drop)
    }

    /// Takes a process out of those that must not end.
    pub(super) fn dismiss(&self, name: &str) -> Result<Running> {
        let mut actors = self.actors.borrow_mut();
        let index = actors
            .iter()
            .position(|(actor, _)| *actor == name)
            .with_context(|| format!("{name} doesn't run"))?;
        Ok(actors.remove(index).1)
    }

    /// Waits for a process to end that should not.
    pub(super) async fn unexpected_end(&self) -> anyhow::Error {
        loop {
            for (name, running) in self.actors.borrow_mut().iter_mut() {
                if let Some(status) = running.ended() {
                    return anyhow::anyhow!("{name} ended ({status}); its log is {}", self.log(name).display());
                }
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Leaves everything running and says how to use it and how to end it.
    pub(super) fn keep(self) -> Result<()> {
        let mut pids = Vec::new();
        for (_, running) in self.actors.into_inner() {
            pids.extend(running.pid().map(|pid| pid.to_string()));
            running.detach();
        }
        println!("\nAll of it is still running. The `export` lines above make a shell that reaches it; to end it:");
        if let Some(istio) = self.cluster.as_ref().and_then(|cluster| cluster.state.istio.as_ref()) {
            println!(
                "nsenter --net={} -- bash   # first: it is in a network of its own",
                istio.namespace.display()
            );
        }
        println!("kill {}", pids.join(" "));
        match self.cluster.map(Cluster::detach) {
            Some(state) => println!("cargo xtask cluster stop --dir {}", state.dir.display()),
            None => println!("kubectl delete namespace {NAMESPACE}"),
        }
        Ok(())
    }

    /// Ends everything; in a cluster that isn't ours, what the demo put there too, but for the CRDs.
    pub(super) async fn clear(self) -> Result<()> {
        if !self.own_cluster() {
            self.shell.run(&format!("kubectl delete namespace {NAMESPACE}")).await?;
        }
        if self.actors.borrow().is_empty() {
            bail!("no process was left at the end");
        }
        Ok(())
    }
}
