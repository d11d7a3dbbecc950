//! `cargo xtask oracle`: the WAF engine's verdicts against those of libmodsecurity 3.0.15, loaded into the same process.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::program::Program;
use crate::{tools, workspace};

/// What to compare.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// detectSQLi and detectXSS against libinjection, over its corpora where ../shared/data is there and over generated inputs
    Libinjection(LibinjectionArgs),
}

#[derive(Args)]
pub(crate) struct LibinjectionArgs {
    /// How many inputs to generate
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub(crate) inputs: u64,
    /// What they are generated from: the same seed, the same inputs
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
}

pub(crate) async fn run(command: &Command) -> Result<()> {
    match command {
        Command::Libinjection(args) => libinjection(args).await,
    }
}

/// The same as the defaults of the command line: what CI compares.
impl Default for LibinjectionArgs {
    fn default() -> Self {
        Self {
            inputs: 50_000,
            seed: 1,
        }
    }
}

pub(crate) async fn libinjection(args: &LibinjectionArgs) -> Result<()> {
    let peer = tools::libmodsecurity::provide().await?;
    // Two million inputs should not wait for a build without optimisation, nor fifty thousand for one with it.
    let optimised = args.inputs > 500_000;
    let build = workspace::cargo().args(["build", "--package", "coraza-engine", "--example", "libinjection"]);
    build.args(optimised.then_some("--release")).run().await?;
    let profile = if optimised { "release" } else { "debug" };
    let example = workspace::target_dir().join(profile).join("examples/libinjection");
    let mut program = Program::new(&example).arg("--libmodsecurity").arg(&peer).args([
        "--inputs",
        &args.inputs.to_string(),
        "--seed",
        &args.seed.to_string(),
    ]);
    let corpora = workspace::root().join("../shared/data/vectors/libinjection/corpora");
    if corpora.is_dir() {
        program = program.arg("--corpora").arg(&corpora);
    } else {
        eprintln!("skipped: libinjection's corpora, {} absent", corpora.display());
    }
    program.run().await
}
