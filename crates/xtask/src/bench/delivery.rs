//! From the edit of a RuleSource to both caches, with everything real: API server, controller, mTLS, caches, and waiting polls as the plugin makes them.
//!
//! Edits go through `kubectl proxy`, so the API server's answer is seen a little (some 0.5 ms) after it was given, and what is measured is that much too short.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::figure::{Figure, Target};
use super::fleet::{Fleet, Mesh, Profile};
use super::http;
use super::objects::{self, RULESET};
use super::usage::ALLOWANCE_MIB;

const NAMESPACE: &str = "bench";
const SOURCE: &str = "request-913-scanner-detection";
/// What is edited: a message.
const MESSAGE: &str = "Found User-Agent associated with security scanner";
/// Edits unless the command line says.
const EDITS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is measured.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Edits, one after another; memory is looked at after them
    #[arg(long, default_value_t = EDITS)]
    edits: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { edits: EDITS }
    }
}

pub(super) async fn measure(args: &Args) -> Result<()> {
    let mut fleet = Fleet::start(Mesh::Nothing, Profile::Release).await?;
    fleet.add_cache().await?;
    fleet.add_cache().await?;
    let crs = objects::core_rule_set(|| fleet.kubectl()).await?;
    let namespace = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": NAMESPACE } });
    fleet.api.create(vec![namespace]).await?;
    let here = |object| objects::in_namespace(object, NAMESPACE);
    fleet.api.create(crs.iter().map(here).collect()).await?;
    for cache in &fleet.caches {
        cache.serves(1, PATIENCE).await?;
    }
    let rules = crs
        .iter()
        .find(|object| object.pointer("/metadata/name").and_then(Value::as_str) == Some(SOURCE))
        .and_then(|object| object.pointer("/spec/rules")?.as_str())
        .context("the Core Rule Set has no source to edit")?;
    ensure!(rules.contains(MESSAGE), "the source to edit reads differently");
    let times = edits(&fleet, rules, args.edits).await?;
    for (name, percent) in [("delivery/edit-p50", 50), ("delivery/edit-p99", 99)] {
        let time = percentile(&times, percent)?.as_secs_f64() * 1_000.0;
        println!("{}", Figure::alone(name, time, "ms", Target::AtMost(250.0)));
    }
    memory(&fleet).await?;
    let ready = fleet.add_cache().await?;
    let cache = fleet.caches.last().context("no cache")?;
    ensure!(
        cache.rulesets().await? == 1,
        "a new cache was ready without its RuleSet"
    );
    let ready = ready.as_secs_f64() * 1_000.0;
    println!(
        "{}",
        Figure::alone("delivery/new-cache-ready", ready, "ms", Target::AtMost(10_000.0))
    );
    Ok(())
}

/// How long each edit took to be served by every cache, in rising order.
async fn edits(fleet: &Fleet, rules: &str, count: usize) -> Result<Vec<Duration>> {
    let authorization = fleet.authorization(NAMESPACE, RULESET).await?;
    let path = format!("/rules/{NAMESPACE}/{RULESET}/latest");
    let first = fleet.caches.first().context("no cache")?;
    let mut etag = http::get(first.ports.service, &path, &authorization)
        .await?
        .etag()?
        .to_owned();
    let mut times = Vec::new();
    for edit in 0..count {
        let headers = format!("{authorization}Prefer: wait=60\r\nIf-None-Match: {etag}\r\n");
        let mut polls = JoinSet::new();
        for cache in &fleet.caches {
            let (port, path, headers) = (cache.ports.service, path.clone(), headers.clone());
            polls.spawn(async move {
                let answer = http::get(port, &path, &headers).await?;
                anyhow::Ok((answer.etag()?.to_owned(), Instant::now()))
            });
        }
        let edited = rules.replace(MESSAGE, &format!("{MESSAGE} {edit}"));
        fleet.api.edit(NAMESPACE, SOURCE, &edited).await?;
        let written = Instant::now();
        let mut served = Vec::new();
        for poll in polls.join_all().await {
            served.push(poll?);
        }
        let last = served.iter().map(|(_, at)| *at).max().unwrap_or(written);
        times.push(last.saturating_duration_since(written));
        let new = served.pop().context("no cache")?.0;
        ensure!(
            new != etag && served.iter().all(|(other, _)| *other == new),
            "the caches serve different revisions"
        );
        etag = new;
    }
    times.sort_unstable();
    Ok(times)
}

async fn memory(fleet: &Fleet) -> Result<()> {
    let most = Target::AtMost(1_024.0);
    let controller = fleet.controller_mebibytes()?;
    println!(
        "{}",
        Figure::alone("delivery/controller-memory", controller, "MiB", most)
    );
    let cache = fleet.caches.first().context("no cache")?;
    let most = 2.0 * cache.settled_bodies().await? + ALLOWANCE_MIB;
    let resident = cache.mebibytes()?;
    let memory = Figure::alone("delivery/cache-memory", resident, "MiB", Target::AtMost(most));
    println!("{memory}");
    Ok(())
}

/// The nearest rank of sorted times.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Result<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().context("no times")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50).unwrap(), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99).unwrap(), Duration::from_millis(99));
        assert_eq!(percentile(&times[..1], 99).unwrap(), Duration::from_millis(1));
        assert!(percentile(&[], 50).is_err());
    }
}
