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
pub(super) async fn measure(tools: &Tools, wrk: &Wrk, upstream: u16, dir: &Path, level: u8) -> Result<()> {
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
