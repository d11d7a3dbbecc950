//! `cargo xtask bench`: how fast and how large, beside a peer that did the same work in the same run. One line per figure, as in BENCHMARKS.md.

mod cache;
mod figure;
mod wrk;

use anyhow::{Result, bail};
use clap::Subcommand;

use self::figure::Figure;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Option<Suite>,
}

#[derive(Subcommand)]
enum Suite {
    /// The cache's HTTP server against nginx, and its memory
    Cache,
}

/// Measures, prints each figure, and fails if a target was missed.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let figures = match args.suite {
        Some(Suite::Cache) | None => cache::measure().await?,
    };
    let missed: Vec<_> = figures
        .iter()
        .filter(|figure| !figure.is_reached())
        .map(Figure::name)
        .collect();
    if !missed.is_empty() {
        bail!("missed: {}", missed.join(", "));
    }
    Ok(())
}
