//! `cargo xtask`: everything that CI and developers run besides plain cargo. It runs the other crates as programs, never links them, so that it starts in
//! seconds.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to the terminal"
)]

mod actors;
mod bench;
mod ci;
mod cluster;
mod conformance;
mod demo;
mod fuzz;
mod generate;
mod images;
mod lint;
mod oci;
mod oracle;
mod plugin;
mod program;
mod release;
mod test;
mod toolchain;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a program that was interrupted: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// What CI and developers run.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Provide the tools that tests and the demo need (Kubernetes, Istio, Envoy, …) and print where they are
    Tools(tools::Args),
    /// Write what is generated from code: the CRDs, the gRPC code, tables of documents
    Generate(generate::Args),
    /// Run a Kubernetes API server on loopback
    Cluster(cluster::Args),
    /// Run the tests: unit, property, golden and end to end
    Test(test::Args),
    /// See it work: an API server, a controller, two caches and the Core Rule Set, with the commands that a person would type
    Demo(demo::Args),
    /// Measure speed and size against the targets and against peers
    Bench(bench::Args),
    /// Run the Core Rule Set's own tests and recorded traffic through the WAF engine
    Ftw(conformance::FtwArgs),
    /// Run the vectors of the rule language and ModSecurity's regression cases through the WAF engine
    Vectors(conformance::VectorsArgs),
    /// Compare the WAF engine's verdicts with those of libmodsecurity
    Oracle(oracle::OracleArgs),
    /// Look for inputs that the WAF engine can't stand
    Fuzz(fuzz::Args),
    /// Build the plugin for Envoy and package it as an OCI image
    Plugin(plugin::Args),
    /// Build the controller and the cache as static programs and assemble their OCI images
    Images(images::Args),
    /// Make all that a release is: programs, images, chart, plugin, checksums, notes
    Release(release::Args),
    /// What CI runs: formatting, lints, generated files, tests
    Ci,
}

// One thread: a child asks the kernel to be killed when the *thread* that started it ends (see `program`), so that has to be the main one.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Dropping the command's future stops what it has started.
    let result = tokio::select! {
        result = run(cli.command) => result,
        interruption = interrupted() => match interruption {
            Ok(name) => {
                eprintln!("{name}: stopped");
                return ExitCode::from(INTERRUPTED);
            }
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Tools(args) => tools::print(&args).await,
        Command::Generate(args) => generate::run(&args).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Test(args) => test::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::Ftw(args) => conformance::ftw(args).await,
        Command::Vectors(args) => conformance::vectors(args).await,
        Command::Oracle(args) => oracle::run(&args).await,
        Command::Fuzz(args) => fuzz::run(&args).await,
        Command::Plugin(args) => plugin::run(&args).await,
        Command::Images(args) => images::run(&args).await,
        Command::Release(args) => release::run(&args).await,
        Command::Ci => ci::run().await,
    }
}

/// Waits for a signal that asks this process to end, and gives its name.
async fn interrupted() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
