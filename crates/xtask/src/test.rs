//! `cargo xtask test`: builds once, runs every test binary itself, and counts what ran, failed and was skipped, so that "green" can't mean "nothing ran".
//!
//! A suite is a test binary: `seclang` (a package's unit tests), `seclang/corpus` (a file of its `tests/`), `e2e/authentication`, or `doc`. End to end suites
//! are clients of the programs of the same build; they find those and the API server by the variables of [`environment`]. Their tests carry
//! `#[ignore = "needs a cluster: cargo xtask test"]`, so that plain `cargo test` shows them as skipped; here they run.
//! A test that finds out on its way that it can't run here prints `SKIPPED: ` and why, and counts as skipped.

mod counts;
mod suite;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::counts::Counts;
use self::suite::{Runner, Selection, Suite};
use crate::cluster::{Cluster, Place, network, nodes};
use crate::workspace::{self, Build, Tests};
use crate::{images, plugin, tools};

/// The longest that a suite may take; the slowest takes a tenth of it.
const SUITE_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How many lines of a failed suite are shown; all are in its log.
const SHOWN: usize = 400;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what needs no API server: a minute when everything is built
    #[arg(long)]
    fast: bool,
    /// Fail if a test of these suites is skipped, or there is none
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    require: Vec<String>,
    /// Only these: `seclang`, `seclang/corpus`, `e2e`, `e2e/authentication`, `doc`
    #[arg(value_name = "SUITE")]
    suites: Vec<String>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

impl Args {
    /// What CI asks for: everything that a machine with Rust and Go can run, which is everything.
    pub(crate) fn everything() -> Self {
        Self {
            fast: false,
            require: vec!["all".to_owned()],
            suites: Vec::new(),
            filter: None,
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    eprintln!("building the workspace and its tests (about 4 min with nothing cached)");
    let build = workspace::build(tests(&args.suites)).await?;
    let selection = Selection {
        fast: args.fast,
        named: &args.suites,
    };
    let suites = suite::select(&build.tests, &selection);
    if let Some(nobody) = selection.unmatched(&suites) {
        bail!(
            "no suite is called {nobody}; there are: {}",
            suite::names(&suite::select(
                &build.tests,
                &Selection {
                    fast: false,
                    named: &[]
                }
            ))
        );
    }
    let logs = workspace::work_dir().join("test");
    std::fs::create_dir_all(&logs)?;
    let mut results = Vec::new();
    // Those that need the same stand together, so that no two clusters run at a time.
    for group in suites.chunk_by(|one, other| one.runner == other.runner) {
        let Some(first) = group.first() else { continue };
        let ground = match Ground::prepare(first.runner).await {
            Ok(ground) => ground,
            Err(Unprepared::Impossible(reason)) => {
                eprintln!("SKIPPED: {}: {reason}", suite::names(group));
                let unavoidable = first.runner == Runner::Nodes;
                let skipped = group
                    .iter()
                    .map(|suite| (suite, Counts::skipped_whole(reason.clone(), unavoidable)));
                results.extend(skipped);
                continue;
            }
            Err(Unprepared::Failed(error)) => return Err(error),
        };
        let mut environment = environment(&build, &ground, &logs).await?;
        if !args.fast {
            // For tests of the engine, which have no cluster: Debian's archive is asked for it once per machine.
            environment.insert("CORAZA_CORE_RULE_SET_3", tools::debian::core_rule_set_3().await?.into());
        }
        for suite in group {
            eprintln!("[{}/{}] {}", results.len() + 1, suites.len(), suite.name);
            let run = Run {
                suite,
                namespace: ground.namespace(),
                environment: &environment,
                logs: &logs,
                filter: args.filter.as_deref(),
            };
            results.push((suite, run.execute().await?));
        }
    }
    report(&results, &args.require, started.elapsed())
}

/// What has to be built for these suites: files alone if each names one.
fn tests(suites: &[String]) -> Tests<'_> {
    let files: Option<Vec<&str>> = suites
        .iter()
        .map(|suite| suite.split_once('/').map(|(_, file)| file))
        .collect();
    files.filter(|files| !files.is_empty()).map_or(Tests::All, Tests::Files)
}

/// What suites of one kind run on.
enum Ground {
    Nothing,
    Cluster(Box<Cluster>),
}

/// Says that a kind of ground can't be had here, and why, in a line.
fn impossible(error: &anyhow::Error) -> Unprepared {
    Unprepared::Impossible(format!("{error:#}").replace('\n', " "))
}

/// Why there is no ground.
enum Unprepared {
    /// It can't be made on this machine, whatever is installed.
    Impossible(String),
    /// It should have been.
    Failed(anyhow::Error),
}

impl Ground {
    async fn prepare(runner: Runner) -> Result<Self, Unprepared> {
        let cluster = match runner {
            Runner::Plain | Runner::Documentation => return Ok(Self::Nothing),
            Runner::Cluster => Cluster::start(&workspace::work_dir().join("test-cluster"), Place::Loopback).await,
            Runner::Istio => {
                network::preflight().await.map_err(|error| impossible(&error))?;
                Cluster::start(&workspace::work_dir().join("test-istio"), Place::Isolated).await
            }
            Runner::Nodes => {
                nodes::preflight().await.map_err(|error| impossible(&error))?;
                let dev = images::make(images::Profile::Dev, &[images::Platform::Amd64]).await;
                dev.map_err(Unprepared::Failed)?;
                let archives = images::Name::ALL.map(images::Name::archive).to_vec();
                Cluster::start_with_nodes(&workspace::work_dir().join("test-nodes"), archives).await
            }
        };
        Ok(Self::Cluster(Box::new(cluster.map_err(Unprepared::Failed)?)))
    }

    fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Nothing => None,
            Self::Cluster(cluster) => Some(cluster),
        }
    }

    /// The network namespace that its suites have to run in, if that isn't ours.
    fn namespace(&self) -> Option<&Path> {
        self.cluster()?.state.network()
    }
}

/// What end to end tests find their way by, by environment variable. Without a cluster there are none, and nothing is provided: the other tests run on a machine
/// that has Rust and nothing else.
async fn environment(build: &Build, ground: &Ground, logs: &Path) -> Result<BTreeMap<&'static str, OsString>> {
    let Some(cluster) = ground.cluster() else {
        return Ok(BTreeMap::new());
    };
    let mut environment = BTreeMap::from([
        ("CORAZA_E2E_CLUSTER", cluster.state.dir.join("cluster.json").into()),
        ("CORAZA_E2E_CONTROLLER", build.program("coraza-controller")?.into()),
        ("CORAZA_E2E_CACHE", build.program("coraza-cache")?.into()),
        ("CORAZA_E2E_KUBECTL_PLUGIN", build.program("kubectl-coraza")?.into()),
        ("CORAZA_E2E_XTASK", build.program("xtask")?.into()),
        ("CORAZA_E2E_LOGS", logs.into()),
        // Go's module cache answers: this asks the network once per machine.
        ("CORAZA_CORE_RULE_SET", tools::core_rule_set().await?.into()),
        (
            "CORAZA_E2E_GATEWAY_API_CRDS",
            tools::istio::gateway_api_crds().await?.into(),
        ),
        ("CORAZA_E2E_ISTIO_CRDS", tools::istio::crds().await?.into()),
        ("CORAZA_E2E_ENVOY", tools::envoy::provide().await?.into()),
        ("CORAZA_E2E_PLUGIN", plugin::build(plugin::Kind::Dev).await?.into()),
        (
            "CORAZA_E2E_PLUGIN_WITH_TRAP",
            plugin::build(plugin::Kind::DevWithTrap).await?.into(),
        ),
        ("CORAZA_E2E_HELM", tools::helm().await?.into()),
        ("CORAZA_E2E_CERT_MANAGER_CRDS", tools::cert_manager_crds().await?.into()),
        ("CORAZA_E2E_PROMETHEUS", tools::prometheus().await?.into()),
        (
            "CORAZA_E2E_PROMETHEUS_OPERATOR_CRDS",
            tools::prometheus_operator_crds().await?.into(),
        ),
    ]);
    if cluster.state.istio.is_some() {
        environment.insert("CORAZA_E2E_REGISTRY", tools::debian::registry().await?.into());
    }
    if cluster.state.nodes.is_some() {
        let tools = tools::debian::node().await?;
        environment.insert("CORAZA_E2E_NFT", tools.nft().into());
    }
    Ok(environment)
}

/// One suite about to run.
struct Run<'a> {
    suite: &'a Suite<'a>,
    namespace: Option<&'a Path>,
    environment: &'a BTreeMap<&'static str, OsString>,
    logs: &'a Path,
    filter: Option<&'a str>,
}

impl Run<'_> {
    async fn execute(&self) -> Result<Counts> {
        let started = Instant::now();
        let log = self.log();
        let mut program = self
            .environment
            .iter()
            .fold(self.suite.program(self.namespace), |program, (name, value)| {
                program.env(name, value)
            });
        if let Some(filter) = self.filter {
            program = program.arg(filter);
        }
        let mut running = program.start_logged(&log)?;
        let status = tokio::time::timeout(SUITE_PATIENCE, running.wait()).await;
        // Ends it if it took too long.
        drop(running);
        let text = std::fs::read(&log).with_context(|| format!("failed to read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let mut counts = counts::read(&text);
        match status {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => {}
            Ok(status) => counts.broken(format!("{}", status?)),
            Err(_) => counts.broken(format!(
                "killed: it ran longer than {} min",
                SUITE_PATIENCE.as_secs() / 60
            )),
        }
        if counts.failed > 0 {
            show_tail(&text, &log);
        }
        eprintln!("      {counts}, {:.1?}", started.elapsed());
        Ok(counts)
    }

    fn log(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.suite.name.replace('/', "-")))
    }
}

fn show_tail(text: &str, log: &Path) {
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.iter().skip(lines.len().saturating_sub(SHOWN));
    for line in tail {
        eprintln!("      | {line}");
    }
    eprintln!("      all of it: {}", log.display());
}

/// Prints the sums, and fails if a test failed, if nothing ran, or if a required suite didn't run whole.
fn report(results: &[(&Suite<'_>, Counts)], required: &[String], elapsed: Duration) -> Result<()> {
    let mut total = Counts::default();
    for (Suite { name, .. }, counts) in results {
        println!("{name:32} {counts}");
        for reason in &counts.reasons {
            println!("    skipped: {reason}");
        }
        total.add(counts);
    }
    let unmet = suite::unmet(results, required);
    println!("{elapsed:.0?}");
    // The last line, in this form: CI reads it.
    println!("{total}");
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    if total.passed == 0 {
        bail!("no test ran");
    }
    if !unmet.is_empty() {
        bail!("required, but not run whole: {}", unmet.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_cluster_nothing_is_provided() {
        // Neither programs, which this build has none of, nor what go would have to download.
        let environment = environment(&Build::default(), &Ground::Nothing, Path::new("logs")).await;
        assert_eq!(environment.unwrap(), BTreeMap::new());
    }
}
