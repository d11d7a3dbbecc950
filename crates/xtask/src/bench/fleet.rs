//! A cluster with a controller and caches, the release builds as processes of their own, set up as an administrator would.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::http::{self, get, until};
use super::objects::Api;
use super::usage::{mebibytes, resident_mebibytes};
use crate::actors::{self, Ports};
use crate::cluster::{Cluster, Place};
use crate::demo::certificates;
use crate::program::{End, Program, Running};
use crate::{tools, workspace};

/// Caches that there are ports for.
const MOST_CACHES: usize = 8;
/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a cache holds is complete when nothing is added to it for so long: compressing one Core Rule Set takes 30 ms.
const QUIET: Duration = Duration::from_secs(3);

/// All of it; the cluster ends last.
pub(super) struct Fleet {
    pub(super) caches: Vec<Cache>,
    controller: Running,
    _proxy: Running,
    pub(super) api: Api,
    cluster: Cluster,
    /// The folder of our programs.
    programs: PathBuf,
    dir: PathBuf,
    /// Of the controller, then of caches that aren't started yet.
    ports: (Ports, std::array::IntoIter<Ports, MOST_CACHES>),
}

/// What the cluster has of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mesh {
    Nothing,
    /// The CRDs of Istio and of the Gateway API, and nobody who acts on them.
    Crds,
}

/// How our programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Release,
    /// As for tests: what they ask of others is the same, their times and memory aren't.
    Dev,
}

impl Profile {
    /// Builds the controller and the cache, and gives the folder that they are in.
    async fn build(self) -> Result<PathBuf> {
        if self == Self::Dev {
            workspace::build(workspace::Tests::None).await?;
            return Ok(workspace::target_dir().join("debug"));
        }
        let build = ["build", "--release", "--bins"];
        let packages = ["--package", "coraza-controller", "--package", "coraza-cache"];
        workspace::cargo().args(build).args(packages).run().await?;
        Ok(workspace::target_dir().join("release"))
    }
}

/// A cache.
pub(super) struct Cache {
    process: Running,
    pub(super) ports: Ports,
}

impl Fleet {
    /// Builds and starts everything but caches.
    pub(super) async fn start(mesh: Mesh, profile: Profile) -> Result<Self> {
        let programs = profile.build().await?;
        let dir = workspace::work_dir().join("bench");
        let cluster = Cluster::start(&dir.join("cluster"), Place::Loopback).await?;
        certificates::create(&dir)?;
        let [controller_ports, proxy_ports] = Ports::free()?;
        let proxy = kubectl(&cluster)
            .arg("proxy")
            .arg(format!("--port={}", proxy_ports.service));
        let proxy = proxy.start_logged(&dir.join("proxy.log"))?;
        let apply = [
            "apply",
            "--server-side",
            "--filename=deploy/crds",
            "--filename=deploy/rbac.yaml",
        ];
        kubectl(&cluster).args(apply).stdout().await?;
        let established = ["wait", "--for=condition=Established", "--filename=deploy/crds"];
        kubectl(&cluster).args(established).stdout().await?;
        if mesh == Mesh::Crds {
            let crds = [tools::istio::gateway_api_crds().await?, tools::istio::crds().await?];
            let files = crds.map(|crds| format!("--filename={}", crds.display()));
            kubectl(&cluster)
                .args(["apply", "--server-side"])
                .args(files)
                .stdout()
                .await?;
        }
        let controller = start_controller(&programs, &cluster, controller_ports, &dir).await?;
        until(PATIENCE, || get(proxy_ports.service, "/readyz", "")).await?;
        // After the others listen, so that none of these is theirs.
        let cache_ports = Ports::free::<MOST_CACHES>()?;
        Ok(Self {
            caches: Vec::new(),
            controller,
            _proxy: proxy,
            api: Api {
                port: proxy_ports.service,
            },
            cluster,
            programs,
            dir,
            ports: (controller_ports, cache_ports.into_iter()),
        })
    }

    /// Starts one more cache; gives how long it took to be ready.
    pub(super) async fn add_cache(&mut self) -> Result<Duration> {
        let name = format!("coraza-cache-{}", self.caches.len());
        let (controller, caches) = &mut self.ports;
        let ports = caches.next().context("no ports for so many caches")?;
        let program = Program::new(self.programs.join("coraza-cache"));
        let program = actors::cache(program, ports, controller.service, Ipv4Addr::LOCALHOST, &self.dir)
            .env("KUBECONFIG", &self.cluster.state.cache_kubeconfig)
            .env("POD_NAMESPACE", "coraza-system")
            .env("POD_NAME", &name);
        let started = Instant::now();
        let process = program.start_logged(&self.dir.join(format!("{name}.log")))?;
        until(PATIENCE, || get(ports.health, "/readyz", "")).await?;
        let took = started.elapsed();
        self.caches.push(Cache { process, ports });
        Ok(took)
    }

