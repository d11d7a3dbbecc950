//! The plugin in Envoy: what it adds to a request, what a reload adds to that, what it takes of memory, and how soon an edit is enforced.
//!
//! What is added is told by two listeners of one Envoy, one with the plugin and one without, which take turns; libmodsecurity's time for the
//! same rules and requests, in a process of its own, stands beside it. Requests and rules are those of `cargo xtask bench engine`.

mod edit;
mod load;
mod proxy;
mod rules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use self::load::{Request, Run, Wrk, at_rate};
use self::proxy::{Proxy, Setup};
use self::rules::{Rules, RulesServer};
use super::delivery::percentile;
use super::figure::{Figure, Target};
use super::http::{get, until};
use super::usage::mebibytes;
use crate::cluster::port;
use crate::program::{Program, Running};
use crate::tools::{self, debian};
use crate::{plugin, workspace};

/// What is measured at paranoia level 1 and 4, by the names of `cargo xtask bench engine`.
const SCENARIOS: [&str; 9] = [
    "baseline-get",
    "args-light",
    "args-heavy",
    "headers-heavy",
    "body-1kb",
    "body-100kb",
    "form-urlencoded",
    "json-1kb",
    "attack-sqli",
];
const LEVELS: [u8; 2] = [1, 4];
/// Rounds in which both listeners take turns; the best of each counts, since what others do on the machine can only add to it.
const ROUNDS: usize = 4;
/// Of one run.
const SECONDS: u64 = 1;
/// Connections of who asks for as much as there is.
const BUSY: usize = 8;
/// What serves has one core, what asks and what answers it another.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
/// As E.3 of the operator's Go counterpart calls it: low-rate-200qps.
const EVERY: Duration = Duration::from_millis(5);
/// How much p99 a reload may add, in milliseconds.
const RELOAD_MS: f64 = 10.0;
const MOST_VM_MIB: f64 = 32.0;
/// How much memory may grow by what allocators do.
const FLAT_MIB: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(30);

/// What to measure of the plugin.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only these parts: requests, reload, memory, edit
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// 1,000 reloads and 1,000,000 requests for the figures of memory: about half an hour more
    #[arg(long)]
    soak: bool,
    /// Edits, one after another
    #[arg(long, default_value_t = EDITS)]
    edits: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Requests,
    Reload,
    Memory,
    Edit,
}

/// Edits unless the command line says.
const EDITS: usize = 100;

impl Default for Args {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            soak: false,
            edits: EDITS,
        }
    }
}

/// What all parts need.
pub(super) struct Tools {
    envoy: PathBuf,
    module: PathBuf,
}

/// What the engine's example is asked to write.
#[derive(Deserialize)]
struct Export {
    #[serde(flatten)]
    rules: Rules,
    requests: Vec<Request>,
}

/// A line of the engine's example.
#[derive(Deserialize)]
struct Native {
    scenario: String,
    libmodsecurity_us: Option<f64>,
}

pub(super) async fn measure(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > CLIENT_CORE,
        "the bench needs two cores, one for Envoy and one for the load"
    );
    let peers = debian::peers().await?;
    let tools = Tools {
        envoy: tools::envoy::provide().await?,
        module: plugin::build(plugin::Kind::Shipped).await?,
    };
    let build = ["build", "--release", "--package", "coraza-engine", "--example", "bench"];
    workspace::cargo().args(build).run().await?;
    let folder = tempfile::Builder::new().prefix("coraza-bench-").tempdir()?;
    let dir = folder.path();
    let [upstream] = port::free()?;
    let _nginx = start_upstream(&peers.nginx, dir, upstream)?;
    until(PATIENCE, || get(upstream, "/", "")).await?;
    let wrk = Wrk::new(&peers, CLIENT_CORE, dir);
    let wants = |part| args.parts.is_empty() || args.parts.contains(&part);
    let size = mebibytes(usize::try_from(tools.module.metadata()?.len())?);
    println!("{}", Figure::alone("plugin/module", size, "MiB", Target::AtMost(3.0)));
    if wants(Part::Requests) {
        for level in LEVELS {
            requests(&tools, &wrk, upstream, dir, level).await?;
        }
    }
    if wants(Part::Reload) {
        reload(&tools, upstream, dir).await?;
    }
    if wants(Part::Memory) {
        memory(&tools, &wrk, upstream, dir, args.soak).await?;
    }
    if wants(Part::Edit) {
        edit::measure(&tools, upstream, dir, args.edits).await?;
    }
    Ok(())
}

