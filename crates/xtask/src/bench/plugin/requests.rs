//! What the plugin adds to a request: two listeners of one Envoy in turns, and libmodsecurity's time beside them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::load::{Request, Run, Wrk};
use super::proxy::{Proxy, Setup};
use super::rules::RulesServer;
use super::{BUSY, Export, SECONDS, SERVER_CORE, Tools, example, export};
use crate::bench::figure::{Figure, Target};
use crate::tools;

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
/// Rounds in which both listeners take turns; the best of each counts, since what others do on the machine can only add to it.
const ROUNDS: usize = 4;

/// A line of the engine's example.
#[derive(Deserialize)]
struct Native {
    scenario: String,
    libmodsecurity_us: Option<f64>,
}

/// What the plugin adds to each request, and what is left of the most that Envoy answers.
pub(super) async fn measure(
    tools: &Tools,
    wrk: &Wrk,
    upstream: u16,
    dir: &Path,
    (level, only): (u8, &str),
) -> Result<()> {
    let Export { rules, requests } = export(level).await?;
    let scenarios: Vec<_> = SCENARIOS.into_iter().filter(|name| name.contains(only)).collect();
    let native = native(level, &scenarios).await?;
    let server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let setup = Setup {
        core: Some(SERVER_CORE),
        ..Setup::new(tools, &caches, upstream)
    };
    let proxy = Proxy::start(dir, &setup).await?;
    for name in scenarios {
        let request = requests.iter().find(|request| request.scenario == name);
        let request = request.with_context(|| format!("the engine's example has no {name}"))?;
        let turns = Turns {
            wrk,
            proxy: &proxy,
            request,
        };
        // Level 4 takes some harmless requests for attacks; what is measured is the same, up to where it ends.
        let blocked = request.attack || turns.is_blocked().await?;
        let (mut without, mut with) = (Best::default(), Best::default());
        for _ in 0..ROUNDS {
            turns.take(&mut without, proxy.plain, false).await?;
            turns.take(&mut with, proxy.filtered, blocked).await?;
        }
        let peer = native.get(name).copied().context("libmodsecurity didn't run")?;
        print(&format!("plugin/pl{level}-{name}"), &without, &with, peer);
    }
    Ok(())
}

/// Who takes turns.
struct Turns<'a> {
    wrk: &'a Wrk,
    proxy: &'a Proxy,
    request: &'a Request,
}

impl Turns<'_> {
    /// One request after another, then as many as there can be.
    async fn take(&self, best: &mut Best, port: u16, blocked: bool) -> Result<()> {
        best.add(self.wrk.run(port, self.request, 1, SECONDS, blocked).await?);
        let before = self.proxy.cpu_seconds()?;
        let busy = self.wrk.run(port, self.request, BUSY, SECONDS, blocked).await?;
        best.add_busy(busy, self.proxy.cpu_seconds()? - before);
        Ok(())
    }

    async fn is_blocked(&self) -> Result<bool> {
        let run = |blocked| self.wrk.run(self.proxy.filtered, self.request, 1, SECONDS, blocked);
        match run(false).await {
            Ok(_) => Ok(false),
            Err(_) => run(true).await.map(|_| true),
        }
    }
}

/// What is added: of wall-clock time, which says little where others use the machine, and of Envoy's own CPU time, which is what
/// libmodsecurity's is too.
fn print(name: &str, without: &Best, with: &Best, peer: f64) {
    let peer = ("libmodsecurity", peer);
    for (percentile, (with, without)) in ["p50", "p95", "p99"]
        .iter()
        .zip(with.latency.iter().zip(without.latency))
    {
        let name = format!("{name}-added-{percentile}");
        println!("{}", Figure::beside(&name, with - without, "us", peer, Target::None));
    }
    let cpu = with.cpu_micros - without.cpu_micros;
    println!(
        "{}",
        Figure::beside(&format!("{name}-added-cpu"), cpu, "us", peer, Target::None)
    );
    for (what, kept) in [
        ("throughput-kept", with.per_second / without.per_second),
        ("throughput-kept-by-cpu", without.cpu_micros / with.cpu_micros),
    ] {
        println!(
            "{}",
            Figure::alone(&format!("{name}-{what}"), 100.0 * kept, "%", Target::None)
        );
    }
}

/// The best of some runs.
struct Best {
    latency: [f64; 3],
    per_second: f64,
    /// Envoy's CPU time for one request, in microseconds.
    cpu_micros: f64,
}

impl Default for Best {
    fn default() -> Self {
        Self {
            latency: [f64::INFINITY; 3],
            per_second: 0.0,
            cpu_micros: f64::INFINITY,
        }
    }
}

impl Best {
    fn add(&mut self, run: Run) {
        for (best, time) in self.latency.iter_mut().zip(run.latency) {
            *best = best.min(time);
        }
    }

    fn add_busy(&mut self, run: Run, cpu_seconds: f64) {
        self.cpu_micros = self.cpu_micros.min(cpu_seconds * 1e6 / run.requests as f64);
        self.per_second = self.per_second.max(run.per_second);
    }
}

/// What libmodsecurity takes for each scenario, in microseconds.
async fn native(level: u8, scenarios: &[&str]) -> Result<BTreeMap<String, f64>> {
    let peer = tools::libmodsecurity::provide().await?;
    let mut times = BTreeMap::new();
    for scenario in scenarios {
        let program = example(level).await?.arg("--libmodsecurity").arg(&peer);
        let lines = program.args(["--rounds", "3", "--only", scenario]).stdout().await?;
        for line in lines.lines() {
            let line: Native = serde_json::from_str(line).context("a line of the engine's example")?;
            times.insert(line.scenario, line.libmodsecurity_us.context("the peer didn't run")?);
        }
    }
    Ok(times)
}
