//! `cargo xtask demo`: the project at work, with the commands that a person would type and what they really answer.
//!
//! Each step is a command of a shell, printed and run, and a claim that is checked on its output; the first that doesn't hold ends the demo as failed. So does
//! a process of ours that ends without being told to.

pub(crate) mod certificates;
mod poll;
mod script;
mod shell;
mod stage;

use std::time::Instant;

use anyhow::{Context, Result};

use self::stage::Stage;
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use the cluster of this kubeconfig context instead of starting one; leaves the CRDs installed there
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Leave everything running, and say how to use it
    #[arg(long)]
    pub(crate) keep: bool,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    println!(
        "About half a minute once the tools are built; building them takes about 13 min on 2 cores, once per machine."
    );
    let rules = crate::tools::core_rule_set().await?;
    eprintln!("$ cargo build --workspace --bins   (about 3 min with nothing cached)");
    let build = workspace::build(workspace::Tests::None).await?;
    let stage = Stage::set(args, &build, &rules).await?;
    let claims = tokio::select! {
        claims = script::run(&stage) => claims.context("the demo failed")?,
        failure = stage.unexpected_end() => return Err(failure.context("the demo failed")),
    };
    println!("\n== It works ({:.0?})", started.elapsed());
    for claim in claims {
        println!("  {claim}");
    }
    if args.keep { stage.keep() } else { stage.clear().await }
}
