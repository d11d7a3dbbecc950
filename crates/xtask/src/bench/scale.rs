//! Many RuleSets, each the Core Rule Set and a source of its own, in namespaces that have the Core Rule Set each for themselves.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::figure::{Figure, Target};
use super::fleet::{Fleet, Mesh, Profile};
use super::objects;
use super::usage::ALLOWANCE_MIB;

/// How many of everything.
#[derive(clap::Args)]
pub(super) struct Args {
    /// RuleSets in all
    #[arg(long, default_value_t = 1_000)]
    rulesets: usize,
    /// Namespaces that they are spread over: 50 RuleSets of 0.6 MiB each fit the default of --max-namespace-bytes
    #[arg(long, default_value_t = 20)]
    namespaces: usize,
    /// Caches that are there while they are made; one more is started afterwards
    #[arg(long, default_value_t = 5)]
    caches: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            rulesets: 1_000,
            namespaces: 20,
            caches: 5,
        }
    }
}

/// How long it may take until all is served everywhere.
const PATIENCE: Duration = Duration::from_secs(1_200);

pub(super) async fn measure(args: &Args) -> Result<()> {
    ensure!(args.namespaces > 0, "--namespaces must be more than 0");
    let mut fleet = Fleet::start(Mesh::Nothing, Profile::Release).await?;
    for _ in 0..args.caches {
        fleet.add_cache().await?;
    }
    let crs = objects::core_rule_set(|| fleet.kubectl()).await?;
    let started = Instant::now();
    create(&fleet, args, &crs).await?;
    eprintln!("all objects are made after {:.1?}", started.elapsed());
    for cache in &fleet.caches {
        cache.serves(args.rulesets, PATIENCE).await?;
    }
    eprintln!("all caches serve all RuleSets after {:.1?}", started.elapsed());
    for cache in &fleet.caches {
        cache.settled_bodies().await?;
    }
    eprintln!("all of it is compressed after {:.1?}", started.elapsed());
    let figure = |name: &str, value, unit, most| {
        let name = format!("scale-{}x{}/{name}", args.rulesets, args.caches);
        println!("{}", Figure::alone(&name, value, unit, Target::AtMost(most)));
    };
    figure("controller-memory", fleet.controller_mebibytes()?, "MiB", 1_024.0);
    let ready = fleet.add_cache().await?;
    let newest = fleet.caches.last().context("no cache")?;
    let served = newest.rulesets().await?;
    ensure!(served == args.rulesets, "a new cache was ready with {served} RuleSets");
    figure("new-cache-ready", ready.as_secs_f64() * 1_000.0, "ms", 10_000.0);
    figure(
        "controller-memory-after-new-cache",
        fleet.controller_mebibytes()?,
        "MiB",
        1_024.0,
    );
    let mut worst = (0.0_f64, 0.0_f64);
    for cache in &fleet.caches {
        let bodies = cache.settled_bodies().await?;
        worst = (worst.0.max(cache.mebibytes()?), bodies);
    }
    let (resident, bodies) = worst;
    figure("cache-memory", resident, "MiB", 2.0 * bodies + ALLOWANCE_MIB);
    Ok(())
}

/// Sources and data before the RuleSets that name them, so that each RuleSet is compiled once.
async fn create(fleet: &Fleet, args: &Args, crs: &[Value]) -> Result<()> {
    let (ruleset, parts) = crs.split_last().context("no Core Rule Set")?;
    let names: Vec<String> = (0..args.namespaces).map(|n| format!("team-{n}")).collect();
    let namespaces = names
        .iter()
        .map(|name| json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": name } }));
    fleet.api.create(namespaces.collect()).await?;
    let shared = names
        .iter()
        .flat_map(|name| parts.iter().map(|part| objects::in_namespace(part, name)));
    fleet.api.create(shared.collect()).await?;
    let mut sources = Vec::new();
    let mut rulesets = Vec::new();
    for (tenant, namespace) in names.iter().cycle().take(args.rulesets).enumerate() {
        let own = format!("own-{tenant}");
        let id = tenant + 1;
        let rules = format!("SecRule ARGS \"@rx ^own{tenant}$\" \"id:{id},phase:2,deny\"\n");
        sources.push(objects::source(namespace, &own, &rules));
        let copy = objects::in_namespace(ruleset, namespace);
        rulesets.push(objects::with_source(&copy, &format!("web-{tenant}"), &own)?);
    }
    fleet.api.create(sources).await?;
    fleet.api.create(rulesets).await
}