/// What the plugin adds to each request, and what is left of the most that Envoy answers.
async fn requests(tools: &Tools, wrk: &Wrk, upstream: u16, dir: &Path, level: u8) -> Result<()> {
    let Export { rules, requests } = export(level).await?;
    let native = native(level).await?;
    let server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let setup = Setup {
        core: Some(SERVER_CORE),
        ..Setup::new(tools, &caches, upstream)
    };
    let proxy = Proxy::start(dir, &setup).await?;
    for name in SCENARIOS {
        let request = requests.iter().find(|request| request.scenario == name);
        let request = request.with_context(|| format!("the engine's example has no {name}"))?;
        // Level 4 takes some harmless requests for attacks; what is measured is the same, up to where it ends.
        let blocked = request.attack || is_blocked(wrk, &proxy, request).await?;
        let (mut without, mut with) = (Best::default(), Best::default());
        for _ in 0..ROUNDS {
            without.add(wrk.run(proxy.plain, request, 1, SECONDS, false).await?);
            with.add(wrk.run(proxy.filtered, request, 1, SECONDS, blocked).await?);
            without.add_busy(wrk.run(proxy.plain, request, BUSY, SECONDS, false).await?);
            with.add_busy(wrk.run(proxy.filtered, request, BUSY, SECONDS, blocked).await?);
        }
        let peer = native.get(name).copied().context("libmodsecurity didn't run")?;
        for (at, percentile) in ["p50", "p95", "p99"].into_iter().enumerate() {
            let times = |best: &Best| best.latency.get(at).copied().unwrap_or_default();
            let added = times(&with) - times(&without);
            let name = format!("plugin/pl{level}-{name}-added-{percentile}");
            println!(
                "{}",
                Figure::beside(&name, added, "us", ("libmodsecurity", peer), Target::None)
            );
        }
        let kept = 100.0 * with.per_second / without.per_second;
        println!(
            "{}",
            Figure::alone(
                &format!("plugin/pl{level}-{name}-throughput-kept"),
                kept,
                "%",
                Target::None
            )
        );
    }
    Ok(())
}

async fn is_blocked(wrk: &Wrk, proxy: &Proxy, request: &Request) -> Result<bool> {
    match wrk.run(proxy.filtered, request, 1, SECONDS, false).await {
        Ok(_) => Ok(false),
        Err(_) => wrk.run(proxy.filtered, request, 1, SECONDS, true).await.map(|_| true),
    }
}

/// The best of some runs.
struct Best {
    latency: [f64; 3],
    per_second: f64,
}

impl Default for Best {
    fn default() -> Self {
        Self {
            latency: [f64::INFINITY; 3],
            per_second: 0.0,
        }
    }
}

impl Best {
    fn add(&mut self, run: Run) {
        for (best, time) in self.latency.iter_mut().zip(run.latency) {
            *best = best.min(time);
        }
    }

    fn add_busy(&mut self, run: Run) {
        self.per_second = self.per_second.max(run.per_second);
    }
}

/// What reloads add to requests that come at a fixed rate to a pod of one worker.
async fn reload(tools: &Tools, upstream: u16, dir: &Path) -> Result<()> {
    const REQUESTS: u32 = 2_000;
    const RELOADS: usize = 10;
    let Export { rules, .. } = export(4).await?;
    let mut server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let proxy = Proxy::start(dir, &Setup::new(tools, &caches, upstream)).await?;
    let path = || "/products/list?page=2".to_owned();
    let still = at_rate(proxy.filtered, path(), EVERY, REQUESTS).await?;
    let under_way = at_rate(proxy.filtered, path(), EVERY, REQUESTS);
    let reloads = async {
        for edit in 1..=RELOADS {
            server.publish(&rules.edited(edit))?;
            let next = tokio::time::sleep(EVERY * REQUESTS / u32::try_from(RELOADS)?);
            proxy.until_loads(u64::try_from(edit)? + 1).await?;
            next.await;
        }
        anyhow::Ok(())
    };
    let (reloading, done) = tokio::join!(under_way, reloads);
    done?;
    let reloading = reloading?;
    for percent in [50, 99] {
        let [still, reloading] = [&still, &reloading].map(|times| percentile(times, percent).map(milliseconds));
        let (still, reloading) = (still?, reloading?);
        let target = if percent == 99 {
            Target::AtMost(RELOAD_MS)
        } else {
            Target::None
        };
        println!(
            "{}",
            Figure::alone(&format!("plugin/still-p{percent}"), still, "ms", Target::None)
        );
        println!(
            "{}",
            Figure::alone(
                &format!("plugin/reload-added-p{percent}"),
                reloading - still,
                "ms",
                target
            )
        );
    }
    let slowest = reloading.last().copied().map(milliseconds).context("no requests")?;
    println!(
        "{}",
        Figure::alone("plugin/reload-slowest", slowest, "ms", Target::None)
    );
    let step = proxy.longest_step()? as f64;
    println!(
        "{}",
        Figure::alone("plugin/load-longest-step", step, "ms", Target::None)
    );
    Ok(())
}