    /// kubectl with all rights.
    pub(super) fn kubectl(&self) -> Program {
        kubectl(&self.cluster)
    }

    /// A header with a token that may read a RuleSet.
    pub(super) async fn authorization(&self, namespace: &str, ruleset: &str) -> Result<String> {
        let account = ["create", "serviceaccount", "caller", "--namespace", namespace];
        self.kubectl().args(account).stdout().await?;
        let token = ["create", "token", "caller", "--duration=3h", "--namespace", namespace];
        let audience = format!("--audience=coraza-cache:{namespace}/{ruleset}");
        let token = self.kubectl().args(token).arg(audience).stdout().await?;
        Ok(format!("Authorization: Bearer {}\r\n", token.trim()))
    }

    /// Ends the controller as a crash does and starts it again; returns when that is ready.
    pub(super) async fn restart_controller(&mut self) -> Result<()> {
        let (ports, _) = &self.ports;
        // The old one is gone before the new one starts, or it would still have its ports.
        self.controller.child.kill().await?;
        self.controller = start_controller(&self.programs, &self.cluster, *ports, &self.dir).await?;
        Ok(())
    }

    /// Where the API server writes down what it is asked.
    pub(super) fn audit(&self) -> &Path {
        &self.cluster.state.audit
    }

    pub(super) fn controller_mebibytes(&self) -> Result<f64> {
        resident_mebibytes(&self.controller)
    }
}

impl Cache {
    pub(super) fn mebibytes(&self) -> Result<f64> {
        resident_mebibytes(&self.process)
    }

    /// The number of RuleSets that it serves.
    pub(super) async fn rulesets(&self) -> Result<usize> {
        self.metric("coraza_cache_instances").await
    }

    /// Waits until it serves so many RuleSets.
    pub(super) async fn serves(&self, rulesets: usize, patience: Duration) -> Result<()> {
        until(patience, || async {
            let now = self.rulesets().await?;
            ensure!(now == rulesets, "a cache serves {now} of {rulesets} RuleSets");
            Ok(())
        })
        .await
    }

    /// Waits until all that it serves is compressed, and gives the MiB of all bodies, plain and compressed.
    pub(super) async fn settled_bodies(&self) -> Result<f64> {
        let mut seen = (self.body_bytes().await?, Instant::now());
        while seen.1.elapsed() < QUIET {
            tokio::time::sleep(QUIET / 10).await;
            let now = self.body_bytes().await?;
            if now != seen.0 {
                seen = (now, Instant::now());
            }
        }
        Ok(mebibytes(seen.0))
    }

    async fn body_bytes(&self) -> Result<usize> {
        self.metric("coraza_cache_body_bytes").await
    }

    async fn metric(&self, name: &str) -> Result<usize> {
        let answer = http::get(self.ports.metrics, "/metrics", "").await?;
        let text = String::from_utf8(answer.body)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no metric {name}"))?.trim().parse()?)
    }
}

async fn start_controller(programs: &Path, cluster: &Cluster, ports: Ports, dir: &Path) -> Result<Running> {
    let controller = Program::ended_by(End::Kill, programs.join("coraza-controller"));
    let controller = actors::controller(controller, ports, dir)
        // Nobody pulls it: without one, Engines would wait for a cache that serves the plugin.
        .arg("--default-wasm-image=oci://registry.test/coraza-plugin:v1")
        .arg("--operator-name=coraza-controller")
        .env("KUBECONFIG", &cluster.state.controller_kubeconfig)
        .env("POD_NAMESPACE", "coraza-system")
        .env("POD_NAME", "coraza-controller-0")
        .start_logged(&dir.join("coraza-controller-0.log"))?;
    until(PATIENCE, || get(ports.health, "/readyz", "")).await?;
    Ok(controller)
}

fn kubectl(cluster: &Cluster) -> Program {
    Program::new(&cluster.state.kubectl)
        .env("KUBECONFIG", &cluster.state.kubeconfig)
        .dir(workspace::root())
}
