//! `cargo xtask oracle`: the WAF engine's verdicts against those of libmodsecurity 3.0.15, loaded into the same process.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::program::Program;
use crate::{tools, workspace};

/// What to compare: if nothing else, the rules that match.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OracleArgs {
    #[command(subcommand)]
    other: Option<Command>,
    #[command(flatten)]
    rules: RulesArgs,
}

/// The rules of the Core Rule Set that match, over its own tests, over recorded traffic where ../shared/data is there, and over generated requests.
#[derive(Args)]
pub(crate) struct RulesArgs {
    /// How many requests to generate
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub(crate) requests: u64,
    /// What they are generated from: the same seed, the same requests
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
    /// Of the generated requests only these: the numbers at the end of their names
    #[arg(long, value_delimiter = ',', value_name = "NUMBER")]
    pub(crate) number: Vec<u64>,
    /// Only the sets of requests whose names contain this
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) only: String,
    /// How many differences of each class to show
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) show: u64,
}

/// What else can be compared.
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

pub(crate) async fn run(args: &OracleArgs) -> Result<()> {
    match &args.other {
        None => rules(&args.rules).await,
        Some(Command::Libinjection(args)) => libinjection(args).await,
    }
}

/// The same as the defaults of the command line: what CI compares.
impl Default for RulesArgs {
    fn default() -> Self {
        Self {
            requests: 2000,
            seed: 1,
            number: Vec::new(),
            only: String::new(),
            show: 1,
        }
    }
}

pub(crate) async fn rules(args: &RulesArgs) -> Result<()> {
    let run = workspace::cargo().args([
        "run",
        "--quiet",
        "--package",
        "coraza-engine",
        "--example",
        "oracle",
        "--",
    ]);
    run.arg("--libmodsecurity")
        .arg(tools::libmodsecurity::provide().await?)
        .args(["--requests", &args.requests.to_string()])
        .args(["--seed", &args.seed.to_string()])
        .args(
            args.number
                .iter()
                .flat_map(|number| ["--number".to_owned(), number.to_string()]),
        )
        .args(["--only", &args.only])
        .args(["--show", &args.show.to_string()])
        .env("CORAZA_CORE_RULE_SET", tools::core_rule_set().await?)
        .run()
        .await
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