/// What workers take, and that it stays so.
async fn memory(tools: &Tools, wrk: &Wrk, upstream: u16, dir: &Path, soak: bool) -> Result<()> {
    let (reloads, total) = if soak { (1_000, 1_000_000) } else { (100, 100_000) };
    let Export { rules, requests } = export(4).await?;
    let request = requests.first().context("no requests")?;
    let mut server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let mut sizes = Vec::new();
    for (workers, module) in [(1, None), (1, Some(&*tools.module)), (4, Some(&*tools.module))] {
        let setup = Setup {
            module,
            workers,
            ..Setup::new(tools, &caches, upstream)
        };
        let proxy = Proxy::start(dir, &setup).await?;
        let port = if module.is_some() { proxy.filtered } else { proxy.plain };
        wrk.run(port, request, 64, 2 * SECONDS, false).await?;
        sizes.push(proxy.resident_mebibytes()?);
    }
    let [plain, one, four] = sizes[..] else { return Ok(()) };
    println!(
        "{}",
        Figure::beside(
            "plugin/memory-one-worker",
            one,
            "MiB",
            ("envoy-without", plain),
            Target::None
        )
    );
    println!(
        "{}",
        Figure::alone(
            "plugin/memory-each-further-worker",
            (four - one) / 3.0,
            "MiB",
            Target::None
        )
    );

    let proxy = Proxy::start(dir, &Setup::new(tools, &caches, upstream)).await?;
    wrk.run(proxy.filtered, request, BUSY, 2 * SECONDS, false).await?;
    let mut warm = 0.0;
    for edit in 1..=reloads {
        server.publish(&rules.edited(edit))?;
        proxy.until_loads(u64::try_from(edit)? + 1).await?;
        if edit == reloads / 5 {
            warm = proxy.resident_mebibytes()?;
        }
    }
    let reloaded = proxy.resident_mebibytes()?;
    let name = format!("plugin/memory-growth-{reloads}-reloads");
    println!(
        "{}",
        Figure::alone(&name, reloaded - warm, "MiB", Target::AtMost(FLAT_MIB))
    );
    let mut sent = 0;
    while sent < total {
        sent += wrk
            .run(proxy.filtered, request, BUSY, 10 * SECONDS, false)
            .await?
            .requests;
        if sent < total / 5 || warm < reloaded {
            warm = proxy.resident_mebibytes()?.max(reloaded);
        }
    }
    let name = format!("plugin/memory-growth-{total}-requests");
    let growth = proxy.resident_mebibytes()? - warm;
    println!("{}", Figure::alone(&name, growth, "MiB", Target::AtMost(FLAT_MIB)));
    let vm = proxy.vm_mebibytes().await?;
    println!(
        "{}",
        Figure::alone("plugin/memory-vm", vm, "MiB", Target::AtMost(MOST_VM_MIB))
    );
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The engine's example: what it measures with.
async fn export(level: u8) -> Result<Export> {
    let json = example(level).await?.arg("--export").stdout().await?;
    serde_json::from_str(&json).context("what the engine's example exports")
}

/// What libmodsecurity takes for each scenario, in microseconds.
async fn native(level: u8) -> Result<BTreeMap<String, f64>> {
    let peer = tools::libmodsecurity::provide().await?;
    let mut times = BTreeMap::new();
    for scenario in SCENARIOS {
        let program = example(level).await?.arg("--libmodsecurity").arg(&peer);
        let lines = program.args(["--rounds", "3", "--only", scenario]).stdout().await?;
        for line in lines.lines() {
            let line: Native = serde_json::from_str(line).context("a line of the engine's example")?;
            times.insert(line.scenario, line.libmodsecurity_us.context("the peer didn't run")?);
        }
    }
    Ok(times)
}

async fn example(level: u8) -> Result<Program> {
    let rules = tools::core_rule_set().await?;
    let program = Program::new(workspace::target_dir().join("release/examples/bench"));
    Ok(program.arg("--crs").arg(rules).args(["--level", &level.to_string()]))
}

/// What answers behind Envoy: nginx, with a small page for everybody.
fn start_upstream(nginx: &Path, dir: &Path, port: u16) -> Result<Running> {
    let config = dir.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path tmp/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log nginx.log;\nuser root;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 100000000;\nclient_max_body_size 8m;\ndefault_type text/html;\n{temporary}\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '<p>Thank you</p>'; }} }}\n}}\n"
    );
    std::fs::create_dir_all(dir.join("tmp"))?;
    std::fs::write(&config, text)?;
    let program = Program::new("taskset")
        .args(["-c", &CLIENT_CORE.to_string()])
        .arg(nginx);
    program
        .arg("-p")
        .arg(dir)
        .arg("-e")
        .arg(dir.join("nginx.log"))
        .arg("-c")
        .arg(&config)
        .start_logged(&dir.join("nginx.out"))
}
