//! `cargo xtask bench`: how fast and how large, where there is one beside a peer that did the same work in the same run. One line per figure, as in BENCHMARKS.md.

mod audit;
mod cache;
mod compile;
mod delivery;
mod engine;
mod engines;
mod figure;
mod fleet;
mod http;
mod objects;
mod plugin;
mod scale;
mod usage;
mod wrk;

use anyhow::Result;
use clap::Subcommand;

/// What to measure: without a name all of it, which takes about three quarters of an hour on a quiet machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Option<Suite>,
}

#[derive(Subcommand)]
enum Suite {
    /// The cache's HTTP server against nginx, and its memory
    Cache,
    /// The compiler with the Core Rule Set: cold, and after the edit of one source
    Compile,
    /// The engine with the Core Rule Set against libmodsecurity
    Engine(engine::Args),
    /// A cluster, a controller and two caches: from the edit of a RuleSource to both caches, memory, a new cache
    Delivery(delivery::Args),
    /// Many Engines: how soon they are Ready, what they ask of the API server, at first, at rest and by what happens, and memory
    Engines(engines::Args),
    /// The plugin in Envoy: what it adds to requests, also while it reloads, its memory, and how soon an edit is enforced
    Plugin(plugin::Args),
    /// Many RuleSets, each the Core Rule Set and a source of its own: memory, a new cache
    Scale(scale::Args),
}

/// Measures and prints each figure. A missed target is a line that says so; what couldn't be measured is an error.
pub(crate) async fn run(args: &Args) -> Result<()> {
    match &args.suite {
        Some(Suite::Cache) => cache::measure().await,
        Some(Suite::Compile) => compile::measure().await,
        Some(Suite::Engine(args)) => engine::measure(args).await,
        Some(Suite::Delivery(args)) => delivery::measure(args).await,
        Some(Suite::Engines(args)) => engines::measure(args).await,
        Some(Suite::Plugin(args)) => plugin::measure(args).await,
        Some(Suite::Scale(args)) => scale::measure(args).await,
        None => {
            cache::measure().await?;
            compile::measure().await?;
            engine::measure(&engine::Args::default()).await?;
            delivery::measure(&delivery::Args::default()).await?;
            engines::measure(&engines::Args::default()).await?;
            scale::measure(&scale::Args::default()).await?;
            plugin::measure(&plugin::Args::default()).await
        }
    }
}
