//! `cargo xtask demo`: the project at work, with the commands that a person would type and what they really answer.
//!
//! Each step is a command of a shell, printed and run, and a claim that is checked on its output; the first that doesn't hold ends the demo as failed. So does
//! a process of ours that ends without being told to.

pub(crate) mod certificates;
mod mesh;
mod poll;
mod script;
mod shell;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use self::stage::Stage;
use crate::cluster::{network, this_program};
use crate::program::End;
use crate::{plugin, tools, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use the cluster of this kubeconfig context instead of starting one; leaves the CRDs installed there
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Leave everything running, and say how to use it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Without Istio and Envoy, as where network namespaces can't be made
    #[arg(long)]
    pub(crate) without_istio: bool,
    /// We are in the network namespace that is to be the cluster's node, and this is the plugin
    #[arg(long, hide = true, value_name = "MODULE")]
    pub(crate) in_node: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let outside = args.in_node.is_none();
    if outside {
        println!(
            "About a minute once the tools are built; building them takes about 25 min on 2 cores, once per machine."
        );
    }
    let started = Instant::now();
    let rules = tools::core_rule_set().await?;
    if outside {
        eprintln!("$ cargo build --workspace --bins   (about 3 min with nothing cached)");
    }
    let build = workspace::build(workspace::Tests::None).await?;
    if outside && args.context.is_none() && !args.without_istio {
        match network::preflight().await {
            Ok(()) => {
                eprintln!("the plugin, as tests run it (about 2 min with nothing cached)");
                return run_in_node(args, &plugin::build(plugin::Kind::Dev).await?).await;
            }
            Err(error) => println!("Without Istio and Envoy: {error:#}"),
        }
    }
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

/// Runs all of it again in a network namespace of its own, where nothing leads out of: what is fetched and built is so by now.
async fn run_in_node(args: &Args, module: &Path) -> Result<()> {
    tools::cluster().await?;
    tools::istio::provide().await?;
    tools::envoy::provide().await?;
    let end = if args.keep {
        End::TerminateUnlessDetached
    } else {
        End::Terminate
    };
    let demo = network::isolated(end).arg(this_program()).args(["demo", "--in-node"]);
    demo.arg(module).args(args.keep.then_some("--keep")).run().await
}
